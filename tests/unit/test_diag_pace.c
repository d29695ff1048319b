/* Which requests are made, and how often: by what is collected, by what the bus should carry, and
 * by what the ECU leaves unanswered. */
#include "agent/diag/silence.h"
#include "tests/unit/diag_fixture.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

START_TEST(functional_requests)
{
	struct diag_id ids[] = {{0x0C, 0}};
	struct diag_poll poll = {.service = DIAG_OBD_CURRENT,
				 .ids = ids,
				 .n_ids = 1,
				 .period_ns = NS_PER_S,
				 .group = 6};
	struct diag_options opt = diag_obd_options(&poll, 1);

	opt.has_functional = true;
	opt.functional = 0x7DF;
	diag_start(&opt);
	turn();
	diag_serve(diag_fake.server);
	ck_assert_uint_eq(diag_got.n_asked, 0);
	diag_run_ms(100);
	ck_assert_uint_eq(diag_got.n_asked, 1);
	diag_expect_value("OBD2_ECM.EngineSpeed", 1726);
}
END_TEST

/* A schedule that asks for more than any bus should carry: 256 requests each 10 ms of an ECU that
 * responds at once. Each poll still gets its turns. */
START_TEST(requests_have_a_least_distance)
{
	static struct diag_id ids[DIAG_POLL_IDS_MAX];
	struct diag_poll poll = {.service = DIAG_OBD_CURRENT,
				 .ids = ids,
				 .n_ids = array_len(ids),
				 .period_ns = 10 * NS_PER_MS,
				 .group = 1};

	for (size_t i = 0; i < array_len(ids); i++)
		ids[i] = (struct diag_id){i % 2 ? 0x0C : 0x0D, 0};
	diag_start_poll(poll);
	for (int ms = 0; ms < 1000; ms++) {
		turn();
		diag_serve(diag_fake.server);
		turn();
		timebase_fake_advance(&fake, NS_PER_MS);
	}
	ck_assert_uint_eq(diag_got.n_asked, 1000 / DIAG_GAP_MS);
	ck_assert_uint_ge(counter_get(&diag_counters.diag_skipped), 1);
}
END_TEST

/* The other ECUs may need as long as P2 to respond to it. */
START_TEST(functional_requests_have_a_least_distance)
{
	struct diag_id ids[] = {{0x0C, 0}, {0x0D, 0}};
	struct diag_poll poll = {.service = DIAG_OBD_CURRENT,
				 .ids = ids,
				 .n_ids = array_len(ids),
				 .period_ns = 10 * NS_PER_MS,
				 .group = 1};
	struct diag_options opt = diag_obd_options(&poll, 1);

	opt.has_functional = true;
	opt.functional = 0x7DF;
	diag_start(&opt);
	diag_run_ms(1000);
	ck_assert_uint_eq(diag_got.n_asked, 10); /* P2 is 100 ms */
	ck_assert_uint_eq(counter_get(&diag_counters.diag_responses), 10);
}
END_TEST

START_TEST(what_no_rule_collects_is_not_asked_for)
{
	struct diag_id ids[] = {{0x0C, 0}, {0x0D, 0}};

	diag_got.unwanted = "OBD2_ECM.EngineSpeed";
	diag_start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 2});
	diag_run_ms(990);
	ck_assert_uint_eq(diag_got.n_asked, 1);
	ck_assert_str_eq(diag_got.asked[0], "010d");
	diag_got.unwanted = "*";
	source_matches_changed(diag_source);
	diag_run_ms(3000);
	ck_assert_uint_eq(diag_got.n_asked, 1);
	diag_got.unwanted = NULL;
	source_matches_changed(diag_source);
	diag_run_ms(500);
	ck_assert_uint_eq(diag_got.n_asked, 2);
	ck_assert_str_eq(diag_got.asked[1], "010c0d");
}
END_TEST

/* Not even which PIDs there are. */
START_TEST(nothing_is_discovered_for_nobody)
{
	diag_got.unwanted = "*";
	diag_start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .any = true});
	diag_run_ms(5000);
	ck_assert_uint_eq(diag_got.n_asked, 0);
}
END_TEST

START_TEST(identifier_without_signals)
{
	struct diag_id ids[] = {{0x9999, 4}, {0xF405, 0}};

	diag_start_poll((struct diag_poll){.service = DIAG_UDS_DID, .ids = ids, .n_ids = 2});
	diag_run_ms(500);
	ck_assert_str_eq(diag_got.asked[0], "22f405");
}
END_TEST

START_TEST(silent_ecu_is_asked_less_often)
{
	struct diag_id ids[] = {{0x0C, 0}};

	diag_fake.ecu.silent = true;
	diag_start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 1});
	diag_run_ms(60000);
	ck_assert_uint_eq(diag_got.n_asked, SILENCE_AFTER + 1);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_timeouts), SILENCE_AFTER + 1);
	diag_fake.ecu.silent = false;
	diag_got.n_asked = 0;
	diag_run_ms(40000);
	ck_assert_uint_ge(diag_got.n_asked, 30 / 2);
	diag_expect_value("OBD2_ECM.EngineSpeed", 1726);
}
END_TEST

/* The ECU is there, but says nothing to one PID: the others keep their pace. */
START_TEST(what_is_not_there_is_asked_for_rarely)
{
	struct diag_id there[] = {{0x0C, 0}}, missing[] = {{0x5C, 0}};
	struct diag_poll polls[] = {
		{.service = DIAG_OBD_CURRENT,
		 .ids = there,
		 .n_ids = 1,
		 .period_ns = 500 * NS_PER_MS,
		 .group = 1},
		{.service = DIAG_OBD_CURRENT,
		 .ids = missing,
		 .n_ids = 1,
		 .period_ns = 500 * NS_PER_MS,
		 .group = 1},
	};
	struct diag_options opt = diag_obd_options(polls, array_len(polls));
	size_t n_there = 0, n_missing = 0;

	diag_start(&opt);
	diag_run_ms(40000);
	for (size_t i = 0; i < diag_got.n_asked; i++) {
		n_there += strcmp(diag_got.asked[i], "010c") == 0;
		n_missing += strcmp(diag_got.asked[i], "015c") == 0;
	}
	ck_assert_uint_ge(n_there, 60);
	ck_assert_uint_ge(n_missing, SILENCE_AFTER + 5);
	ck_assert_uint_le(n_missing, SILENCE_AFTER + 10);
}
END_TEST

/* An ECU without service 09: it is asked once a period which info types there are. */
START_TEST(nothing_to_discover)
{
	diag_fake.ecu.silent = true;
	diag_start_poll((struct diag_poll){
		.service = DIAG_OBD_INFO, .any = true, .period_ns = 10 * NS_PER_S});
	diag_run_ms(25000);
	ck_assert_uint_eq(diag_got.n_asked, 3);
}
END_TEST

/* More requests than there is room for: those that fit are asked, the rest is counted. */
START_TEST(bounded_schedule)
{
	static struct diag_id ids[DIAG_POLL_IDS_MAX];
	static struct diag_schedule s, again;
	struct diag_learnt learnt[2] = {0};
	struct coverage c = {.cat = diag_cat, .wants = diag_env.wants};
	struct diag_poll polls[2] = {
		{.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 200, .period_ns = 1, .group = 1},
		{.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 200, .period_ns = 1, .group = 1},
	};

	for (size_t i = 0; i < array_len(ids); i++)
		ids[i] = (struct diag_id){0x0C, 0};
	c.message = coverage_message(diag_cat, 0, 0x7E8, false);
	diag_schedule_make(&s, polls, learnt, 2, &c);
	ck_assert_uint_eq(s.n, DIAG_REQUESTS_MAX);
	ck_assert_uint_eq(s.left_out, 400 - DIAG_REQUESTS_MAX);
	diag_schedule_make(&again, polls, learnt, 2, &c);
	ck_assert(diag_schedule_equal(&s, &again));
	polls[1].group = 6;
	diag_schedule_make(&again, polls, learnt, 2, &c);
	ck_assert(!diag_schedule_equal(&s, &again));
	ck_assert_uint_eq(again.n, 200 + 34);
	c.message = CATALOG_NONE;
	diag_schedule_make(&again, polls, learnt, 2, &c);
	ck_assert_uint_eq(again.n, 0);
}
END_TEST

/* A sweep over all polls at once, and a stop in the middle of a request. */
START_TEST(many_polls_and_a_stop)
{
	struct diag_id pids[] = {{0x0C, 0}, {0x0D, 0}}, dids[] = {{0xF405, 0}};
	struct diag_poll polls[] = {
		{.service = DIAG_OBD_CURRENT, .any = true, .period_ns = NS_PER_S, .group = 6},
		{.service = DIAG_OBD_CURRENT,
		 .ids = pids,
		 .n_ids = 2,
		 .period_ns = 50 * NS_PER_MS,
		 .group = 6},
		{.service = DIAG_OBD_DTCS, .period_ns = NS_PER_S, .group = 1},
		{.service = DIAG_OBD_PENDING, .period_ns = NS_PER_S, .group = 1},
		{.service = DIAG_OBD_PERMANENT, .period_ns = NS_PER_S, .group = 1},
		{.service = DIAG_UDS_DID,
		 .ids = dids,
		 .n_ids = 1,
		 .period_ns = NS_PER_S,
		 .group = 1},
	};
	struct diag_options opt = diag_obd_options(polls, array_len(polls));

	diag_fake.ecu.n_dtcs = 1;
	diag_start(&opt);
	diag_run_ms(2000);
	diag_expect_value("OBD2_ECM.PendingDtcCount", 1);
	diag_expect_value("OBD2_ECM.PermanentDtc01", 0x0301);
	diag_fake.ecu.silent = true;
	diag_run_ms(300);
	source_stop(diag_source);
	diag_got.n_asked = 0;
	diag_run_ms(5000);
	ck_assert_uint_eq(diag_got.n_asked, 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("diag_pace");

	tcase_add_checked_fixture(tc, diag_setup, diag_teardown);
	tcase_add_test(tc, functional_requests);
	tcase_add_test(tc, requests_have_a_least_distance);
	tcase_add_test(tc, functional_requests_have_a_least_distance);
	tcase_add_test(tc, what_no_rule_collects_is_not_asked_for);
	tcase_add_test(tc, nothing_is_discovered_for_nobody);
	tcase_add_test(tc, identifier_without_signals);
	tcase_add_test(tc, silent_ecu_is_asked_less_often);
	tcase_add_test(tc, what_is_not_there_is_asked_for_rarely);
	tcase_add_test(tc, nothing_to_discover);
	tcase_add_test(tc, bounded_schedule);
	tcase_add_test(tc, many_polls_and_a_stop);
	return suite_run("diag_pace", &tc, 1);
}
