#include "agent/collect/collect.h"

#include "base/timebase.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

/* can0: A (Mux, Even, Odd), B (Temp); can1: A (Even) */
static const char *const buses[] = {"can0", "can1"};
static const struct catalog_message messages[] = {
	{.name = "A", .bus = 0, .id = 1, .bytes = 8, .first_signal = 0, .n_signals = 3},
	{.name = "B", .bus = 0, .id = 2, .bytes = 8, .first_signal = 3, .n_signals = 1},
	{.name = "A", .bus = 1, .id = 1, .bytes = 8, .first_signal = 4, .n_signals = 1},
};
static const struct catalog_signal signals[] = {
	{.name = "Mux", .message = 0},	{.name = "Even", .message = 0},
	{.name = "Odd", .message = 0},	{.name = "Temp", .message = 1},
	{.name = "Even", .message = 2},
};
static const struct catalog cat = {
	.buses = buses,
	.n_buses = 2,
	.messages = messages,
	.n_messages = 3,
	.signals = signals,
	.n_signals = 5,
};

static struct collect_rule rule(const char *pattern, enum collect_mode mode,
				enum uplink_class class)
{
	return (struct collect_rule){.pattern = pattern,
				     .mode = mode,
				     .period_ns = NS_PER_S,
				     .class = class,
				     .origin = "a.conf:7: [collect x]"};
}

static struct collect *make(const struct collect_rule *rules, size_t n)
{
	struct collect *c = NULL;
	struct error err;

	ck_assert_msg(collect_new(&c, &cat, rules, n, &err) == 0, "%s", err.text);
	return c;
}

static void check_refused(const char *pattern, const char *text)
{
	struct collect_rule r = rule(pattern, COLLECT_EVERY, CLASS_BULK);
	struct collect *c;
	struct error err;

	ck_assert_int_eq(collect_new(&c, &cat, &r, 1, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "a.conf:7"));
	ck_assert_msg(strstr(err.text, text) && strstr(err.text, pattern), "%s", err.text);
}

START_TEST(patterns_that_are_wrong)
{
	check_refused("can0.A", "bus.message.signal");
	check_refused("can0..Even", "bus.message.signal");
	check_refused("can0.A.Even.more", "bus.message.signal");
	check_refused("can0.A.", "bus.message.signal");
	check_refused("can0.A.Uneven", "matches no signal");
	check_refused("can2.*.*", "matches no signal");
	check_refused("*.*.even", "matches no signal");
}
END_TEST

static void check_wanted(const char *pattern, const char *expected)
{
	struct collect_rule r = rule(pattern, COLLECT_EVERY, CLASS_BULK);
	struct collect *c = make(&r, 1);

	for (size_t i = 0; i < 5; i++)
		ck_assert_msg(collect_wanted(c)[i] == (expected[i] == '1'), "%s: signal %zu",
			      pattern, i);
	collect_free(c);
}

START_TEST(wildcards)
{
	check_wanted("*", "11111");
	check_wanted("*.*.*", "11111");
	check_wanted("can0.*.*", "11110");
	check_wanted("*.A.Even", "01001");
	check_wanted("c*n1.*.E*n", "00001");
	check_wanted("*.*.*d*", "00100");
	check_wanted("can0.*.Temp", "00010");
}
END_TEST

START_TEST(first_rule_wins)
{
	const struct collect_rule rules[] = {rule("can0.B.*", COLLECT_EVERY, CLASS_EVENT),
					     rule("*", COLLECT_CHANGE, CLASS_BULK),
					     rule("can0.*.*", COLLECT_CHANGE, CLASS_LIVE)};
	struct collected runs[CLASS_COUNT];
	struct collect *c = make(rules, 3);
	struct sample s = {3, 9};

	ck_assert_uint_eq(collect_classes(c), 1u << CLASS_EVENT | 1u << CLASS_BULK);
	ck_assert_uint_eq(collect_wanted_count(c), 5);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(collect_apply(c, 1, i, &s, 1, runs), 1);
		ck_assert_int_eq(runs[0].class, CLASS_EVENT);
		ck_assert_uint_eq(runs[0].n, 1);
	}
	collect_free(c);
}
END_TEST

START_TEST(change_takes_the_first_and_what_differs)
{
	static const uint64_t raws[] = {0, 0, 5, 5, 0, UINT64_MAX, UINT64_MAX};
	static const unsigned kept[] = {1, 0, 1, 0, 1, 1, 0};
	struct collect_rule r = rule("*", COLLECT_CHANGE, CLASS_BULK);
	struct collected runs[CLASS_COUNT];
	struct collect *c = make(&r, 1);

	for (size_t i = 0; i < array_len(raws); i++) {
		struct sample s = {3, raws[i]};

		ck_assert_uint_eq(collect_apply(c, 1, (int64_t)i, &s, 1, runs), kept[i]);
	}
	collect_free(c);
}
END_TEST

/* Mux 0 shows Even, mux 1 Odd, every 100 ms in turn. */
static size_t feed_muxed(struct collect *c, int64_t t_ns, unsigned mux, size_t seen[5])
{
	struct sample s[2] = {{0, mux}, {mux ? 2 : 1, 7}};
	struct collected runs[CLASS_COUNT];
	size_t n = collect_apply(c, 0, t_ns, s, 2, runs);

	for (size_t i = 0; n > 0 && i < runs[0].n; i++)
		seen[runs[0].samples[i].signal]++;
	return n > 0 ? runs[0].n : 0;
}

START_TEST(period_gives_each_signal_its_turn)
{
	struct collect_rule r = rule("can0.*.*", COLLECT_PERIOD, CLASS_BULK);
	struct collect *c = make(&r, 1);
	size_t seen[5] = {0};

	for (int i = 0; i < 100; i++)
		feed_muxed(c, i * NS_PER_S / 10, i % 2, seen);
	ck_assert_uint_eq(seen[0], 10);
	ck_assert_uint_eq(seen[1], 10);
	ck_assert_uint_eq(seen[2], 10);
	collect_free(c);
}
END_TEST

START_TEST(period_survives_a_clock_that_goes_back)
{
	struct collect_rule r = rule("can0.*.*", COLLECT_PERIOD, CLASS_BULK);
	struct collect *c = make(&r, 1);
	size_t seen[5] = {0};

	ck_assert_uint_eq(feed_muxed(c, 100 * NS_PER_S, 0, seen), 2);
	ck_assert_uint_eq(feed_muxed(c, 100 * NS_PER_S - 1, 0, seen), 0);
	ck_assert_uint_eq(feed_muxed(c, 10 * NS_PER_S, 0, seen), 2);
	ck_assert_uint_eq(feed_muxed(c, -10 * NS_PER_S, 0, seen), 2);
	ck_assert_uint_eq(feed_muxed(c, -10 * NS_PER_S + 1, 0, seen), 0);
	collect_free(c);
}
END_TEST

START_TEST(classes_of_one_message_part)
{
	const struct collect_rule rules[] = {rule("can0.A.Mux", COLLECT_EVERY, CLASS_EVENT),
					     rule("can0.A.Even", COLLECT_EVERY, CLASS_LIVE),
					     rule("can0.A.Odd", COLLECT_CHANGE, CLASS_EVENT)};
	struct sample s[3] = {{0, 1}, {1, 2}, {2, 3}}, again[3] = {{0, 1}, {1, 2}, {2, 3}};
	struct collected runs[CLASS_COUNT];
	struct collect *c = make(rules, 3);

	ck_assert_uint_eq(collect_apply(c, 0, 0, s, 3, runs), 2);
	ck_assert_int_eq(runs[0].class, CLASS_EVENT);
	ck_assert_uint_eq(runs[0].n, 2);
	ck_assert_uint_eq(runs[0].samples[1].signal, 2);
	ck_assert_int_eq(runs[1].class, CLASS_LIVE);
	ck_assert_uint_eq(collect_apply(c, 0, 1, again, 3, runs), 2);
	ck_assert_uint_eq(runs[0].n, 1);
	collect_free(c);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("rules");

	tcase_add_test(tc, patterns_that_are_wrong);
	tcase_add_test(tc, wildcards);
	tcase_add_test(tc, first_rule_wins);
	tcase_add_test(tc, change_takes_the_first_and_what_differs);
	tcase_add_test(tc, period_gives_each_signal_its_turn);
	tcase_add_test(tc, period_survives_a_clock_that_goes_back);
	tcase_add_test(tc, classes_of_one_message_part);
	return suite_run("collect", &tc, 1);
}
