#include "base/log.h"
#include "relay/gate/plugin/gate.h"
#include "relay/gate/rules.h"

#include <stdio.h>
#include <string.h>

enum { MQTT_5 = 5, USERNAME_MAX = ID_MAX + 3, QUOTED_MAX = 200 };

void gate_refuse(struct gate *g, enum gate_refusal why, const struct mosquitto *client,
		 const char *who, const char *what)
{
	char name[QUOTED_MAX], text[QUOTED_MAX], tail[32] = "";
	const char *address = mosquitto_client_address(client);
	unsigned int muted = 0;

	if (!gate_tally_refusal(&g->tally, why, g->now, &muted))
		return;
	if (muted)
		snprintf(tail, sizeof(tail), " muted=%u", muted);
	mosquitto_log_printf(
		MOSQ_LOG_WARNING, "towline-gate: refused reason=%s name=%s what=%s from=%s%s",
		gate_refusal_name(why), log_quote(name, sizeof(name), who ? who : "-"),
		log_quote(text, sizeof(text), what ? what : "-"), address ? address : "-", tail);
}

/* GATE_REFUSALS: none. */
static enum gate_refusal judge(struct gate *g, const struct mosquitto *client,
			       const struct certificate *c)
{
	const char *client_id = mosquitto_client_id(client);

	if (!g->ticked)
		return REFUSED_NO_TICK;
	if (!c->there)
		return REFUSED_NO_CERTIFICATE;
	if (c->issuer == ISSUER_OTHER)
		return REFUSED_ISSUER;
	if (!c->named)
		return REFUSED_NAME;
	if (!client_id || strcmp(client_id, c->name) != 0)
		return REFUSED_CLIENT_ID;
	if (mosquitto_client_protocol_version(client) != MQTT_5)
		return REFUSED_PROTOCOL;
	return GATE_REFUSALS;
}

static enum gate_refusal judge_device(const struct gate_device *d)
{
	if (!d)
		return REFUSED_UNKNOWN;
	if (gate_device_admitted(d))
		return GATE_REFUSALS;
	return d->status == GATE_RETIRED ? REFUSED_RETIRED : REFUSED_SUSPENDED;
}

static int set_username(struct mosquitto *client, char kind, const char *name)
{
	char username[USERNAME_MAX];

	snprintf(username, sizeof(username), "%c:%s", kind, name);
	return mosquitto_set_username(client, username);
}

static int admit_device(struct gate *g, struct mosquitto *client, const char *name)
{
	struct gate_device *d = gate_table_device(g->table, name);
	enum gate_refusal why = judge_device(d);

	if (why != GATE_REFUSALS) {
		gate_refuse(g, why, client, name, NULL);
		return MOSQ_ERR_AUTH;
	}
	if (set_username(client, 'd', name) != MOSQ_ERR_SUCCESS)
		return MOSQ_ERR_NOMEM;
	d->client = client;
	g->tally.admitted_devices++;
	gate_presence(d, "online");
	return MOSQ_ERR_SUCCESS;
}

static int admit_service(struct gate *g, struct mosquitto *client, const char *name)
{
	struct gate_service *s = gate_table_service(g->table, name);

	if (!s) {
		gate_refuse(g, REFUSED_UNKNOWN, client, name, NULL);
		return MOSQ_ERR_AUTH;
	}
	if (set_username(client, 's', name) != MOSQ_ERR_SUCCESS)
		return MOSQ_ERR_NOMEM;
	s->client = client;
	g->tally.admitted_services++;
	return MOSQ_ERR_SUCCESS;
}

int gate_on_auth(int event, void *data, void *ctx)
{
	const struct mosquitto_evt_basic_auth *e = data;
	struct gate *g = ctx;
	struct certificate c;
	enum gate_refusal why;

	(void)event;
	g->now = timebase_mono(timebase_system());
	certificate_of(e->client, g->device_cas, g->service_cas, &c);
	why = judge(g, e->client, &c);
	if (why != GATE_REFUSALS) {
		gate_refuse(g, why, e->client, c.named ? c.name : NULL,
			    mosquitto_client_id(e->client));
		return MOSQ_ERR_AUTH;
	}
	return c.issuer == ISSUER_DEVICE ? admit_device(g, e->client, c.name)
					 : admit_service(g, e->client, c.name);
}

/* The connection that uses a name that the gate gave, or NULL. */
static struct gate_device *device_of(const struct gate *g, const struct mosquitto *client)
{
	const char *name = mosquitto_client_username(client);

	return name && strncmp(name, "d:", 2) == 0 ? gate_table_device(g->table, name + 2) : NULL;
}

static struct gate_service *service_of(const struct gate *g, const struct mosquitto *client)
{
	const char *name = mosquitto_client_username(client);

	return name && strncmp(name, "s:", 2) == 0 ? gate_table_service(g->table, name + 2) : NULL;
}

static enum gate_refusal device_publishes(struct gate *g, struct gate_device *d,
					  const struct mosquitto_evt_acl_check *e)
{
	int class = gate_device_publishes(d, e->topic, e->retain);
	const struct gate_limit *limit;

	if (class < 0)
		return REFUSED_PUBLISH;
	limit = &g->table->limits[d->limits].of[class];
	switch (gate_spend(&d->spent[class], limit, e->payloadlen,
			   (uint32_t)(g->now.ns / NS_PER_MS))) {
	case GATE_TOO_LARGE:
		return REFUSED_TOO_LARGE;
	case GATE_TOO_FAST:
		return REFUSED_TOO_FAST;
	case GATE_FITS:
		break;
	}
	g->tally.messages++;
	g->tally.message_bytes += e->payloadlen;
	return GATE_REFUSALS;
}

/* A session outlives its connection: what is to be kept for it is judged by name alone. */
static enum gate_refusal judge_device_acl(struct gate *g, struct gate_device *d,
					  const struct mosquitto_evt_acl_check *e)
{
	bool gets = gate_device_admitted(d) && gate_device_gets(d, e->topic);

	if (e->access == MOSQ_ACL_READ)
		return gets ? GATE_REFUSALS : REFUSED_READ;
	if (d->client != e->client)
		return REFUSED_BYPASSED;
	if (e->access == MOSQ_ACL_SUBSCRIBE)
		return gets ? GATE_REFUSALS : REFUSED_SUBSCRIBE;
	return device_publishes(g, d, e);
}

static enum gate_refusal judge_service_acl(const struct gate_service *s,
					   const struct mosquitto_evt_acl_check *e)
{
	if (e->access == MOSQ_ACL_READ)
		return gate_service_gets(s, e->topic) ? GATE_REFUSALS : REFUSED_READ;
	if (s->client != e->client)
		return REFUSED_BYPASSED;
	if (e->access == MOSQ_ACL_SUBSCRIBE)
		return gate_service_gets(s, e->topic) ? GATE_REFUSALS : REFUSED_SUBSCRIBE;
	return gate_service_publishes(s, e->topic, e->retain) ? GATE_REFUSALS : REFUSED_PUBLISH;
}

int gate_on_acl(int event, void *data, void *ctx)
{
	const struct mosquitto_evt_acl_check *e = data;
	struct gate *g = ctx;
	struct gate_device *d = device_of(g, e->client);
	struct gate_service *s = d ? NULL : service_of(g, e->client);
	enum gate_refusal why = REFUSED_BYPASSED;

	(void)event;
	if (e->access == MOSQ_ACL_UNSUBSCRIBE)
		return MOSQ_ERR_SUCCESS;
	g->now = timebase_mono(timebase_system());
	if (d)
		why = judge_device_acl(g, d, e);
	else if (s)
		why = judge_service_acl(s, e);
	if (why == GATE_REFUSALS)
		return MOSQ_ERR_SUCCESS;
	gate_refuse(g, why, e->client, mosquitto_client_username(e->client), e->topic);
	return MOSQ_ERR_ACL_DENIED;
}

/* When a device takes its own session over, the old connection ends after the new one is there. */
int gate_on_disconnect(int event, void *data, void *ctx)
{
	const struct mosquitto_evt_disconnect *e = data;
	struct gate *g = ctx;
	struct gate_device *d = device_of(g, e->client);
	struct gate_service *s = service_of(g, e->client);

	(void)event;
	if (d && d->client == e->client) {
		d->client = NULL;
		gate_presence(d, "offline");
	}
	if (s && s->client == e->client)
		s->client = NULL;
	return MOSQ_ERR_SUCCESS;
}

static void kick(struct gate *g, char kind, const char *name, const char *why)
{
	char username[USERNAME_MAX];

	snprintf(username, sizeof(username), "%c:%s", kind, name);
	g->tally.kicked++;
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "towline-gate: kicked name=%s reason=%s", username,
			     why);
	mosquitto_kick_client_by_username(username, false);
}

static void hand_over_device(struct gate *g, struct gate_device *old, struct gate_table *new)
{
	struct gate_device *d = gate_table_device(new, old->id);
	enum gate_refusal why = judge_device(d);

	if (why == GATE_REFUSALS && strcmp(d->vehicle, old->vehicle) == 0) {
		d->client = old->client;
		memcpy(d->spent, old->spent, sizeof(d->spent));
		return;
	}
	old->client = NULL;
	gate_presence(old, "offline");
	kick(g, 'd', old->id, why == GATE_REFUSALS ? "vehicle" : gate_refusal_name(why));
}

void gate_hand_over(struct gate *g, struct gate_table *new)
{
	for (size_t i = 0; i < g->table->n_devices; i++)
		if (g->table->devices[i].client)
			hand_over_device(g, &g->table->devices[i], new);
	for (size_t i = 0; i < g->table->n_services; i++) {
		struct gate_service *old = &g->table->services[i];
		struct gate_service *s = gate_table_service(new, old->name);

		if (old->client && s && s->role == old->role)
			s->client = old->client;
		else if (old->client)
			kick(g, 's', old->name, "unknown");
	}
	gate_table_free(g->table);
	g->table = new;
}
