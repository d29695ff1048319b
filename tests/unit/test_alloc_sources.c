/* The agent's sources without memory: made from a configuration, and while they read a CAN bus.
 * Once they are made they need none, but for filters, without which all of a bus is read. */
#include "agent/config/config.h"
#include "tests/unit/alloc_fixture.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/small_catalog.h"
#include "tests/unit/socketcan_fixture.h"

#include <string.h>

/* ---- made ---- */

static const char conf_text[] =
	"[agent]\nvehicle=v1\ndevice=d1\ndata_dir=/nowhere\n[mqtt]\nuri=mqtt://127.0.0.1\n"
	"[catalog]\nfile=catalog\n[can can9]\nbitrate=500000\n"
	"[source can]\ntype=socketcan\ninterface=can9\nbus=can0\n"
	"[source ecu]\ntype=diag\ninterface=can9\nbus=can0\nrequest=0x7E0\nresponse=0x7E8\n"
	"[poll fast]\nsource=ecu\nservice=obd_current\nids=auto\nperiod_ms=1000\n"
	"[poll codes]\nsource=ecu\nservice=obd_dtcs\nperiod_ms=5000\n"
	"[source truck]\ntype=j1939\ninterface=can9\nbus=can0\naddress=128\n"
	"[poll hours]\nsource=truck\nservice=pgn\nids=65253\nperiod_ms=1000\n"
	"[collect all]\nsignals=*\n";

enum { SOURCES = 3 };

static struct conf *conf;
static struct catalog *cat;
static struct can_links *links;
static struct source *sources[SOURCES];
static struct counters counted;
static struct source_env env;
static struct error err;

static int claim(void *ctx, uint16_t bus, uint32_t id, bool extended)
{
	(void)ctx;
	(void)bus;
	(void)id;
	(void)extended;
	return 0;
}

static bool wants(void *ctx, uint32_t signal)
{
	(void)ctx;
	(void)signal;
	return true;
}

static void set_up_made(void)
{
	static const char *const names[5] = {"A", "a1", "a2", "B", "b1"};

	set_up();
	cat = two_messages(names);
	memset(&counted, 0, sizeof(counted));
	env = (struct source_env){.loop = l,
				  .tb = &fake.tb,
				  .cat = cat,
				  .counters = &counted,
				  .claim = claim,
				  .wants = wants};
	ck_assert_msg(conf_parse(&conf, config_table(), "agent.conf", conf_text, strlen(conf_text),
				 &err) == 0,
		      "%s", err.text);
}

static int make_sources(void)
{
	int r = links ? 0 : config_links(&links, conf, l, &counted, &err);

	if (r == 0)
		env.watch = can_links_watch(links);
	for (size_t i = 0; r == 0 && i < SOURCES; i++)
		if (!sources[i])
			r = config_source(&sources[i], conf, "agent.conf",
					  conf_label(conf, "source", i), &env, &err);
	return r;
}

static void run_made(void)
{
	int r = make_sources();

	ck_assert_msg(r == 0 || (r == -ENOMEM && *err.text), "%d %s", r, err.text);
}

/* What failed is made now, beside what was made before. */
static void check_made(void)
{
	ck_assert_msg(make_sources() == 0, "%s", err.text);
	for (size_t i = 0; i < SOURCES; i++)
		ck_assert_ptr_nonnull(sources[i]);
}

static void tear_down_made(void)
{
	for (size_t i = 0; i < SOURCES; i++)
		sources[i] = source_free(sources[i]);
	links = can_links_free(links);
	conf = conf_free(conf);
	cat = catalog_free(cat);
	tear_down();
}

/* ---- a CAN bus ---- */

enum { CAN_FRAMES = 200 };

static void set_up_can(void)
{
	can_setup();
	can_start();
}

static void run_can(void)
{
	for (int i = 0; i < CAN_FRAMES; i++) {
		(void)can_add_frame(i % 2 ? 0x100 : 0x200, 8);
		if (i % 40 == 7) {
			can_got.n_matches = 1 + (size_t)(i / 40);
			can_got.matches[can_got.n_matches - 1] =
				(struct frame_match){0x300 + (uint32_t)i, 0x7FF, false};
			source_matches_changed(can_source);
		}
		can_turn(1);
		if (i % 50 == 20) {
			can_add()->error = ENETDOWN;
			can_pass(3 * NS_PER_S);
		}
		can_pass(10 * NS_PER_MS);
	}
}

static void check_can(void)
{
	can_pass(5 * NS_PER_S);
	can_pass(5 * NS_PER_S);
	ck_assert_uint_gt(can_fake.opens, 1);
	alloc_lost(CAN_FRAMES - can_got.n);
	ck_assert_uint_gt(can_got.n_statuses, 10);
	source_matches_changed(can_source);
	can_turn(1);
	ck_assert(!can_fake.filters.all);
}

static const struct alloc_scenario scenarios[] = {
	{"make sources", set_up_made, run_made, check_made, tear_down_made},
	{"read a CAN bus", set_up_can, run_can, check_can, can_teardown},
};

int main(void)
{
	return alloc_main("alloc_sources", scenarios, array_len(scenarios));
}
