/* agent/source/can_link.h: settings and state of a CAN interface, by rtnetlink.
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

/* Returns 0; -ENODEV: no such interface; -EMEDIUMTYPE: it is not a CAN interface; -errno. Needs no
 * right. */
int can_link_read(const char *interface, struct can_link_state *ret) must_check;

/* "error-active", "error-warning", "error-passive", "bus-off", "stopped", "sleeping", "none". */
const char *can_link_state_name(int can_state);
