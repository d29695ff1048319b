#include "base/mqtt_paho.h"

#include "base/mqtt_alert.h"
#include "base/mqtt_nodelay.h"

#include <MQTTAsync.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { OUT_OF_MEMORY = -99 }; /* as Paho has it, in a private header */

/* Ephemeral keys and authenticated encryption, which TLS below 1.2 has none of; Paho 1.3.12 has no
 * working option for the version. Those of TLS 1.3 are a list of their own, and all on. Level 2: at
 * least 112 bits, no SHA-1 (Paho sets level 1). */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"

/* Paho stops its threads when its last client is destroyed, and polls in steps of 100 ms until they
 * are gone. A client that never connects keeps them, so that a reconnect need not wait. It lives as
 * long as the process. */
static MQTTAsync paho_anchor;
static pthread_once_t paho_anchor_once = PTHREAD_ONCE_INIT;

static void paho_anchor_create(void)
{
	MQTTAsync_createOptions opt = MQTTAsync_createOptions_initializer5;
	MQTTAsync_init_options init = MQTTAsync_init_options_initializer;

	/* OpenSSL readies what it needs when it needs it: all of it takes memory, also of who uses
	 * no TLS. */
	init.do_openssl_init = 0;
	MQTTAsync_global_init(&init);
	/* Without it everything works, only slower. */
	if (MQTTAsync_createWithOptions(&paho_anchor, "tcp://127.0.0.1:1", "anchor",
					MQTTCLIENT_PERSISTENCE_NONE, NULL, &opt) != 0)
		paho_anchor = NULL;
}

/* --- options --- */

static int copy_text(char **ret, const char *text)
{
	if (!text)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static int copy_will(struct mqtt_paho *p, const struct mqtt_options *opt)
{
	int r = copy_text(&p->will_topic, opt->will_topic);

	if (r < 0 || !opt->will_topic || opt->will_len == 0)
		return r;
	p->will_payload = malloc(opt->will_len);
	if (!p->will_payload)
		return -ENOMEM;
	memcpy(p->will_payload, opt->will_payload, opt->will_len);
	return 0;
}

static int copy_tls(struct mqtt_paho *p, const struct mqtt_options *opt)
{
	int r = copy_text(&p->ca, opt->ca);

	if (r == 0)
		r = copy_text(&p->certificate, opt->certificate);
	if (r == 0)
		r = copy_text(&p->key, opt->key);
	p->tls = (struct mqtt_tls){.ca = p->ca, .certificate = p->certificate, .key = p->key};
	return r;
}

static int make_uri(char **ret, const struct mqtt_uri *uri)
{
	if (asprintf(ret, "%s://%s", uri->tls ? "ssl" : "tcp", uri->place) >= 0)
		return 0;
	*ret = NULL;
	return -ENOMEM;
}

int mqtt_paho_init(struct mqtt_paho *p, struct mqtt_link *link, const struct mqtt_options *opt,
		   const struct mqtt_uri *uri)
{
	int r;

	*p = (struct mqtt_paho){.link = link, .opt = *opt};
	r = make_uri(&p->uri, uri);
	if (r == 0)
		r = copy_text(&p->place, uri->place);
	if (r == 0)
		r = copy_text(&p->client_id, opt->client_id);
	if (r == 0)
		r = copy_text(&p->username, opt->username);
	if (r == 0)
		r = copy_text(&p->password, opt->password);
	if (r == 0)
		r = copy_will(p, opt);
	if (r == 0 && uri->tls)
		r = copy_tls(p, opt);
	if (r < 0)
		mqtt_paho_deinit(p);
	return r;
}

void mqtt_paho_deinit(struct mqtt_paho *p)
{
	free(p->uri);
	free(p->place);
	free(p->client_id);
	free(p->username);
	free(p->password);
	free(p->will_topic);
	free(p->will_payload);
	free(p->ca);
	free(p->certificate);
	free(p->key);
	*p = (struct mqtt_paho){0};
}

/* --- properties --- */

static int add_int(MQTTProperties *props, enum MQTTPropertyCodes id, uint32_t value)
{
	MQTTProperty prop = {.identifier = id};

	switch (MQTTProperty_getType(id)) {
	case MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER:
		prop.value.integer2 = (unsigned short)value;
		break;
	case MQTTPROPERTY_TYPE_FOUR_BYTE_INTEGER:
		/* Paho writes what is negative as an int wrong. 2^31 - 1 s are 68 years. */
		prop.value.integer4 = value > INT32_MAX ? INT32_MAX : value;
		break;
	default:
		return -EINVAL;
	}
	return MQTTProperties_add(props, &prop) == 0 ? 0 : -ENOMEM;
}

static uint32_t get_int(MQTTProperties *props, enum MQTTPropertyCodes id, uint32_t absent)
{
	if (!MQTTProperties_hasProperty(props, id))
		return absent;
	return (uint32_t)MQTTProperties_getNumericValue(props, id);
}

/* --- callbacks, on Paho's threads, most of them under its global lock --- */

/* place is host:port, and host may be an IPv6 address in brackets. */
static int port_of(const char *place)
{
	const char *colon = strrchr(place, ':');

	return colon ? (int)strtol(colon + 1, NULL, 10) : 0;
}

static void on_connected(void *ctx, MQTTAsync_successData5 *d)
{
	struct mqtt_paho *p = ctx;
	struct mqtt_opened o = {.session_present = d->alt.connect.sessionPresent != 0};
	MQTTProperties *props = &d->properties;

	/* The defaults are those of MQTT 5.0, 3.2.2.3. */
	o.receive_maximum = (uint16_t)get_int(props, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, UINT16_MAX);
	o.alias_maximum = (uint16_t)get_int(props, MQTTPROPERTY_CODE_TOPIC_ALIAS_MAXIMUM, 0);
	o.packet_maximum = get_int(props, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE, UINT32_MAX);
	mqtt_alert_ignore();
	(void)mqtt_nodelay(port_of(p->place));
	mqtt_link_post_opened(p->link, &o);
}

static void on_connect_failed(void *ctx, MQTTAsync_failureData5 *d)
{
	struct mqtt_paho *p = ctx;
	int refused =
		d->reasonCode >= MQTTREASONCODE_UNSPECIFIED_ERROR ? (int)d->reasonCode : d->code;
	const char *text = d->message ? d->message : MQTTAsync_strerror(d->code);
	char why[160];
	bool tls = mqtt_alert_take(p->certificate != NULL, why, sizeof(why));

	if (refused > 0) {
		const char *name = MQTTReasonCode_toString((enum MQTTReasonCodes)refused);

		mqtt_link_post_ended(p->link, "%s refused the connection: %s (0x%02x)", p->place,
				     name ? name : "reason unknown", (unsigned)refused);
	} else if (p->tls.ca && tls) {
		mqtt_link_post_tls_ended(p->link, p->place, why);
	} else {
		mqtt_link_post_ended(p->link, "cannot connect to %s: %s", p->place,
				     text ? text : "reason unknown");
	}
}

static void on_goodbye(void *ctx, MQTTProperties *props, enum MQTTReasonCodes reason)
{
	struct mqtt_paho *p = ctx;
	const char *name = MQTTReasonCode_toString(reason);

	(void)props;
	mqtt_link_post_ended(p->link, "%s ended the connection: %s (0x%02x)", p->place,
			     name ? name : "reason unknown", (unsigned)reason);
}

static void on_lost(void *ctx, char *cause)
{
	struct mqtt_paho *p = ctx;

	(void)cause; /* NULL, always */
	mqtt_link_post_ended(p->link, "connection to %s lost", p->place);
}

/* Topic and payload behind the event, in one piece: Paho's memory goes back at once, on the thread
 * that took it. From another one it would cost more than the copy, for Paho keeps a tree of all its
 * memory under one lock. */
static struct mqtt_received *copy_message(const char *topic, size_t topic_len,
					  const MQTTAsync_message *m)
{
	size_t len = (size_t)m->payloadlen;
	struct mqtt_received *r = malloc(sizeof(*r) + topic_len + 1 + len);

	if (!r)
		return NULL;
	*r = (struct mqtt_received){.event.bytes = sizeof(*r) + topic_len + len};
	memcpy(r->data, topic, topic_len + 1);
	if (len > 0)
		memcpy(r->data + topic_len + 1, m->payload, len);
	r->message = (struct mqtt_message){.topic = r->data,
					   .payload = (uint8_t *)r->data + topic_len + 1,
					   .len = len,
					   .retained = m->retained != 0};
	return r;
}

/* Returns 1: taken. 0 leaves the message with Paho, which offers it again with the next packet. */
static int on_message(void *ctx, char *topic, int topic_len, MQTTAsync_message *m)
{
	struct mqtt_paho *p = ctx;
	size_t len = strlen(topic);
	/* A NUL within a topic is malformed (1.5.4), no broker passes it on; cut short it would be
	 * another topic. */
	bool malformed = topic_len > 0 && len != (size_t)topic_len;
	struct mqtt_received *r = copy_message(topic, len, m);

	if (!r)
		return 0;
	MQTTAsync_freeMessage(&m);
	MQTTAsync_free(topic);
	if (malformed || !mqtt_link_post_message(p->link, r))
		free(r);
	return 1;
}

static void on_published(void *ctx, MQTTAsync_successData5 *d)
{
	mqtt_link_post_published(ctx, (int)d->reasonCode);
}

static void on_publish_failed(void *ctx, MQTTAsync_failureData5 *d)
{
	/* Without a reason code there was no PUBACK: the connection is about to end, and with it
	 * the fate of the message is open. */
	if (d->reasonCode >= MQTTREASONCODE_UNSPECIFIED_ERROR)
		mqtt_link_post_published(ctx, (int)d->reasonCode);
}

static void on_subscribed(void *ctx, MQTTAsync_successData5 *d)
{
	mqtt_link_post_subscribed(ctx, (int)d->reasonCode);
}

static void on_subscribe_failed(void *ctx, MQTTAsync_failureData5 *d)
{
	if (d->reasonCode >= MQTTREASONCODE_UNSPECIFIED_ERROR)
		mqtt_link_post_subscribed(ctx, (int)d->reasonCode);
}

/* --- calls --- */

static int create_client(struct mqtt_paho *p)
{
	MQTTAsync_createOptions opt = MQTTAsync_createOptions_initializer5;
	MQTTAsync client;
	int r;

	/* Beyond this MQTTAsync_send refuses. */
	opt.maxBufferedMessages = 2 * MQTT_INFLIGHT_MAX;
	r = MQTTAsync_createWithOptions(&client, p->uri, p->client_id, MQTTCLIENT_PERSISTENCE_NONE,
					NULL, &opt);
	if (r != 0)
		return r;
	p->client = client;
	r = MQTTAsync_setCallbacks(client, p, on_lost, on_message, NULL);
	if (r == 0)
		r = MQTTAsync_setDisconnected(client, p, on_goodbye);
	return r;
}

static int connect_properties(const struct mqtt_options *opt, MQTTProperties *props)
{
	int r = 0;

	if (opt->session_expiry_s > 0)
		r = add_int(props, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
			    opt->session_expiry_s);
	if (r == 0 && opt->receive_maximum > 0)
		r = add_int(props, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, opt->receive_maximum);
	if (r == 0 && opt->max_packet > 0)
		r = add_int(props, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE, opt->max_packet);
	return r < 0 ? OUT_OF_MEMORY : 0;
}

static int on_tls_error(const char *line, size_t len, void *ctx)
{
	(void)ctx;
	mqtt_alert_error(line, len);
	return 1;
}

/* Server name and chain are verified whatever the configuration says. */
static MQTTAsync_SSLOptions tls_options(const struct mqtt_paho *p)
{
	MQTTAsync_SSLOptions ssl = MQTTAsync_SSLOptions_initializer;

	ssl.trustStore = p->ca;
	ssl.keyStore = p->certificate;
	ssl.privateKey = p->key ? p->key : p->certificate;
	ssl.enabledCipherSuites = CIPHERS;
	ssl.enableServerCertAuth = 1;
	ssl.verify = 1;
	ssl.disableDefaultTrustStore = 1;
	ssl.ssl_error_cb = on_tls_error;
	return ssl;
}

static int connect_client(struct mqtt_paho *p, MQTTProperties *props)
{
	MQTTAsync_SSLOptions ssl = tls_options(p); /* Paho copies */
	MQTTAsync_connectOptions opt = MQTTAsync_connectOptions_initializer5;
	MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;

	opt.keepAliveInterval = p->opt.keepalive_s;
	/* The loop watches the time; Paho looks at its own limit every 3 s only. */
	opt.connectTimeout = p->opt.connect_timeout_s + 5;
	opt.cleanstart = p->opt.session_expiry_s == 0;
	opt.username = p->username;
	opt.password = p->password;
	opt.connectProperties = props;
	opt.onSuccess5 = on_connected;
	opt.onFailure5 = on_connect_failed;
	opt.context = p;
	if (p->tls.ca) {
		mqtt_alert_listen();
		opt.ssl = &ssl;
	}
	if (p->will_topic) {
		will.topicName = p->will_topic;
		will.payload.data = p->will_payload;
		will.payload.len = (int)p->opt.will_len;
		will.qos = 1;
		opt.will = &will;
	}
	return MQTTAsync_connect(p->client, &opt);
}

/* What is wrong with a file is told here by its name. Dates are the broker's matter: our clock may
 * be the one that is wrong. */
static bool files_usable(struct mqtt_paho *p)
{
	struct mqtt_tls_result res;

	if (!p->tls.ca || mqtt_tls_check(&p->tls, 0, &res) >= 0)
		return true;
	mqtt_link_post_tls_ended(p->link, p->place, res.why.text);
	return false;
}

void mqtt_paho_open(struct mqtt_paho *p)
{
	MQTTProperties props = MQTTProperties_initializer;
	int r;

	assert(!p->client);
	if (!files_usable(p))
		return;
	pthread_once(&paho_anchor_once, paho_anchor_create);
	r = create_client(p);
	if (r == 0)
		r = connect_properties(&p->opt, &props);
	if (r == 0)
		r = connect_client(p, &props);
	MQTTProperties_free(&props);
	if (r != 0) {
		const char *text = MQTTAsync_strerror(r);

		mqtt_link_post_ended(p->link, "cannot connect to %s: %s (Paho %d)", p->place,
				     text ? text : "error", r);
	}
}

void mqtt_paho_close(struct mqtt_paho *p)
{
	MQTTAsync client = p->client;

	if (client)
		MQTTAsync_destroy(&client);
	p->client = NULL;
}

static int send_publish(struct mqtt_paho *p, struct mqtt_slot *slot,
			const struct mqtt_link_publish *pub, MQTTProperties *props)
{
	MQTTAsync_responseOptions opt = MQTTAsync_responseOptions_initializer;

	if (pub->alias && add_int(props, MQTTPROPERTY_CODE_TOPIC_ALIAS, pub->alias) < 0)
		return OUT_OF_MEMORY;
	if (pub->expiry_s &&
	    add_int(props, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, pub->expiry_s) < 0)
		return OUT_OF_MEMORY;
	opt.onSuccess5 = on_published;
	opt.onFailure5 = on_publish_failed;
	opt.context = slot;
	opt.properties = *props; /* Paho copies */
	return MQTTAsync_send(p->client, pub->topic, (int)pub->len, pub->payload, slot->qos,
			      pub->retain, &opt);
}

void mqtt_paho_publish(struct mqtt_paho *p, struct mqtt_slot *slot,
		       const struct mqtt_link_publish *pub)
{
	MQTTProperties props = MQTTProperties_initializer;
	int r = send_publish(p, slot, pub, &props);

	MQTTProperties_free(&props);
	if (r != 0 && r != MQTTASYNC_DISCONNECTED)
		mqtt_link_post_published(slot, r == MQTTASYNC_BAD_UTF8_STRING
						       ? MQTTREASONCODE_TOPIC_NAME_INVALID
						       : MQTTREASONCODE_UNSPECIFIED_ERROR);
}

void mqtt_paho_subscribe(struct mqtt_paho *p, struct mqtt_sub *sub)
{
	MQTTAsync_responseOptions opt = MQTTAsync_responseOptions_initializer;
	int r;

	opt.onSuccess5 = on_subscribed;
	opt.onFailure5 = on_subscribe_failed;
	opt.context = sub;
	r = MQTTAsync_subscribe(p->client, sub->filter, sub->qos, &opt);
	if (r != 0 && r != MQTTASYNC_DISCONNECTED)
		mqtt_link_post_subscribed(sub, MQTTREASONCODE_UNSPECIFIED_ERROR);
}
