#include "agent/source/bus_health.h"

#include "base/log.h"

#include <linux/can/netlink.h>

/* The message says the kernel's numbers. */
_Static_assert((int)BUS_ERROR_ACTIVE == (int)CAN_STATE_ERROR_ACTIVE &&
		       (int)BUS_ERROR_WARNING == (int)CAN_STATE_ERROR_WARNING &&
		       (int)BUS_ERROR_PASSIVE == (int)CAN_STATE_ERROR_PASSIVE &&
		       (int)BUS_OFF == (int)CAN_STATE_BUS_OFF &&
		       (int)BUS_STOPPED == (int)CAN_STATE_STOPPED &&
		       (int)BUS_SLEEPING == (int)CAN_STATE_SLEEPING,
	       "enum bus_state begins with enum can_state");

/* ---- telling ---- */

static const struct source_env *env_of(const struct bus_health *h)
{
	return h->source->env;
}

static void set_timer(struct bus_health *h, struct mono_time due)
{
	loop_timer_at(env_of(h)->loop, &h->timer, due);
}

/* A pipeline that is busy gets a change again after the gap; counts lose nothing by waiting. */
static void tell(struct bus_health *h, struct mono_time now)
{
	const struct source_env *env = env_of(h);
	uint8_t data[BUS_STATUS_BYTES];
	struct payload p = {
		.t_ns = now.ns,
		.bus = h->bus,
		.kind = PAYLOAD_STATUS,
		.data = data,
		.len = sizeof(data),
	};

	h->status.frames = h->frames;
	h->status.frames_bad = h->frames_bad;
	h->status.frames_lost = h->frames_lost;
	bus_status_pack(&h->status, data);
	h->told = now;
	h->changed = env->payload(env->ctx, &p) == SOURCE_BUSY && h->changed;
}

static struct mono_time gap_end(const struct bus_health *h)
{
	return (struct mono_time){h->told.ns + BUS_HEALTH_GAP_MS * NS_PER_MS};
}

/* Counts of the kernel are those since the interface was made. */
static void take_counts(struct bus_status *s, const struct can_device_stats *stats)
{
	s->bus_errors = stats->bus_error;
	s->arbitration_lost = stats->arbitration_lost;
	s->bus_offs = stats->bus_off;
	s->restarts = stats->restarts;
}

/* An error frame may come before or after the kernel's count of what it tells: where the kernel
 * counts, its numbers of now go with a change. */
static void refresh_counts(struct bus_health *h)
{
	struct can_link_state l;

	if (h->kernel_counts && h->reads.link(h->port->interface, &l) == 0 && l.has_stats)
		take_counts(&h->status, &l.stats);
}

/* Tells a change now, or when the gap is over. */
static void tell_change(struct bus_health *h)
{
	struct mono_time now;

	if (!h->changed)
		return;
	now = timebase_mono(env_of(h)->tb);
	if (now.ns >= gap_end(h).ns) {
		refresh_counts(h);
		tell(h, now);
	}
	if (h->changed && h->timer.due.ns > gap_end(h).ns)
		set_timer(h, gap_end(h));
}

static void set_state(struct bus_health *h, enum bus_state state)
{
	if (state == h->status.state)
		return;
	h->status.state = state;
	h->changed = h->has_message;
}

/* ---- error frames ---- */

/* The watch counts and logs what becomes of the controller; this is how it hears of it early. */
static void look_early(struct bus_health *h)
{
	struct mono_time now = loop_now(env_of(h)->loop);

	if (!env_of(h)->watch || now.ns - h->looked_early.ns < BUS_HEALTH_GAP_MS * NS_PER_MS)
		return;
	h->looked_early = now;
	can_watch_look(env_of(h)->watch, h->port->interface);
}

/* One line for all that came since the last. */
static void note_errors(struct bus_health *h)
{
	struct mono_time now = loop_now(env_of(h)->loop);
	struct can_error all = {.classes = h->noted.classes};
	char text[CAN_ERROR_TEXT];

	if (h->noted.frames == 0 ||
	    (h->noted.since.ns && now.ns - h->noted.since.ns < BUS_HEALTH_LOG_S * NS_PER_S))
		return;
	log_warn("bus_errors", "source=%s interface=%s frames=%u kinds=%s", h->source->name,
		 h->port->interface, h->noted.frames, can_error_text(&all, text));
	h->noted.frames = 0;
	h->noted.classes = 0;
	h->noted.since = now;
}

static void count_error(struct bus_health *h, const struct can_error *e)
{
	struct bus_status *s = &h->status;

	counter_add(&env_of(h)->counters->frames_error, 1);
	s->error_frames++;
	s->ack_errors += (e->classes & CAN_ERROR_NO_ACK) != 0;
	s->controller_overflows += (e->classes & CAN_ERROR_OVERFLOW) != 0;
	s->tx_timeouts += (e->classes & CAN_ERROR_TX_TIMEOUT) != 0;
	if (h->kernel_counts)
		return;
	s->bus_errors += (e->classes & (CAN_ERROR_PROTOCOL | CAN_ERROR_BUS)) != 0;
	s->arbitration_lost += (e->classes & CAN_ERROR_ARBITRATION_LOST) != 0;
	s->bus_offs += (e->classes & CAN_ERROR_BUS_OFF) != 0;
	s->restarts += (e->classes & CAN_ERROR_RESTARTED) != 0;
}

void bus_health_error(struct bus_health *h, uint32_t can_id, const uint8_t *data, size_t len)
{
	struct can_error e;
	int state;

	if (can_error_parse(&e, can_id, data, len) < 0)
		return;
	count_error(h, &e);
	if (e.has_counters) {
		h->status.has_errors = true;
		h->status.tx_errors = e.tx_errors;
		h->status.rx_errors = e.rx_errors;
	}
	h->noted.frames++;
	h->noted.classes |= e.classes;
	state = can_error_state(&e);
	if (state != CAN_ERROR_NO_STATE) {
		set_state(h, (enum bus_state)state);
		tell_change(h);
		look_early(h);
	}
	note_errors(h);
}

/* ---- the interface ---- */

static enum bus_state state_without(int error)
{
	switch (error) {
	case ENODEV:
	case ENXIO:
		return BUS_ABSENT;
	case ENETDOWN:
		return BUS_STOPPED;
	default:
		return BUS_UNKNOWN;
	}
}

static void take_link(struct bus_health *h, const struct can_link_state *l)
{
	struct bus_status *s = &h->status;

	s->link_up = l->up;
	h->kernel_counts = l->has_stats;
	if (l->has_stats)
		take_counts(s, &l->stats);
	if (l->can_state != CAN_LINK_STATE_NONE) {
		s->has_errors = l->has_berr;
		s->tx_errors = l->berr.txerr;
		s->rx_errors = l->berr.rxerr;
	}
	s->has_bit_rate = l->bittiming.bitrate > 0;
	s->bit_rate = l->bittiming.bitrate;
	s->data_bit_rate = l->ctrlmode & CAN_CTRLMODE_FD ? l->data_bittiming.bitrate : 0;
	if (!l->up)
		set_state(h, BUS_STOPPED);
	else if (l->can_state >= 0 && l->can_state <= CAN_STATE_SLEEPING)
		set_state(h, (enum bus_state)l->can_state);
	else if (s->state == BUS_STOPPED || s->state == BUS_ABSENT)
		set_state(h, BUS_UNKNOWN);
}

/* Nothing to ask, or no answer: what the socket says, and error frames. */
static void take_port(struct bus_health *h)
{
	struct bus_status *s = &h->status;

	h->kernel_counts = false;
	s->has_bit_rate = false;
	s->link_up = can_port_is_open(h->port);
	s->has_errors = s->has_errors && s->link_up;
	if (!s->link_up)
		set_state(h, state_without(h->port->error));
	else if (s->state == BUS_STOPPED || s->state == BUS_ABSENT)
		set_state(h, BUS_UNKNOWN);
}

static void take_load(struct bus_health *h, struct mono_time now)
{
	struct bus_status *s = &h->status;
	uint32_t seen = h->frames - h->seen, extended = h->frames_extended - h->seen_extended;
	struct can_traffic t;

	if (s->has_bit_rate && s->data_bit_rate == 0 && h->reads.traffic &&
	    h->reads.traffic(h->port->interface, &t) == 0)
		can_load_add(&h->load, &t, now.ns, s->bit_rate, seen ? (double)extended / seen : 0);
	else
		h->load = (struct can_load){0};
	h->seen = h->frames;
	h->seen_extended = h->frames_extended;
	s->has_load = h->load.known && s->link_up;
	s->load = h->load.load;
}

static void look(struct bus_health *h, struct mono_time now)
{
	struct can_link_state l;

	if (h->reads.link && h->reads.link(h->port->interface, &l) == 0)
		take_link(h, &l);
	else
		take_port(h);
	take_load(h, now);
}

void bus_health_up(struct bus_health *h)
{
	look(h, timebase_mono(env_of(h)->tb));
	tell_change(h);
}

void bus_health_down(struct bus_health *h, int error)
{
	h->status.link_up = false;
	h->status.has_errors = h->status.has_load = false; /* were the controller's, while it ran */
	h->status.link_downs++;
	h->load = (struct can_load){0};
	set_state(h, state_without(error));
	tell_change(h);
}

static void on_timer(struct loop_timer *t)
{
	struct bus_health *h = t->ctx;
	struct mono_time now = timebase_mono(env_of(h)->tb);

	note_errors(h);
	if (now.ns >= h->look_due.ns) {
		h->look_due.ns = now.ns + h->period_ns;
		if (h->has_message) {
			look(h, now);
			tell(h, now);
		}
	}
	set_timer(h, h->look_due);
	tell_change(h);
}

void bus_health_start(struct bus_health *h)
{
	h->timer = (struct loop_timer){.cb = on_timer, .ctx = h};
	h->status.state = BUS_UNKNOWN;
	if (h->period_ns == 0)
		h->period_ns = NS_PER_S;
	h->has_message =
		env_of(h)->payload && bus_status_find(env_of(h)->cat, h->bus) != CATALOG_NONE;
	h->look_due = timebase_mono(env_of(h)->tb);
	h->told.ns = h->look_due.ns - BUS_HEALTH_GAP_MS * NS_PER_MS;
	loop_timer_in(env_of(h)->loop, &h->timer, 0);
}

void bus_health_stop(struct bus_health *h)
{
	if (h->timer.cb)
		loop_timer_cancel(&h->timer);
}
