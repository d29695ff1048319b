#include "base/mqtt_conf.h"

#include "base/mqtt_tls.h"
#include "base/mqtt_uri.h"

#include <time.h>

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

static int fail(const struct conf *c, const char *path, const char *key, const char *what,
		struct error *err)
{
	error_set(err, "%s:%d: [mqtt] %s: %s", path, conf_line(c, "mqtt", NULL, key), key, what);
	return -EINVAL;
}

static int check_backoff(const struct conf *c, const char *path, struct error *err)
{
	bool given = conf_line(c, "mqtt", NULL, "backoff_min_ms") > 0;

	if (number(c, "backoff_min_ms") <= number(c, "backoff_max_ms"))
		return 0;
	return given ? fail(c, path, "backoff_min_ms", "above backoff_max_ms", err)
		     : fail(c, path, "backoff_max_ms", "below backoff_min_ms", err);
}

static struct mqtt_tls files(const struct conf *c)
{
	return (struct mqtt_tls){
		.ca = text(c, "ca"), .certificate = text(c, "certificate"), .key = text(c, "key")};
}

/* Returns as mqtt_tls_check, with err naming the key. */
static int check_files(const struct conf *c, const char *path, struct error *err)
{
	static const char *const keys[] = {[MQTT_TLS_CA] = "ca",
					   [MQTT_TLS_CERTIFICATE] = "certificate",
					   [MQTT_TLS_KEY] = "key"};
	struct mqtt_tls tls = files(c);
	struct mqtt_tls_result res;
	int r = mqtt_tls_check(&tls, (int64_t)time(NULL), &res);

	if (r != 0)
		(void)fail(c, path,
			   res.file == MQTT_TLS_KEY && !tls.key ? "certificate" : keys[res.file],
			   res.why.text, err);
	return r;
}

static int check_tls(const struct conf *c, const char *path, struct error *err)
{
	int r;

	if (!text(c, "ca"))
		return fail(c, path, "ca", "mqtts:// needs it", err);
	if (text(c, "key") && !text(c, "certificate"))
		return fail(c, path, "key", "without certificate", err);
	r = check_files(c, path, err);
	return r < 0 ? r : 0;
}

/* Who names certificates means them to be used. */
static int check_plain(const struct conf *c, const char *path, const struct mqtt_uri *uri,
		       struct error *err)
{
	static const char *const unused[] = {"ca", "certificate", "key"};

	for (size_t i = 0; i < array_len(unused); i++)
		if (text(c, unused[i]))
			return fail(c, path, unused[i], "without an uri of mqtts://", err);
	if (!mqtt_uri_is_loopback(uri) && !conf_bool(c, "mqtt", NULL, "insecure"))
		return fail(c, path, "uri",
			    "mqtt:// is neither encrypted nor authenticated, and leaves this "
			    "machine: use mqtts://, or set insecure",
			    err);
	return 0;
}

int mqtt_conf_check(const struct conf *c, const char *path, struct error *err)
{
	struct mqtt_uri uri;
	int r = check_backoff(c, path, err);

	if (r < 0)
		return r;
	if (mqtt_uri_parse(text(c, "uri"), &uri) < 0)
		return fail(c, path, "uri",
			    "must be mqtt://host[:port] or mqtts://host[:port], the latter with no "
			    "IPv6 address",
			    err);
	return uri.tls ? check_tls(c, path, err) : check_plain(c, path, &uri, err);
}

int mqtt_conf_check_dates(const struct conf *c, const char *path, struct error *err)
{
	return text(c, "ca") && check_files(c, path, err) != 0 ? -EINVAL : 0;
}

struct mqtt_options mqtt_conf_options(const struct conf *c)
{
	return (struct mqtt_options){
		.uri = text(c, "uri"),
		.ca = text(c, "ca"),
		.certificate = text(c, "certificate"),
		.key = text(c, "key"),
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
