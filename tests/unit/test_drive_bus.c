/* The simulated buses: rates, jitter, counters, checksums, events, and the same again by seed. */
#include "tests/unit/suite.h"
#include "tools/drive/bus.h"
#include "tools/drive/car.h"
#include "tools/drive/encode.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

enum { TICK_NS = 10000000, TICKS = 12000 };

static const int64_t start_ns = INT64_C(1800000000) * NS_PER_S;

/* A car and its buses. */
struct world {
	struct car *car;
	struct bus_set bus;
	size_t tick;
	struct frame frames[BUS_FRAMES_MAX];
	size_t n;
};

static void open_world(struct world *w, uint64_t seed)
{
	struct car_options opt = {.seed = seed};
	memset(w, 0, sizeof(*w));
	ck_assert_int_eq(car_new(&w->car, &opt, (double)start_ns / 1e9), 0);
	bus_init(&w->bus, seed);
}

static void turn(struct world *w)
{
	int64_t from = start_ns + (int64_t)w->tick++ * TICK_NS;
	car_step(w->car);
	w->n = bus_tick(&w->bus, w->car, from, from + TICK_NS, w->frames);
}

static void close_world(struct world *w)
{
	w->car = car_free(w->car);
}

/* What was seen of one message. */
struct seen {
	const struct drive_message *m;
	const struct drive_signal *counter, *crc, *mux;
	int64_t last_ns, gap_min_ns, gap_max_ns;
	size_t frames, bad_counters, bad_crcs, bad_groups;
	unsigned count, group;
};

static struct seen seen[DRIVE_BUSES][BUS_MESSAGES_MAX];

static const struct drive_signal *find(const struct drive_message *m, unsigned flag)
{
	for (size_t i = 0; i < m->n_signals; i++)
		if (m->signals[i].flags & flag)
			return &m->signals[i];
	return NULL;
}

static void seen_init(void)
{
	memset(seen, 0, sizeof(seen));
	for (size_t b = 0; b < DRIVE_BUSES; b++) {
		for (size_t i = 0; i < drive_bus(b)->n_messages; i++) {
			struct seen *s = &seen[b][i];
			s->m = &drive_bus(b)->messages[i];
			s->counter = find(s->m, SIG_COUNTER);
			s->crc = find(s->m, SIG_CRC);
			s->mux = find(s->m, SIG_MUX);
			s->gap_min_ns = INT64_MAX;
		}
	}
}

/* CRC-8 SAE J1850 as its polynomial says it, bit by bit. */
static unsigned crc_step(unsigned crc, unsigned byte)
{
	crc ^= byte;
	for (int bit = 0; bit < 8; bit++)
		crc = crc & 0x80 ? (crc << 1 ^ 0x1d) & 0xff : crc << 1;
	return crc;
}

static unsigned crc_of(const struct frame *f, size_t crc_byte)
{
	unsigned crc = crc_step(crc_step(0xff, f->id >> 8 & 0xff), f->id & 0xff);
	for (size_t i = 0; i < f->len; i++)
		if (i != crc_byte)
			crc = crc_step(crc, f->data[i]);
	return crc ^ 0xff;
}

static unsigned nibble(const struct frame *f, const struct drive_signal *s)
{
	unsigned mask = (1u << s->bits) - 1;
	return f->data[s->start / 8] >> s->start % 8 & mask;
}

static void look(const struct frame *f)
{
	struct seen *s = seen[f->bus];
	while (s->m && s->m->id != f->id)
		s++;
	ck_assert_ptr_nonnull(s->m);
	if (s->frames > 0) {
		int64_t gap = f->t_ns - s->last_ns;
		s->gap_min_ns = gap < s->gap_min_ns ? gap : s->gap_min_ns;
		s->gap_max_ns = gap > s->gap_max_ns ? gap : s->gap_max_ns;
		s->bad_counters += s->counter && nibble(f, s->counter) != ((s->count + 1) & 15);
		s->bad_groups += s->mux && nibble(f, s->mux) != (s->group + 1) % s->m->groups;
	}
	if (s->counter)
		s->count = nibble(f, s->counter);
	if (s->mux)
		s->group = nibble(f, s->mux);
	if (s->crc) {
		size_t at = s->crc->start / 8;
		s->bad_crcs += f->data[at] != crc_of(f, at);
	}
	s->last_ns = f->t_ns;
	s->frames++;
}

static void check_message(const struct seen *s)
{
	const struct drive_message *m = s->m;
	int64_t period = (int64_t)m->period_ms * NS_PER_MS;
	double expected = (double)TICKS * 10 / m->period_ms;
	ck_assert_msg(s->bad_counters == 0, "%s: %zu counters", m->name, s->bad_counters);
	ck_assert_msg(s->bad_crcs == 0, "%s: %zu CRCs", m->name, s->bad_crcs);
	ck_assert_msg(s->bad_groups == 0, "%s: %zu groups", m->name, s->bad_groups);
	ck_assert_msg((double)s->frames >= expected * 0.998 - 1, "%s: %zu frames", m->name,
		      s->frames);
	/* A frame waits for its task and for the bus; never for as long as half a period. */
	ck_assert_msg(s->gap_max_ns < period + period / 2, "%s: gap %.3f ms", m->name,
		      (double)s->gap_max_ns / 1e6);
	ck_assert_msg(s->gap_max_ns > period, "%s: no jitter", m->name);
	if (m->flags & MSG_ON_CHANGE)
		return;
	ck_assert_msg((double)s->frames <= expected * 1.002 + 1, "%s: %zu frames", m->name,
		      s->frames);
	ck_assert_msg(s->gap_min_ns > period / 2, "%s: gap %.3f ms", m->name,
		      (double)s->gap_min_ns / 1e6);
}

START_TEST(two_minutes_of_traffic)
{
	struct world w;
	size_t frames = 0, backwards = 0, aligned = 0;
	int64_t last = 0;
	open_world(&w, (uint64_t)_i);
	seen_init();
	while (w.tick < TICKS) {
		turn(&w);
		for (size_t i = 0; i < w.n; i++) {
			const struct frame *f = &w.frames[i];
			look(f);
			backwards += f->t_ns < last;
			aligned += f->t_ns % NS_PER_MS == 0;
			last = f->t_ns;
		}
		frames += w.n;
	}
	double rate = (double)frames / (TICKS * 0.01);
	ck_assert_msg(rate > 1400 && rate < 1700, "%.0f frames/s", rate);
	ck_assert_uint_eq(backwards, 0);
	ck_assert_uint_lt(aligned, frames / 100);
	for (size_t b = 0; b < DRIVE_BUSES; b++)
		for (size_t i = 0; i < drive_bus(b)->n_messages; i++)
			check_message(&seen[b][i]);
	close_world(&w);
}
END_TEST

/* Frames of a bus do not overlap: 108 bits of a full classic frame take 216 us. */
START_TEST(frames_take_their_time)
{
	struct world w;
	int64_t last[DRIVE_BUSES] = {0};
	size_t close = 0;
	open_world(&w, 1);
	while (w.tick < TICKS) {
		turn(&w);
		for (size_t i = 0; i < w.n; i++) {
			const struct frame *f = &w.frames[i];
			int64_t air = (47 + f->len * 8) * 2000;
			close += !(f->flags & FRAME_FD) && f->t_ns - last[f->bus] < air;
			last[f->bus] = f->t_ns;
		}
	}
	/* The stream's order, by both buses, may push a stamp a little. */
	ck_assert_uint_lt(close, TICKS / 100);
	close_world(&w);
}
END_TEST

static bool same_frames(const struct world *a, const struct world *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct frame *x = &a->frames[i], *y = &b->frames[i];
		if (x->t_ns != y->t_ns || x->id != y->id || x->bus != y->bus || x->len != y->len ||
		    memcmp(x->data, y->data, x->len) != 0)
			return false;
	}
	return true;
}

START_TEST(a_seed_repeats)
{
	struct world a, b, other;
	size_t differ = 0;
	open_world(&a, 77);
	open_world(&b, 77);
	open_world(&other, 78);
	while (a.tick < TICKS / 2) {
		turn(&a);
		turn(&b);
		turn(&other);
		if (!same_frames(&a, &b))
			ck_abort_msg("tick %zu differs", a.tick);
		differ += !same_frames(&a, &other);
	}
	ck_assert_uint_gt(differ, TICKS / 4);
	close_world(&a);
	close_world(&b);
	close_world(&other);
}
END_TEST

/* A door that opens is on the bus within 60 ms, though its message has 100 ms. */
START_TEST(events_do_not_wait)
{
	struct world w;
	size_t opened = 0, told = 0;
	open_world(&w, 4);
	while (w.tick < 1000 && !told) {
		turn(&w);
		if (!opened && w.car->body.door_open[0] != 0)
			opened = w.tick;
		for (size_t i = 0; i < w.n; i++)
			if (w.frames[i].bus == 1 && w.frames[i].id == 0x414 &&
			    w.frames[i].data[0] & 1)
				told = w.tick;
	}
	ck_assert_uint_gt(opened, 0);
	ck_assert_uint_ge(told, opened);
	ck_assert_uint_le(told - opened, 6);
	close_world(&w);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("bus");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, two_minutes_of_traffic, 0, 3);
	tcase_add_test(tc, frames_take_their_time);
	tcase_add_test(tc, a_seed_repeats);
	tcase_add_test(tc, events_do_not_wait);
	return suite_run("drive_bus", &tc, 1);
}
