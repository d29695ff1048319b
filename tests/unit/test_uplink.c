/* The timers of the back thread, turned by hand: it is the source, so that its loop can be. */
#include "agent/publish/uplink.c"

#include "tests/unit/suite.h"

#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <unistd.h>

enum { SYNC_S = 2, BOOT = 5 };

static char dir[] = "/tmp/towline-uplink-XXXXXX", path[128];
static struct uplink *u;
static struct counters counters;
static int64_t mono_ns = 1000 * NS_PER_S;

static struct mono_time read_mono(void *ctx)
{
	(void)ctx;
	return (struct mono_time){mono_ns};
}

static struct wall_time read_wall(void *ctx)
{
	(void)ctx;
	return (struct wall_time){mono_ns + 1700000000 * NS_PER_S};
}

static const struct timebase tb = {.mono = read_mono, .wall = read_wall};

static void ignore(void *ctx)
{
	(void)ctx;
}

/* Nobody listens there. */
static void setup(void)
{
	const struct uplink_handlers on = {ignore, ignore, ignore, ignore, NULL};
	struct uplink_options opt = {
		.outbox_path = path,
		.store = {.max_bytes = 1 << 20,
			  .relaxed = 1u << CLASS_BULK,
			  .sync_ns = SYNC_S * NS_PER_S,
			  .boot_id = BOOT,
			  .tb = &tb},
		.publish = {.vehicle = "v1",
			    .device = "d1",
			    .mqtt = {.uri = "mqtt://127.0.0.1:1",
				     .backoff_min_ms = 1000,
				     .backoff_max_ms = 1000,
				     .connect_timeout_s = 1},
			    .window_rows = 256,
			    .window_bytes = 1 << 20,
			    .receipt_timeout_ns = 30 * NS_PER_S,
			    .boot_id = BOOT,
			    .tb = &tb},
		.tb = &tb,
	};
	struct error err;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/outbox.db", dir);
	ck_assert_msg(uplink_new(&u, NULL, &counters, &opt, &on, &err) == 0, "%s", err.text);
}

static void teardown(void)
{
	char pattern[128];
	glob_t g;

	u = uplink_free(u);
	(void)snprintf(pattern, sizeof(pattern), "%s/*", dir);
	ck_assert_int_eq(glob(pattern, 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc; i++)
		(void)unlink(g.gl_pathv[i]);
	globfree(&g);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void put(enum uplink_class class)
{
	struct store_item item = {.class = class, .samples = 1, .body = "x", .body_len = 1};
	struct store_dropped dropped;
	struct store_count stored;

	ck_assert_int_eq(store_put(u->store, &item, 1, &stored, &dropped), 0);
	on_stored(u);
}

static void ack(enum uplink_class class, uint64_t seq)
{
	struct receipt_range range = {seq, seq};
	struct store_count count;

	ck_assert_int_eq(store_ack(u->store, class, &range, 1, &count), 0);
	on_changed(u);
}

/* A receipt has set the timer for what can wait longer. */
START_TEST(relaxed_rows_are_on_disk_in_time)
{
	struct mono_time due;

	put(CLASS_EVENT);
	ack(CLASS_EVENT, 1);
	ck_assert(loop_timer_is_set(&u->flush));
	ck_assert_int_gt(u->flush.due.ns, mono_ns + SYNC_S * NS_PER_S);
	mono_ns += NS_PER_S;
	put(CLASS_BULK);
	ck_assert_int_le(u->flush.due.ns, mono_ns + SYNC_S * NS_PER_S);
	mono_ns += SYNC_S * NS_PER_S;
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(loop_turn(u->loop, 0), 0);
	ck_assert(!store_flush_due(u->store, &due) || due.ns > mono_ns);
}
END_TEST

/* And the other way round it stays. */
START_TEST(a_receipt_puts_nothing_off)
{
	struct mono_time due;

	put(CLASS_BULK);
	due = u->flush.due;
	mono_ns += NS_PER_S;
	ack(CLASS_BULK, 1);
	ck_assert_int_eq(u->flush.due.ns, due.ns);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("timers");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, relaxed_rows_are_on_disk_in_time);
	tcase_add_test(tc, a_receipt_puts_nothing_off);
	return suite_run("uplink", &tc, 1);
}
