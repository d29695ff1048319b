#include "agent/diag/diag.h"

#include "agent/diag/delivery.h"
#include "agent/diag/fds.h"
#include "agent/diag/report.h"
#include "agent/diag/silence.h"
#include "agent/diag/uds.h"
#include "agent/health/limit.h"
#include "agent/source/can_port.h"
#include "agent/source/poll.h"
#include "base/log.h"

#include <inttypes.h>
#include <string.h>

/* How an item's last request ended; what repeats is not said again. */
struct last {
	bool known;
	enum diag_end end;
	int detail; /* NRC or errno */
};

struct diag {
	struct source base;
	struct can_port port;
	struct diag_options opt; /* its texts and polls are gone after diag_new */
	uint16_t bus;
	struct coverage coverage;
	struct diag_poll *polls;
	struct diag_learnt *learnt; /* one a poll */
	size_t n_polls;

	struct diag_fds fds;
	struct poll poll;
	struct diag_session session;
	struct diag_schedule schedule, scratch;
	struct last last[DIAG_REQUESTS_MAX]; /* one an item */
	size_t asked; /* the item in flight; DIAG_REQUESTS_MAX: one that is no more */
	struct silence silence;
	struct delivery delivery;
	struct limit said;	     /* of how requests ended */
	struct mono_time last_stray; /* 0: none yet */
	uint64_t skipped;	     /* of poll.skipped, counted so far */
};

static struct diag *diag_of(struct source *s)
{
	return (struct diag *)s;
}

/* ---- schedule ---- */

static bool is_discovering(const struct diag *d)
{
	for (size_t i = 0; i < d->schedule.n; i++)
		if (d->schedule.items[i].discovers)
			return true;
	return false;
}

static void say_schedule(const struct diag *d)
{
	if (is_discovering(d)) /* there is more to come */
		return;
	log_info("diag_schedule", "source=%s requests=%zu", d->base.name, d->schedule.n);
	if (d->schedule.left_out > 0)
		log_error("diag_too_many", "source=%s max=%d left_out=%zu", d->base.name,
			  DIAG_REQUESTS_MAX, d->schedule.left_out);
	for (size_t i = 0; i < d->n_polls; i++) {
		bool asked = false;

		for (size_t k = 0; k < d->schedule.n; k++)
			asked |= d->schedule.items[k].poll == i;
		if (!asked)
			log_info("diag_idle",
				 "source=%s poll=%s what=no rule collects what it would bring",
				 d->base.name, d->polls[i].name);
	}
}

static void set_schedule(struct diag *d)
{
	d->schedule = d->scratch;
	memset(d->last, 0, sizeof(d->last));
	memset(d->silence.items, 0, sizeof(d->silence.items));
	d->asked = DIAG_REQUESTS_MAX;
	d->poll.n = 0;
	for (size_t i = 0; i < d->schedule.n; i++) {
		int r = poll_add(&d->poll, d->schedule.items[i].period_ns);

		assert(r == 0); /* there is room for DIAG_REQUESTS_MAX */
	}
	say_schedule(d);
	if (can_port_is_open(&d->port))
		poll_start(&d->poll);
}

/* Other rules, or something learnt: nothing happens where that asks for the same. */
static void reschedule(struct diag *d)
{
	diag_schedule_make(&d->scratch, d->polls, d->learnt, d->n_polls, &d->coverage);
	if (!diag_schedule_equal(&d->scratch, &d->schedule))
		set_schedule(d);
}

/* ---- the end of a request ---- */

static bool is_news(struct diag *d, const struct diag_result *r)
{
	int detail = r->nrc ? r->nrc : r->error;
	struct last *last;
	bool news;

	if (d->asked == DIAG_REQUESTS_MAX)
		return true;
	last = &d->last[d->asked];
	news = last->known ? last->end != r->end || last->detail != detail : r->end != DIAG_END_OK;
	last->known = true;
	last->end = r->end;
	last->detail = detail;
	return news;
}

static void say(struct diag *d, const struct diag_result *r)
{
	char text[DIAG_REQUEST_TEXT], why[DIAG_WHY_BYTES];

	/* An ECU that cannot decide brings news with each request. */
	if (!is_news(d, r) || !limit_pass(&d->said, "diag_failed", loop_now(d->base.env->loop)))
		return;
	diag_request_text(&d->session.request, text);
	if (r->end == DIAG_END_OK) {
		log_info("diag_answered", "source=%s request=%s", d->base.name, text);
		return;
	}
	diag_explain(r, why);
	log_warn("diag_failed", "source=%s interface=%s ecu=0x%" PRIX32 " request=%s what=%s",
		 d->base.name, d->port.interface, d->opt.socket.request, text, why);
}

static void say_silence(const struct diag *d, enum silence_change change)
{
	if (change == SILENCE_BEGAN)
		log_warn("diag_silent",
			 "source=%s interface=%s ecu=0x%" PRIX32 " retry_s=%" PRId64
			 " what=asking less often until it responds",
			 d->base.name, d->port.interface, d->opt.socket.request,
			 d->opt.silent_ns / NS_PER_S);
	else if (change == SILENCE_ENDED)
		log_info("diag_awake", "source=%s", d->base.name);
}

/* Parked cars have ECUs that sleep: asking them all the time would keep them, or the bus, awake. */
static void mind_silence(struct diag *d, const struct diag_result *r)
{
	say_silence(d, silence_note(&d->silence, d->asked, r));
	if (silence_is_on(&d->silence))
		poll_hold(&d->poll, d->opt.silent_ns);
}

static void request_done(struct diag *d)
{
	poll_done(&d->poll);
}

/* ---- delivery ---- */

/* As far as the pipeline takes it; source_resume goes on. */
static void deliver(struct diag *d)
{
	const struct payload as = {
		.id = d->opt.socket.response,
		.extended = d->opt.socket.extended,
		.bus = d->bus,
	};

	if (delivery_send(&d->delivery, d->base.env, &as) == 0)
		request_done(d);
}

/* The poll to which the request in flight belongs; NULL: it is not in the schedule any more. */
static struct diag_item *item_asked(struct diag *d)
{
	return d->asked == DIAG_REQUESTS_MAX ? NULL : &d->schedule.items[d->asked];
}

/* Some ECUs take one identifier at a time, and some records are not as long as the catalog says. */
static void ask_alone(struct diag *d, const char *why)
{
	struct diag_item *it = item_asked(d);
	char text[DIAG_REQUEST_TEXT];

	if (!it || d->session.request.n < 2)
		return;
	diag_request_text(&d->session.request, text);
	log_warn("diag_one_at_a_time",
		 "source=%s poll=%s request=%s what=%s; each identifier is asked for alone now",
		 d->base.name, d->polls[it->poll].name, text, why);
	d->learnt[it->poll].alone = true;
	reschedule(d);
}

static void learn_supported(struct diag *d)
{
	struct diag_item *it = item_asked(d);
	const uint8_t *field;
	size_t len;

	if (!it || !it->discovers)
		return;
	field = delivery_first(&d->delivery, &len);
	if (diag_learn_supported(&d->learnt[it->poll], it->request.service, field, len))
		reschedule(d);
}

static void on_response(struct diag *d, const struct diag_result *r)
{
	struct delivery *v = &d->delivery;

	if (delivery_take(v, &d->session.request, r) < 0) {
		counter_add(&d->base.env->counters->diag_errors, 1);
		ask_alone(d, "the lengths of the records do not add up (ids = id/bytes sets them)");
		request_done(d);
		return;
	}
	if (v->n < v->request.n)
		ask_alone(d, "the response leaves identifiers out");
	learn_supported(d);
	deliver(d);
}

/* What an ECU says that takes a single identifier, or cannot fit the response. */
static bool blames_group(const struct diag_result *r)
{
	return r->end == DIAG_END_NEGATIVE &&
	       (r->nrc == UDS_NRC_WRONG_LENGTH || r->nrc == UDS_NRC_TOO_LONG ||
		r->nrc == UDS_NRC_OUT_OF_RANGE);
}

/* An ECU that knows nothing of a range that it said is there: there are no more. One that cannot
 * tell now is asked again. */
static void learn_refused(struct diag *d, uint8_t nrc)
{
	struct diag_item *it = item_asked(d);

	if (nrc != UDS_NRC_SERVICE_NOT_SUPPORTED && nrc != UDS_NRC_NOT_SUPPORTED &&
	    nrc != UDS_NRC_OUT_OF_RANGE)
		return;
	if (it && it->discovers && d->learnt[it->poll].supported.next > 0) {
		d->learnt[it->poll].supported.complete = true;
		reschedule(d);
	}
}

static void on_ended(struct diag_session *s, const struct diag_result *r)
{
	struct diag *d = s->ctx;

	diag_count(d->base.env->counters, r->end);
	say(d, r);
	mind_silence(d, r);
	if (r->end == DIAG_END_OK) {
		on_response(d, r);
	} else {
		if (blames_group(r))
			ask_alone(d, uds_nrc_name(r->nrc));
		if (r->end == DIAG_END_NEGATIVE)
			learn_refused(d, r->nrc);
		request_done(d);
	}
}

/* Somebody else's tester may ask the same ECU for hours. */
static bool is_stray_news(struct diag *d)
{
	struct mono_time now = loop_now(d->base.env->loop), last = d->last_stray;

	d->last_stray = now;
	return last.ns == 0 || now.ns - last.ns >= DIAG_STRAY_QUIET_S * NS_PER_S;
}

static void on_stray(struct diag_session *s, const uint8_t *data, size_t len)
{
	struct diag *d = s->ctx;
	const struct source_env *env = d->base.env;

	counter_add(&env->counters->diag_errors, 1);
	if (is_stray_news(d))
		log_warn("diag_stray", "source=%s service=%02X bytes=%zu what=%s", d->base.name,
			 data[0], len,
			 s->active ? "a response to another request"
				   : "a response after its time, or that nobody asked for");
}

static void on_failed(struct diag_session *s, int error)
{
	struct diag *d = s->ctx;

	can_port_fail(&d->port, error);
}

/* ---- asking ---- */

static void not_sent(struct diag *d, int error)
{
	struct diag_result r = {.end = DIAG_END_TRANSPORT, .error = error};

	if (!isotp_socket_error_passes(error)) {
		can_port_fail(&d->port, error);
		return;
	}
	diag_count(d->base.env->counters, r.end);
	say(d, &r);
	mind_silence(d, &r);
	request_done(d);
}

/* The other ECUs have their time to respond, too, before all are asked again (ISO 14229-2, P3). */
static void asked(struct diag *d)
{
	counter_add(&d->base.env->counters->diag_requests, 1);
	if (diag_session_asked_all(&d->session))
		poll_hold(&d->poll, d->opt.p2_ns);
}

static void count_skipped(struct diag *d)
{
	counter_add(&d->base.env->counters->diag_skipped, d->poll.skipped - d->skipped);
	d->skipped = d->poll.skipped;
}

static void on_ask(struct poll *p, size_t item)
{
	struct diag *d = p->ctx;
	int r;

	count_skipped(d);
	if (silence_skips(&d->silence, item)) {
		request_done(d);
		return;
	}
	d->asked = item;
	r = diag_session_ask(&d->session, &d->schedule.items[item].request);
	if (r < 0)
		not_sent(d, -r);
	else
		asked(d);
}

/* ---- the port ---- */

/* The port closes the main socket that it was given; the others are closed here. */
static int port_open(struct can_port *p, int ifindex)
{
	struct diag *d = p->ctx;
	int r;

	diag_fds_close_others(&d->fds); /* of an attempt that failed after this */
	r = diag_fds_open(&d->fds, ifindex, &d->opt);
	return r < 0 ? r : d->fds.main;
}

static void port_opened(struct can_port *p)
{
	struct diag *d = p->ctx;

	d->silence.ecu = 0;
	diag_session_start(&d->session, d->fds);
	poll_start(&d->poll);
}

static void forget_request(struct diag *d)
{
	poll_stop(&d->poll);
	diag_session_stop(&d->session);
	delivery_drop(&d->delivery);
	diag_fds_close_others(&d->fds);
}

static void port_closed(struct can_port *p)
{
	forget_request(p->ctx);
}

static void port_readable(struct can_port *p, uint32_t events)
{
	struct diag *d = p->ctx;

	(void)events;
	diag_session_readable(&d->session);
}

/* ---- the source ---- */

static void diag_resume(struct source *s)
{
	struct diag *d = diag_of(s);

	if (delivery_is_open(&d->delivery))
		deliver(d);
}

static void diag_matches_changed(struct source *s)
{
	reschedule(diag_of(s));
}

static void diag_stop(struct source *s)
{
	struct diag *d = diag_of(s);

	can_port_stop(&d->port);
	if (d->poll.items)
		forget_request(d);
}

static void polls_free(struct diag *d)
{
	for (size_t i = 0; d->polls && i < d->n_polls; i++)
		free(d->polls[i].ids);
	free(d->polls);
	free(d->learnt);
}

static void diag_free(struct source *s)
{
	struct diag *d = diag_of(s);

	poll_free(&d->poll);
	polls_free(d);
	free(d);
}

static const struct source_ops diag_ops = {
	.type = "diag",
	.resume = diag_resume,
	.matches_changed = diag_matches_changed,
	.stop = diag_stop,
	.free = diag_free,
};

static int copy_polls(struct diag *d, const struct diag_options *opt)
{
	d->polls = calloc(opt->n_polls + 1, sizeof(*d->polls));
	d->learnt = calloc(opt->n_polls + 1, sizeof(*d->learnt));
	if (!d->polls || !d->learnt)
		return -ENOMEM;
	for (; d->n_polls < opt->n_polls; d->n_polls++) {
		const struct diag_poll *from = &opt->polls[d->n_polls];
		struct diag_poll *to = &d->polls[d->n_polls];

		*to = *from;
		to->ids = calloc(from->n_ids + 1, sizeof(*to->ids));
		if (!to->ids)
			return -ENOMEM;
		if (from->n_ids > 0)
			memcpy(to->ids, from->ids, from->n_ids * sizeof(*to->ids));
	}
	return 0;
}

static void set_up_parts(struct diag *d, const struct source_env *env,
			 const struct diag_options *opt)
{
	d->opt = *opt;
	d->fds = DIAG_FDS_NONE;
	d->port = (struct can_port){
		.source = &d->base,
		.open = port_open,
		.readable = port_readable,
		.opened = port_opened,
		.closed = port_closed,
		.protocol = "CAN_ISOTP (module can-isotp)",
		.find = opt->find,
		.ctx = d,
	};
	d->poll = (struct poll){
		.loop = env->loop,
		.ask = on_ask,
		.gap_ns = DIAG_GAP_MS * NS_PER_MS,
		.ctx = d,
	};
	d->session = (struct diag_session){
		.loop = env->loop,
		.p2_ns = opt->p2_ns,
		.p2_star_ns = opt->p2_star_ns,
		.ended = on_ended,
		.stray = on_stray,
		.failed = on_failed,
		.ctx = d,
		.fds = DIAG_FDS_NONE,
	};
}

static int start(struct diag *d, const struct diag_options *opt, struct error *err)
{
	const struct source_env *env = d->base.env;
	int r = source_find_bus(&d->base, opt->bus, &d->bus, err);

	if (r < 0)
		return r;
	if (opt->n_polls > DIAG_POLLS_MAX) {
		error_set(err, "more than %d [poll NAME] sections", DIAG_POLLS_MAX);
		return -EINVAL;
	}
	r = copy_polls(d, opt);
	if (r == 0)
		r = poll_init(&d->poll, DIAG_REQUESTS_MAX);
	if (r == 0)
		r = env->claim(env->ctx, d->bus, opt->socket.response, opt->socket.extended);
	if (r < 0)
		return r;
	d->coverage = (struct coverage){
		.cat = env->cat,
		.message = coverage_message(env->cat, d->bus, opt->socket.response,
					    opt->socket.extended),
		.wants = env->wants,
		.ctx = env->ctx,
	};
	if (d->coverage.message == CATALOG_NONE)
		log_warn("diag_no_message",
			 "source=%s bus=%s id=0x%" PRIX32
			 " what=no message of the catalog has the response identifier",
			 d->base.name, env->cat->buses[d->bus], opt->socket.response);
	reschedule(d);
	if (d->schedule.n == 0)
		say_schedule(d);
	return can_port_start(&d->port, opt->interface, err);
}

int diag_new(struct source **ret, const struct source_env *env, const char *name,
	     const struct diag_options *opt, struct error *err)
{
	struct diag *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	set_up_parts(d, env, opt); /* before source_free may stop them */
	r = source_init(&d->base, &diag_ops, env, name);
	if (r == 0)
		r = start(d, opt, err);
	return source_made(ret, &d->base, r);
}
