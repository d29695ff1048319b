/* base/mqtt_link.h: the side of base/mqtt.h that touches Paho. Private to base/mqtt*.c.
 *
 * One worker thread makes every call into Paho, for Paho holds one global lock while it resolves
 * names and while it runs message callbacks, and the loop must wait for neither. Commands go from
 * the loop to the worker, events from Paho's threads to the loop. Functions here are for the loop's
 * thread unless they say otherwise. */
#pragma once

#include "base/loop.h"
#include "base/mqtt.h"
#include "base/mqtt_tls.h"
#include "base/mqtt_uri.h"

struct mqtt_link;

enum mqtt_event_type {
	MQTT_EVENT_OPENED,
	MQTT_EVENT_ENDED,  /* the attempt failed or the connection ended: mqtt_link_close now */
	MQTT_EVENT_CLOSED, /* Paho's client is gone: mqtt_link_open may follow */
	MQTT_EVENT_MESSAGE,
	MQTT_EVENT_PUBLISHED,
	MQTT_EVENT_SUBSCRIBED,
};

struct mqtt_event {
	struct mqtt_event *next;
	enum mqtt_event_type type;
	unsigned generation; /* of the connection that it came from */
	size_t bytes;	     /* that count against queue_bytes */
};

/* Each begins with a struct mqtt_event. */
struct mqtt_opened {
	struct mqtt_event event;
	bool session_present;
	uint16_t receive_maximum, alias_maximum;
	uint32_t packet_maximum;
};

struct mqtt_ended {
	struct mqtt_event event;
	bool posted;
	bool tls; /* TLS is why */
	char reason[384];
};

struct mqtt_received {
	struct mqtt_event event;
	struct mqtt_message message; /* points into data */
	char data[];		     /* topic, NUL, payload */
};

/* A PUBLISH in flight. */
struct mqtt_slot {
	struct mqtt_event event;
	struct mqtt_link *link;
	struct mqtt_slot *next_free;
	uint64_t cookie;
	int qos;
	bool flying; /* no answer yet; under the link's lock */
	int reason;
};

/* A SUBSCRIBE in flight. */
struct mqtt_sub {
	struct mqtt_event event;
	struct mqtt_link *link;
	struct mqtt_sub *next;
	bool posted;
	int qos;
	int reason;
	char filter[];
};

/* Copies the options and posts wake when events are there. uri is that of opt. */
int mqtt_link_new(struct mqtt_link **ret, const struct mqtt_options *opt,
		  const struct mqtt_uri *uri, struct loop_wake *wake) must_check;
/* Its copies, for its life. */
const struct mqtt_tls *mqtt_link_tls(const struct mqtt_link *k);
/* Ends the connection, giving what is in flight up to 500 ms, and frees. Returns after 1 s even if
 * Paho does not: the worker then frees the rest when it can. wake is not posted from here on. */
void mqtt_link_free(struct mqtt_link *k);

/* wake is not posted from here on; mqtt_link_free must follow. */
void mqtt_link_mute(struct mqtt_link *k);

void mqtt_link_open(struct mqtt_link *k, unsigned generation);
/* Drops commands that were not sent and events that were not queued; CLOSED comes when done. */
void mqtt_link_close(struct mqtt_link *k);

/* NULL: MQTT_INFLIGHT_MAX are in flight. */
struct mqtt_slot *mqtt_link_slot_take(struct mqtt_link *k);
void mqtt_link_slot_put(struct mqtt_link *k, struct mqtt_slot *slot);

/* After CLOSED: what was in flight will not be answered. */
void mqtt_link_reset(struct mqtt_link *k);

struct mqtt_link_publish {
	const char *topic; /* "": known by its alias */
	const void *payload;
	size_t len;
	bool retain;
	uint16_t alias;	   /* 0: none */
	uint32_t expiry_s; /* 0: none */
};

int mqtt_link_publish(struct mqtt_link *k, struct mqtt_slot *slot,
		      const struct mqtt_link_publish *p) must_check;
int mqtt_link_subscribe(struct mqtt_link *k, const char *filter, int qos) must_check;

/* Takes up to max events off the queue, oldest first; their bytes still count. */
struct mqtt_event *mqtt_link_take(struct mqtt_link *k, unsigned max);
/* After an event was handled: frees it, or gives it back. Add up its bytes for mqtt_link_credit
 * before. */
void mqtt_link_event_done(struct mqtt_link *k, struct mqtt_event *e);
/* These bytes no longer count; Paho may go on. Returns whether more events wait. */
bool mqtt_link_credit(struct mqtt_link *k, size_t bytes);

/* --- for base/mqtt_paho.c, from the worker's and Paho's threads --- */

void mqtt_link_post_opened(struct mqtt_link *k, const struct mqtt_opened *o);
/* Only the first of a connection counts. The first form when TLS is why. */
void mqtt_link_post_tls_ended(struct mqtt_link *k, const char *place, const char *why);
void mqtt_link_post_ended(struct mqtt_link *k, const char *fmt, ...) printf_like(2, 3);
/* Waits for room. r is one piece of malloc, and goes with its event. False: not taken, for the
 * connection is to be closed. */
bool mqtt_link_post_message(struct mqtt_link *k, struct mqtt_received *r);
/* Only the first for a slot or subscription counts. */
void mqtt_link_post_published(struct mqtt_slot *slot, int reason);
void mqtt_link_post_subscribed(struct mqtt_sub *sub, int reason);

/* --- from any thread --- */

/* How often Paho had to wait for room in the queue. */
uint64_t mqtt_link_waits(struct mqtt_link *k);
