/* The kernel's filters from what the rules need: a frame passes exactly if some match wants it. */
#include "agent/source/can_filter.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

enum { MANY = 20000 };

static struct can_filters out;

/* As the kernel does it: net/can/af_can.c. */
static bool passes(const struct can_filters *f, uint32_t can_id)
{
	for (size_t i = 0; i < f->n; i++)
		if ((can_id & f->filters[i].can_mask) ==
		    (f->filters[i].can_id & f->filters[i].can_mask))
			return true;
	return false;
}

START_TEST(one_identifier_is_found_by_the_kernels_table)
{
	struct frame_match m[] = {{0x123, 0x7FF, false}, {0x18DAF110, 0x1FFFFFFF, true}};

	can_filters_from(&out, m, 2);
	ck_assert_uint_eq(out.n, 2);
	ck_assert(!out.all);
	/* The two forms for which can_rcv_list_find takes the table of identifiers. */
	ck_assert_uint_eq(out.filters[0].can_id, 0x123);
	ck_assert_uint_eq(out.filters[0].can_mask, CAN_SFF_MASK | CAN_EFF_FLAG | CAN_RTR_FLAG);
	ck_assert_uint_eq(out.filters[1].can_id, 0x18DAF110 | CAN_EFF_FLAG);
	ck_assert_uint_eq(out.filters[1].can_mask, CAN_EFF_MASK | CAN_EFF_FLAG | CAN_RTR_FLAG);
	ck_assert(passes(&out, 0x123));
	ck_assert(!passes(&out, 0x124));
	ck_assert(!passes(&out, 0x123 | CAN_EFF_FLAG));
	ck_assert(!passes(&out, 0x123 | CAN_RTR_FLAG));
	ck_assert(passes(&out, 0x18DAF110 | CAN_EFF_FLAG));
	ck_assert(!passes(&out, 0x110));
}
END_TEST

/* The identifier 0 is one like others; bits that no identifier has are no flags of the kernel
 * (CAN_INV_FILTER lets pass what does not match). */
START_TEST(identifiers_that_look_like_others)
{
	struct frame_match m[] = {{0, 0x7FF, false}, {0, 0x1FFFFFFF, true}};
	struct frame_match wide[] = {{UINT32_MAX, UINT32_MAX, false},
				     {UINT32_MAX, UINT32_MAX, true}};

	can_filters_from(&out, m, 2);
	ck_assert_uint_eq(out.n, 2);
	ck_assert(passes(&out, 0) && passes(&out, CAN_EFF_FLAG));
	ck_assert(!passes(&out, 1) && !passes(&out, CAN_RTR_FLAG));
	can_filters_from(&out, wide, 2);
	ck_assert_uint_eq(out.n, 2);
	for (size_t i = 0; i < out.n; i++)
		ck_assert(!(out.filters[i].can_id & CAN_INV_FILTER));
	ck_assert(passes(&out, CAN_SFF_MASK) && passes(&out, CAN_EFF_MASK | CAN_EFF_FLAG));
	ck_assert(!passes(&out, 0) && !passes(&out, CAN_EFF_FLAG));
}
END_TEST

START_TEST(groups_by_mask)
{
	struct frame_match m[] = {{0xFEF100, 0x3FFFF00, true}}; /* J1939, PGN 65265 */

	can_filters_from(&out, m, 1);
	ck_assert_uint_eq(out.n, 1);
	ck_assert(passes(&out, 0x18FEF100 | CAN_EFF_FLAG));
	ck_assert(passes(&out, 0x0CFEF1FE | CAN_EFF_FLAG));
	ck_assert(!passes(&out, 0x18FEF200 | CAN_EFF_FLAG));
	ck_assert(!passes(&out, 0x18FEF100 | CAN_EFF_FLAG | CAN_RTR_FLAG));
}
END_TEST

START_TEST(equal_and_covered_ones_go)
{
	struct frame_match m[] = {
		{0x18FEF100, 0x1FFFFFFF, true}, {0x100, 0x7FF, false},
		{0xFEF100, 0x3FFFF00, true},	{0x100, 0x7FF, false},
		{0x100, 0x7FF, false},		{0x0CFEF1FE, 0x1FFFFFFF, true},
		{0x100, 0x7FF, true},
	};

	can_filters_from(&out, m, array_len(m));
	ck_assert_uint_eq(out.n, 3);
	ck_assert(passes(&out, 0x100));
	ck_assert(passes(&out, 0x100 | CAN_EFF_FLAG));
	ck_assert(passes(&out, 0x0CFEF1FE | CAN_EFF_FLAG));
}
END_TEST

START_TEST(nothing_wanted_is_an_empty_list)
{
	can_filters_all(&out);
	can_filters_from(&out, NULL, 0);
	ck_assert_uint_eq(out.n, 0);
	ck_assert(!out.all);
	ck_assert(!passes(&out, 0));
}
END_TEST

START_TEST(everything)
{
	can_filters_all(&out);
	ck_assert_uint_eq(out.n, 1);
	ck_assert(out.all);
	ck_assert(passes(&out, 0) && passes(&out, 0x7FF | CAN_RTR_FLAG) &&
		  passes(&out, CAN_EFF_MASK | CAN_EFF_FLAG));
}
END_TEST

START_TEST(as_many_as_the_kernel_takes)
{
	static struct frame_match m[MANY];

	for (uint32_t i = 0; i < CAN_FILTERS_MAX; i++)
		m[i] = (struct frame_match){i * 3, 0x7FF, false};
	can_filters_from(&out, m, CAN_FILTERS_MAX);
	ck_assert_uint_eq(out.n, CAN_FILTERS_MAX);
	ck_assert(!out.all);
	for (uint32_t id = 0; id < 0x800; id++)
		ck_assert(passes(&out, id) == (id % 3 == 0 && id < 3 * CAN_FILTERS_MAX));
	/* The same ones again, and again: still as many. */
	for (uint32_t i = 0; i < MANY; i++)
		m[i] = (struct frame_match){i % CAN_FILTERS_MAX, 0x7FF, false};
	can_filters_from(&out, m, MANY);
	ck_assert_uint_eq(out.n, CAN_FILTERS_MAX);
	/* One more: all of the bus. */
	for (uint32_t i = 0; i <= CAN_FILTERS_MAX; i++)
		m[i] = (struct frame_match){i, 0x7FF, false};
	can_filters_from(&out, m, CAN_FILTERS_MAX + 1);
	ck_assert(out.all && out.n == 1);
	for (uint32_t i = 0; i < MANY; i++)
		m[i] = (struct frame_match){i, 0x1FFFFFFF, true};
	can_filters_from(&out, m, MANY);
	ck_assert(out.all && out.n == 1);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("can_filter");

	tcase_add_test(t, one_identifier_is_found_by_the_kernels_table);
	tcase_add_test(t, identifiers_that_look_like_others);
	tcase_add_test(t, groups_by_mask);
	tcase_add_test(t, equal_and_covered_ones_go);
	tcase_add_test(t, nothing_wanted_is_an_empty_list);
	tcase_add_test(t, everything);
	tcase_add_test(t, as_many_as_the_kernel_takes);
	return suite_run("can_filter", &t, 1);
}
