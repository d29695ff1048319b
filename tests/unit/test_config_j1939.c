/* What agent.conf may say of J1939 sources and what they ask for. */
#include "agent/config/config.h"
#include "agent/source/socketcan.h"
#include "base/log.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/small_catalog.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define HEAD                                                                                       \
	"[agent]\nvehicle = v\ndevice = d\ndata_dir = /d\n[catalog]\nfile = c\n"                   \
	"[collect all]\nsignals = *\n"
#define SOURCE "[source truck]\ntype = j1939\ninterface = can7\n"
#define POLL   "[poll p]\nsource = truck\nservice = pgn\n"

/* The checks of config_load, of a text. */
static int check(const char *text, struct conf **ret, struct error *err)
{
	const char *label;
	int r = conf_parse(ret, config_table(), "a.conf", text, strlen(text), err);

	for (size_t i = 0; r == 0 && (label = conf_label(*ret, "source", i)) != NULL; i++) {
		if (conf_enum(*ret, "source", label, "type") == 3)
			r = config_check_j1939(*ret, "a.conf", label, err);
		if (r == 0)
			r = config_check_read_once(*ret, "a.conf", label, err);
	}
	return r < 0 ? r : config_check_polls(*ret, "a.conf", err);
}

static void refuses(const char *text, const char *want)
{
	struct error err = {0};
	struct conf *c = NULL;

	ck_assert_int_eq(check(text, &c, &err), -EINVAL);
	ck_assert_str_eq(err.text, want);
	conf_free(c);
}

static void accepts(const char *text)
{
	struct error err = {0};
	struct conf *c = NULL;

	ck_assert_msg(check(text, &c, &err) == 0, "%s", err.text);
	conf_free(c);
}

START_TEST(sources)
{
	accepts(HEAD SOURCE);
	accepts(HEAD SOURCE "address = 128\nname = 8000A0B0C0D0E0F1\n");
	accepts(HEAD SOURCE "address = 0\nname = 0x8000a0b0c0d0e0f1\nprotocol = kernel\n");
	refuses(HEAD SOURCE "name = 8000A0B0C0D0E0F1\n",
		"a.conf:12: [source truck] name: needs the address that is claimed with it");
	refuses(HEAD SOURCE "address = 128\nname = 8000A0B0C0D0E0F\n",
		"a.conf:13: [source truck] name: a NAME of SAE J1939-81, not 0: 16 hexadecimal "
		"digits");
	refuses(HEAD SOURCE "address = 128\nname = 0000000000000000\n",
		"a.conf:13: [source truck] name: a NAME of SAE J1939-81, not 0: 16 hexadecimal "
		"digits");
	refuses(HEAD SOURCE "address = 128\nname = 1000000000000000ab\n",
		"a.conf:13: [source truck] name: a NAME of SAE J1939-81, not 0: 16 hexadecimal "
		"digits");
	refuses(HEAD SOURCE "address = 128\nname = 8000A0B0C0D0E0F1\nprotocol = raw\n",
		"a.conf:13: [source truck] name: only the kernel's J1939 can claim an address");
}
END_TEST

START_TEST(one_bus_read_once)
{
	const char *twice = HEAD SOURCE "[source raw]\ntype = socketcan\ninterface = can7\n";

	refuses(twice,
		"a.conf:14: [source raw] interface: [source truck] reads this interface as the "
		"same bus: every sample would come twice");
	refuses(HEAD SOURCE "bus = a\n[source b]\ntype = j1939\ninterface = can7\nbus = a\n",
		"a.conf:15: [source b] interface: [source truck] reads this interface as the same "
		"bus: every sample would come twice");
	/* Other interfaces, other buses, and who reads no bus. */
	accepts(HEAD SOURCE "bus = a\n[source b]\ntype = j1939\ninterface = can8\nbus = a\n");
	accepts(HEAD SOURCE "[source b]\ntype = socketcan\ninterface = can7\nbus = other\n");
	accepts(HEAD SOURCE "[source b]\ntype = diag\ninterface = can7\nrequest = 0x7E0\n"
			    "response = 0x7E8\n");
}
END_TEST

START_TEST(polls)
{
	const char *wrong = "a.conf:15: [poll p] ids: '%s': a PGN up to 262143 (0x3FFFF), below PF "
			    "240 with 00 at its end";
	static const char *const bad[] = {"262144",
					  "0x40000",
					  "61185",
					  "0xEF01",
					  "x",
					  "0x",
					  "-1",
					  "65253/8",
					  "0x0xFEDA",
					  "0x-1",
					  "0xFEDA0000FEDA0000FEDA0"};

	accepts(HEAD SOURCE "address = 1\n" POLL "ids = 65253, 0xFEDA, 61184, 0x3FFFF\n");
	refuses(HEAD SOURCE POLL "ids = 65253\n",
		"a.conf:13: [poll p] source: no [source] of type j1939 with an address has this "
		"name");
	refuses(HEAD SOURCE "address = 1\n[poll p]\nsource = car\nservice = pgn\nids = 65253\n",
		"a.conf:14: [poll p] source: no [source] of type j1939 with an address has this "
		"name");
	refuses(HEAD SOURCE "address = 1\n" POLL, "a.conf:15: [poll p] service: it needs ids");
	refuses(HEAD SOURCE "address = 1\n[poll p]\nsource = truck\nservice = uds_dtcs\n",
		"a.conf:14: [poll p] source: no [source] of type diag has this name");
	refuses(HEAD SOURCE "address = 1\n" POLL "ids = 65253\ndestination = 254\n",
		"a.conf:17: [poll p] destination: 254 is the address of nobody");
	refuses(HEAD SOURCE "address = 1\n" POLL "ids = 65253\ndestination = 1\n",
		"a.conf:17: [poll p] destination: this is the source's own address");
	for (size_t i = 0; i < array_len(bad); i++) {
		char text[512], want[256];

		snprintf(text, sizeof(text), HEAD SOURCE "address = 1\n" POLL "ids = %s\n", bad[i]);
		snprintf(want, sizeof(want), wrong, bad[i]);
		want[8] = '6';
		refuses(text, want);
	}
}
END_TEST

/* ---- making ---- */

static int on_frame(void *ctx, const struct frame *f)
{
	(void)ctx;
	(void)f;
	return 0;
}

START_TEST(made)
{
	static const char *const names[] = {"A", "a", "b", "B", "c"};
	struct catalog *cat = two_messages(names);
	struct counters counters = {0};
	struct source_env env = {
		.loop = l, .tb = &fake.tb, .cat = cat, .counters = &counters, .frame = on_frame};
	struct socketcan_options can = {.interface = "can7", .bus = "can0"};
	struct source *source = NULL;
	struct error err = {0};
	char text[4096] = HEAD SOURCE "bus = can0\naddress = 1\n";
	struct conf *c;
	size_t at;

	log_set_level(LOG_LEVEL_ERROR);
	for (int p = 0; p < 2; p++) {
		at = strlen(text);
		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       "[poll p%d]\nsource = truck\nservice = pgn\nids =", p);
		for (int i = 0; i < 129 - !p; i++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u%s",
					       i ? " " : " ", 65000 + i,
					       i == 128 - !p  ? "\n"
					       : i % 20 == 19 ? ",\n "
							      : ",");
		if (p == 1)
			break;
		ck_assert_int_eq(check(text, &c, &err), 0);
		ck_assert_int_eq(config_make_j1939(&source, c, "truck", &can, &env, &err), 0);
		source = source_free(source);
		conf_free(c);
	}
	refuses(text, "a.conf:17: [poll p0] ids: more than 256 PGNs are asked for by one source");
	catalog_free(cat);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("config_j1939"), *making = tcase_create("making");
	TCase *const cases[] = {tc, making};

	tcase_add_test(tc, sources);
	tcase_add_test(tc, one_bus_read_once);
	tcase_add_test(tc, polls);
	tcase_add_checked_fixture(making, set_up, tear_down);
	tcase_add_test(making, made);
	return suite_run("config_j1939", cases, array_len(cases));
}
