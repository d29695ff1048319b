#include "agent/can/can_link_plan.h"

#include "agent/can/can_link_msg.h"

#include <string.h>

enum {
	TSEG_MAX = 4096,     /* more than any controller has; bounds the search */
	RATE_ERROR_MAX = 50, /* per mille, CAN_CALC_MAX_ERROR of the kernel */
	PER_MILLE = 1000,
};

/* ---- bit rates ---- */

static uint32_t apart(uint32_t a, uint32_t b)
{
	return a > b ? a - b : b - a;
}

static uint32_t nearer(uint32_t wanted, uint32_t a, uint32_t b)
{
	return a == 0 || apart(wanted, b) < apart(wanted, a) ? b : a;
}

static uint32_t clamp(uint64_t v, uint32_t lo, uint32_t hi)
{
	return v < lo ? lo : v > hi ? hi : (uint32_t)v;
}

/* ISO 11898-1 §11.3: a bit is so many time quanta, a quantum so many periods of the clock. */
static uint32_t nearest_divided(uint32_t wanted, uint32_t clock_hz,
				const struct can_bittiming_const *c)
{
	uint32_t inc = c->brp_inc ? c->brp_inc : 1;
	uint64_t lo = (uint64_t)1 + c->tseg1_min + c->tseg2_min;
	uint64_t hi = (uint64_t)1 + c->tseg1_max + c->tseg2_max;
	uint32_t best = 0;

	if (c->brp_min == 0 || c->brp_min > c->brp_max)
		return 0;
	for (uint64_t quanta = lo; quanta <= hi && quanta <= TSEG_MAX; quanta++) {
		uint64_t brp = clock_hz / (quanta * wanted) / inc * inc;

		for (uint64_t b = brp; b <= brp + inc; b += inc) {
			uint64_t divisor = quanta * clamp(b, c->brp_min, c->brp_max);

			best = nearer(wanted, best, (uint32_t)(clock_hz / divisor));
		}
	}
	return best;
}

static uint32_t nearest_listed(uint32_t wanted, const uint32_t *rates, size_t n)
{
	uint32_t best = 0;

	for (size_t i = 0; i < n; i++)
		best = nearer(wanted, best, rates[i]);
	return best;
}

/* Of the n rates, if the controller lists any, or of what its clock can be divided to. limits: NULL
 * if they are unknown. */
static uint32_t nearest(uint32_t wanted, const uint32_t *rates, size_t n, uint32_t clock_hz,
			const struct can_bittiming_const *limits)
{
	if (wanted == 0)
		return 0;
	if (n > 0)
		return nearest_listed(wanted, rates, n);
	return limits && clock_hz > 0 ? nearest_divided(wanted, clock_hz, limits) : 0;
}

uint32_t can_link_nearest(const struct can_link_state *now, uint32_t wanted)
{
	return nearest(wanted, now->rates, now->n_rates, now->clock_hz,
		       now->has_bittiming_const ? &now->bittiming_const : NULL);
}

static uint32_t nearest_of_data(const struct can_link_state *now, uint32_t wanted)
{
	return nearest(wanted, now->data_rates, now->n_data_rates, now->clock_hz,
		       now->has_data_bittiming_const ? &now->data_bittiming_const : NULL);
}

/* ---- is it so? ---- */

static bool rate_is(uint32_t rate, uint32_t wanted, uint32_t nearest)
{
	return rate == (nearest ? nearest : wanted);
}

static bool point_is(const struct can_bittiming *bt, uint32_t wanted)
{
	uint64_t quanta = (uint64_t)1 + bt->prop_seg + bt->phase_seg1 + bt->phase_seg2;

	if (wanted == 0 || bt->sample_point == wanted)
		return true;
	return apart(bt->sample_point, wanted) * quanta < PER_MILLE;
}

static bool timing_is(const struct can_bittiming *bt, uint32_t rate, uint32_t nearest,
		      uint32_t point, uint32_t sjw)
{
	return rate_is(bt->bitrate, rate, nearest) && point_is(bt, point) &&
	       (sjw == 0 || bt->sjw == sjw);
}

bool can_link_restarts(const struct can_link_state *now)
{
	return now->n_rates == 0 && strcmp(now->bittiming_const.name, "gs_usb") != 0;
}

uint32_t can_link_restart_ms(const struct can_link_state *now, const struct can_link_settings *s)
{
	return can_link_restarts(now) ? s->restart_ms : 0;
}

bool can_link_is_so(const struct can_link_state *now, const struct can_link_settings *s)
{
	if (!now->up || ((now->ctrlmode ^ can_link_modes(s)) & CAN_LINK_MODES))
		return false;
	if (now->restart_ms != can_link_restart_ms(now, s) && now->restart_ms != 0)
		return false;
	if (!timing_is(&now->bittiming, s->bitrate, can_link_nearest(now, s->bitrate),
		       s->sample_point, s->sjw))
		return false;
	return !s->fd || timing_is(&now->data_bittiming, s->dbitrate,
				   nearest_of_data(now, s->dbitrate), s->dsample_point, s->dsjw);
}

/* ---- what it cannot be ---- */

static const struct {
	uint32_t flag;
	const char *name;
} modes[] = {
	{CAN_CTRLMODE_FD, "CAN FD (fd, dbitrate)"},
	{CAN_CTRLMODE_LISTENONLY, "listen_only"},
	{CAN_CTRLMODE_LOOPBACK, "loopback"},
	{CAN_CTRLMODE_BERR_REPORTING, "berr_reporting"},
};

static const char *controller(const struct can_link_state *now)
{
	return *now->bittiming_const.name ? now->bittiming_const.name : "controller";
}

static int check_modes(const struct can_link_state *now, const struct can_link_settings *s,
		       struct error *err)
{
	if (!now->has_ctrlmode_supported)
		return 0;
	for (size_t i = 0; i < array_len(modes); i++)
		if (can_link_modes(s) & ~now->ctrlmode_supported & modes[i].flag) {
			error_set(err, "the %s cannot do %s", controller(now), modes[i].name);
			return -EOPNOTSUPP;
		}
	return 0;
}

/* Kernels calculate up to an error of 5 %, and take a listed rate as it is only. */
static bool rate_in_reach(uint32_t wanted, uint32_t nearest, bool listed)
{
	if (nearest == 0 || nearest == wanted)
		return true;
	return !listed &&
	       (uint64_t)apart(nearest, wanted) * PER_MILLE <= (uint64_t)wanted * RATE_ERROR_MAX;
}

static int refuse_rate(const struct can_link_state *now, const char *key, uint32_t wanted,
		       uint32_t nearest, struct error *err)
{
	if (now->clock_hz && now->n_rates == 0)
		error_set(err, "%s=%u: the %s cannot do it with its clock of %u Hz; nearest is %u",
			  key, wanted, controller(now), now->clock_hz, nearest);
	else
		error_set(err, "%s=%u: the %s cannot do it; nearest is %u", key, wanted,
			  controller(now), nearest);
	return -EDOM;
}

static int check_rates(const struct can_link_state *now, const struct can_link_settings *s,
		       struct error *err)
{
	uint32_t nearest = can_link_nearest(now, s->bitrate);
	uint32_t nearest_data = nearest_of_data(now, s->dbitrate);

	if (!rate_in_reach(s->bitrate, nearest, now->n_rates > 0))
		return refuse_rate(now, "bitrate", s->bitrate, nearest, err);
	if (s->fd && !rate_in_reach(s->dbitrate, nearest_data, now->n_data_rates > 0))
		return refuse_rate(now, "dbitrate", s->dbitrate, nearest_data, err);
	if (now->bitrate_max && (s->bitrate > now->bitrate_max || s->dbitrate > now->bitrate_max)) {
		error_set(err, "%s=%u: the transceiver can do %u at most",
			  s->bitrate > now->bitrate_max ? "bitrate" : "dbitrate",
			  s->bitrate > now->bitrate_max ? s->bitrate : s->dbitrate,
			  now->bitrate_max);
		return -EDOM;
	}
	return 0;
}

int can_link_check(const struct can_link_state *now, const struct can_link_settings *s,
		   struct error *err)
{
	int r;

	if (strcmp(now->kind, "can") != 0) {
		error_set(
			err,
			"a virtual interface (%s) has no bit rate: remove bitrate from its section",
			*now->kind ? now->kind : "of no kind");
		return -EOPNOTSUPP;
	}
	r = check_modes(now, s, err);
	return r < 0 ? r : check_rates(now, s, err);
}

/* ---- why not ---- */

static void explain_refusal(const struct can_link_settings *s, const struct can_link_state *now,
			    int error, const char *text, struct error *err)
{
	error_set(err, "the %s refuses bitrate=%u dbitrate=%u or a mode%s%s: %s%s%s",
		  now ? controller(now) : "controller", s->bitrate, s->dbitrate,
		  s->sample_point || s->dsample_point ? ", or the sample point" : "",
		  s->sjw || s->dsjw ? ", or the sjw" : "", strerror(-error), *text ? "; " : "",
		  text);
}

void can_link_explain(const struct can_link_settings *s, const struct can_link_state *now,
		      int error, const char *text, struct error *err)
{
	switch (-error) {
	case ENODEV:
		error_set(err, "there is no such interface");
		break;
	case EMEDIUMTYPE:
		error_set(err, "it is not a CAN interface");
		break;
	case EPERM:
	case EACCES:
		error_set(err, "setting it needs the capability CAP_NET_ADMIN (systemd: "
			       "AmbientCapabilities=CAP_NET_ADMIN)");
		break;
	case EINVAL:
	case EDOM:
	case ERANGE:
	case EOPNOTSUPP:
		if (s) {
			explain_refusal(s, now, error, text, err);
			break;
		} /* fall through */
	default:
		error_set(err, "%s%s%s", strerror(-error), *text ? "; " : "", text);
	}
}
