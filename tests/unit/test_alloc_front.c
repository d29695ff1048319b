/* The agent's stages up to the outbox without memory: what is made at the start, other rules while
 * frames come, and batches that are encoded and stored. A sample that a pipeline took gets into the
 * outbox. */
#include "agent/batch/pipeline.h"
#include "agent/config/config.h"
#include "agent/source/replay.h"
#include "agent/store/intake.h"
#include "proto/bus_status.h"
#include "proto/dictionary.h"
#include "tests/unit/alloc_fixture.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/small_catalog.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { PATH = 128, BUILDERS = 4, SAMPLES_MAX = 40, FRAMES = 400, TURNS_MAX = 5000 };

static char dir[64];
static struct catalog *cat;
static struct error err;

static const char *in_dir(const char *name)
{
	static char paths[4][PATH];
	static unsigned turn_;
	char *p = paths[turn_++ % 4];

	snprintf(p, PATH, "%s/%s", dir, name);
	return p;
}

static void remove_files(void)
{
	char pattern[PATH];
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s/*", dir);
	if (glob(pattern, 0, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++)
		(void)unlink(g.gl_pathv[i]);
	globfree(&g);
}

static void write_file(const char *name, const void *data, size_t len)
{
	FILE *f = fopen(in_dir(name), "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(data, 1, len, f), len);
	fclose(f);
}

static void make_cat(void)
{
	static const char *const names[5] = {"A", "a1", "a2", "B", "b1"};

	cat = two_messages(names);
}

static void drop_cat(void)
{
	cat = catalog_free(cat);
	remove_files();
}

/* ---- the catalog ---- */

static struct catalog *loaded;

static void set_up_catalog(void)
{
	make_cat();
	write_file("catalog", cat->bytes, cat->len);
}

static void run_catalog(void)
{
	(void)ck_assert_enomem(catalog_load_file(&loaded, in_dir("catalog"), &err));
}

static void check_catalog(void)
{
	if (!loaded)
		ck_assert_int_eq(catalog_load_file(&loaded, in_dir("catalog"), &err), 0);
	ck_assert_uint_eq(loaded->id, cat->id);
	loaded = catalog_free(loaded);
}

static void run_build(void)
{
	loaded = NULL;
	(void)ck_assert_enomem(catalog_build(&loaded, cat, &err));
}

static void check_build(void)
{
	if (!loaded)
		ck_assert_int_eq(catalog_build(&loaded, cat, &err), 0);
	check_catalog();
}

static void run_status(void)
{
	(void)ck_assert_enomem(bus_status_add(&loaded, cat, &err));
}

static void check_status(void)
{
	if (!loaded)
		ck_assert_int_eq(bus_status_add(&loaded, cat, &err), 0);
	ck_assert_uint_gt(loaded->n_messages, cat->n_messages);
	loaded = catalog_free(loaded);
}

/* ---- the configuration ---- */

static struct conf *conf;
static struct collect *rules;

static const char conf_text[] =
	"[agent]\nvehicle=v1\ndevice=d1\ndata_dir=/nowhere\n[mqtt]\nuri=mqtt://127.0.0.1\n"
	"[catalog]\nfile=catalog\n"
	"[source can]\ntype=socketcan\ninterface=can9\nbus=can0\n"
	"[source ecu]\ntype=diag\ninterface=can9\nbus=can0\nrequest=0x7E0\nresponse=0x7E8\n"
	"[poll fast]\nsource=ecu\nservice=obd_current\nids=auto\nperiod_ms=1000\n"
	"[collect event]\nsignals=can0.B.*\nclass=event\n[collect all]\nsignals=*\n";

static void set_up_conf(void)
{
	set_up_catalog();
	write_file("agent.conf", conf_text, strlen(conf_text));
	ck_assert_msg(config_load(&conf, in_dir("agent.conf"), &err) == 0, "%s", err.text);
	conf = conf_free(conf);
}

static int load_conf(void)
{
	int r = config_load(&conf, in_dir("agent.conf"), &err);

	return r < 0 ? r : config_collect(&rules, conf, "agent.conf", cat, &err);
}

static void run_conf(void)
{
	int r = load_conf();

	ck_assert_msg(r == 0 || r == -ENOMEM, "%d %s", r, err.text);
	ck_assert(r == 0 || *err.text);
}

static void check_conf(void)
{
	if (!rules) {
		conf = conf_free(conf);
		ck_assert_msg(load_conf() == 0, "%s", err.text);
	}
	rules = collect_free(rules);
	conf = conf_free(conf);
}

/* ---- from frames to the outbox ---- */

static struct counters counters;
static struct batch_queue *queue;
static struct batcher *batcher;
static struct pipeline *pipeline;
static struct store *store;
static struct intake *intake;
static struct source *source;
static struct source_env env;
static bool ended, intake_due;

static int make_rules(struct collect **ret, bool other)
{
	const struct collect_rule all[] = {
		{.pattern = "can0.B.*", .class = CLASS_EVENT, .origin = "x"},
		{.pattern = "*", .class = other ? CLASS_LIVE : CLASS_BULK, .origin = "y"},
	};

	return collect_new(ret, cat, all, array_len(all), &err);
}

static void on_closed(void *ctx, size_t samples)
{
	(void)ctx;
	(void)samples;
	intake_due = true;
}

static void on_room(void *ctx)
{
	(void)ctx;
}

static void on_corrupt(void *ctx)
{
	(void)ctx;
	ck_abort_msg("the outbox was called damaged");
}

static int make_pipeline(void)
{
	struct batcher_options opt = {
		.samples_max = SAMPLES_MAX,
		.slack = pipeline_slack(cat),
		.age_max_ns = NS_PER_S,
		.header = {.catalog_id = cat->id, .time_unit_ns = 1000000},
		.tb = &fake.tb,
		.closed = on_closed,
	};
	struct collect *col = NULL;
	int r = batch_queue_new(&queue, cat, NULL, BUILDERS, SAMPLES_MAX + opt.slack, 1000000);

	if (r == 0)
		r = batcher_new(&batcher, queue, &opt);
	if (r == 0)
		r = make_rules(&col, false);
	if (r == 0)
		r = pipeline_new(&pipeline, cat, col, batcher, &counters);
	if (r < 0)
		collect_free(col);
	return r;
}

static void free_pipeline(void)
{
	pipeline = pipeline_free(pipeline);
	batcher = batcher_free(batcher);
	queue = batch_queue_free(queue);
}

static void set_up_pipeline(void)
{
	make_cat();
	set_up();
	timebase_fake_init(&fake, 100 * NS_PER_S, 1700000000 * NS_PER_S);
	memset(&counters, 0, sizeof(counters));
}

static void run_make(void)
{
	(void)ck_assert_enomem(make_pipeline());
}

static void check_make(void)
{
	free_pipeline();
	ck_assert_int_eq(make_pipeline(), 0);
}

static void tear_down_pipeline(void)
{
	free_pipeline();
	tear_down();
	drop_cat();
}

static void set_up_intake(void)
{
	static const struct intake_handlers on = {on_room, on_room, on_corrupt, NULL};
	struct store_options opt = {.max_bytes = 1 << 20, .tb = &fake.tb, .boot_id = 1};
	struct store_opened opened;

	set_up_pipeline();
	ck_assert_int_eq(make_pipeline(), 0);
	ck_assert_msg(store_open(&store, in_dir("outbox.db"), &opt, &opened, &err) == 0, "%s",
		      err.text);
	ck_assert_int_eq(intake_new(&intake, l, queue, store, &counters, &on), 0);
}

/* What the back thread does when it is woken; time goes on. */
static void turn_back(void)
{
	if (intake_due) {
		intake_due = false;
		intake_run(intake);
	}
	turn();
	timebase_fake_advance(&fake, 10 * NS_PER_MS);
}

static int take_frame(void *ctx, const struct frame *f)
{
	(void)ctx;
	return pipeline_frame(pipeline, f);
}

static void feed(int from, int to)
{
	struct frame f = {.id = 0x100, .len = 8};
	int turns = 0;

	for (int i = from; i < to; i++) {
		f.id = i % 5 == 4 ? 0x200 : 0x100;
		f.t_ns = fake.mono.ns;
		memcpy(f.data, &i, sizeof(i));
		while (pipeline_frame(pipeline, &f) == PIPELINE_BUSY) {
			if (turns++ > TURNS_MAX)
				ck_abort_msg("no builder comes back");
			turn_back();
			if (turns > 300) /* retries are a second apart, so it has had its turns */
				(void)alloc_heal();
		}
		if (i % 7 == 0)
			turn_back();
	}
}

static void change_rules(void)
{
	struct collect *other = NULL;
	unsigned before = counter_get(&counters.samples_dropped_front);
	int r = make_rules(&other, true);

	if (r == 0)
		r = pipeline_set_collect(pipeline, other);
	(void)ck_assert_enomem(r);
	if (r < 0)
		collect_free(other);
	ck_assert_uint_eq(counter_get(&counters.samples_dropped_front), before);
}

static void run_frames(void)
{
	feed(0, FRAMES / 2);
	change_rules();
	(void)ck_assert_enomem(pipeline_claim(pipeline, 0, 0x300, false));
	feed(FRAMES / 2, FRAMES);
	batcher_flush(batcher);
	turn_back();
}

/* Of batches that can be read. Gaps are what is to be found out: there must be none. */
static uint64_t stored_samples(void)
{
	uint64_t samples = 0;

	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		struct store_row row;
		uint64_t after = 0;
		int r;

		while ((r = store_next(store, (enum uplink_class)k, after, &row)) == STORE_ROW) {
			struct envelope e = {.epoch = 1,
					     .seq = row.seq,
					     .encoding = row.encoding,
					     .body = row.body,
					     .body_len = row.body_len};
			struct batch *b;

			after = row.through;
			if (row.encoding == ENCODING_GAP)
				continue;
			ck_assert_msg(batch_read(&b, &e, &err) == 0, "%s", err.text);
			ck_assert_uint_eq(batch_sample_count(b), row.samples);
			samples += row.samples;
			batch_free(b);
		}
		ck_assert_int_eq(r, 0);
	}
	return samples;
}

static void store_rest(void)
{
	batcher_flush(batcher);
	for (int i = 0; i < TURNS_MAX && !intake_is_idle(intake); i++) {
		intake_due = true;
		turn_back();
	}
	ck_assert(intake_is_idle(intake));
}

static void check_stored(void)
{
	uint64_t collected = counter_get(&counters.samples_collected), stored;

	store_rest();
	stored = stored_samples();
	ck_assert_uint_gt(collected, 0);
	ck_assert_uint_eq(counter_get(&counters.samples_dropped_front), 0);
	ck_assert_uint_le(stored, collected);
	alloc_lost(collected - stored);
	ck_assert_uint_eq(counter_get(&counters.samples_accepted), collected);
	ck_assert_uint_eq(counter_get(&counters.batches_dropped), 0);
}

static void check_frames(void)
{
	ck_assert_uint_eq(counter_get(&counters.frames_received), FRAMES);
	check_stored();
}

static void tear_down_intake(void)
{
	intake = intake_free(intake);
	store = store_close(store);
	tear_down_pipeline();
}

/* The agent ends while there is no memory: what cannot be stored is noted, and told later. */
static void run_finish(void)
{
	intake_due = false;
	for (int i = 0; i < FRAMES / 8; i++) {
		struct frame f = {.id = 0x100, .len = 8, .t_ns = fake.mono.ns};

		if (pipeline_frame(pipeline, &f) == PIPELINE_BUSY)
			break;
	}
	batcher_flush(batcher);
	intake_finish(intake, &fake.tb, (struct mono_time){0});
}

static void check_finish(void)
{
	uint64_t collected = counter_get(&counters.samples_collected), stored = stored_samples();

	ck_assert_uint_eq(stored + counter_get(&counters.samples_dropped), collected);
	ck_assert_uint_eq(counter_get(&counters.samples_accepted), collected);
}

/* ---- a log ---- */

static void on_ended(void *ctx, struct source *s_)
{
	(void)ctx;
	(void)s_;
	ended = true;
}

static void make_log(void)
{
	gzFile f = gzopen(in_dir("log.gz"), "w");
	FILE *plain = fopen(in_dir("log"), "w");

	ck_assert(f && plain);
	for (int i = 0; i < FRAMES; i++) {
		char line[80];
		int n = snprintf(line, sizeof(line), "(1700000000.%06d) can0 %s#%016X\n", i * 100,
				 i % 5 == 4 ? "200" : "100", (unsigned)i);

		ck_assert_int_eq(gzwrite(f, line, (unsigned)n), n);
		ck_assert_uint_eq(fwrite(line, 1, (size_t)n, plain), (size_t)n);
	}
	gzclose(f);
	fclose(plain);
}

static int open_log(const char *name)
{
	struct replay_options opt = {.path = in_dir(name)};

	return replay_new(&source, &env, "log", &opt, &err);
}

static void set_up_replay(void)
{
	set_up_intake();
	make_log();
	ended = false;
	env = (struct source_env){.loop = l,
				  .tb = &fake.tb,
				  .cat = cat,
				  .counters = &counters,
				  .frame = take_frame,
				  .ended = on_ended};
}

static void play(void)
{
	for (int i = 0; source && !ended && i < TURNS_MAX; i++) {
		turn_back();
		source_resume(source);
		if (i > 300)
			(void)alloc_heal();
	}
	ck_assert(!source || ended);
}

static void run_replay(void)
{
	(void)ck_assert_enomem(open_log("log"));
	play();
}

/* Once it is open it needs no memory: nothing of a log, or a pipe, is passed over. */
static void check_replay(void)
{
	if (!source)
		ck_assert_int_eq(open_log("log"), 0);
	play();
	ck_assert_uint_eq(counter_get(&counters.frames_received), FRAMES);
	check_stored();
}

/* Unpacking needs some in its course: such a log may end early, and says so. */
static void run_gzip(void)
{
	(void)ck_assert_enomem(open_log("log.gz"));
	play();
}

static void check_gzip(void)
{
	uint64_t failed = counter_get(&counters.sources_failed);

	if (!source)
		ck_assert_int_eq(open_log("log.gz"), 0);
	play();
	ck_assert(failed > 0 || counter_get(&counters.frames_received) == FRAMES);
	if (counter_get(&counters.samples_collected) > 0)
		check_stored();
}

static void tear_down_replay(void)
{
	source = source_free(source);
	tear_down_intake();
}

static const struct alloc_scenario scenarios[] = {
	{"load a catalog", set_up_catalog, run_catalog, check_catalog, drop_cat},
	{"build a catalog", set_up_catalog, run_build, check_build, drop_cat},
	{"add bus status", set_up_catalog, run_status, check_status, drop_cat},
	{"load a configuration", set_up_conf, run_conf, check_conf, drop_cat},
	{"make a pipeline", set_up_pipeline, run_make, check_make, tear_down_pipeline},
	{"frames to the outbox", set_up_intake, run_frames, check_frames, tear_down_intake},
	{"stop", set_up_intake, run_finish, check_finish, tear_down_intake},
	{"replay", set_up_replay, run_replay, check_replay, tear_down_replay},
	{"replay of gzip", set_up_replay, run_gzip, check_gzip, tear_down_replay},
};

int main(void)
{
	int failed;

	snprintf(dir, sizeof(dir), "%s/towline-alloc-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	failed = alloc_main("alloc_front", scenarios, array_len(scenarios));
	remove_files();
	(void)rmdir(dir);
	return failed;
}
