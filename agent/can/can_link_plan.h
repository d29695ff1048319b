/* agent/can/can_link_plan.h: what is to be done with an interface, decided from what it is and
 * what it is to be. Pure. */
#pragma once

#include "agent/can/can_link.h"

/* Whether nothing needs to be done. A bit rate is right when the controller has none that is nearer
 * to what was asked for; a sample point when it is less than one time quantum off (kernels round
 * down), or was not asked for. restart_ms where the kernel's is 0 is right, too: then it is the
 * agent that restarts, and no bus is interrupted for it. */
bool can_link_is_so(const struct can_link_state *now, const struct can_link_settings *s);

/* Whether the driver may be asked to restart a controller. Before Linux 6.16 (and the stable
 * kernels of August 2025, CVE-2025-38665) the kernel takes a restart time, or the order to restart,
 * for any driver, and calls what some do not have, which is the end of it. Without are slcan and
 * can327, which are those with a list of bit rates, and gs_usb. For others a kernel that knows
 * better answers EOPNOTSUPP. */
bool can_link_restarts(const struct can_link_state *now);
/* The restart time that the kernel is to be told. */
uint32_t can_link_restart_ms(const struct can_link_state *now, const struct can_link_settings *s);

/* Refuses what the controller is known not to do. Returns 0, -EOPNOTSUPP or -EDOM with err. */
int can_link_check(const struct can_link_state *now, const struct can_link_settings *s,
		   struct error *err) must_check;

/* Why the kernel refused, for a person. s is NULL where nothing was to be set; now is NULL where it
 * is not known; text are the kernel's own words, or "". error is below 0. */
void can_link_explain(const struct can_link_settings *s, const struct can_link_state *now,
		      int error, const char *text, struct error *err);

/* The bit rate nearest to wanted that a controller can do, 0 where it does not say. */
uint32_t can_link_nearest(const struct can_link_state *now, uint32_t wanted);
