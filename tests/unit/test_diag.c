/* What is asked of an ECU over OBD-II and UDS, and what the decoder makes of its responses. */
#include "tests/unit/diag_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>

/* ---- OBD-II ---- */

START_TEST(pids_in_one_request)
{
	struct diag_id ids[] = {{0x0C, 0}, {0x0D, 0}, {0x05, 0}};

	diag_start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 3});
	ck_assert_uint_eq(diag_got.claimed, 0x7E8);
	diag_run_ms(2000);
	ck_assert_uint_eq(diag_got.n_asked, 2);
	ck_assert_str_eq(diag_got.asked[0], "010c0d05");
	ck_assert_uint_eq(diag_got.n_payloads, 6);
	diag_expect_value("OBD2_ECM.EngineSpeed", 1726);
	diag_expect_value("OBD2_ECM.VehicleSpeed", 72);
	diag_expect_value("OBD2_ECM.CoolantTemperature", 83);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_requests), 2);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_responses), 2);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_errors), 0);
}
END_TEST

/* PIDs 00, 20, ... are asked for, then what there is, six a request; values in the units of the
 * standard. */
START_TEST(what_the_ecu_supports)
{
	static const struct {
		const char *path;
		double value;
	} expected[] = {
		{"OBD2_ECM.SupportedA0", 0x04000000},
		{"OBD2_ECM.EngineLoad", 50.19607843},
		{"OBD2_ECM.IntakeAirTemperature", 25},
		{"OBD2_ECM.MassAirFlow", 5},
		{"OBD2_ECM.ThrottlePosition", 20},
		{"OBD2_ECM.RunTime", 60},
		{"OBD2_ECM.FuelLevel", 75.29411765},
		{"OBD2_ECM.BarometricPressure", 101},
		{"OBD2_ECM.ControlModuleVoltage", 14},
		{"OBD2_ECM.AmbientTemperature", 10},
		{"OBD2_ECM.Odometer", 12345.6},
		{"OBD2_ECM.MalfunctionLamp", 1},
		{"OBD2_ECM.DtcCount", 2},
	};

	diag_start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .any = true});
	diag_run_ms(12000);
	ck_assert_str_eq(diag_got.asked[0], "0100");
	ck_assert_str_eq(diag_got.asked[1], "0120");
	ck_assert_str_eq(diag_got.asked[5], "01a0");
	ck_assert_str_eq(diag_got.asked[6], "010104050c0d0f");
	for (size_t i = 0; i < array_len(expected); i++)
		diag_expect_value(expected[i].path, expected[i].value);
	ck_assert_ptr_null(diag_sample_of("OBD2_ECM.OilTemperature"));
	ck_assert_uint_eq(counter_get(&diag_counters.diag_errors), 0);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_timeouts), 0);
}
END_TEST

/* "Not now" is not "never": nothing of what it supports is lost. */
START_TEST(range_that_is_not_told_at_first)
{
	diag_start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .any = true});
	diag_run_ms(20);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_responses), 1);
	diag_fake.ecu.nrc = 0x22;
	diag_run_ms(3000);
	ck_assert_uint_ge(counter_get(&diag_counters.diag_negative), 1);
	diag_fake.ecu.nrc = 0;
	diag_run_ms(12000);
	diag_expect_value("OBD2_ECM.ControlModuleVoltage", 14);
}
END_TEST

START_TEST(range_that_is_refused)
{
	diag_start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .any = true});
	diag_run_ms(20);
	diag_fake.ecu.nrc = 0x31;
	diag_run_ms(300);
	diag_fake.ecu.nrc = 0;
	diag_run_ms(12000);
	for (size_t i = 2; i < diag_got.n_asked; i++)
		ck_assert_str_ne(diag_got.asked[i], "0120");
	diag_expect_value("OBD2_ECM.EngineSpeed", 1726);
}
END_TEST

/* It says that PIDs 41 to 60 are there, and does not say which. */
START_TEST(range_that_is_never_told)
{
	diag_fake.ecu.mute_pid = 0x40;
	diag_start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .any = true});
	diag_run_ms(12000);
	ck_assert_str_eq(diag_got.asked[2], "0140");
	diag_expect_value("OBD2_ECM.EngineSpeed", 1726);
	diag_expect_value("OBD2_ECM.BarometricPressure", 101);
	ck_assert_ptr_null(diag_sample_of("OBD2_ECM.ControlModuleVoltage"));
	diag_fake.ecu.mute_pid = 0;
	diag_run_ms(20000);
	diag_expect_value("OBD2_ECM.ControlModuleVoltage", 14);
}
END_TEST

START_TEST(stored_dtcs_come_and_go)
{
	diag_fake.ecu.n_dtcs = 2;
	diag_start_poll((struct diag_poll){.service = DIAG_OBD_DTCS});
	diag_run_ms(500);
	ck_assert_str_eq(diag_got.asked[0], "03");
	diag_expect_value("OBD2_ECM.StoredDtcCount", 2);
	diag_expect_value("OBD2_ECM.StoredDtc02", 0x0302);
	ck_assert_ptr_null(diag_sample_of("OBD2_ECM.StoredDtc03"));
	diag_got.n_seen = 0;
	diag_fake.ecu.n_dtcs = 0;
	diag_run_ms(1000);
	diag_expect_value("OBD2_ECM.StoredDtcCount", 0);
	ck_assert_ptr_null(diag_sample_of("OBD2_ECM.StoredDtc01"));
	diag_got.n_seen = 0;
	diag_fake.ecu.n_dtcs = 20; /* more than there are slots */
	diag_run_ms(1000);
	diag_expect_value("OBD2_ECM.StoredDtcCount", 20);
	diag_expect_value("OBD2_ECM.StoredDtc16", 0x0310);
}
END_TEST

START_TEST(vehicle_information)
{
	diag_start_poll((struct diag_poll){.service = DIAG_OBD_INFO, .any = true});
	diag_run_ms(6000);
	ck_assert_str_eq(diag_got.asked[0], "0900");
	ck_assert_ptr_nonnull(diag_sample_of("OBD2_ECM.CalibrationIdHigh"));
	ck_assert_uint_eq(diag_sample_of("OBD2_ECM.CalibrationIdHigh")->raw, 0x544F574C494E452Du);
	ck_assert_uint_eq(diag_sample_of("OBD2_ECM.CalibrationVerification")->raw, 0xDEADBEEF);
	ck_assert_ptr_nonnull(diag_sample_of("OBD2_ECM.EcuName3"));
}
END_TEST

START_TEST(obd_ecu_that_answers_the_first_alone)
{
	struct diag_id ids[] = {{0x0C, 0}, {0x0D, 0}};

	diag_fake.ecu.one_at_a_time = true;
	diag_start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 2});
	diag_run_ms(3000);
	ck_assert_str_eq(diag_got.asked[0], "010c0d");
	ck_assert_str_eq(diag_got.asked[1], "010c");
	ck_assert_str_eq(diag_got.asked[2], "010d");
	diag_expect_value("OBD2_ECM.VehicleSpeed", 72);
}
END_TEST

/* ---- UDS ---- */

START_TEST(dids_by_the_catalogs_lengths)
{
	struct diag_id ids[] = {
		{0xF187, 0}, {0xF191, 0}, {0xF405, 0}, {0xF40C, 0}, {ECU_LONG_DID, 0}};

	diag_start_poll((struct diag_poll){.service = DIAG_UDS_DID, .ids = ids, .n_ids = 5});
	diag_run_ms(900);
	ck_assert_uint_eq(diag_got.n_asked, 1);
	ck_assert_str_eq(diag_got.asked[0], "22f187f191f405f40c0200");
	ck_assert_uint_eq(diag_got.n_payloads, 5);
	diag_expect_value("UDS_TCM.CoolantTemperature", 83);
	diag_expect_value("UDS_TCM.EngineSpeed", 1726);
	diag_expect_value("UDS_TCM.TraceLast", 299 % 251);
	ck_assert_uint_eq(diag_sample_of("UDS_TCM.HardwareNumberLow")->raw, 0x4E4531);
}
END_TEST

START_TEST(dtcs_and_how_many)
{
	diag_fake.ecu.n_dtcs = 3;
	diag_start_poll((struct diag_poll){.service = DIAG_UDS_DTCS, .status_mask = 0x08});
	diag_run_ms(990);
	ck_assert_uint_eq(diag_got.n_asked, 2);
	ck_assert_str_eq(diag_got.asked[0], "190108");
	ck_assert_str_eq(diag_got.asked[1], "190208");
	diag_expect_value("UDS_TCM.DtcCount", 3);
	diag_expect_value("UDS_TCM.Dtc03", 0x030311);
	diag_expect_value("UDS_TCM.Dtc03Status", 0x08);
	ck_assert_ptr_null(diag_sample_of("UDS_TCM.Dtc04"));
}
END_TEST

START_TEST(ecu_that_takes_one_at_a_time)
{
	struct diag_id ids[] = {{0xF405, 0}, {0xF40C, 0}, {0xF40D, 0}};

	diag_fake.ecu.one_at_a_time = true;
	diag_start_poll((struct diag_poll){.service = DIAG_UDS_DID, .ids = ids, .n_ids = 3});
	diag_run_ms(3000);
	ck_assert_str_eq(diag_got.asked[0], "22f405f40cf40d");
	ck_assert_str_eq(diag_got.asked[1], "22f405");
	ck_assert_str_eq(diag_got.asked[2], "22f40c");
	diag_expect_value("UDS_TCM.EngineSpeed", 1726);
	diag_expect_value("UDS_TCM.VehicleSpeed", 72);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_negative), 1);
}
END_TEST

/* The catalog's length, or the configuration's, is not the ECU's. */
START_TEST(lengths_that_do_not_add_up)
{
	struct diag_id ids[] = {{0xF405, 3}, {0xF40C, 0}};

	diag_start_poll((struct diag_poll){.service = DIAG_UDS_DID, .ids = ids, .n_ids = 2});
	diag_run_ms(3000);
	ck_assert_str_eq(diag_got.asked[0], "22f405f40c");
	ck_assert_str_eq(diag_got.asked[1], "22f405");
	diag_expect_value("UDS_TCM.CoolantTemperature", 83);
	diag_expect_value("UDS_TCM.EngineSpeed", 1726);
	ck_assert_uint_eq(counter_get(&diag_counters.diag_errors), 1);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("diag");

	tcase_add_checked_fixture(tc, diag_setup, diag_teardown);
	tcase_add_test(tc, pids_in_one_request);
	tcase_add_test(tc, what_the_ecu_supports);
	tcase_add_test(tc, range_that_is_not_told_at_first);
	tcase_add_test(tc, range_that_is_refused);
	tcase_add_test(tc, range_that_is_never_told);
	tcase_add_test(tc, stored_dtcs_come_and_go);
	tcase_add_test(tc, vehicle_information);
	tcase_add_test(tc, obd_ecu_that_answers_the_first_alone);
	tcase_add_test(tc, dids_by_the_catalogs_lengths);
	tcase_add_test(tc, dtcs_and_how_many);
	tcase_add_test(tc, ecu_that_takes_one_at_a_time);
	tcase_add_test(tc, lengths_that_do_not_add_up);
	return suite_run("diag", &tc, 1);
}
