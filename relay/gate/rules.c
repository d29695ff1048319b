#include "relay/gate/rules.h"

#include <string.h>

enum { REPLY_TOPIC_MAX = 2 * TOPIC_MAX };

/* What follows prefix in topic, or NULL. */
static const char *after(const char *topic, const char *prefix)
{
	size_t n = strlen(prefix);

	return topic && strncmp(topic, prefix, n) == 0 ? topic + n : NULL;
}

/* What follows the level, which is id and not the last, or NULL. */
static const char *after_level(const char *topic, const char *id)
{
	const char *rest = after(topic, id);

	return rest && *rest == '/' ? rest + 1 : NULL;
}

/* As after_level, for any id. */
static const char *after_id(const char *topic)
{
	char id[ID_MAX + 1];
	size_t n = topic ? strcspn(topic, "/") : 0;

	if (n == 0 || n > ID_MAX || topic[n] != '/')
		return NULL;
	memcpy(id, topic, n);
	id[n] = '\0';
	return id_is_valid(id) ? topic + n + 1 : NULL;
}

static bool is_own(const struct gate_device *d, const struct topic_up *t)
{
	return strcmp(t->vehicle, d->vehicle) == 0 && strcmp(t->device, d->id) == 0;
}

/* tl/1/up/{part}/{vehicle}/{device}/reply/{app}: its beginning is checked as that of a batch. */
static bool is_own_reply(const struct gate_device *d, const char *topic)
{
	static const char REPLY[] = "/reply/";
	const char *app = strrchr(topic, '/');
	char batch[REPLY_TOPIC_MAX];
	struct topic_up t;
	size_t n;

	if (!app || !id_is_valid(app + 1))
		return false;
	n = (size_t)(app + 1 - topic);
	if (n < sizeof(REPLY) || n >= sizeof(batch) - sizeof("event") ||
	    strncmp(topic + n - (sizeof(REPLY) - 1), REPLY, sizeof(REPLY) - 1) != 0)
		return false;
	n -= sizeof("reply/") - 1;
	memcpy(batch, topic, n);
	memcpy(batch + n, "event", sizeof("event"));
	return topic_parse_up(batch, &t, NULL) == 0 && is_own(d, &t);
}

int gate_device_publishes(const struct gate_device *d, const char *topic, bool retain)
{
	struct topic_up t;

	if (retain)
		return -EACCES;
	if (topic_parse_up(topic, &t, NULL) == 0)
		return is_own(d, &t) ? (int)t.class : -EACCES;
	return is_own_reply(d, topic) ? GATE_REPLY : -EACCES;
}

static bool is_order(const char *name)
{
	return strcmp(name, "receipt") == 0 || strcmp(name, "config") == 0 ||
	       strcmp(name, "cmd") == 0;
}

bool gate_device_gets(const struct gate_device *d, const char *topic)
{
	const char *down = after_level(after(topic, "tl/1/down/"), d->vehicle);
	const char *own = after_level(down, d->id);
	const char *direct = after_level(down, "direct");

	return (own && is_order(own)) || (direct && id_is_valid(direct));
}

bool gate_service_publishes(const struct gate_service *s, const char *topic, bool retain)
{
	const char *what = after_id(after_id(after(topic, "tl/1/down/")));

	if (s->role != GATE_RELAY || !what || !is_order(what))
		return false;
	return !retain || strcmp(what, "config") == 0;
}

bool gate_service_gets(const struct gate_service *s, const char *topic)
{
	const char *shared = after(topic, "$share/");

	if (shared)
		topic = after_id(shared);
	return s->role == GATE_RELAY &&
	       (after(topic, "tl/1/up/") || after(topic, "tl/1/presence/"));
}
