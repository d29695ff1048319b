/* agent/can/can_link.h: settings and state of a CAN interface, by rtnetlink.
 *
 * Every call is one request to the kernel and its answer, which is there when the request returns;
 * it takes microseconds, but for a controller behind USB or SPI that is taken up or down, and for
 * the time that others hold the kernel's lock of all interfaces. */
#pragma once

#include "base/base.h"

#include <linux/can/netlink.h>
#include <net/if.h>

enum {
	CAN_LINK_STATE_NONE = -1, /* no controller, as with vcan: no state, counters, bit rate */
	CAN_LINK_RATES_MAX = 32,
};

/* What the kernel says of an interface. Where it does not say, 0, or false. */
struct can_link_state {
	char interface[IFNAMSIZ];
	int ifindex;
	char kind[16]; /* "can": with a controller; "vcan", "vxcan"; "" */
	bool up;
	int can_state; /* enum can_state, or CAN_LINK_STATE_NONE */
	bool has_berr;
	struct can_berr_counter berr; /* error counters of ISO 11898-1 §12.1.4; if has_berr */
	bool has_stats;
	struct can_device_stats stats; /* since the interface was made; if has_stats */
	uint32_t ctrlmode;	       /* CAN_CTRLMODE_*, those that are on */
	bool has_ctrlmode_supported;
	uint32_t ctrlmode_supported; /* if has_ctrlmode_supported (Linux 5.18) */
	uint32_t restart_ms;	     /* 0: the kernel does not restart after bus-off */
	uint32_t clock_hz;
	struct can_bittiming bittiming; /* bitrate in bit/s, sample_point per mille */
	struct can_bittiming data_bittiming;
	/* What the controller can do: by dividing clock_hz, or one of few rates. */
	bool has_bittiming_const, has_data_bittiming_const;
	struct can_bittiming_const bittiming_const, data_bittiming_const;
	uint32_t rates[CAN_LINK_RATES_MAX], data_rates[CAN_LINK_RATES_MAX];
	size_t n_rates, n_data_rates;
	uint32_t bitrate_max; /* of the transceiver */
};

/* What an interface is to be. */
struct can_link_settings {
	char interface[IFNAMSIZ];
	uint32_t bitrate;	/* bit/s; 0: the interface is left as it is */
	uint32_t sample_point;	/* per mille; 0: the kernel's choice, which is CiA's */
	uint32_t sjw;		/* time quanta; 0: the kernel's choice */
	bool fd;		/* CAN FD; with dbitrate */
	uint32_t dbitrate;	/* bit/s of the data phase */
	uint32_t dsample_point; /* per mille; 0: as above */
	uint32_t dsjw;
	uint32_t restart_ms;	 /* after bus-off; 0: never */
	uint32_t restart_max_ms; /* longest such wait where it is the agent that restarts */
	bool listen_only, loopback, berr_reporting;
};

enum { CAN_LINK_KEPT = 1 };

/* Makes an interface what it is to be, and takes it up. One that is already so is not touched
 * (CAN_LINK_KEPT), unless again is set; otherwise it is taken down, and set and taken up in one
 * request. What the controller is known not to do is refused before anything is touched. Where the
 * driver cannot restart by itself, restart_ms is left out (*ret_state tells).
 * Needs CAP_NET_ADMIN. Returns 0, CAN_LINK_KEPT, or -errno with err in words for a person, without
 * the interface's name. ret_state (NULL is fine) is how it is after success. */
int can_link_apply(const struct can_link_settings *s, bool again, struct can_link_state *ret_state,
		   struct error *err) must_check;

/* Returns 0; -ENODEV: no such interface; -EMEDIUMTYPE: it is not a CAN interface; -errno. Needs no
 * right. */
int can_link_read(const char *interface, struct can_link_state *ret) must_check;

/* "error-active", "error-warning", "error-passive", "bus-off", "stopped", "sleeping", "none". */
const char *can_link_state_name(int can_state);
