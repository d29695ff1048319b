/* The set of stored seqs, held against a naive one. */
#include "relay/stream/window.h"
#include "tests/unit/suite.h"

#include <check.h>

enum { SEQ_MAX = 400, ROUNDS = 300, STEPS = 600 };

static uint32_t random_state = 12345;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % n;
}

static void check_same(const struct window *w, const bool *naive)
{
	uint64_t through = 0;

	while (through < SEQ_MAX && naive[through + 1])
		through++;
	ck_assert_uint_eq(w->through, through);
	for (uint64_t s = 1; s <= SEQ_MAX; s++)
		ck_assert_int_eq(window_has(w, s), naive[s]);
	for (size_t i = 0; i < w->n; i++) {
		ck_assert_uint_le(w->ranges[i].from, w->ranges[i].to);
		ck_assert_uint_gt(w->ranges[i].from, i ? w->ranges[i - 1].to + 1 : through + 1);
	}
}

/* As after a restart: through the bytes of the table. */
static void reload(struct window *w)
{
	struct buf b = BUF_INIT(1 << 20);
	struct window again;

	ck_assert_int_eq(window_encode(w, &b), 0);
	ck_assert_int_eq(window_decode(&again, w->through, b.data, b.len), 0);
	window_free(w);
	*w = again;
	buf_free(&b);
}

START_TEST(test_is_the_naive_set)
{
	for (int round = 0; round < ROUNDS; round++) {
		struct window w = {0};
		bool naive[SEQ_MAX + 1] = {false};
		uint32_t spread = 1 + random_below(SEQ_MAX);

		for (int i = 0; i < STEPS; i++) {
			uint64_t seq = 1 + random_below(spread);

			ck_assert_int_eq(window_add(&w, seq), naive[seq] ? WINDOW_HAVE : 0);
			naive[seq] = true;
			if (i == STEPS / 2)
				reload(&w);
		}
		check_same(&w, naive);
		window_free(&w);
	}
}
END_TEST

START_TEST(test_undo_in_reverse)
{
	for (int round = 0; round < ROUNDS; round++) {
		struct window w = {0};
		bool naive[SEQ_MAX + 1] = {false};
		uint64_t added[64];
		size_t n = 0;

		for (int i = 0; i < 50; i++) {
			uint64_t seq = 1 + random_below(120);

			ck_assert_int_ge(window_add(&w, seq), 0);
			naive[seq] = true;
		}
		while (n < array_len(added)) {
			uint64_t seq = 1 + random_below(120);

			if (window_add(&w, seq) == 0)
				added[n++] = seq;
			else if (random_below(50) == 0)
				break;
		}
		while (n-- > 0)
			window_undo(&w, added[n]);
		check_same(&w, naive);
		window_free(&w);
	}
}
END_TEST

START_TEST(test_full_goes_on_and_assumes_nothing)
{
	struct window w = {0};

	for (uint64_t i = 0; i < WINDOW_RANGES_MAX; i++)
		ck_assert_int_eq(window_add(&w, 10 + 2 * i), 0);
	ck_assert_int_eq(window_add(&w, 11), 0); /* 10 to 12: joining always has room */
	ck_assert_int_eq(window_add(&w, 1000000), 0);
	ck_assert_int_eq(window_add(&w, UINT64_MAX), WINDOW_FORGOT);
	ck_assert_uint_eq(w.n, WINDOW_RANGES_MAX);
	ck_assert(window_has(&w, UINT64_MAX) && window_has(&w, 14) && !window_has(&w, 12));
	ck_assert_int_eq(window_add(&w, 3), WINDOW_FORGOT); /* the lowest itself */
	ck_assert(window_has(&w, 3) && !window_has(&w, 14) && window_has(&w, 16));
	ck_assert_uint_eq(w.through, 0);
	window_undo(&w, 3);
	window_undo(&w, UINT64_MAX);
	window_undo(&w, 1000000);
	window_undo(&w, 11); /* was forgotten: nothing to take back */
	ck_assert(!window_has(&w, 3) && !window_has(&w, UINT64_MAX) && !window_has(&w, 11));
	ck_assert(window_has(&w, 16));
	ck_assert_uint_eq(w.n, WINDOW_RANGES_MAX - 3); /* 10, 12 and 14 */
	window_free(&w);
}
END_TEST

START_TEST(test_describe_in_parts)
{
	struct window w = {0};
	struct receipt r;
	uint64_t from = 1;
	size_t told = 0, parts = 0;

	ck_assert_int_eq(window_add(&w, 1), 0);
	for (uint64_t i = 0; i < 150; i++)
		ck_assert_int_eq(window_add(&w, 10 + 3 * i), 0);
	do {
		from = window_describe(&w, from, UINT64_MAX, &r);
		ck_assert_uint_eq(r.acked_through, 1);
		for (size_t i = 0; i < r.n_ranges; i++)
			ck_assert_uint_eq(r.ranges[i].from, 10 + 3 * told++);
		parts++;
	} while (from);
	ck_assert_uint_eq(told, 150);
	ck_assert_uint_eq(parts, 3);
	window_free(&w);
}
END_TEST

START_TEST(test_bad_bytes)
{
	static const uint8_t touching[] = {1, 0}, cut[] = {5},
			     wraps[] = {5,    0xff, 0xff, 0xff, 0xff, 0xff,
					0xff, 0xff, 0xff, 0xff, 0x01};
	struct window w;

	ck_assert_int_eq(window_decode(&w, 3, touching, sizeof(touching)), -EBADMSG);
	ck_assert_int_eq(window_decode(&w, 3, cut, sizeof(cut)), -EBADMSG);
	ck_assert_int_eq(window_decode(&w, 3, wraps, sizeof(wraps)), -EBADMSG);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("window");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_is_the_naive_set);
	tcase_add_test(t, test_undo_in_reverse);
	tcase_add_test(t, test_full_goes_on_and_assumes_nothing);
	tcase_add_test(t, test_describe_in_parts);
	tcase_add_test(t, test_bad_bytes);
	return suite_run("relay_window", &t, 1);
}
