#include "agent/config/config.h"

#include "agent/source/replay.h"
#include "agent/source/socketcan.h"
#include "base/mqtt_conf.h"
#include "proto/topic.h"

#include <stdio.h>
#include <string.h>

enum {
	ORIGIN_BYTES = 256,
	MQTT_QUEUE_BYTES = 256 << 10,
	MQTT_PACKET_MAX = 64 << 10, /* receipts are small */
	MQTT_RECEIVE_MAX = 64,
};

enum source_type { SOURCE_REPLAY, SOURCE_SOCKETCAN, SOURCE_DIAG, SOURCE_J1939 };
enum { TIMESTAMPS_LOG = 1 };

/* Of a key that is not given: its section's, which is where a key that must be given stands. */
static int line_of(const struct conf *c, const char *section, const char *label, const char *key)
{
	const struct conf_table *t = config_table();
	int line = conf_line(c, section, label, key);

	for (size_t i = 0; line == 0 && label && i < t->n_keys; i++)
		if (!t->keys[i].def && strcmp(t->keys[i].section, section) == 0)
			line = conf_line(c, section, label, t->keys[i].key);
	return line;
}

int config_fail(struct error *err, const struct conf *c, const char *path, const char *section,
		const char *label, const char *key, const char *what)
{
	error_set(err, "%s:%d: [%s%s%s] %s: %s", path, line_of(c, section, label, key), section,
		  label ? " " : "", label ? label : "", key, what);
	return -EINVAL;
}

static int check_id(const struct conf *c, const char *path, const char *key, struct error *err)
{
	if (id_is_valid(conf_string(c, "agent", NULL, key)))
		return 0;
	return config_fail(err, c, path, "agent", NULL, key, "1 to 64 of letters, digits, . _ -");
}

static int check_replay(const struct conf *c, const char *path, const char *label,
			struct error *err)
{
	double speed;

	if (replay_parse_speed(conf_string(c, "source", label, "speed"), &speed) < 0)
		return config_fail(err, c, path, "source", label, "speed",
				   "'max', or a number from 0.001 to 100000");
	if (!*conf_string(c, "source", label, "path"))
		return config_fail(err, c, path, "source", label, "path", "a replay needs one");
	return 0;
}

static int check_source(const struct conf *c, const char *path, const char *label,
			struct error *err)
{
	int r = 0;

	if (conf_enum(c, "source", label, "type") == SOURCE_REPLAY)
		return check_replay(c, path, label, err);
	if (!*conf_string(c, "source", label, "interface"))
		return config_fail(err, c, path, "source", label, "interface",
				   "this type needs one");
	if (conf_enum(c, "source", label, "type") == SOURCE_DIAG)
		return config_check_diag(c, path, label, err);
	if (conf_enum(c, "source", label, "type") == SOURCE_J1939)
		r = config_check_j1939(c, path, label, err);
	return r < 0 ? r : config_check_read_once(c, path, label, err);
}

static int check(const struct conf *c, const char *path, struct error *err)
{
	int r = check_id(c, path, "vehicle", err);

	if (r == 0)
		r = check_id(c, path, "device", err);
	if (r == 0)
		r = mqtt_conf_check(c, path, err);
	for (size_t i = 0; r == 0 && conf_label(c, "source", i); i++)
		r = check_source(c, path, conf_label(c, "source", i), err);
	if (r == 0)
		r = config_check_polls(c, path, err);
	if (r == 0)
		r = config_check_can(c, path, err);
	if (r == 0)
		r = config_check_seal(c, path, err);
	if (r == 0 && conf_label(c, "source", CONFIG_SOURCES_MAX)) {
		error_set(err, "%s: more than %d [source NAME] sections", path, CONFIG_SOURCES_MAX);
		r = -EINVAL;
	}
	if (r == 0 && !conf_label(c, "collect", 0)) {
		error_set(err, "%s: no [collect NAME] section: nothing would be collected", path);
		r = -EINVAL;
	}
	return r;
}

int config_load(struct conf **ret, const char *path, struct error *err)
{
	struct conf *c;
	int r = conf_load(&c, config_table(), path, err);

	if (r < 0)
		return r;
	r = check(c, path, err);
	if (r < 0) {
		conf_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

/* ---- [collect] ---- */

struct rules {
	struct collect_rule *rules;
	char (*origins)[ORIGIN_BYTES]; /* one a section */
	size_t n, n_sections;
};

static void rules_free(struct rules *r)
{
	free(r->rules);
	free(r->origins);
}

static size_t count_items(const struct conf *c, const char *label)
{
	size_t n = 0;

	while (conf_list(c, "collect", label, "signals", n))
		n++;
	return n;
}

static int rules_allocate(struct rules *r, const struct conf *c)
{
	size_t n = 0;
	const char *label;

	while ((label = conf_label(c, "collect", r->n_sections)) != NULL) {
		n += count_items(c, label);
		r->n_sections++;
	}
	r->rules = calloc(n + 1, sizeof(*r->rules));
	r->origins = calloc(r->n_sections + 1, sizeof(*r->origins));
	return r->rules && r->origins ? 0 : -ENOMEM;
}

static void rules_add_section(struct rules *r, const struct conf *c, const char *path, size_t i)
{
	const char *label = conf_label(c, "collect", i);
	struct collect_rule rule = {
		.mode = (enum collect_mode)conf_enum(c, "collect", label, "mode"),
		.period_ns = conf_int(c, "collect", label, "period_ms") * NS_PER_MS,
		.class = (enum uplink_class)conf_enum(c, "collect", label, "class"),
		.origin = r->origins[i],
	};

	(void)snprintf(r->origins[i], ORIGIN_BYTES, "%s:%d: [collect %s]", path,
		       conf_line(c, "collect", label, "signals"), label);
	for (size_t k = 0; (rule.pattern = conf_list(c, "collect", label, "signals", k)); k++)
		r->rules[r->n++] = rule;
}

int config_collect(struct collect **ret, const struct conf *c, const char *path,
		   const struct catalog *cat, struct error *err)
{
	struct rules rules cleanup(rules_free) = {0};

	if (rules_allocate(&rules, c) < 0) {
		error_set(err, "%s: no memory for the rules", path);
		return -ENOMEM;
	}
	for (size_t i = 0; i < rules.n_sections; i++)
		rules_add_section(&rules, c, path, i);
	return collect_new(ret, cat, rules.rules, rules.n, err);
}

/* ---- [mqtt] ---- */

struct mqtt_options config_mqtt(const struct conf *c)
{
	struct mqtt_options o = mqtt_conf_options(c);

	o.receive_maximum = MQTT_RECEIVE_MAX;
	o.max_packet = MQTT_PACKET_MAX;
	o.queue_bytes = MQTT_QUEUE_BYTES;
	return o;
}

/* ---- [source] ---- */

bool config_keeps_times(const struct conf *c)
{
	const char *label;

	for (size_t i = 0; (label = conf_label(c, "source", i)) != NULL; i++)
		if (conf_enum(c, "source", label, "type") == SOURCE_REPLAY &&
		    conf_enum(c, "source", label, "timestamps") == TIMESTAMPS_LOG)
			return true;
	return false;
}

static int make_replay(struct source **ret, const struct conf *c, const char *label,
		       const struct source_env *env, struct error *err)
{
	struct replay_options opt = {
		.path = conf_string(c, "source", label, "path"),
		.loop = conf_bool(c, "source", label, "loop"),
		.keep_times = conf_enum(c, "source", label, "timestamps") == TIMESTAMPS_LOG,
	};
	int r = replay_parse_speed(conf_string(c, "source", label, "speed"), &opt.speed);

	return r < 0 ? r : replay_new(ret, env, label, &opt, err);
}

const char *config_bus(const struct conf *c, const char *label)
{
	const char *bus = conf_string(c, "source", label, "bus");

	return *bus ? bus : conf_string(c, "source", label, "interface");
}

int config_catalog(struct catalog **ret, const struct conf *c, const char *path, struct error *err)
{
	struct error what = {"out of memory"};
	int r = catalog_load_file(ret, conf_string(c, "catalog", NULL, "file"), &what);

	if (r < 0)
		config_fail(err, c, path, "catalog", NULL, "file", what.text);
	return r;
}

int config_dictionary(struct dictionary **ret, const struct conf *c, const char *path,
		      const struct catalog *cat, struct error *err)
{
	const char *file = conf_string(c, "catalog", NULL, "dictionary");
	struct error what = {"out of memory"};
	int r = *file ? dictionary_load_file(ret, cat, file, &what) : 0;

	if (r < 0)
		config_fail(err, c, path, "catalog", NULL, "dictionary", what.text);
	return r;
}

int config_check_buses(const struct conf *c, const char *path, const struct catalog *cat,
		       struct error *err)
{
	const char *label;

	for (size_t i = 0; (label = conf_label(c, "source", i)) != NULL; i++) {
		const char *key = *conf_string(c, "source", label, "bus") ? "bus" : "interface";
		struct error what;

		if (conf_enum(c, "source", label, "type") == SOURCE_REPLAY ||
		    source_bus(cat, config_bus(c, label)) != FRAME_BUS_NONE)
			continue;
		source_tell_buses(cat, config_bus(c, label), &what);
		return config_fail(err, c, path, "source", label, key, what.text);
	}
	return 0;
}

static struct socketcan_options can_options(const struct conf *c, const char *label)
{
	return (struct socketcan_options){
		.interface = conf_string(c, "source", label, "interface"),
		.bus = config_bus(c, label),
		.take_all = !conf_bool(c, "source", label, "filter"),
		.kernel_times = !conf_bool(c, "source", label, "hardware_times"),
		.status_period_ns = conf_int(c, "source", label, "status_period_ms") * NS_PER_MS,
	};
}

static int make_socketcan(struct source **ret, const struct conf *c, const char *label,
			  const struct source_env *env, struct error *err)
{
	struct socketcan_options opt = can_options(c, label);

	return socketcan_new(ret, env, label, &opt, err);
}

static int make_j1939(struct source **ret, const struct conf *c, const char *label,
		      const struct source_env *env, struct error *err)
{
	struct socketcan_options opt = can_options(c, label);

	return config_make_j1939(ret, c, label, &opt, env, err);
}

int config_source(struct source **ret, const struct conf *c, const char *path, const char *label,
		  const struct source_env *env, struct error *err)
{
	static int (*const make[])(struct source * *ret, const struct conf *c, const char *label,
				   const struct source_env *env, struct error *err) = {
		[SOURCE_REPLAY] = make_replay,
		[SOURCE_SOCKETCAN] = make_socketcan,
		[SOURCE_DIAG] = config_make_diag,
		[SOURCE_J1939] = make_j1939,
	};
	int type = conf_enum(c, "source", label, "type");
	struct error why = {"out of memory"};
	int r = make[type](ret, c, label, env, &why);

	if (r < 0)
		error_set(
			err, "%s:%d: [source %s] %s", path,
			conf_line(c, "source", label, type == SOURCE_REPLAY ? "path" : "interface"),
			label, why.text);
	return r;
}
