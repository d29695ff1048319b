/* A relay that forgot is found out; receipts that are late or come again prove nothing. */
#include "agent/publish/hole.h"
#include "tests/unit/suite.h"

#include <check.h>

static struct hole h;
static struct receipt_range hole;

static void setup(void)
{
	hole_reset(&h);
}

/* A receipt with this mark, and one range above it (0: none). */
static int told(uint64_t mark, uint64_t from, uint64_t to, uint64_t first, uint64_t last)
{
	struct receipt r = {.acked_through = mark};

	if (from)
		r.ranges[r.n_ranges++] = (struct receipt_range){from, to};
	return hole_check(&h, &r, first, last, &hole);
}

START_TEST(a_relay_that_has_all)
{
	ck_assert_int_eq(told(10, 0, 0, 11, 10), 0); /* all is acknowledged */
	ck_assert_int_eq(told(10, 0, 0, 11, 20), 0);
	ck_assert_int_eq(told(10, 13, 15, 11, 20), 0); /* 11 and 12 are in the outbox */
	ck_assert_int_eq(told(15, 0, 0, 16, 20), 0);
	ck_assert_uint_eq(h.from, 0);
}
END_TEST

START_TEST(forgotten_is_proven_by_a_new_row)
{
	ck_assert_int_eq(told(10, 0, 0, 11, 10), 0);
	ck_assert_int_eq(told(5, 11, 11, 12, 12), 0); /* suspected: 12 exists already */
	ck_assert_int_eq(told(5, 11, 12, 13, 13), 0); /* 12 may have been answered before */
	ck_assert_int_eq(told(5, 11, 13, 14, 13), HOLE_PROVEN);
	ck_assert_uint_eq(hole.from, 6);
	ck_assert_uint_eq(hole.to, 10);
	hole_told(&h, &hole);
	ck_assert_int_eq(told(5, 11, 14, 15, 15), 0); /* once */
	ck_assert_int_eq(told(5, 11, 20, 21, 21), 0);
	hole_reset(&h); /* and once more in another connection */
	ck_assert_int_eq(told(5, 11, 20, 21, 21), 0);
	ck_assert_int_eq(told(5, 11, 22, 23, 22), HOLE_PROVEN);
}
END_TEST

/* Its disk is set back twice, and the connection stays. */
START_TEST(forgotten_twice_is_told_twice)
{
	ck_assert_int_eq(told(5, 11, 11, 12, 12), 0);
	ck_assert_int_eq(told(5, 11, 13, 14, 13), HOLE_PROVEN);
	hole_told(&h, &hole);
	ck_assert_int_eq(told(9, 11, 14, 15, 15), 0); /* it has a part of the gap */
	ck_assert_int_eq(told(16, 0, 0, 17, 16), 0);
	ck_assert_int_eq(told(7, 17, 17, 18, 17), 0);
	ck_assert_int_eq(told(7, 17, 18, 19, 18), HOLE_PROVEN);
	ck_assert_uint_eq(hole.from, 8);
	ck_assert_uint_eq(hole.to, 16);
}
END_TEST

START_TEST(it_may_have_lost_all)
{
	ck_assert_int_eq(told(0, 11, 11, 12, 11), 0);
	ck_assert_int_eq(told(0, 11, 12, 13, 12), HOLE_PROVEN);
	ck_assert_uint_eq(hole.from, 1);
	ck_assert_uint_eq(hole.to, 10);
}
END_TEST

/* Answered late, with others in between, as often as one likes. */
START_TEST(late_and_replayed_receipts_prove_nothing)
{
	for (uint64_t last = 10; last < 1000; last++) {
		ck_assert_int_eq(told(5, 0, 0, last + 1, last), 0);
		ck_assert_int_eq(told(5, 7, 9, last + 1, last), 0);
		ck_assert_int_eq(told(last / 2, last, last, last + 1, last), 0);
		ck_assert_int_eq(told(last, 0, 0, last + 1, last), 0);
	}
}
END_TEST

/* One that was acknowledged by ranges, while the row below them was on its way: when that has its
 * receipt too, the relay closes the hole by itself. */
START_TEST(holes_that_close_are_none)
{
	ck_assert_int_eq(told(5, 7, 10, 6, 12), 0);
	ck_assert_int_eq(told(5, 7, 10, 6, 13), 0);
	ck_assert_int_eq(told(10, 0, 0, 11, 13), 0);
	ck_assert_int_eq(told(5, 0, 0, 11, 13), 0); /* late */
	ck_assert_int_eq(told(14, 0, 0, 15, 14), 0);
}
END_TEST

/* What it forgot is told as far as it was known when it was suspected; then the rest. */
START_TEST(hole_moves_on)
{
	ck_assert_int_eq(told(5, 11, 11, 12, 11), 0);
	ck_assert_int_eq(told(5, 11, 12, 13, 12), HOLE_PROVEN);
	hole_told(&h, &hole);
	ck_assert_int_eq(told(12, 16, 16, 17, 16), 0); /* 13 to 15 are gone as well */
	ck_assert_int_eq(told(12, 16, 17, 18, 17), HOLE_PROVEN);
	ck_assert_uint_eq(hole.from, 13);
	ck_assert_uint_eq(hole.to, 15);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("hole");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, a_relay_that_has_all);
	tcase_add_test(tc, forgotten_is_proven_by_a_new_row);
	tcase_add_test(tc, forgotten_twice_is_told_twice);
	tcase_add_test(tc, it_may_have_lost_all);
	tcase_add_test(tc, late_and_replayed_receipts_prove_nothing);
	tcase_add_test(tc, holes_that_close_are_none);
	tcase_add_test(tc, hole_moves_on);
	return suite_run("hole", &tc, 1);
}
