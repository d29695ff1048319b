/* The front half: batches that close, and frames that become samples; no thread, no disk. */
#include "agent/batch/pipeline.h"
#include "tests/unit/small_catalog.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

enum { SAMPLES_MAX = 100, BUILDERS = 3, BATCH_BYTES = 1 << 20 };

static struct catalog *cat;
static struct timebase_fake fake;
static struct batch_queue *queue;
static struct batcher *batcher;
static struct pipeline *pipeline;
static struct counters counters;
static size_t n_closed, closed_samples;

static void on_closed(void *ctx, size_t samples)
{
	(void)ctx;
	n_closed++;
	closed_samples += samples;
}

static void setup(void)
{
	static const char *const names[] = {"M", "A", "B", "N", "C"};
	struct collect_rule rules[] = {
		{.pattern = "*.N.*", .class = CLASS_EVENT, .origin = "t"},
		{.pattern = "*", .class = CLASS_BULK, .origin = "t"},
	};
	struct batcher_options opt = {.samples_max = SAMPLES_MAX,
				      .slack = 2,
				      .age_max_ns = 10 * NS_PER_S,
				      .header = {.boot_id = 5, .time_unit_ns = NS_PER_MS},
				      .tb = &fake.tb,
				      .closed = on_closed};
	struct collect *col;
	struct error err;

	timebase_fake_init(&fake, 100 * NS_PER_S, 1700000000 * NS_PER_S + 123456);
	n_closed = 0;
	closed_samples = 0;
	memset(&counters, 0, sizeof(counters));
	cat = two_messages(names);
	opt.header.catalog_id = cat->id;
	ck_assert_int_eq(batch_queue_new(&queue, cat, NULL, BUILDERS, SAMPLES_MAX + 2, NS_PER_MS),
			 0);
	ck_assert_int_eq(batcher_new(&batcher, queue, &opt), 0);
	ck_assert_int_eq(collect_new(&col, cat, rules, 2, &err), 0);
	ck_assert_int_eq(pipeline_new(&pipeline, cat, col, batcher, &counters), 0);
}

static void teardown(void)
{
	pipeline = pipeline_free(pipeline);
	batcher = batcher_free(batcher);
	queue = batch_queue_free(queue);
	cat = catalog_free(cat);
}

static int frame(uint32_t id, int64_t t_ns, uint8_t value)
{
	struct frame f = {.t_ns = t_ns, .id = id, .len = 8, .data = {value, 0, value}};

	return pipeline_frame(pipeline, &f);
}

START_TEST(closes_when_full)
{
	for (int i = 0; i < SAMPLES_MAX / 2; i++)
		ck_assert_int_eq(frame(0x100, i, 1), 0);
	ck_assert_uint_eq(n_closed, 0);
	ck_assert_int_eq(frame(0x100, 100, 1), 0);
	ck_assert_uint_eq(n_closed, 1);
	ck_assert_uint_eq(closed_samples, SAMPLES_MAX);
}
END_TEST

START_TEST(closes_by_age_of_the_agent)
{
	struct mono_time due;

	ck_assert(!batcher_next_due(batcher, &due));
	ck_assert_int_eq(frame(0x100, 7, 1), 0);
	ck_assert(batcher_next_due(batcher, &due));
	ck_assert_int_eq(due.ns, 110 * NS_PER_S);
	timebase_fake_advance(&fake, 4 * NS_PER_S);
	ck_assert_int_eq(frame(0x200, 8, 1), 0);
	ck_assert(batcher_next_due(batcher, &due));
	ck_assert_int_eq(due.ns, 110 * NS_PER_S);
	timebase_fake_advance(&fake, 6 * NS_PER_S);
	batcher_tick(batcher, fake.mono);
	ck_assert_uint_eq(n_closed, 1);
	ck_assert(batcher_next_due(batcher, &due));
	ck_assert_int_eq(due.ns, 114 * NS_PER_S);
	batcher_flush(batcher);
	ck_assert_uint_eq(n_closed, 2);
	ck_assert(!batcher_next_due(batcher, &due));
	batcher_flush(batcher); /* nothing is open: no empty batches */
	ck_assert_uint_eq(n_closed, 2);
}
END_TEST

/* Three builders, two classes open: one may wait, then frames are not taken, and nothing counts. */
START_TEST(busy_changes_nothing)
{
	struct closed_batch closed;
	int taken = 0;

	while (frame(0x100, taken, (uint8_t)taken) == 0)
		taken++;
	ck_assert_int_eq(taken, SAMPLES_MAX);
	ck_assert_uint_eq(counter_get(&counters.frames_received), SAMPLES_MAX);
	ck_assert_uint_eq(counter_get(&counters.samples_collected), SAMPLES_MAX * 2);
	ck_assert_int_eq(frame(0x200, 1, 1), PIPELINE_BUSY);
	ck_assert(batch_queue_get(queue, &closed));
	ck_assert_uint_eq(batch_builder_count(closed.builder), SAMPLES_MAX);
	batch_queue_give_back(queue, closed.builder);
	ck_assert_int_eq(frame(0x100, taken, 1), 0);
	ck_assert_int_eq(frame(0x200, 1, 1), 0);
}
END_TEST

START_TEST(frames_that_mean_nothing)
{
	struct frame f = {.id = 0x100, .len = 8, .bus = FRAME_BUS_NONE};

	ck_assert_int_eq(frame(0x300, 1, 1), 0);
	ck_assert_int_eq(pipeline_frame(pipeline, &f), 0);
	f.bus = 0;
	f.len = 1; /* too short for any signal */
	ck_assert_int_eq(pipeline_frame(pipeline, &f), 0);
	ck_assert_uint_eq(counter_get(&counters.frames_received), 3);
	ck_assert_uint_eq(counter_get(&counters.frames_unknown), 2);
	ck_assert_uint_eq(counter_get(&counters.samples_decoded), 0);
}
END_TEST

struct sums {
	uint64_t samples, values;
	int64_t last_wall;
};

static int on_column(void *ctx, const struct batch_column *col)
{
	struct sums *s = ctx;

	s->samples += col->n;
	for (size_t i = 0; i < col->n; i++) {
		s->values += col->raw[i];
		s->last_wall = col->wall_ns[i] > s->last_wall ? col->wall_ns[i] : s->last_wall;
	}
	return 0;
}

static void read_back(const struct closed_batch *closed, struct sums *sums)
{
	struct buf body cleanup(buf_free) = BUF_INIT(BATCH_BYTES);
	struct envelope e = {.epoch = 1, .seq = 1};
	struct batch *b;
	struct error err;

	ck_assert_int_eq(batch_builder_encode(closed->builder, &closed->header, &body, &e.encoding),
			 0);
	e.body = body.data;
	e.body_len = body.len;
	ck_assert_msg(batch_read(&b, &e, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(batch_get_header(b)->boot_id, 5);
	ck_assert_msg(batch_columns(b, cat, CATALOG_NONE, on_column, sums, &err) == 0, "%s",
		      err.text);
	batch_free(b);
}

/* What was decoded is what is in the batches, value by value and at the right wall time. */
START_TEST(counts_and_values_agree)
{
	struct sums sums = {0};
	struct closed_batch closed;
	uint64_t expected = 0;
	int64_t last = 0;

	for (int i = 0; i < 2000; i++) {
		uint32_t id = i % 3 ? 0x100 : 0x200;

		last = 100 * NS_PER_S + i * NS_PER_MS;
		ck_assert_int_eq(frame(id, last, (uint8_t)i), 0);
		expected += (uint64_t)(uint8_t)i * (id == 0x100 ? 2 : 1);
		while (batch_queue_get(queue, &closed)) {
			read_back(&closed, &sums);
			batch_queue_give_back(queue, closed.builder);
		}
	}
	batcher_flush(batcher);
	while (batch_queue_get(queue, &closed)) {
		read_back(&closed, &sums);
		batch_queue_give_back(queue, closed.builder);
	}
	ck_assert_uint_eq(sums.samples, counter_get(&counters.samples_decoded));
	ck_assert_uint_eq(sums.samples, counter_get(&counters.samples_collected));
	ck_assert_uint_eq(sums.samples, closed_samples);
	ck_assert_uint_eq(sums.values, expected);
	/* mono 100 s is the wall time 1700000000.000123456; on the wire to the millisecond */
	ck_assert_int_le(
		llabs(sums.last_wall - (1700000000 * NS_PER_S + 123456 + 1999 * NS_PER_MS)),
		NS_PER_MS);
	ck_assert_uint_eq(counter_get(&counters.samples_dropped_front), 0);
}
END_TEST

/* A step in the log's time that one batch cannot span begins another one. */
START_TEST(a_leap_in_time_closes)
{
	ck_assert_int_eq(frame(0x100, 0, 1), 0);
	ck_assert_int_eq(frame(0x100, INT64_C(400) * 86400 * NS_PER_S, 1), 0);
	ck_assert_uint_eq(n_closed, 1);
	ck_assert_uint_eq(counter_get(&counters.samples_dropped_front), 0);
}
END_TEST

static void set_rules(const char *pattern, enum uplink_class class)
{
	struct collect_rule rule = {.pattern = pattern, .class = class, .origin = "t"};
	struct collect *col;
	struct error err;

	ck_assert_int_eq(collect_new(&col, cat, &rule, 1, &err), 0);
	ck_assert_int_eq(pipeline_set_collect(pipeline, col), 0);
}

/* Classes that other rules no longer have give their builders back, full or empty, however often
 * the rules change. */
START_TEST(other_rules_free_builders)
{
	struct closed_batch closed;

	ck_assert_int_eq(frame(0x100, 1, 1), 0); /* bulk; event is open and empty */
	set_rules("*.N.*", CLASS_STATUS);
	ck_assert_uint_eq(n_closed, 1);
	ck_assert_uint_eq(closed_samples, 2);
	ck_assert(batch_queue_get(queue, &closed));
	ck_assert_int_eq(closed.class, CLASS_BULK);
	batch_queue_give_back(queue, closed.builder);
	for (unsigned k = 0; k < 3 * CLASS_COUNT; k++) {
		set_rules("*.N.*", (enum uplink_class)(k % CLASS_COUNT));
		ck_assert_int_eq(frame(0x100, 2 + k, 1), 0); /* not wanted: opens, adds nothing */
	}
	ck_assert_uint_eq(n_closed, 1);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("front");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, closes_when_full);
	tcase_add_test(tc, closes_by_age_of_the_agent);
	tcase_add_test(tc, busy_changes_nothing);
	tcase_add_test(tc, frames_that_mean_nothing);
	tcase_add_test(tc, counts_and_values_agree);
	tcase_add_test(tc, other_rules_free_builders);
	tcase_add_test(tc, a_leap_in_time_closes);
	return suite_run("batcher", &tc, 1);
}
