/* A clock that is wrong at boot, set forwards and backwards, and across suspend: what is sent has
 * the times that were right. */
#include "agent/publish/clock_repair.h"
#include "tests/unit/batch_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>

enum { N = 10 };
#define BOOT	INT64_C(0x1122334455667788)
#define TRUE_NS (1700000000 * NS_PER_S) /* what time it was when mono time was 0 */

static struct timebase_fake fake;
static enum clock_quality quality;
static struct clock_repair c;
static struct buf body, out;

static enum clock_quality say_quality(void *ctx)
{
	(void)ctx;
	return quality;
}

/* A minute after the boot, in 1970. */
static void setup(void)
{
	batch_setup();
	timebase_fake_init(&fake, 60 * NS_PER_S, 60 * NS_PER_S);
	quality = CLOCK_FREE_RUNNING;
	clock_repair_init(&c, &(struct clock_repair_options){
				      .tb = &fake.tb, .boot_id = BOOT, .quality = say_quality});
	body = out = BUF_INIT(1 << 20);
}

static void teardown(void)
{
	buf_free(&body);
	buf_free(&out);
	batch_teardown();
}

/* A batch as it is closed now, whose samples are those of the last second. */
static void close_batch(uint64_t boot)
{
	struct batch_builder *b = builder(1000, 1000000);
	struct batch_header h = header(1000000);
	uint32_t encoding;

	h.boot_id = boot;
	h.wall_base_ns = fake.wall.ns;
	h.mono_base_ns = fake.mono.ns;
	h.clock_quality = quality;
	for (int i = 0; i < N; i++) {
		struct sample s = {1, (uint64_t)i & 1};

		ck_assert_int_eq(batch_builder_add(b, 0,
						   fake.mono.ns - NS_PER_S + i * 100 * NS_PER_MS,
						   &s, 1),
				 0);
	}
	buf_clear(&body);
	ck_assert_int_eq(batch_builder_encode(b, &h, &body, &encoding), 0);
	batch_builder_free(b);
}

static int64_t first_ns; /* of what check_times expects, in mono time */

static int check_column(void *ctx, const struct batch_column *col)
{
	const int64_t *offset = ctx;

	ck_assert_uint_eq(col->n, N);
	for (size_t i = 0; i < col->n; i++)
		ck_assert_int_le(llabs(col->wall_ns[i] -
				       (*offset + first_ns + (int64_t)i * 100 * NS_PER_MS)),
				 NS_PER_MS);
	return 0;
}

/* Its samples, taken in the second before mono_ns, have times of a clock with this offset. */
static void check_times(const struct buf *bytes, int64_t mono_ns, int64_t offset)
{
	struct envelope e = {.epoch = 1, .seq = 1, .body = bytes->data, .body_len = bytes->len};
	struct batch *b;
	struct error err;

	ck_assert_msg(batch_read(&b, &e, &err) == 0, "%s", err.text);
	first_ns = mono_ns - NS_PER_S;
	ck_assert_int_eq(batch_get_header(b)->mono_base_ns, first_ns);
	ck_assert_int_eq(batch_columns(b, cat, 1, check_column, &offset, &err), 0);
	batch_free(b);
}

static int send(bool earlier)
{
	buf_clear(&out);
	return clock_repair_send(&c, body.data, body.len, earlier, &out);
}

static void set_clock(int64_t offset, enum clock_quality q)
{
	fake.wall.ns = fake.mono.ns + offset;
	quality = q;
}

START_TEST(unsent_is_mended_when_the_time_is_known)
{
	int64_t closed = fake.mono.ns;
	struct clock_notice n;

	close_batch(BOOT);
	timebase_fake_advance(&fake, 30 * NS_PER_S);
	ck_assert(!clock_repair_look(&c));
	set_clock(TRUE_NS, CLOCK_SYNCED);
	ck_assert(clock_repair_look(&c));
	ck_assert(!clock_repair_look(&c)); /* once */
	ck_assert_int_eq(send(false), CLOCK_REPAIRED);
	check_times(&out, closed, TRUE_NS);
	ck_assert(!clock_repair_owes(&c, &n)); /* nobody has seen the wrong times */
}
END_TEST

START_TEST(what_went_out_is_told)
{
	struct clock_notice n;

	close_batch(BOOT);
	ck_assert_int_eq(send(false), 0);
	ck_assert(!clock_repair_owes(&c, &n));
	timebase_fake_advance(&fake, 30 * NS_PER_S);
	set_clock(TRUE_NS, CLOCK_SYNCED);
	ck_assert(clock_repair_look(&c));
	ck_assert(clock_repair_owes(&c, &n));
	ck_assert_uint_eq(n.boot_id, BOOT);
	ck_assert_int_eq(n.quality, CLOCK_SYNCED);
	ck_assert_int_eq(n.wall_ns - n.mono_ns, TRUE_NS);
	clock_repair_told(&c);
	ck_assert(!clock_repair_owes(&c, &n));
	ck_assert_int_eq(send(false), CLOCK_REPAIRED); /* again, for want of a receipt */
	ck_assert(!clock_repair_owes(&c, &n));
}
END_TEST

/* By an agent that ran before in this boot. */
START_TEST(what_may_have_gone_out_is_told_once)
{
	struct clock_notice n;

	close_batch(BOOT);
	set_clock(TRUE_NS, CLOCK_SYNCED);
	ck_assert(clock_repair_look(&c));
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(send(true), CLOCK_REPAIRED);
		ck_assert_int_eq(clock_repair_owes(&c, &n), i == 0);
		clock_repair_told(&c);
	}
}
END_TEST

START_TEST(good_times_pass)
{
	struct clock_notice n;

	set_clock(TRUE_NS, CLOCK_SYNCED);
	ck_assert(clock_repair_look(&c));
	for (int i = 0; i < 100; i++) { /* slewed by milliseconds, and stepped by less than 1 s */
		timebase_fake_advance(&fake, 10 * NS_PER_S);
		fake.wall.ns += 5 * NS_PER_MS;
		ck_assert(!clock_repair_look(&c));
		close_batch(BOOT);
		ck_assert_int_eq(send(true), 0);
	}
	ck_assert(!clock_repair_owes(&c, &n));
}
END_TEST

START_TEST(other_boots_are_left_alone)
{
	struct clock_notice n;

	close_batch(BOOT + 1);
	ck_assert_int_eq(send(true), 0);
	set_clock(TRUE_NS, CLOCK_SYNCED);
	ck_assert(clock_repair_look(&c));
	ck_assert_int_eq(send(true), 0);
	ck_assert(!clock_repair_owes(&c, &n));
}
END_TEST

/* Forwards and backwards, while it is disciplined: the last one is right. */
START_TEST(steps_of_a_disciplined_clock)
{
	int64_t by = _i == 0 ? 3600 * NS_PER_S : -3600 * NS_PER_S, closed;
	struct clock_notice n;

	set_clock(TRUE_NS, CLOCK_SYNCED);
	ck_assert(clock_repair_look(&c));
	closed = fake.mono.ns;
	close_batch(BOOT);
	ck_assert_int_eq(send(false), 0);
	timebase_fake_advance(&fake, 10 * NS_PER_S);
	set_clock(TRUE_NS + by, CLOCK_SYNCED);
	ck_assert(clock_repair_look(&c));
	ck_assert_int_eq(send(false), CLOCK_REPAIRED);
	check_times(&out, closed, TRUE_NS + by);
	ck_assert(clock_repair_owes(&c, &n));
	ck_assert_int_eq(n.wall_ns - n.mono_ns, TRUE_NS + by);
}
END_TEST

/* Somebody sets a clock that nobody disciplines: what was known is better. */
START_TEST(steps_of_a_free_clock)
{
	int64_t by = _i == 0 ? 3600 * NS_PER_S : -3600 * NS_PER_S, closed;

	set_clock(TRUE_NS, CLOCK_SYNCED);
	ck_assert(clock_repair_look(&c));
	timebase_fake_advance(&fake, 10 * NS_PER_S);
	set_clock(TRUE_NS + by, CLOCK_FREE_RUNNING);
	ck_assert(!clock_repair_look(&c));
	closed = fake.mono.ns;
	close_batch(BOOT);
	ck_assert_int_eq(send(false), CLOCK_REPAIRED);
	check_times(&out, closed, TRUE_NS);
	timebase_fake_advance(&fake, 10 * NS_PER_S);
	set_clock(TRUE_NS + NS_PER_MS, CLOCK_SYNCED); /* disciplined again: it was right */
	ck_assert(!clock_repair_look(&c));
}
END_TEST

/* Hours of suspend: mono time (CLOCK_BOOTTIME) and wall time go on, and so does the first batch's
 * repair after it. The wall clock may come back wrong until it is disciplined. */
START_TEST(across_suspend)
{
	int64_t closed[2];
	struct buf first cleanup(buf_free) = BUF_INIT(1 << 20);

	closed[0] = fake.mono.ns;
	close_batch(BOOT);
	ck_assert_int_eq(buf_put(&first, body.data, body.len), 0);
	timebase_fake_advance(&fake, 8 * 3600 * NS_PER_S);
	set_clock(fake.wall.ns - fake.mono.ns - 7 * NS_PER_S, CLOCK_FREE_RUNNING); /* RTC */
	ck_assert(!clock_repair_look(&c));
	closed[1] = fake.mono.ns;
	close_batch(BOOT);
	timebase_fake_advance(&fake, 5 * NS_PER_S);
	set_clock(TRUE_NS, CLOCK_SYNCED);
	ck_assert(clock_repair_look(&c));
	ck_assert_int_eq(send(false), CLOCK_REPAIRED);
	check_times(&out, closed[1], TRUE_NS);
	buf_clear(&out);
	ck_assert_int_eq(clock_repair_send(&c, first.data, first.len, false, &out), CLOCK_REPAIRED);
	check_times(&out, closed[0], TRUE_NS);	       /* and so in the order of mono time */
	timebase_fake_advance(&fake, 3600 * NS_PER_S); /* suspended once more */
	ck_assert(!clock_repair_look(&c));
}
END_TEST

START_TEST(bytes_that_are_no_batch)
{
	buf_clear(&body);
	ck_assert_int_eq(buf_put(&body, "\xff\xff\xff", 3), 0);
	ck_assert_int_eq(send(false), -EBADMSG);
	quality = CLOCK_SYNCED; /* a wall clock before 1970 is not believed */
	fake.wall.ns = -5;
	ck_assert(!clock_repair_look(&c));
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("repair");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, unsent_is_mended_when_the_time_is_known);
	tcase_add_test(tc, what_went_out_is_told);
	tcase_add_test(tc, what_may_have_gone_out_is_told_once);
	tcase_add_test(tc, good_times_pass);
	tcase_add_test(tc, other_boots_are_left_alone);
	tcase_add_loop_test(tc, steps_of_a_disciplined_clock, 0, 2);
	tcase_add_loop_test(tc, steps_of_a_free_clock, 0, 2);
	tcase_add_test(tc, across_suspend);
	tcase_add_test(tc, bytes_that_are_no_batch);
	return suite_run("clock_repair", &tc, 1);
}
