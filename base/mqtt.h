/* base/mqtt.h: one MQTT 5 connection that keeps itself up (Eclipse Paho MQTTAsync).
 *
 * A fresh Paho client per connection: Paho would otherwise resend in-flight messages with topic
 * aliases that died with the old connection. Paho's persistence is off; whoever must not lose a
 * message keeps it until an application receipt. Reconnects with jittered exponential backoff.
 *
 * Paho's threads never reach the caller: events cross a bounded queue to the loop that was given,
 * and every handler runs there. When the queue is full Paho's receive thread waits, so that a slow
 * caller pushes back on the broker. */
#pragma once

#include "base/loop.h"

struct mqtt;

struct mqtt_options {
	/* "mqtt://host[:1883]", or "mqtts://host[:8883]": TLS 1.2 or later, and the certificate of
	 * the broker must be of ca, for a server and for host, which no option changes. Copied, as
	 * all texts here. */
	const char *uri;
	const char *ca;		 /* mqtts: PEM file of whom to trust, nobody else is */
	const char *certificate; /* PEM file, with its chain; NULL: this client has none */
	const char *key;	 /* PEM file, no pass phrase; NULL: it is in certificate, too */
	const char *client_id;
	const char *username; /* NULL: none */
	const char *password;
	int keepalive_s;	   /* 0: none; else 1 to 65535 */
	uint32_t session_expiry_s; /* 0: clean start; else clean start off and this expiry */
	int backoff_min_ms, backoff_max_ms; /* 1 <= min <= max; see base/mqtt_backoff.h */
	int connect_timeout_s;		    /* from name resolution to CONNACK; 1 to 3600 */
	/* The connection ends when no PUBACK comes for so long while one is due: a broker that has
	 * forgotten one sends it in the next connection only. 0: never. */
	int puback_timeout_s;
	uint16_t receive_maximum; /* QoS 1 messages the broker may have in flight to us; 0: 65535 */
	uint32_t max_packet;	  /* largest packet that we accept; 0: no limit stated */
	size_t queue_bytes;	  /* bound of the event queue; payloads count */
	const char *will_topic;	  /* NULL: none; published with QoS 1, not retained */
	const void *will_payload;
	size_t will_len;
};

/* Borrowed for the call. */
struct mqtt_message {
	const char *topic;
	const uint8_t *payload;
	size_t len;
	bool retained;
};

enum mqtt_certificate {
	MQTT_CERTIFICATE_CHANGED,  /* other files, which are fine */
	MQTT_CERTIFICATE_DATES,	   /* not valid yet, or no more */
	MQTT_CERTIFICATE_UNUSABLE, /* missing, unreadable, or not belonging together */
};

/* Each may be NULL. */
struct mqtt_handlers {
	void (*connected)(void *ctx, bool session_present);
	/* After a connection ended or an attempt failed. Everything in flight is undecided: its
	 * published handler will not be called. reason is a text for the log. */
	void (*disconnected)(void *ctx, const char *reason);
	void (*message)(void *ctx, const struct mqtt_message *m);
	/* PUBACK (QoS 1), or handed over (QoS 0). reason is the MQTT 5 reason code: 0x00 success,
	 * >= 0x80 refused. 0x10 (no matching subscriber) comes as 0x00 from Paho 1.3.12. */
	void (*published)(void *ctx, uint64_t cookie, int reason);
	void (*subscribed)(void *ctx, const char *filter, int reason);
	/* mqtts: ca, certificate or key were replaced, which a connection that is there outlives,
	 * or are not well: from the start, or since the clock went on. text is for the log. */
	void (*certificate)(void *ctx, enum mqtt_certificate what, const char *text);
};

/* "certificate_changed", "certificate_dates", "certificate_unusable": names for a log. */
const char *mqtt_certificate_event(enum mqtt_certificate what);

/* PUBLISH packets in flight at once, whatever the broker's Receive Maximum. Paho's lists are
 * linear: a long window costs more than it gains. */
enum { MQTT_INFLIGHT_MAX = 256, MQTT_SUBSCRIBES_MAX = 64 };

/* Starts to connect as soon as the loop runs. handlers is borrowed for m's life; they run on the
 * loop's thread and may call mqtt_free. Returns 0, -EINVAL (uri is not as above, or tcp://...;
 * mqtts without ca, or with an IPv6 address; a key without certificate; no client_id; a number out
 * of its range), -ENOMEM, or -errno of threads. Files are looked at when they are used. */
int mqtt_new(struct mqtt **ret, struct loop *l, const struct mqtt_options *opt,
	     const struct mqtt_handlers *handlers, void *ctx) must_check;
/* Disconnects and frees; NULL is fine; always returns NULL. Gives what is in flight up to 500 ms,
 * and takes at most 1 s even when the broker is dead. No handler is called from here on: messages
 * that are still queued are lost, though Paho has acknowledged them to the broker. */
struct mqtt *mqtt_free(struct mqtt *m);
bool mqtt_is_connected(const struct mqtt *m);
/* The broker's Maximum Packet Size, as of the latest CONNACK; MQTT_PACKET_MAX when it has none. */
uint32_t mqtt_packet_maximum(const struct mqtt *m);

struct mqtt_publish {
	const char *topic; /* with use_alias: aliased from its second use on, while the broker's
			    * Topic Alias Maximum allows */
	const void *payload;
	size_t len;
	int qos;
	bool retain;
	bool use_alias;
	uint32_t expiry_s; /* Message Expiry Interval (3.3.2.3.3); 0: none; at most 2^31 - 1 */
	uint64_t cookie;   /* comes back in published */
};

/* Copies. Returns 0, -ENOTCONN, -EAGAIN (too many in flight: the broker's Receive Maximum or
 * MQTT_INFLIGHT_MAX; try again after the next published), -EMSGSIZE (above the broker's Maximum
 * Packet Size), -EINVAL (topic is empty, has wildcards or is no UTF-8; qos is not 0 or 1), -ENOMEM.
 */
int mqtt_publish(struct mqtt *m, const struct mqtt_publish *p) must_check;
/* Lasts as long as the session: subscribe from the connected handler. filter must be valid UTF-8.
 * Returns 0, -ENOTCONN, -EAGAIN (MQTT_SUBSCRIBES_MAX unanswered), -EINVAL, -ENOMEM. */
int mqtt_subscribe(struct mqtt *m, const char *filter, int qos) must_check;

/* Counters since mqtt_new. */
struct mqtt_stats {
	uint64_t connects, disconnects, failed_attempts;
	uint64_t tls_failures;	   /* of failed_attempts: files, handshake, a certificate refused */
	int64_t certificate_until; /* seconds since 1970 at which certificate ends; 0: none */
	uint64_t published,
		published_bytes; /* bytes of MQTT packets by the specification's sizes */
	uint64_t received;
	uint64_t queue_waits; /* how often a full event queue held up Paho's receive thread */
};
void mqtt_get_stats(const struct mqtt *m, struct mqtt_stats *ret);
