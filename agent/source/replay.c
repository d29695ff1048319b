#include "agent/source/replay.h"

#include "agent/health/limit.h"
#include "agent/source/candump.h"
#include "agent/source/log_input.h"
#include "base/log.h"

#include <math.h>
#include <string.h>
#include <sys/epoll.h>

enum {
	FRAMES_A_TURN = 1024,	   /* then the loop sees to timers and signals */
	PACE_NS = 2 * 1000 * 1000, /* frames due within it are handed over together */
	BUSES_UNKNOWN_MAX = 8,	   /* names that are remembered as logged */
	GAP_MIN_NS = 1000 * 1000,  /* between two rounds of a loop */
};

struct replay {
	struct source base;
	char *path;
	double speed;
	bool loops;
	bool keep_times;
	struct log_input *in;
	struct candump_splitter split;
	struct candump_line line;
	bool pending; /* line.frame waits for its time, or for the pipeline */
	bool at_end;  /* the input ended; the splitter may hold a last line */

	bool started;	     /* log_origin and mono_origin are set */
	int64_t log_origin;  /* time of the first frame, as logged */
	int64_t mono_origin; /* when it was read */
	int64_t shift;	     /* added to the log's times: rounds of a loop follow each other */
	int64_t round_first, round_last; /* earliest and latest time of this round, as logged */
	uint64_t round_frames;

	struct loop_timer timer;
	struct loop_fd io;
	struct limit bad_lines;
	bool busy; /* waits for resume */

	char unknown[BUSES_UNKNOWN_MAX][CANDUMP_BUS_MAX + 1];
	size_t n_unknown;
	char bus_name[CANDUMP_BUS_MAX + 1]; /* the bus of the last line, and its number */
	uint16_t bus;
};

static struct replay *replay_of(struct source *s)
{
	return (struct replay *)s;
}

int replay_parse_speed(const char *text, double *ret)
{
	char *end;
	double v;

	if (strcmp(text, "max") == 0) {
		*ret = 0;
		return 0;
	}
	errno = 0;
	v = strtod(text, &end);
	if (errno != 0 || end == text || *end != '\0' || !isfinite(v) || v < REPLAY_SPEED_MIN ||
	    v > REPLAY_SPEED_MAX)
		return -EINVAL;
	*ret = v;
	return 0;
}

static void report_unknown_bus(struct replay *r, const char *name)
{
	for (size_t i = 0; i < r->n_unknown; i++)
		if (strcmp(r->unknown[i], name) == 0)
			return;
	if (r->n_unknown == BUSES_UNKNOWN_MAX)
		return;
	memcpy(r->unknown[r->n_unknown++], name, CANDUMP_BUS_MAX + 1);
	log_warn("source_bus_unknown", "source=%s path=%s line=%llu bus=%s", r->base.name, r->path,
		 (unsigned long long)r->split.line, name);
}

/* Buses rarely change from line to line, so the last one is tried first. */
static uint16_t map_bus(struct replay *r, const char *name)
{
	if (strcmp(r->bus_name, name) == 0)
		return r->bus;
	r->bus = source_bus(r->base.env->cat, name);
	memcpy(r->bus_name, name, sizeof(r->bus_name));
	if (r->bus == FRAME_BUS_NONE)
		report_unknown_bus(r, name);
	return r->bus;
}

/* From the log's time to mono time and to when the frame is due. */
static void place_in_time(struct replay *r, int64_t logged)
{
	const struct source_env *env = r->base.env;
	int64_t t = logged + r->shift;

	if (!r->started) {
		r->started = true;
		r->log_origin = t;
		r->mono_origin = loop_now(env->loop).ns;
	}
	if (r->round_frames == 0 || logged < r->round_first)
		r->round_first = logged;
	if (r->round_frames == 0 || logged > r->round_last)
		r->round_last = logged;
	r->round_frames++;
	r->line.frame.t_ns = r->keep_times ? clock_pair_mono(&env->clock, t)
					   : r->mono_origin + (t - r->log_origin);
}

static int64_t due_of(const struct replay *r)
{
	int64_t since = r->line.frame.t_ns;

	since -= r->keep_times ? clock_pair_mono(&r->base.env->clock, r->log_origin)
			       : r->mono_origin;
	return r->mono_origin + (int64_t)((double)since / r->speed);
}

static void wait_for_input(struct replay *r)
{
	if (r->io.loop)
		return;
	r->io.fd = log_input_fd(r->in);
	if (loop_fd_add(r->base.env->loop, &r->io, EPOLLIN) < 0) {
		log_error("source_failed", "source=%s path=%s what=cannot be polled", r->base.name,
			  r->path);
		counter_add(&r->base.env->counters->sources_failed, 1);
		source_end(&r->base);
	}
}

static void report_bad_line(struct replay *r, const struct error *err)
{
	counter_add(&r->base.env->counters->lines_bad, 1);
	if (limit_pass(&r->bad_lines, "line_bad", loop_now(r->base.env->loop)))
		log_warn("line_bad", "source=%s %s", r->base.name, err->text);
}

/* Starts the next round of a loop. Returns whether there is one. */
static bool next_round(struct replay *r)
{
	int64_t span = r->round_last - r->round_first, gap = GAP_MIN_NS;
	int e;

	if (!r->loops || r->round_frames == 0)
		return false;
	if (r->round_frames > 1 && span / (int64_t)(r->round_frames - 1) > gap)
		gap = span / (int64_t)(r->round_frames - 1);
	e = log_input_rewind(r->in);
	if (e < 0) {
		log_error("source_failed", "source=%s path=%s what=%s", r->base.name, r->path,
			  strerror(-e));
		return false;
	}
	r->shift += span + gap;
	r->round_frames = 0;
	r->at_end = false;
	r->split = (struct candump_splitter){0};
	log_debug("source_round", "source=%s path=%s", r->base.name, r->path);
	return true;
}

/* Returns 1 with more lines fed or the end reached, 0: wait for input, -errno: given up. */
static int feed(struct replay *r)
{
	struct error err;
	const char *data;
	size_t len;
	int n = log_input_read(r->in, &data, &len, &err);

	if (n == -EAGAIN)
		return 0;
	if (n < 0) {
		counter_add(&r->base.env->counters->sources_failed, 1);
		log_error("source_failed", "source=%s what=%s", r->base.name, err.text);
		return n;
	}
	if (n == 0)
		r->at_end = true;
	else
		candump_feed(&r->split, data, len);
	return 1;
}

/* Takes what the splitter has. Returns 1 with line pending; 0: it needs more; -EINVAL: a bad line
 * was passed over. */
static int take_line(struct replay *r)
{
	struct error err;
	uint64_t before = r->split.line;
	int n;

	if (r->at_end)
		n = candump_take_end(&r->split, r->path, &r->line, &err);
	else
		n = candump_take(&r->split, r->path, &r->line, &err);
	counter_add(&r->base.env->counters->lines_read, r->split.line - before);
	if (n < 0)
		report_bad_line(r, &err);
	if (n <= 0)
		return n;
	r->line.frame.bus = map_bus(r, r->line.bus);
	place_in_time(r, r->line.frame.t_ns);
	r->pending = true;
	return 1;
}

/* Returns 1 with line pending or to be called again, 0: nothing now, -errno: the end. */
static int advance(struct replay *r)
{
	int n = take_line(r);

	if (n != 0)
		return 1;
	if (!r->at_end)
		return feed(r);
	return next_round(r) ? 1 : -ENODATA;
}

/* Hands over the pending frame. Returns false when it has to wait. */
static bool hand_over(struct replay *r)
{
	const struct source_env *env = r->base.env;
	int64_t now = loop_now(env->loop).ns;

	if (r->speed > 0) {
		int64_t due = due_of(r);

		if (due > now) {
			struct mono_time at = {due > now + PACE_NS ? due : now + PACE_NS};

			loop_fd_remove(&r->io);
			loop_timer_at(env->loop, &r->timer, at);
			return false;
		}
	}
	if (env->frame(env->ctx, &r->line.frame) == SOURCE_BUSY) {
		r->busy = true;
		loop_fd_remove(&r->io);
		return false;
	}
	r->pending = false;
	return true;
}

static void finish(struct replay *r)
{
	loop_fd_remove(&r->io);
	log_info("source_ended", "source=%s path=%s lines=%llu", r->base.name, r->path,
		 (unsigned long long)r->split.line);
	source_end(&r->base);
}

static void run(struct replay *r)
{
	for (int i = 0; i < FRAMES_A_TURN; i++) {
		int n = r->pending ? 1 : advance(r);

		if (n < 0) {
			finish(r);
			return;
		}
		if (n == 0) {
			wait_for_input(r);
			return;
		}
		if (r->pending && !hand_over(r))
			return;
	}
	loop_fd_remove(&r->io);
	loop_timer_in(r->base.env->loop, &r->timer, 0);
}

static void on_timer(struct loop_timer *t)
{
	run(t->ctx);
}

static void on_readable(struct loop_fd *f, uint32_t events)
{
	(void)events;
	run(f->ctx);
}

static void replay_resume(struct source *s)
{
	struct replay *r = replay_of(s);

	if (!r->busy)
		return;
	r->busy = false;
	run(r);
}

static void replay_stop(struct source *s)
{
	struct replay *r = replay_of(s);

	loop_timer_cancel(&r->timer);
	loop_fd_remove(&r->io);
	r->busy = false;
}

static void replay_free(struct source *s)
{
	struct replay *r = replay_of(s);

	log_input_close(r->in);
	free(r->path);
	free(r);
}

static const struct source_ops replay_ops = {
	.type = "replay",
	.resume = replay_resume,
	.stop = replay_stop,
	.free = replay_free,
};

static int open_input(struct replay *r, struct error *err)
{
	int e = log_input_open(&r->in, r->path, err);

	if (e < 0)
		return e;
	if (r->loops && !log_input_is_file(r->in)) {
		error_set(err, "%s: not a regular file, so it cannot loop", r->path);
		return -EINVAL;
	}
	loop_timer_in(r->base.env->loop, &r->timer, 0);
	return 0;
}

int replay_new(struct source **ret, const struct source_env *env, const char *name,
	       const struct replay_options *opt, struct error *err)
{
	struct replay *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->speed = opt->speed;
	r->loops = opt->loop;
	r->keep_times = opt->keep_times;
	r->bus = FRAME_BUS_NONE;
	r->timer = (struct loop_timer){.cb = on_timer, .ctx = r};
	r->io = (struct loop_fd){.cb = on_readable, .ctx = r, .fd = -1};
	r->path = strdup(opt->path);
	e = source_init(&r->base, &replay_ops, env, name);
	if (e == 0)
		e = r->path ? open_input(r, err) : -ENOMEM;
	return source_made(ret, &r->base, e);
}
