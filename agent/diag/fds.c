#include "agent/diag/fds.h"

#include <unistd.h>

static int open_all(struct diag_fds *fds, int ifindex, const struct diag_options *opt)
{
	const struct isotp_socket_options *o = &opt->socket;

	fds->main = opt->open ? opt->open(DIAG_FD_MAIN) : isotp_socket_open(ifindex, o);
	if (fds->main < 0)
		return fds->main;
	fds->listener =
		opt->open ? opt->open(DIAG_FD_LISTENER) : isotp_socket_open_listener(ifindex, o);
	if (fds->listener < 0)
		return fds->listener;
	if (!opt->has_functional)
		return 0;
	fds->functional = opt->open ? opt->open(DIAG_FD_FUNCTIONAL)
				    : isotp_socket_open_functional(ifindex, opt->functional, o);
	return fds->functional < 0 ? fds->functional : 0;
}

int diag_fds_open(struct diag_fds *fds, int ifindex, const struct diag_options *opt)
{
	int r;

	*fds = DIAG_FDS_NONE;
	r = open_all(fds, ifindex, opt);
	if (r == 0)
		return 0;
	if (fds->main >= 0)
		(void)close(fds->main);
	diag_fds_close_others(fds);
	return r;
}

void diag_fds_close_others(struct diag_fds *fds)
{
	if (fds->functional >= 0)
		(void)close(fds->functional);
	if (fds->listener >= 0)
		(void)close(fds->listener);
	*fds = DIAG_FDS_NONE;
}
