/* What goes wrong with an ECU, the pipeline, the socket and the options, and what is said of it. */
#include "agent/health/limit.h"
#include "agent/source/can_port.h"
#include "tests/unit/diag_fixture.h"
#include "tests/unit/log_kept.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>
#include <unistd.h>

START_TEST(negative_responses_count)
{
	struct diag_id ids[] = {{0xF405, 0}};

	diag_fake.ecu.nrc = 0x22;
	diag_start_poll((struct diag_poll){.service = DIAG_UDS_DID, .ids = ids, .n_ids = 1});
	diag_run_ms(3000);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_negative), 3);
	ck_assert_uint_eq(diag_got.n_payloads, 0);
}
END_TEST

START_TEST(responses_to_others_count)
{
	struct diag_id ids[] = {{0xF405, 0}};

	diag_fake.ecu.says_foreign = true;
	diag_start_poll((struct diag_poll){.service = DIAG_UDS_DID, .ids = ids, .n_ids = 1});
	diag_run_ms(2000);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_errors), diag_got.n_asked);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_timeouts), 1);
	ck_assert_uint_eq(diag_got.n_payloads, 0);
}
END_TEST

/* A pipeline without room: nothing is lost, and nothing else is asked meanwhile. */
START_TEST(waits_for_room)
{
	struct diag_id ids[] = {{0x0C, 0}, {0x0D, 0}};

	diag_got.busy = true;
	diag_start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 2});
	diag_run_ms(5000);
	ck_assert_uint_eq(diag_got.n_asked, 1);
	source_resume(diag_source);
	ck_assert_uint_eq(diag_got.n_payloads, 0);
	diag_got.busy = false;
	source_resume(diag_source);
	ck_assert_uint_eq(diag_got.n_payloads, 2);
	diag_run_ms(1500);
	ck_assert_uint_ge(diag_got.n_asked, 2);
	diag_expect_value("OBD2_ECM.EngineSpeed", 1726);
	diag_expect_value("OBD2_ECM.VehicleSpeed", 72);
}
END_TEST

START_TEST(socket_that_is_lost_is_opened_again)
{
	struct diag_id ids[] = {{0x0C, 0}};

	diag_start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 1});
	diag_run_ms(100);
	ck_assert_uint_eq(diag_got.n_asked, 1);
	close(diag_fake.server);
	diag_fake.server = -1;
	diag_fake.find_error = ENODEV;
	diag_run_ms(5000);
	ck_assert_uint_ge(counter_get(&diag_counters.sources_failed), 2);
	diag_fake.find_error = 0;
	diag_run_ms(CAN_PORT_RETRY_S * 1000);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_responses), diag_got.n_payloads);
	ck_assert_uint_ge(diag_got.n_asked, 2);
	ck_assert_uint_ge(diag_got.n_payloads, 2);
}
END_TEST

START_TEST(kernel_without_isotp)
{
	struct diag_id ids[] = {{0x0C, 0}};

	diag_fake.open_error = EPROTONOSUPPORT;
	diag_start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 1});
	diag_run_ms(100);
	ck_assert_uint_eq(counter_get(&diag_counters.sources_failed), 1);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_requests), 0);
}
END_TEST

START_TEST(refused_options)
{
	struct diag_options opt = diag_obd_options(NULL, 0);
	struct error err;

	opt.bus = "can7";
	ck_assert_int_eq(diag_new(&diag_source, &diag_env, "ecm", &opt, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "can7"));
	opt.bus = "can0";
	opt.interface = "a-name-too-long-for-it";
	ck_assert_int_eq(diag_new(&diag_source, &diag_env, "ecm", &opt, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "a-name-too-long-for-it"));
}
END_TEST

/* A request that ends another way each time is said so often, and no more. */
START_TEST(news_without_end)
{
	struct diag_id ids[] = {{0x0C, 0}};

	diag_start_poll((struct diag_poll){
		.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 1, .period_ns = 100 * NS_PER_MS});
	log_keep(LOG_LEVEL_INFO);
	for (int i = 0; i < 100; i++) {
		diag_fake.ecu.nrc = i % 2 ? 0x22 : 0;
		diag_run_ms(100);
	}
	ck_assert_uint_eq(log_times(" diag_"), LIMIT_BURST);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_negative), 50);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_responses), 50);
}
END_TEST

/* Returns how often they were told of. */
static size_t hundred_strays(void)
{
	log_keep(LOG_LEVEL_INFO);
	for (int i = 0; i < 100; i++) {
		diag_ecu_send(&diag_fake.ecu, (const uint8_t[]){0x41, 0x0D, 0x48}, 3);
		diag_run_ms(100);
	}
	return log_times("diag_stray");
}

/* Once, and again when they had ceased for a while. */
START_TEST(stray_responses_are_said_once)
{
	struct diag_id ids[] = {{0x0C, 0}};

	diag_start_poll((struct diag_poll){
		.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 1, .period_ns = 60 * NS_PER_S});
	diag_run_ms(500);
	ck_assert_uint_eq(hundred_strays(), 1);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_errors), 100);
	ck_assert_uint_eq(diag_got.n_payloads, 1);
	ck_assert_uint_eq(hundred_strays(), 0);
	diag_run_ms(DIAG_STRAY_QUIET_S * 1000);
	ck_assert_uint_eq(hundred_strays(), 1);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("diag_failed");

	tcase_add_checked_fixture(tc, diag_setup, diag_teardown);
	tcase_add_test(tc, negative_responses_count);
	tcase_add_test(tc, responses_to_others_count);
	tcase_add_test(tc, waits_for_room);
	tcase_add_test(tc, socket_that_is_lost_is_opened_again);
	tcase_add_test(tc, kernel_without_isotp);
	tcase_add_test(tc, refused_options);
	tcase_add_test(tc, news_without_end);
	tcase_add_test(tc, stray_responses_are_said_once);
	return suite_run("diag_failed", &tc, 1);
}
