#include "tools/cli/can_play.h"

#include "agent/source/replay.h"
#include "tools/cli/options.h"
#include "tools/play/player.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <net/if.h>
#include <string.h>

enum { MAPS_MAX = CAN_SENDER_PORTS_MAX, NOTICES_SHOWN = 20 };

#define SECONDS_MAX 1e9

struct options {
	const char *map_texts[MAPS_MAX];
	struct option_list map_list;
	struct player_map maps[MAPS_MAX];
	char buses[MAPS_MAX][CANDUMP_BUS_MAX + 1];
	long count;
	bool quiet;
	struct player_options play;
};

/* What was told of a kind, to tell no more than a person reads. */
struct teller {
	bool quiet;
	size_t told[2];
};

/* ---- options ---- */

static int take_speed(void *to, const char *text)
{
	return replay_parse_speed(text, to);
}

static int take_seconds(void *to, const char *text)
{
	char *end;
	double s;

	errno = 0;
	s = strtod(text, &end);
	if (errno || end == text || *end || !isfinite(s) || s < 0 || s > SECONDS_MAX)
		return -EINVAL;
	*(int64_t *)to = (int64_t)(s * 1e9);
	return 0;
}

/* "BUS=INTERFACE". */
static int take_map(struct options *o, size_t i)
{
	const char *text = o->map_list.texts[i], *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : 0;

	if (len == 0 || !equals[1])
		return cli_usage(&cmd_can, "--map '%s': not BUS=INTERFACE", text);
	if (len > CANDUMP_BUS_MAX)
		return cli_usage(&cmd_can, "--map '%s': a bus has at most %d bytes", text,
				 CANDUMP_BUS_MAX);
	if (strlen(equals + 1) >= IF_NAMESIZE)
		return cli_usage(&cmd_can, "--map '%s': an interface has at most %d bytes", text,
				 IF_NAMESIZE - 1);
	memcpy(o->buses[i], text, len);
	o->maps[i] = (struct player_map){.bus = o->buses[i], .interface = equals + 1};
	for (size_t k = 0; k < i; k++)
		if (strcmp(o->buses[k], o->buses[i]) == 0)
			return cli_usage(&cmd_can, "--map '%s': bus %s is mapped already", text,
					 o->buses[i]);
	return EXIT_OK;
}

static int take_maps(struct options *o)
{
	int code = EXIT_OK;

	for (size_t i = 0; code == EXIT_OK && i < o->map_list.n; i++)
		code = take_map(o, i);
	o->play.maps = o->maps;
	o->play.n_maps = o->map_list.n;
	return code;
}

static int read_options(struct options *o, int argc, char **argv)
{
	static const char seconds[] = "a number of seconds";
	const struct cli_option table[] = {
		{.name = "map", .kind = OPTION_LIST, .to = &o->map_list, .what = "--map"},
		{.name = "speed",
		 .kind = OPTION_CALL,
		 .to = &o->play.speed,
		 .take = take_speed,
		 .what = "max or a number from 0.001 to 100000"},
		{.name = "loop", .kind = OPTION_FLAG, .to = &o->play.loop},
		{.name = "from",
		 .kind = OPTION_CALL,
		 .to = &o->play.from_ns,
		 .take = take_seconds,
		 .what = seconds},
		{.name = "to",
		 .kind = OPTION_CALL,
		 .to = &o->play.to_ns,
		 .take = take_seconds,
		 .what = seconds},
		{.name = "max-gap",
		 .kind = OPTION_CALL,
		 .to = &o->play.gap_max_ns,
		 .take = take_seconds,
		 .what = seconds},
		{.name = "count",
		 .kind = OPTION_NUMBER,
		 .to = &o->count,
		 .min = 1,
		 .max = INT32_MAX},
		{.name = "quiet", .letter = 'q', .kind = OPTION_FLAG, .to = &o->quiet},
	};

	o->map_list = (struct option_list){.texts = o->map_texts, .max = MAPS_MAX};
	o->play.speed = 1;
	o->play.to_ns = o->play.gap_max_ns = INT64_MAX;
	return cli_options(&cmd_can, argc, argv, table, array_len(table));
}

static int parse_options(struct options *o, int argc, char **argv)
{
	int code = read_options(o, argc, argv);

	if (code != EXIT_OK)
		return code;
	if (optind + 1 != argc)
		return cli_usage(&cmd_can, "play: expected one LOG, got %d", argc - optind);
	o->play.path = argv[optind];
	o->play.count = (uint64_t)o->count;
	if (o->play.to_ns < o->play.from_ns)
		return cli_usage(&cmd_can, "--to is before --from");
	return take_maps(o);
}

/* ---- what is said ---- */

static void on_notice(void *ctx, enum player_notice what, const char *text)
{
	struct teller *t = ctx;

	if (t->quiet || t->told[what] > NOTICES_SHOWN)
		return;
	if (t->told[what]++ < NOTICES_SHOWN)
		(void)cli_fail(0, "can play: %s", text);
	else
		(void)cli_fail(0, "can play: further %s are not shown",
			       what == PLAYER_BAD_LINE ? "bad lines" : "notes on times");
}

static void say_buses(const struct player *p)
{
	const struct player_bus *b;

	for (size_t i = 0; (b = player_bus(p, i)) != NULL; i++)
		if (b->port < 0)
			(void)cli_fail(0, "can play: bus %s: no --map, %" PRIu64 " frames skipped",
				       b->name, b->frames);
}

static void say_skipped(const struct player_counts *c)
{
	const struct {
		uint64_t n;
		const char *what, *rest;
	} skipped[] = {
		{c->unmapped, "frame", " of other buses"},
		{c->error_frames, "error frame", ""},
		{c->bad_lines, "bad line", ""},
	};
	const char *before = "; skipped ";

	for (size_t i = 0; i < array_len(skipped); i++) {
		if (skipped[i].n == 0)
			continue;
		printf("%s%" PRIu64 " %s%s%s", before, skipped[i].n, skipped[i].what,
		       skipped[i].n == 1 ? "" : "s", skipped[i].rest);
		before = ", ";
	}
}

static void say_lateness(const struct can_sender *s)
{
	const struct can_lateness *l = can_sender_lateness(s);

	if (l->frames > 0)
		printf("; late by %.3f ms on average, %.3f ms at most",
		       (double)l->sum_ns / (double)l->frames / NS_PER_MS,
		       (double)l->max_ns / NS_PER_MS);
	if (can_sender_waits(s) > 0)
		printf("; queue full %" PRIu64 " times", can_sender_waits(s));
}

static const char *name_of(const char *path)
{
	return strcmp(path, "-") == 0 ? "stdin" : path;
}

/* The one line at the end. */
static void say_counts(const struct can_sender *s, const struct player_counts *c, const char *path,
		       bool interrupted)
{
	double seconds = (double)c->duration_ns / NS_PER_S;

	printf("%s: ", name_of(path));
	if (interrupted)
		printf("ended at line %" PRIu64 ", ", c->line);
	printf("%" PRIu64 " frames in %.3f s", c->frames, seconds);
	if (seconds > 0)
		printf(" (%.0f/s)", (double)c->frames / seconds);
	for (size_t i = 0; i < can_sender_ports(s); i++)
		printf("%s %s %" PRIu64, i ? "," : ":", can_sender_interface(s, i),
		       can_sender_sent(s, i));
	say_lateness(s);
	say_skipped(c);
	putchar('\n');
}

/* ---- playing ---- */

static int play(const struct options *o, const struct play_env *env)
{
	struct error err = {"out of memory"};
	struct player *p = NULL;
	struct player_counts counts;
	int r = player_new(&p, &o->play, env, &err);

	if (r == -EINTR)
		return EXIT_OK;
	if (r < 0)
		return cli_fail(EXIT_FAILED, "can play: %s", err.text);
	r = player_run(p, &err);
	if (!o->quiet)
		say_buses(p);
	player_counts(p, &counts);
	say_counts(player_sender(p), &counts, o->play.path, r == -EINTR);
	player_free(p);
	if (r < 0 && r != -EINTR)
		return cli_fail(EXIT_FAILED, "can play: %s", err.text);
	if (r == 0 && counts.bad_lines > 0 && counts.good_lines == 0)
		return cli_fail(EXIT_FAILED, "can play: %s: no log of candump -l",
				name_of(o->play.path));
	return EXIT_OK;
}

int can_play(int argc, char **argv)
{
	struct options o = {0};
	struct teller teller = {0};
	const struct play_env *env;
	int code = parse_options(&o, argc, argv), r;

	if (code != EXIT_OK)
		return code;
	teller.quiet = o.quiet;
	o.play.notice = on_notice;
	o.play.ctx = &teller;
	r = play_env_system(&env);
	if (r < 0)
		return cli_fail(EXIT_FAILED, "can play: %s", strerror(-r));
	code = play(&o, env);
	play_env_system_end();
	return code;
}
