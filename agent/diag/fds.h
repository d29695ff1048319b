/* agent/diag/fds.h: the sockets of one source: to the ECU, to all ECUs, and to hear a response. */
#pragma once

#include "agent/diag/diag.h"
#include "agent/diag/session.h"

/* Opens what opt asks for. Returns 0, or -errno with nothing left open. */
int diag_fds_open(struct diag_fds *fds, int ifindex, const struct diag_options *opt) must_check;
/* Closes all but main, which is the port's, and forgets that. */
void diag_fds_close_others(struct diag_fds *fds);
