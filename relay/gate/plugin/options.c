#include "relay/gate/plugin/gate.h"

#include <string.h>

static int seconds(const char *value, int64_t *ret, struct error *err)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(value, &end, 10);
	if (errno || end == value || *end || v < 1 || v > 3600) {
		error_set(err, "metrics_s '%.40s' is not 1 to 3600", value);
		return -EINVAL;
	}
	*ret = v;
	return 0;
}

/* limit_CLASS */
static int limit(struct gate *g, const char *class, const char *value, struct error *err)
{
	for (unsigned int c = 0; c < GATE_CLASSES; c++)
		if (strcmp(class, gate_class_name(c)) == 0)
			return gate_limit_parse(value, &g->limits[c], err);
	error_set(err, "limit_%.40s: no such class", class);
	return -EINVAL;
}

static int option(struct gate *g, const char *key, const char *value, struct error *err)
{
	const struct {
		const char *key, **to;
	} texts[] = {
		{"devices", &g->devices},     {"state", &g->state},
		{"device_ca", &g->device_ca}, {"service_ca", &g->service_ca},
		{"metrics", &g->metrics},
	};

	for (size_t i = 0; i < array_len(texts); i++)
		if (strcmp(key, texts[i].key) == 0) {
			*texts[i].to = value;
			return 0;
		}
	if (strcmp(key, "metrics_s") == 0)
		return seconds(value, &g->metrics_s, err);
	if (strncmp(key, "limit_", 6) == 0)
		return limit(g, key + 6, value, err);
	error_set(err, "plugin_opt_%.60s is unknown", key);
	return -EINVAL;
}

int gate_options(struct gate *g, const struct mosquitto_opt *options, int n, struct error *err)
{
	int r = 0;

	g->metrics_s = 10;
	for (size_t c = 0; c < GATE_CLASSES; c++)
		g->limits[c] = GATE_LIMIT_DEFAULT;
	for (int i = 0; r == 0 && i < n; i++)
		r = option(g, options[i].key, options[i].value ? options[i].value : "", err);
	if (r < 0)
		return r;
	if (!g->devices || !g->state || !g->device_ca || !g->service_ca) {
		error_set(err, "plugin_opt_%s is missing",
			  !g->devices	  ? "devices"
			  : !g->state	  ? "state"
			  : !g->device_ca ? "device_ca"
					  : "service_ca");
		return -EINVAL;
	}
	return 0;
}
