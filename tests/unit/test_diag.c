/* The whole source: a scripted ECU on a socket pair, the catalogs that are shipped, the agent's
 * decoder, and a clock that the test turns. */
#include "agent/can/can_interface.h"
#include "agent/decode/decode.h"
#include "agent/diag/diag.h"
#include "agent/diag/silence.h"
#include "agent/health/limit.h"
#include "agent/source/can_port.h"
#include "base/log.h"
#include "tests/fakes/ecu.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"
#include "tools/dbc/dbc.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SEEN_MAX = 4096, LOG_MAX = 256 };

static struct catalog *cat;
static struct decoder *decoder;
static struct counters counters;
static struct source_env env;
static struct source *source;
static struct ecu ecu;
static int server, functional_server, listened;

static struct sample seen[SEEN_MAX];
static size_t n_seen, n_payloads;
static bool busy;
static const char *unwanted; /* message.signal that no rule collects; "*": all */
static int open_error, find_error;
static uint32_t claimed;

static char asked[LOG_MAX][64]; /* requests, as hex */
static size_t n_asked;

/* ---- what the source stands on ---- */

static int on_payload(void *ctx, const struct payload *p)
{
	static struct sample out[1024];
	uint32_t message;
	size_t n;

	(void)ctx;
	if (busy)
		return SOURCE_BUSY;
	ck_assert_uint_le(decoder_samples_max(decoder), array_len(out));
	n = decoder_payload(decoder, p, &message, out);
	ck_assert_uint_ne(message, CATALOG_NONE);
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_lt(n_seen, SEEN_MAX);
		seen[n_seen++] = out[i];
	}
	n_payloads++;
	return 0;
}

static int on_claim(void *ctx, uint16_t bus, uint32_t id, bool extended)
{
	(void)ctx;
	ck_assert_uint_eq(bus, 0);
	ck_assert(!extended);
	claimed = id;
	return 0;
}

static bool on_wants(void *ctx, uint32_t signal)
{
	uint32_t not_this;

	(void)ctx;
	if (!unwanted)
		return true;
	if (strcmp(unwanted, "*") == 0)
		return false;
	ck_assert_int_eq(catalog_find(cat, unwanted, &not_this), 0);
	return signal != not_this;
}

static void on_ended(void *ctx, struct source *s)
{
	(void)ctx;
	(void)s;
	ck_abort_msg("a diagnostic source never ends");
}

static int on_find(const char *interface, struct can_interface *ret)
{
	ck_assert_str_eq(interface, "can0");
	if (find_error)
		return -find_error;
	*ret = (struct can_interface){.index = 1};
	return 0;
}

static int on_open(enum diag_fd which)
{
	int *const servers[] = {[DIAG_FD_MAIN] = &server,
				[DIAG_FD_FUNCTIONAL] = &functional_server,
				[DIAG_FD_LISTENER] = &listened};
	int pair[2], *mine = servers[which];

	if (open_error)
		return -open_error;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	if (*mine >= 0)
		close(*mine);
	*mine = pair[1];
	return pair[0];
}

static void ecu_send(struct ecu *e, const uint8_t *data, size_t len)
{
	(void)e;
	ck_assert_int_eq(send(server, data, len, 0), (ssize_t)len);
}

static void load_catalog(void)
{
	const char *specs[] = {"can0=" TEST_DATA "/../../agent/diag/obd2.dbc",
			       "can0=" TEST_DATA "/../../agent/diag/uds_example.dbc"};
	struct dbc_counts counts;
	struct error err;

	ck_assert_msg(dbc_load_catalog(&cat, specs, 2, stderr, &counts, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(counts.warnings + counts.errors, 0);
	ck_assert_int_eq(decoder_new(&decoder, cat, NULL), 0);
}

static void setup(void)
{
	set_up();
	log_set_level(LOG_LEVEL_ERROR);
	load_catalog();
	memset(&counters, 0, sizeof(counters));
	env = (struct source_env){.loop = l,
				  .tb = &fake.tb,
				  .cat = cat,
				  .counters = &counters,
				  .payload = on_payload,
				  .claim = on_claim,
				  .wants = on_wants,
				  .ended = on_ended};
	ecu = (struct ecu){.send = ecu_send};
	server = functional_server = listened = -1;
	n_seen = n_payloads = n_asked = 0;
	busy = false;
	unwanted = NULL;
	open_error = find_error = 0;
}

static void teardown(void)
{
	source = source_free(source);
	if (server >= 0)
		close(server);
	if (listened >= 0)
		close(listened);
	if (functional_server >= 0)
		close(functional_server);
	decoder = decoder_free(decoder);
	cat = catalog_free(cat);
	tear_down();
}

static struct diag_options obd_options(const struct diag_poll *polls, size_t n)
{
	return (struct diag_options){.interface = "can0",
				     .bus = "can0",
				     .socket = {.request = 0x7E0, .response = 0x7E8},
				     .p2_ns = 100 * NS_PER_MS,
				     .p2_star_ns = 5 * NS_PER_S,
				     .silent_ns = 30 * NS_PER_S,
				     .polls = polls,
				     .n_polls = n,
				     .open = on_open,
				     .find = on_find};
}

static void start(const struct diag_options *opt)
{
	struct error err = {""};

	ck_assert_msg(diag_new(&source, &env, "ecm", opt, &err) == 0, "%s", err.text);
}

/* One poll of the engine's controller (OBD-II) or of the other one (UDS). */
static void start_poll(struct diag_poll poll)
{
	struct diag_options opt = obd_options(&poll, 1);

	if (poll.period_ns == 0)
		poll.period_ns = NS_PER_S;
	if (poll.group == 0)
		poll.group = 6;
	if (!diag_service_is_obd(poll.service)) {
		opt.socket.request = 0x7E1;
		opt.socket.response = 0x7E9;
	}
	start(&opt);
}

static void serve(int fd)
{
	uint8_t request[64];
	ssize_t n;

	while (fd >= 0 && (n = recv(fd, request, sizeof(request), MSG_DONTWAIT)) > 0) {
		ck_assert_uint_lt(n_asked, LOG_MAX);
		for (ssize_t i = 0; i < n && i < 31; i++)
			snprintf(asked[n_asked] + 2 * i, 3, "%02x", request[i]);
		n_asked++;
		ecu_request(&ecu, request, (size_t)n);
	}
}

/* In steps of 10 ms; the ECU answers at once. */
static void run_ms(int ms)
{
	for (int i = 0; i < ms; i += 10) {
		turn();
		serve(server);
		serve(functional_server);
		turn();
		timebase_fake_advance(&fake, 10 * NS_PER_MS);
	}
}

static const struct sample *sample_of(const char *path)
{
	uint32_t signal;

	ck_assert_msg(catalog_find(cat, path, &signal) == 0, "no signal %s", path);
	for (size_t i = n_seen; i > 0; i--)
		if (seen[i - 1].signal == signal)
			return &seen[i - 1];
	return NULL;
}

static void expect_value(const char *path, double value)
{
	const struct sample *s = sample_of(path);

	ck_assert_msg(s != NULL, "%s: no sample", path);
	ck_assert_msg(fabs(catalog_value(&cat->signals[s->signal], s->raw) - value) < 1e-6,
		      "%s: %f", path, catalog_value(&cat->signals[s->signal], s->raw));
}

static uint64_t counted(_Atomic uint64_t *c)
{
	return counter_get(c);
}

/* ---- OBD-II ---- */

START_TEST(pids_in_one_request)
{
	struct diag_id ids[] = {{0x0C, 0}, {0x0D, 0}, {0x05, 0}};

	start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 3});
	ck_assert_uint_eq(claimed, 0x7E8);
	run_ms(2000);
	ck_assert_uint_eq(n_asked, 2);
	ck_assert_str_eq(asked[0], "010c0d05");
	ck_assert_uint_eq(n_payloads, 6);
	expect_value("OBD2_ECM.EngineSpeed", 1726);
	expect_value("OBD2_ECM.VehicleSpeed", 72);
	expect_value("OBD2_ECM.CoolantTemperature", 83);
	ck_assert_uint_eq(counted(&counters.diag_requests), 2);
	ck_assert_uint_eq(counted(&counters.diag_responses), 2);
	ck_assert_uint_eq(counted(&counters.diag_errors), 0);
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

	start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .any = true});
	run_ms(12000);
	ck_assert_str_eq(asked[0], "0100");
	ck_assert_str_eq(asked[1], "0120");
	ck_assert_str_eq(asked[5], "01a0");
	ck_assert_str_eq(asked[6], "010104050c0d0f");
	for (size_t i = 0; i < array_len(expected); i++)
		expect_value(expected[i].path, expected[i].value);
	ck_assert_ptr_null(sample_of("OBD2_ECM.OilTemperature"));
	ck_assert_uint_eq(counted(&counters.diag_errors), 0);
	ck_assert_uint_eq(counted(&counters.diag_timeouts), 0);
}
END_TEST

/* "Not now" is not "never": nothing of what it supports is lost. */
START_TEST(range_that_is_not_told_at_first)
{
	start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .any = true});
	run_ms(20);
	ck_assert_uint_eq(counted(&counters.diag_responses), 1);
	ecu.nrc = 0x22;
	run_ms(3000);
	ck_assert_uint_ge(counted(&counters.diag_negative), 1);
	ecu.nrc = 0;
	run_ms(12000);
	expect_value("OBD2_ECM.ControlModuleVoltage", 14);
}
END_TEST

START_TEST(range_that_is_refused)
{
	start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .any = true});
	run_ms(20);
	ecu.nrc = 0x31;
	run_ms(300);
	ecu.nrc = 0;
	run_ms(12000);
	for (size_t i = 2; i < n_asked; i++)
		ck_assert_str_ne(asked[i], "0120");
	expect_value("OBD2_ECM.EngineSpeed", 1726);
}
END_TEST

/* It says that PIDs 41 to 60 are there, and does not say which. */
START_TEST(range_that_is_never_told)
{
	ecu.mute_pid = 0x40;
	start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .any = true});
	run_ms(12000);
	ck_assert_str_eq(asked[2], "0140");
	expect_value("OBD2_ECM.EngineSpeed", 1726);
	expect_value("OBD2_ECM.BarometricPressure", 101);
	ck_assert_ptr_null(sample_of("OBD2_ECM.ControlModuleVoltage"));
	ecu.mute_pid = 0;
	run_ms(20000);
	expect_value("OBD2_ECM.ControlModuleVoltage", 14);
}
END_TEST

START_TEST(stored_dtcs_come_and_go)
{
	ecu.n_dtcs = 2;
	start_poll((struct diag_poll){.service = DIAG_OBD_DTCS});
	run_ms(500);
	ck_assert_str_eq(asked[0], "03");
	expect_value("OBD2_ECM.StoredDtcCount", 2);
	expect_value("OBD2_ECM.StoredDtc02", 0x0302);
	ck_assert_ptr_null(sample_of("OBD2_ECM.StoredDtc03"));
	n_seen = 0;
	ecu.n_dtcs = 0;
	run_ms(1000);
	expect_value("OBD2_ECM.StoredDtcCount", 0);
	ck_assert_ptr_null(sample_of("OBD2_ECM.StoredDtc01"));
	n_seen = 0;
	ecu.n_dtcs = 20; /* more than there are slots */
	run_ms(1000);
	expect_value("OBD2_ECM.StoredDtcCount", 20);
	expect_value("OBD2_ECM.StoredDtc16", 0x0310);
}
END_TEST

START_TEST(vehicle_information)
{
	start_poll((struct diag_poll){.service = DIAG_OBD_INFO, .any = true});
	run_ms(6000);
	ck_assert_str_eq(asked[0], "0900");
	ck_assert_ptr_nonnull(sample_of("OBD2_ECM.CalibrationIdHigh"));
	ck_assert_uint_eq(sample_of("OBD2_ECM.CalibrationIdHigh")->raw, 0x544F574C494E452Du);
	ck_assert_uint_eq(sample_of("OBD2_ECM.CalibrationVerification")->raw, 0xDEADBEEF);
	ck_assert_ptr_nonnull(sample_of("OBD2_ECM.EcuName3"));
}
END_TEST

START_TEST(functional_requests)
{
	struct diag_id ids[] = {{0x0C, 0}};
	struct diag_poll poll = {.service = DIAG_OBD_CURRENT,
				 .ids = ids,
				 .n_ids = 1,
				 .period_ns = NS_PER_S,
				 .group = 6};
	struct diag_options opt = obd_options(&poll, 1);

	opt.has_functional = true;
	opt.functional = 0x7DF;
	start(&opt);
	turn();
	serve(server);
	ck_assert_uint_eq(n_asked, 0);
	run_ms(100);
	ck_assert_uint_eq(n_asked, 1);
	expect_value("OBD2_ECM.EngineSpeed", 1726);
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
	start_poll(poll);
	for (int ms = 0; ms < 1000; ms++) {
		turn();
		serve(server);
		turn();
		timebase_fake_advance(&fake, NS_PER_MS);
	}
	ck_assert_uint_eq(n_asked, 1000 / DIAG_GAP_MS);
	ck_assert_uint_ge(counted(&counters.diag_skipped), 1);
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
	struct diag_options opt = obd_options(&poll, 1);

	opt.has_functional = true;
	opt.functional = 0x7DF;
	start(&opt);
	run_ms(1000);
	ck_assert_uint_eq(n_asked, 10); /* P2 is 100 ms */
	ck_assert_uint_eq(counted(&counters.diag_responses), 10);
}
END_TEST

/* What the source says while `run` goes: how often `event` is in it. */
static size_t said(void (*run)(void), const char *event)
{
	static char line[1024];
	FILE *f = tmpfile();
	int log = dup(STDERR_FILENO);
	size_t n = 0;

	ck_assert(f && log >= 0 && dup2(fileno(f), STDERR_FILENO) >= 0);
	log_set_level(LOG_LEVEL_INFO);
	run();
	log_set_level(LOG_LEVEL_ERROR);
	ck_assert_int_ge(dup2(log, STDERR_FILENO), 0);
	rewind(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, event) != NULL;
	(void)fclose(f);
	close(log);
	return n;
}

static void undecided_ecu(void)
{
	for (int i = 0; i < 100; i++) {
		ecu.nrc = i % 2 ? 0x22 : 0;
		run_ms(100);
	}
}

/* A request that ends another way each time is said so often, and no more. */
START_TEST(news_without_end)
{
	struct diag_id ids[] = {{0x0C, 0}};

	start_poll((struct diag_poll){
		.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 1, .period_ns = 100 * NS_PER_MS});
	ck_assert_uint_eq(said(undecided_ecu, " diag_"), LIMIT_BURST);
	ck_assert_uint_eq(counted(&counters.diag_negative), 50);
	ck_assert_uint_eq(counted(&counters.diag_responses), 50);
}
END_TEST

static void hundred_strays(void)
{
	for (int i = 0; i < 100; i++) {
		ecu_send(&ecu, (const uint8_t[]){0x41, 0x0D, 0x48}, 3);
		run_ms(100);
	}
}

/* Once, and again when they had ceased for a while. */
START_TEST(stray_responses_are_said_once)
{
	struct diag_id ids[] = {{0x0C, 0}};

	start_poll((struct diag_poll){
		.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 1, .period_ns = 60 * NS_PER_S});
	run_ms(500);
	ck_assert_uint_eq(said(hundred_strays, "diag_stray"), 1);
	ck_assert_uint_eq(counted(&counters.diag_errors), 100);
	ck_assert_uint_eq(n_payloads, 1);
	ck_assert_uint_eq(said(hundred_strays, "diag_stray"), 0);
	run_ms(DIAG_STRAY_QUIET_S * 1000);
	ck_assert_uint_eq(said(hundred_strays, "diag_stray"), 1);
}
END_TEST

/* ---- UDS ---- */

START_TEST(dids_by_the_catalogs_lengths)
{
	struct diag_id ids[] = {
		{0xF187, 0}, {0xF191, 0}, {0xF405, 0}, {0xF40C, 0}, {ECU_LONG_DID, 0}};

	start_poll((struct diag_poll){.service = DIAG_UDS_DID, .ids = ids, .n_ids = 5});
	run_ms(900);
	ck_assert_uint_eq(n_asked, 1);
	ck_assert_str_eq(asked[0], "22f187f191f405f40c0200");
	ck_assert_uint_eq(n_payloads, 5);
	expect_value("UDS_TCM.CoolantTemperature", 83);
	expect_value("UDS_TCM.EngineSpeed", 1726);
	expect_value("UDS_TCM.TraceLast", 299 % 251);
	ck_assert_uint_eq(sample_of("UDS_TCM.HardwareNumberLow")->raw, 0x4E4531);
}
END_TEST

START_TEST(dtcs_and_how_many)
{
	ecu.n_dtcs = 3;
	start_poll((struct diag_poll){.service = DIAG_UDS_DTCS, .status_mask = 0x08});
	run_ms(990);
	ck_assert_uint_eq(n_asked, 2);
	ck_assert_str_eq(asked[0], "190108");
	ck_assert_str_eq(asked[1], "190208");
	expect_value("UDS_TCM.DtcCount", 3);
	expect_value("UDS_TCM.Dtc03", 0x030311);
	expect_value("UDS_TCM.Dtc03Status", 0x08);
	ck_assert_ptr_null(sample_of("UDS_TCM.Dtc04"));
}
END_TEST

START_TEST(ecu_that_takes_one_at_a_time)
{
	struct diag_id ids[] = {{0xF405, 0}, {0xF40C, 0}, {0xF40D, 0}};

	ecu.one_at_a_time = true;
	start_poll((struct diag_poll){.service = DIAG_UDS_DID, .ids = ids, .n_ids = 3});
	run_ms(3000);
	ck_assert_str_eq(asked[0], "22f405f40cf40d");
	ck_assert_str_eq(asked[1], "22f405");
	ck_assert_str_eq(asked[2], "22f40c");
	expect_value("UDS_TCM.EngineSpeed", 1726);
	expect_value("UDS_TCM.VehicleSpeed", 72);
	ck_assert_uint_eq(counted(&counters.diag_negative), 1);
}
END_TEST

START_TEST(obd_ecu_that_answers_the_first_alone)
{
	struct diag_id ids[] = {{0x0C, 0}, {0x0D, 0}};

	ecu.one_at_a_time = true;
	start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 2});
	run_ms(3000);
	ck_assert_str_eq(asked[0], "010c0d");
	ck_assert_str_eq(asked[1], "010c");
	ck_assert_str_eq(asked[2], "010d");
	expect_value("OBD2_ECM.VehicleSpeed", 72);
}
END_TEST

/* The catalog's length, or the configuration's, is not the ECU's. */
START_TEST(lengths_that_do_not_add_up)
{
	struct diag_id ids[] = {{0xF405, 3}, {0xF40C, 0}};

	start_poll((struct diag_poll){.service = DIAG_UDS_DID, .ids = ids, .n_ids = 2});
	run_ms(3000);
	ck_assert_str_eq(asked[0], "22f405f40c");
	ck_assert_str_eq(asked[1], "22f405");
	expect_value("UDS_TCM.CoolantTemperature", 83);
	expect_value("UDS_TCM.EngineSpeed", 1726);
	ck_assert_uint_eq(counted(&counters.diag_errors), 1);
}
END_TEST

/* ---- what nobody wants ---- */

START_TEST(what_no_rule_collects_is_not_asked_for)
{
	struct diag_id ids[] = {{0x0C, 0}, {0x0D, 0}};

	unwanted = "OBD2_ECM.EngineSpeed";
	start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 2});
	run_ms(990);
	ck_assert_uint_eq(n_asked, 1);
	ck_assert_str_eq(asked[0], "010d");
	unwanted = "*";
	source_matches_changed(source);
	run_ms(3000);
	ck_assert_uint_eq(n_asked, 1);
	unwanted = NULL;
	source_matches_changed(source);
	run_ms(500);
	ck_assert_uint_eq(n_asked, 2);
	ck_assert_str_eq(asked[1], "010c0d");
}
END_TEST

/* Not even which PIDs there are. */
START_TEST(nothing_is_discovered_for_nobody)
{
	unwanted = "*";
	start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .any = true});
	run_ms(5000);
	ck_assert_uint_eq(n_asked, 0);
}
END_TEST

START_TEST(identifier_without_signals)
{
	struct diag_id ids[] = {{0x9999, 4}, {0xF405, 0}};

	start_poll((struct diag_poll){.service = DIAG_UDS_DID, .ids = ids, .n_ids = 2});
	run_ms(500);
	ck_assert_str_eq(asked[0], "22f405");
}
END_TEST

/* ---- what goes wrong ---- */

START_TEST(silent_ecu_is_asked_less_often)
{
	struct diag_id ids[] = {{0x0C, 0}};

	ecu.silent = true;
	start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 1});
	run_ms(60000);
	ck_assert_uint_eq(n_asked, SILENCE_AFTER + 1);
	ck_assert_uint_eq(counted(&counters.diag_timeouts), SILENCE_AFTER + 1);
	ecu.silent = false;
	n_asked = 0;
	run_ms(40000);
	ck_assert_uint_ge(n_asked, 30 / 2);
	expect_value("OBD2_ECM.EngineSpeed", 1726);
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
	struct diag_options opt = obd_options(polls, array_len(polls));
	size_t n_there = 0, n_missing = 0;

	start(&opt);
	run_ms(40000);
	for (size_t i = 0; i < n_asked; i++) {
		n_there += strcmp(asked[i], "010c") == 0;
		n_missing += strcmp(asked[i], "015c") == 0;
	}
	ck_assert_uint_ge(n_there, 60);
	ck_assert_uint_ge(n_missing, SILENCE_AFTER + 5);
	ck_assert_uint_le(n_missing, SILENCE_AFTER + 10);
}
END_TEST

/* An ECU without service 09: it is asked once a period which info types there are. */
START_TEST(nothing_to_discover)
{
	ecu.silent = true;
	start_poll((struct diag_poll){
		.service = DIAG_OBD_INFO, .any = true, .period_ns = 10 * NS_PER_S});
	run_ms(25000);
	ck_assert_uint_eq(n_asked, 3);
}
END_TEST

START_TEST(negative_responses_count)
{
	struct diag_id ids[] = {{0xF405, 0}};

	ecu.nrc = 0x22;
	start_poll((struct diag_poll){.service = DIAG_UDS_DID, .ids = ids, .n_ids = 1});
	run_ms(3000);
	ck_assert_uint_eq(counted(&counters.diag_negative), 3);
	ck_assert_uint_eq(n_payloads, 0);
}
END_TEST

START_TEST(responses_to_others_count)
{
	struct diag_id ids[] = {{0xF405, 0}};

	ecu.says_foreign = true;
	start_poll((struct diag_poll){.service = DIAG_UDS_DID, .ids = ids, .n_ids = 1});
	run_ms(2000);
	ck_assert_uint_eq(counted(&counters.diag_errors), n_asked);
	ck_assert_uint_eq(counted(&counters.diag_timeouts), 1);
	ck_assert_uint_eq(n_payloads, 0);
}
END_TEST

/* A pipeline without room: nothing is lost, and nothing else is asked meanwhile. */
START_TEST(waits_for_room)
{
	struct diag_id ids[] = {{0x0C, 0}, {0x0D, 0}};

	busy = true;
	start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 2});
	run_ms(5000);
	ck_assert_uint_eq(n_asked, 1);
	source_resume(source);
	ck_assert_uint_eq(n_payloads, 0);
	busy = false;
	source_resume(source);
	ck_assert_uint_eq(n_payloads, 2);
	run_ms(1500);
	ck_assert_uint_ge(n_asked, 2);
	expect_value("OBD2_ECM.EngineSpeed", 1726);
	expect_value("OBD2_ECM.VehicleSpeed", 72);
}
END_TEST

START_TEST(socket_that_is_lost_is_opened_again)
{
	struct diag_id ids[] = {{0x0C, 0}};

	start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 1});
	run_ms(100);
	ck_assert_uint_eq(n_asked, 1);
	close(server);
	server = -1;
	find_error = ENODEV;
	run_ms(5000);
	ck_assert_uint_ge(counted(&counters.sources_failed), 2);
	find_error = 0;
	run_ms(CAN_PORT_RETRY_S * 1000);
	ck_assert_uint_eq(counted(&counters.diag_responses), n_payloads);
	ck_assert_uint_ge(n_asked, 2);
	ck_assert_uint_ge(n_payloads, 2);
}
END_TEST

START_TEST(kernel_without_isotp)
{
	struct diag_id ids[] = {{0x0C, 0}};

	open_error = EPROTONOSUPPORT;
	start_poll((struct diag_poll){.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 1});
	run_ms(100);
	ck_assert_uint_eq(counted(&counters.sources_failed), 1);
	ck_assert_uint_eq(counted(&counters.diag_requests), 0);
}
END_TEST

START_TEST(refused_options)
{
	struct diag_options opt = obd_options(NULL, 0);
	struct error err;

	opt.bus = "can7";
	ck_assert_int_eq(diag_new(&source, &env, "ecm", &opt, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "can7"));
	opt.bus = "can0";
	opt.interface = "a-name-too-long-for-it";
	ck_assert_int_eq(diag_new(&source, &env, "ecm", &opt, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "a-name-too-long-for-it"));
}
END_TEST

/* More requests than there is room for: those that fit are asked, the rest is counted. */
START_TEST(bounded_schedule)
{
	static struct diag_id ids[DIAG_POLL_IDS_MAX];
	static struct diag_schedule s, again;
	struct diag_learnt learnt[2] = {0};
	struct coverage c = {.cat = cat, .wants = on_wants};
	struct diag_poll polls[2] = {
		{.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 200, .period_ns = 1, .group = 1},
		{.service = DIAG_OBD_CURRENT, .ids = ids, .n_ids = 200, .period_ns = 1, .group = 1},
	};

	for (size_t i = 0; i < array_len(ids); i++)
		ids[i] = (struct diag_id){0x0C, 0};
	c.message = coverage_message(cat, 0, 0x7E8, false);
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
	struct diag_options opt = obd_options(polls, array_len(polls));

	ecu.n_dtcs = 1;
	start(&opt);
	run_ms(2000);
	expect_value("OBD2_ECM.PendingDtcCount", 1);
	expect_value("OBD2_ECM.PermanentDtc01", 0x0301);
	ecu.silent = true;
	run_ms(300);
	source_stop(source);
	n_asked = 0;
	run_ms(5000);
	ck_assert_uint_eq(n_asked, 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("diag");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, pids_in_one_request);
	tcase_add_test(tc, what_the_ecu_supports);
	tcase_add_test(tc, range_that_is_not_told_at_first);
	tcase_add_test(tc, range_that_is_refused);
	tcase_add_test(tc, range_that_is_never_told);
	tcase_add_test(tc, stored_dtcs_come_and_go);
	tcase_add_test(tc, vehicle_information);
	tcase_add_test(tc, functional_requests);
	tcase_add_test(tc, requests_have_a_least_distance);
	tcase_add_test(tc, functional_requests_have_a_least_distance);
	tcase_add_test(tc, news_without_end);
	tcase_add_test(tc, stray_responses_are_said_once);
	tcase_add_test(tc, dids_by_the_catalogs_lengths);
	tcase_add_test(tc, dtcs_and_how_many);
	tcase_add_test(tc, ecu_that_takes_one_at_a_time);
	tcase_add_test(tc, obd_ecu_that_answers_the_first_alone);
	tcase_add_test(tc, lengths_that_do_not_add_up);
	tcase_add_test(tc, what_no_rule_collects_is_not_asked_for);
	tcase_add_test(tc, nothing_is_discovered_for_nobody);
	tcase_add_test(tc, identifier_without_signals);
	tcase_add_test(tc, silent_ecu_is_asked_less_often);
	tcase_add_test(tc, what_is_not_there_is_asked_for_rarely);
	tcase_add_test(tc, nothing_to_discover);
	tcase_add_test(tc, negative_responses_count);
	tcase_add_test(tc, responses_to_others_count);
	tcase_add_test(tc, waits_for_room);
	tcase_add_test(tc, socket_that_is_lost_is_opened_again);
	tcase_add_test(tc, kernel_without_isotp);
	tcase_add_test(tc, refused_options);
	tcase_add_test(tc, bounded_schedule);
	tcase_add_test(tc, many_polls_and_a_stop);
	return suite_run("diag", &tc, 1);
}
