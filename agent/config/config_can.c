#include "agent/config/config.h"

#include <stdio.h>
#include <string.h>

enum { BITRATE_MIN = 1000 }; /* bit/s; CAN controllers begin at some 5000 */
enum { POINT_MIN = 500, POINT_MAX = 990, POINT_DIGITS = 3 };

/* "0.875" -> 875; "" -> 0. Returns 0 or -EINVAL. */
static int parse_point(const char *text, uint32_t *ret)
{
	uint32_t point = 0;
	size_t digits = 0;

	if (!*text) {
		*ret = 0;
		return 0;
	}
	if (strncmp(text, "0.", 2) != 0)
		return -EINVAL;
	for (text += 2; *text >= '0' && *text <= '9' && digits < POINT_DIGITS; text++, digits++)
		point = point * 10 + (uint32_t)(*text - '0');
	if (*text)
		return -EINVAL;
	for (; digits < POINT_DIGITS; digits++)
		point *= 10;
	if (point < POINT_MIN || point > POINT_MAX)
		return -EINVAL;
	*ret = point;
	return 0;
}

static bool given(const struct conf *c, const char *label, const char *key)
{
	return conf_line(c, "can", label, key) > 0;
}

/* The first of the keys that asks for something, or NULL. */
static const char *first_set(const struct conf *c, const char *label, const char *const *keys,
			     size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!conf_is_default(c, "can", label, keys[i]))
			return keys[i];
	return NULL;
}

static const char *const data_keys[] = {"dbitrate", "dsample_point", "dsjw"};
static const char *const setting_keys[] = {
	"fd",  "dbitrate",    "dsample_point",	"dsjw",	    "sample_point",
	"sjw", "listen_only", "berr_reporting", "loopback",
};

/* An interface that is used as it is set by others is restarted only where that is asked for. */
static int64_t restart_ms(const struct conf *c, const char *label)
{
	if (conf_int(c, "can", label, "bitrate") == 0 && !given(c, label, "restart_ms"))
		return 0;
	return conf_int(c, "can", label, "restart_ms");
}

static int check_points(const struct conf *c, const char *path, const char *label,
			struct error *err)
{
	static const char *const keys[] = {"sample_point", "dsample_point"};
	uint32_t point;

	for (size_t i = 0; i < array_len(keys); i++)
		if (parse_point(conf_string(c, "can", label, keys[i]), &point) < 0)
			return config_fail(err, c, path, "can", label, keys[i],
					   "0.500 to 0.990, with at most three digits");
	return 0;
}

static int check_data(const struct conf *c, const char *path, const char *label, struct error *err)
{
	const char *key = first_set(c, label, data_keys, array_len(data_keys));
	int64_t rate = conf_int(c, "can", label, "dbitrate");

	if (!conf_bool(c, "can", label, "fd"))
		return key ? config_fail(err, c, path, "can", label, key, "needs fd = true") : 0;
	if (rate == 0)
		return config_fail(err, c, path, "can", label,
				   given(c, label, "dbitrate") ? "dbitrate" : "fd",
				   "CAN FD needs a dbitrate");
	if (rate < conf_int(c, "can", label, "bitrate"))
		return config_fail(err, c, path, "can", label, "dbitrate",
				   "below bitrate, which ISO 11898-1 rules out");
	return 0;
}

static int check_restart(const struct conf *c, const char *path, const char *label,
			 struct error *err)
{
	bool max_given = given(c, label, "restart_max_ms");

	if (max_given && conf_int(c, "can", label, "bitrate") == 0 &&
	    !given(c, label, "restart_ms"))
		return config_fail(err, c, path, "can", label, "restart_max_ms",
				   "needs a restart_ms");
	if (conf_int(c, "can", label, "restart_max_ms") < restart_ms(c, label))
		return config_fail(err, c, path, "can", label,
				   max_given ? "restart_max_ms" : "restart_ms",
				   "restart_max_ms is below restart_ms");
	return 0;
}

static int check_settings(const struct conf *c, const char *path, const char *label,
			  struct error *err)
{
	const char *key = first_set(c, label, setting_keys, array_len(setting_keys));
	int64_t rate = conf_int(c, "can", label, "bitrate");
	int r;

	if (rate > 0 && rate < BITRATE_MIN)
		return config_fail(err, c, path, "can", label, "bitrate",
				   "it is in bit/s: 500 kbit/s are 500000");
	if (rate == 0)
		return key ? config_fail(err, c, path, "can", label, key,
					 "needs a bitrate: without, the interface is left as it is")
			   : 0;
	r = check_points(c, path, label, err);
	return r < 0 ? r : check_data(c, path, label, err);
}

static int check_link(const struct conf *c, const char *path, const char *label, struct error *err)
{
	int r;

	if (strlen(label) >= IFNAMSIZ) {
		error_set(err, "%s: [can %s]: an interface's name has at most %d characters", path,
			  label, IFNAMSIZ - 1);
		return -EINVAL;
	}
	r = check_settings(c, path, label, err);
	return r < 0 ? r : check_restart(c, path, label, err);
}

int config_check_can(const struct conf *c, const char *path, struct error *err)
{
	const char *label;
	int r;

	for (size_t i = 0; (label = conf_label(c, "can", i)) != NULL; i++) {
		if (i == CAN_LINKS_MAX) {
			error_set(err, "%s: more than %d [can NAME] sections", path, CAN_LINKS_MAX);
			return -EINVAL;
		}
		r = check_link(c, path, label, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static struct can_link_settings settings_of(const struct conf *c, const char *label)
{
	struct can_link_settings s = {
		.bitrate = (uint32_t)conf_int(c, "can", label, "bitrate"),
		.sjw = (uint32_t)conf_int(c, "can", label, "sjw"),
		.fd = conf_bool(c, "can", label, "fd"),
		.dbitrate = (uint32_t)conf_int(c, "can", label, "dbitrate"),
		.dsjw = (uint32_t)conf_int(c, "can", label, "dsjw"),
		.restart_ms = (uint32_t)restart_ms(c, label),
		.restart_max_ms = (uint32_t)conf_int(c, "can", label, "restart_max_ms"),
		.listen_only = conf_bool(c, "can", label, "listen_only"),
		.loopback = conf_bool(c, "can", label, "loopback"),
		.berr_reporting = conf_bool(c, "can", label, "berr_reporting"),
	};

	(void)snprintf(s.interface, sizeof(s.interface), "%s", label);
	/* They were checked when the file was read. */
	(void)parse_point(conf_string(c, "can", label, "sample_point"), &s.sample_point);
	(void)parse_point(conf_string(c, "can", label, "dsample_point"), &s.dsample_point);
	return s;
}

int config_links(struct can_links **ret, const struct conf *c, struct loop *loop,
		 struct counters *counters, struct error *err)
{
	struct can_link_settings settings[CAN_LINKS_MAX];
	struct can_watch *watch;
	const char *label;
	size_t n = 0;
	int r;

	for (; n < CAN_LINKS_MAX && (label = conf_label(c, "can", n)) != NULL; n++)
		settings[n] = settings_of(c, label);
	r = can_watch_new(&watch, loop, counters, NULL);
	if (r == 0)
		r = can_links_new(ret, watch, loop, settings, n, NULL);
	if (r < 0)
		error_set(err, "CAN interfaces: %s", strerror(-r));
	return r;
}
