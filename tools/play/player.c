#include "tools/play/player.h"

#include "agent/source/log_input.h"
#include "tools/play/timing.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	BUSES_MAX = 64,		/* names in a log that are told apart */
	LINES_A_LOOK = 1 << 10, /* then it looks whether to end */
	LINES_AHEAD = 1 << 14,	/* of a file, whose buses are looked for before it is played */
	ROUND_ENDS = 1,
};

/* Frames due within it go together: half of what a frame takes on a bus of 500 kbit/s. */
#define TOGETHER_NS	(100 * NS_PER_US)
#define LONG_SILENCE_NS (60 * NS_PER_S) /* is worth a word */

struct player {
	struct player_options opt;
	const struct play_env *env;
	const char *name; /* of the log, in messages */
	struct log_input *in;
	struct candump_splitter split;
	struct candump_line line;
	bool at_end;
	bool stuck;	/* frames that were put cannot be sent */
	uint64_t lines; /* of all rounds */
	struct can_sender *sender;
	struct timing timing;
	struct player_bus buses[BUSES_MAX];
	size_t n_buses, last_bus;
	struct player_counts counts;
	uint64_t put, round_put;    /* frames given to the sender */
	int64_t started_ns, now_ns; /* now: as read last */
};

/* ---- messages ---- */

static void tell(struct player *p, enum player_notice what, const char *fmt, ...) printf_like(3, 4);

static void tell(struct player *p, enum player_notice what, const char *fmt, ...)
{
	struct error why;
	char text[96];
	va_list ap;

	if (!p->opt.notice)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	error_set(&why, "%.140s:%" PRIu64 ": %s", p->name, p->split.line, text);
	p->opt.notice(p->opt.ctx, what, why.text);
}

/* what: why a frame cannot be sent; becomes err with the place in the log. */
static int fail_at(struct player *p, uint64_t line, int r, const struct error *what,
		   struct error *err)
{
	p->counts.line = line;
	if (r != -EINTR)
		error_set(err, "%.120s:%" PRIu64 ": %.110s", p->name, line, what->text);
	return r;
}

/* ---- reading ---- */

static int flush(struct player *p, struct error *err)
{
	struct error what;
	int r = can_sender_flush(p->sender, &what);

	if (r == 0)
		return 0;
	p->stuck = true;
	return fail_at(p, can_sender_unsent(p->sender), r, &what, err);
}

static int rewind_log(struct player *p, struct error *err)
{
	int r = log_input_rewind(p->in);

	if (r < 0)
		error_set(err, "%.200s: %s", p->name, strerror(-r));
	p->split = (struct candump_splitter){0};
	p->at_end = false;
	return r;
}

/* Sends what is put, then waits for the writer of the log. */
static int wait_for_input(struct player *p, struct error *err)
{
	struct pollfd fd = {.fd = log_input_fd(p->in), .events = POLLIN};
	int r = flush(p, err);

	if (r < 0)
		return r;
	r = p->env->wait(p->env->ctx, &fd, INT64_MAX);
	p->now_ns = p->env->now(p->env->ctx);
	if (r < 0 && r != -EINTR)
		error_set(err, "%.200s: %s", p->name, strerror(-r));
	return r < 0 ? r : 0;
}

/* Returns 0 with more fed, or the end reached. */
static int feed(struct player *p, struct error *err)
{
	struct error what = {"out of memory"};
	const char *data;
	size_t len;
	int r = log_input_read(p->in, &data, &len, &what);

	if (r == -EAGAIN)
		return wait_for_input(p, err);
	if (r < 0) {
		error_set(err, "%.220s (after line %" PRIu64 ")", what.text, p->split.line);
		return r;
	}
	if (r == 0)
		p->at_end = true;
	else
		candump_feed(&p->split, data, len);
	return 0;
}

/* Now and then: whether to end. */
static int look(struct player *p)
{
	if (++p->lines % LINES_A_LOOK)
		return 0;
	return p->env->wait(p->env->ctx, NULL, 0);
}

/* Returns 1 with p->line; 0: the end; -EINVAL: a bad line, in bad; another -errno with err. */
static int next_line(struct player *p, struct error *bad, struct error *err)
{
	int r = look(p);

	while (r == 0) {
		if (p->at_end)
			return candump_take_end(&p->split, p->name, &p->line, bad);
		r = candump_take(&p->split, p->name, &p->line, bad);
		if (r != 0)
			return r;
		r = feed(p, err);
		if (r == -EINVAL) /* that is a bad line's */
			r = -EIO;
	}
	return r;
}

/* ---- buses ---- */

static const char *interface_of(const struct player *p, const char *bus)
{
	if (p->opt.n_maps == 0)
		return bus;
	for (size_t i = 0; i < p->opt.n_maps; i++)
		if (strcmp(p->opt.maps[i].bus, bus) == 0)
			return p->opt.maps[i].interface;
	return NULL;
}

/* Remembers a bus of the log. Returns 0 with *ret, NULL when there are too many to remember. */
static int add_bus(struct player *p, const char *name, struct player_bus **ret, struct error *err)
{
	const char *interface = interface_of(p, name);
	int port = -1;

	*ret = NULL;
	if (interface) {
		port = can_sender_open(p->sender, interface, err);
		if (port < 0)
			return port;
	}
	if (p->n_buses == BUSES_MAX) /* mapped ones are there from the start */
		return 0;
	*ret = &p->buses[p->n_buses++];
	**ret = (struct player_bus){.port = port};
	memcpy((*ret)->name, name, strlen(name) + 1);
	return 0;
}

static int find_bus(struct player *p, const char *name, struct player_bus **ret, struct error *err)
{
	*ret = &p->buses[p->last_bus];
	if (strcmp((*ret)->name, name) == 0)
		return 0;
	for (size_t i = 0; i < p->n_buses; i++) {
		*ret = &p->buses[i];
		if (strcmp((*ret)->name, name) == 0) {
			p->last_bus = i;
			return 0;
		}
	}
	return add_bus(p, name, ret, err);
}

/* The line's bus (NULL: one of too many), whose interface takes the frame, if it has one. */
static int route(struct player *p, struct player_bus **ret, struct error *err)
{
	struct error what = {"out of memory"};
	int r = find_bus(p, p->line.bus, ret, &what);
	const char *interface;

	if (r < 0)
		return fail_at(p, p->split.line, r, &what, err);
	if (!*ret || (*ret)->port < 0 || !(p->line.frame.flags & FRAME_FD) ||
	    can_sender_takes_fd(p->sender, (size_t)(*ret)->port))
		return 0;
	interface = can_sender_interface(p->sender, (size_t)(*ret)->port);
	error_set(&what, "a CAN FD frame, but interface %s has no CAN FD (MTU 72)", interface);
	return fail_at(p, p->split.line, -EPROTOTYPE, &what, err);
}

/* ---- playing ---- */

static void tell_of_silence(struct player *p)
{
	double gap_s = (double)p->timing.gap_ns / NS_PER_S;

	if (p->timing.gap_ns > p->timing.gap_max_ns)
		tell(p, PLAYER_TIME, "%.3f s without a frame, cut to %.3f s", gap_s,
		     (double)p->timing.gap_max_ns / NS_PER_S);
	else if (gap_s / p->opt.speed > (double)LONG_SILENCE_NS / NS_PER_S)
		tell(p, PLAYER_TIME, "%.0f s without a frame: waits for %.0f s (see --max-gap)",
		     gap_s, gap_s / p->opt.speed);
}

static bool is_due(struct player *p, int64_t due_ns)
{
	if (due_ns <= p->now_ns || due_ns - p->now_ns <= TOGETHER_NS)
		return true;
	p->now_ns = p->env->now(p->env->ctx);
	return due_ns - p->now_ns <= TOGETHER_NS;
}

/* What was put before leaves first: it is due. */
static int wait_until(struct player *p, int64_t due_ns, struct error *err)
{
	int r;

	if (is_due(p, due_ns))
		return 0;
	r = flush(p, err);
	tell_of_silence(p);
	while (r == 0 && (p->now_ns = p->env->now(p->env->ctx)) < due_ns)
		r = p->env->wait(p->env->ctx, NULL, due_ns);
	return r;
}

static int keep_time(struct player *p, int64_t position_ns, int64_t *ret_due_ns, struct error *err)
{
	if (p->put == 0)
		p->started_ns = p->now_ns = p->env->now(p->env->ctx);
	*ret_due_ns = CAN_SENDER_ANY_TIME;
	if (p->opt.speed <= 0)
		return 0;
	*ret_due_ns = timing_due(&p->timing, position_ns, p->now_ns);
	return wait_until(p, *ret_due_ns, err);
}

static int send_line(struct player *p, size_t port, int64_t position_ns, struct error *err)
{
	int64_t due_ns;
	int r = keep_time(p, position_ns, &due_ns, err);

	while (r == 0 && can_sender_put(p->sender, port, &p->line.frame, due_ns, p->split.line) ==
				 CAN_SENDER_FULL)
		r = flush(p, err);
	if (r < 0)
		return r;
	p->put++;
	p->round_put++;
	return p->put == p->opt.count ? ROUND_ENDS : 0;
}

static int64_t place(struct player *p)
{
	int64_t latest = p->timing.latest_ns, position_ns;

	if (timing_place(&p->timing, p->line.frame.t_ns, &position_ns) == TIMING_STEPPED) {
		p->counts.steps_back++;
		tell(p, PLAYER_TIME, "time goes back by %.3f s; played on from there",
		     (double)(latest - p->line.frame.t_ns) / NS_PER_S);
	}
	return position_ns;
}

static int play_line(struct player *p, struct error *err)
{
	int64_t position_ns = place(p);
	struct player_bus *bus;
	int r;

	if (position_ns < p->opt.from_ns)
		return 0;
	if (position_ns > p->opt.to_ns)
		return ROUND_ENDS;
	if (p->line.frame.flags & FRAME_ERROR) {
		p->counts.error_frames++;
		return 0;
	}
	r = route(p, &bus, err);
	if (r < 0)
		return r;
	if (bus)
		bus->frames++;
	if (!bus || bus->port < 0) {
		p->counts.unmapped++;
		return 0;
	}
	return send_line(p, (size_t)bus->port, position_ns, err);
}

static int play_round(struct player *p, struct error *err)
{
	struct error bad;
	int r;

	p->round_put = 0;
	p->counts.rounds++;
	do {
		r = next_line(p, &bad, err);
		if (r == 0)
			return 0;
		p->counts.line = p->split.line;
		if (r == 1) {
			p->counts.good_lines++;
			r = play_line(p, err);
		} else if (r == -EINVAL) {
			p->counts.bad_lines++;
			if (p->opt.notice)
				p->opt.notice(p->opt.ctx, PLAYER_BAD_LINE, bad.text);
			r = 0;
		}
	} while (r == 0);
	return r == ROUND_ENDS ? 0 : r;
}

static bool goes_on(const struct player *p)
{
	return p->opt.loop && p->round_put > 0 && p->put != p->opt.count;
}

static int play_rounds(struct player *p, struct error *err)
{
	int r;

	for (;;) {
		r = play_round(p, err);
		if (r < 0 || !goes_on(p))
			return r;
		r = rewind_log(p, err);
		if (r < 0)
			return r;
		timing_next_round(&p->timing);
	}
}

/* What was put before the log or the person ended it still leaves. */
int player_run(struct player *p, struct error *err)
{
	int r = play_rounds(p, err);
	struct error what;
	int last = p->stuck ? r : flush(p, r == 0 ? err : NULL);

	if (r == 0)
		r = last;
	if (r == 0) {
		r = can_sender_check(p->sender, &what);
		if (r < 0)
			r = fail_at(p, p->split.line, r, &what, err);
	}
	if (p->put > 0)
		p->counts.duration_ns = p->env->now(p->env->ctx) - p->started_ns;
	return r;
}

void player_counts(const struct player *p, struct player_counts *ret)
{
	*ret = p->counts;
	for (size_t i = 0; i < can_sender_ports(p->sender); i++)
		ret->frames += can_sender_sent(p->sender, i);
}

const struct player_bus *player_bus(const struct player *p, size_t i)
{
	return i < p->n_buses ? &p->buses[i] : NULL;
}

const struct can_sender *player_sender(const struct player *p)
{
	return p->sender;
}

/* ---- making ---- */

/* One line that is looked at before playing. What is wrong with the log is said when it is played.
 */
static int check_line(struct player *p, struct timing *s, struct error *err)
{
	struct player_bus *bus;
	int64_t position_ns;

	(void)timing_place(s, p->line.frame.t_ns, &position_ns);
	if (p->line.frame.flags & FRAME_ERROR || position_ns < p->opt.from_ns ||
	    position_ns > p->opt.to_ns)
		return 0;
	return route(p, &bus, err);
}

/* Opens the interfaces of the buses that the beginning of the log has, so that one that is missing
 * is missed before anything is sent. */
static int look_ahead(struct player *p, struct error *err)
{
	struct timing s = {0};
	struct error ignored;
	int r = 1;

	for (int i = 0; i < LINES_AHEAD && (r == 1 || r == -EINVAL); i++) {
		int checked = 0;

		r = next_line(p, &ignored, &ignored);
		if (r == 1)
			checked = check_line(p, &s, err);
		if (checked < 0)
			return checked;
	}
	return r == -EINTR ? r : rewind_log(p, err);
}

static int open_maps(struct player *p, struct error *err)
{
	struct player_bus *bus;
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->opt.n_maps; i++)
		r = add_bus(p, p->opt.maps[i].bus, &bus, err);
	return r;
}

static int open_player(struct player *p, struct error *err)
{
	int r = log_input_open(&p->in, p->opt.path, err);

	if (r == 0)
		r = can_sender_new(&p->sender, p->env);
	if (r < 0)
		return r;
	if (p->opt.loop && !log_input_is_file(p->in)) {
		error_set(err, "%.200s: not a regular file, so it cannot loop", p->name);
		return -ESPIPE;
	}
	if (p->opt.n_maps == 0 && log_input_is_file(p->in))
		return look_ahead(p, err);
	return open_maps(p, err);
}

int player_new(struct player **ret, const struct player_options *opt, const struct play_env *env,
	       struct error *err)
{
	struct player *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	assert(opt->n_maps <= BUSES_MAX);
	p->opt = *opt;
	p->env = env;
	p->name = strcmp(opt->path, "-") == 0 ? "stdin" : opt->path;
	p->timing = (struct timing){.speed = opt->speed, .gap_max_ns = opt->gap_max_ns};
	r = open_player(p, err);
	if (r < 0) {
		player_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

struct player *player_free(struct player *p)
{
	if (!p)
		return NULL;
	can_sender_free(p->sender);
	log_input_close(p->in);
	free(p);
	return NULL;
}
