/* agent/diag/obd2.dbc against responses whose values are worked out by hand from the formulas of
 * SAE J1979 appendix B, and the places of a UDS response's bytes in uds_example.dbc. */
#include "agent/decode/decode.h"
#include "base/bytes.h"
#include "tests/unit/suite.h"
#include "tools/dbc/dbc.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *payload;
	const char *signal;
	double value;
} examples[] = {
	{"4100be1fa813", "Supported00", 0xBE1FA813},
	{"410183072500", "MalfunctionLamp", 1},
	{"410183072500", "DtcCount", 3},
	{"410183072500", "ReadinessTests", 0x072500},
	{"410103072500", "MalfunctionLamp", 0},
	{"41020143", "FreezeFrameDtc", 0x0143},
	{"41030204", "FuelSystem1Status", 2},
	{"41030204", "FuelSystem2Status", 4},
	{"4104ff", "EngineLoad", 100},
	{"410500", "CoolantTemperature", -40},
	{"41057b", "CoolantTemperature", 83},
	{"410680", "ShortFuelTrimBank1", 0},
	{"410700", "LongFuelTrimBank1", -100},
	{"4108c0", "ShortFuelTrimBank2", 50},
	{"410aff", "FuelPressure", 765},
	{"410b65", "IntakeManifoldPressure", 101},
	{"410c1af8", "EngineSpeed", 1726},
	{"410cffff", "EngineSpeed", 16383.75},
	{"410d48", "VehicleSpeed", 72},
	{"410e80", "TimingAdvance", 0},
	{"410eff", "TimingAdvance", 63.5},
	{"410f41", "IntakeAirTemperature", 25},
	{"4110ffff", "MassAirFlow", 655.35},
	{"411133", "ThrottlePosition", 20},
	{"41145a80", "OxygenSensor1Voltage", 0.45},
	{"41145a80", "OxygenSensor1Trim", 0},
	{"411bc8ff", "OxygenSensor8Voltage", 1},
	{"411f0e10", "RunTime", 3600},
	{"412000000001", "Supported20", 1},
	{"41210064", "DistanceWithLamp", 100},
	{"41220064", "FuelRailPressureToManifold", 7.9},
	{"41230190", "FuelRailPressure", 4000},
	{"412480004000", "OxygenSensor1Lambda", 1},
	{"412480004000", "OxygenSensor1WideVoltage", 2},
	{"412cff", "CommandedEgr", 100},
	{"412d00", "EgrError", -100},
	{"412f80", "FuelLevel", 50.196078431},
	{"413032", "WarmUpsSinceClear", 50},
	{"413101f4", "DistanceSinceClear", 500},
	{"4132ffff", "EvapVaporPressure", -0.25},
	{"413365", "BarometricPressure", 101},
	{"413480008000", "OxygenSensor1CurrentLambda", 1},
	{"413480008000", "OxygenSensor1Current", 0},
	{"413b80000000", "OxygenSensor8Current", -128},
	{"413c1170", "CatalystTemperatureBank1Sensor1", 406.4},
	{"413d0000", "CatalystTemperatureBank2Sensor1", -40},
	{"41423039", "ControlModuleVoltage", 12.345},
	{"414300ff", "AbsoluteLoad", 100},
	{"41448000", "CommandedLambda", 1},
	{"414632", "AmbientTemperature", 10},
	{"4149ff", "AcceleratorD", 100},
	{"414d003c", "RunTimeWithLamp", 60},
	{"415104", "FuelType", 4},
	{"415300c8", "EvapPressureAbsolute", 1},
	{"4154ff9c", "EvapPressureWide", -100},
	{"41590064", "FuelRailPressureAbsolute", 1000},
	{"415bff", "HybridBatteryCharge", 100},
	{"415c6e", "OilTemperature", 70},
	{"415d6900", "InjectionTiming", 0},
	{"415e0064", "FuelRate", 5},
	{"41617d", "DemandedTorque", 0},
	{"4162fa", "ActualTorque", 125},
	{"41630190", "ReferenceTorque", 400},
	{"41647d7e7f8081", "TorqueAtIdle", 0},
	{"41647d7e7f8081", "TorqueAtPoint4", 4},
	{"41a60001e240", "Odometer", 12345.6},
	{"43020143d016", "StoredDtcCount", 2},
	{"43020143d016", "StoredDtc01", 0x0143}, /* P0143 */
	{"43020143d016", "StoredDtc02", 0xD016}, /* U1016 */
	{"4700", "PendingDtcCount", 0},
	{"470104ff", "PendingDtc01", 0x04FF},
	{"4a010301", "PermanentDtc01", 0x0301},
	{"490601deadbeef", "CalibrationVerification", 0xDEADBEEF},
};

static struct catalog *cat;
static struct decoder *decoder;
static struct sample samples[1024];

static void load(const char *file)
{
	char spec[512];
	const char *specs[] = {spec};
	struct dbc_counts counts;
	struct error err;

	snprintf(spec, sizeof(spec), "can0=" TEST_DATA "/../../agent/diag/%s", file);
	ck_assert_msg(dbc_load_catalog(&cat, specs, 1, stderr, &counts, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(counts.warnings + counts.errors, 0);
	ck_assert_int_eq(decoder_new(&decoder, cat, NULL), 0);
}

static void teardown(void)
{
	decoder = decoder_free(decoder);
	cat = catalog_free(cat);
}

static size_t decode(const char *hex, uint32_t id)
{
	uint8_t data[64];
	struct payload p = {.kind = PAYLOAD_ISOTP, .id = id, .data = data};
	uint32_t message;
	size_t n;

	p.len = (size_t)hex_decode(hex, strlen(hex), data, sizeof(data));
	n = decoder_payload(decoder, &p, &message, samples);
	ck_assert_uint_ne(message, CATALOG_NONE);
	return n;
}

static const struct sample *find(const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(cat->signals[samples[i].signal].name, name) == 0)
			return &samples[i];
	return NULL;
}

START_TEST(values_of_the_standard)
{
	load("obd2.dbc");
	for (size_t i = 0; i < array_len(examples); i++) {
		size_t n = decode(examples[i].payload, 0x7E8);
		const struct sample *s = find(examples[i].signal, n);
		double v;

		ck_assert_msg(s != NULL, "%s: no %s", examples[i].payload, examples[i].signal);
		v = catalog_value(&cat->signals[s->signal], s->raw);
		ck_assert_msg(fabs(v - examples[i].value) < 1e-6, "%s: %s is %f, not %f",
			      examples[i].payload, examples[i].signal, v, examples[i].value);
	}
}
END_TEST

/* Nothing but what the response has: length, service, PID and the PID's own signals. */
START_TEST(nothing_else)
{
	load("obd2.dbc");
	ck_assert_uint_eq(decode("410c1af8", 0x7E8), 4);
	ck_assert_uint_eq(decode("4300", 0x7E8), 3);
	ck_assert_uint_eq(decode("430103010000", 0x7E8), 5); /* a second slot that holds 0000 */
	ck_assert_uint_eq(decode("41ff00", 0x7E8), 3);
	ck_assert_uint_eq(decode("7f0112", 0x7E8), 2);
}
END_TEST

START_TEST(dtcs_of_uds)
{
	size_t n;

	load("uds_example.dbc");
	n = decode("5901ff010102", 0x7E9);
	ck_assert_uint_eq(find("DtcCount", n)->raw, 0x0102);
	n = decode("5902ff0301112802a5000c", 0x7E9);
	ck_assert_uint_eq(find("Dtc01", n)->raw, 0x030111);
	ck_assert_uint_eq(find("Dtc01Status", n)->raw, 0x28);
	ck_assert_uint_eq(find("Dtc02", n)->raw, 0x02A500);
	ck_assert_uint_eq(find("Dtc02Status", n)->raw, 0x0C);
	ck_assert_ptr_null(find("Dtc03", n));
	ck_assert_ptr_null(find("DtcCount", n));
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("dbc");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, values_of_the_standard);
	tcase_add_test(tc, nothing_else);
	tcase_add_test(tc, dtcs_of_uds);
	return suite_run("diag_dbc", &tc, 1);
}
