#include "base/mqtt_conf.h"

/* The largest row on the slowest link of any use has its PUBACK by then. */
enum { PUBACK_TIMEOUT_S = 900 };

static int number(const struct conf *c, const char *key)
{
	return (int)conf_int(c, "mqtt", NULL, key);
}

/* NULL for an empty text. */
static const char *text(const struct conf *c, const char *key)
{
	const char *s = conf_string(c, "mqtt", NULL, key);

	return s && *s ? s : NULL;
}

int mqtt_conf_check(const struct conf *c, const char *path, struct error *err)
{
	int line = conf_line(c, "mqtt", NULL, "backoff_min_ms");

	if (number(c, "backoff_min_ms") <= number(c, "backoff_max_ms"))
		return 0;
	error_set(err, "%s:%d: [mqtt] backoff_min_ms: above backoff_max_ms", path,
		  line ? line : conf_line(c, "mqtt", NULL, "backoff_max_ms"));
	return -EINVAL;
}

struct mqtt_options mqtt_conf_options(const struct conf *c)
{
	return (struct mqtt_options){
		.uri = text(c, "uri"),
		.username = text(c, "username"),
		.password = text(c, "password"),
		.keepalive_s = number(c, "keepalive_s"),
		.session_expiry_s = (uint32_t)conf_int(c, "mqtt", NULL, "session_expiry_s"),
		.backoff_min_ms = number(c, "backoff_min_ms"),
		.backoff_max_ms = number(c, "backoff_max_ms"),
		.connect_timeout_s = number(c, "connect_timeout_s"),
		.puback_timeout_s = PUBACK_TIMEOUT_S,
	};
}
