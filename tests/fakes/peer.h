/* tests/fakes/peer.h: a struct mqtt with handlers that record what happened, for tests. */
#pragma once

#include "base/loop.h"
#include "base/mqtt.h"

struct peer_message {
	char *topic;
	uint8_t *payload;
	size_t len;
	bool retained;
};

struct peer {
	struct loop *loop;
	struct mqtt *mqtt;
	int connects, disconnects;
	bool session_present; /* of the last connect */
	char reason[384];     /* of the last disconnect */

	struct peer_message *messages;
	size_t n_messages, messages_cap;

	size_t n_published;
	uint64_t last_cookie;
	int last_reason;  /* of the last published */
	size_t n_refused; /* published with a reason of 0x80 or more */
	int n_subscribed, last_sub_reason;
	int n_certificates;
	enum mqtt_certificate last_certificate;
	char certificate_text[256];

	const char *subscribe;		    /* when connected; NULL: nothing */
	void (*on_message)(struct peer *p); /* after the message was recorded; NULL: nothing */
	void *ctx;
};

/* Options that suit tests: short times; uri and client id are borrowed. */
struct mqtt_options peer_options(const char *uri, const char *client_id);
/* p may have subscribe, on_message and ctx set; the rest is zero. Aborts when mqtt_new fails. */
void peer_start(struct peer *p, struct loop *l, const struct mqtt_options *opt);
/* Frees the mqtt, if it is there, and the records. */
void peer_stop(struct peer *p);

/* QoS 1, cookie = last_cookie of the caller's choice. Returns what mqtt_publish does. */
int peer_publish(struct peer *p, const char *topic, const char *text, uint64_t cookie);

int64_t peer_now_ms(void);
/* One turn of each loop, at most timeout_ms; l2 may be NULL. */
void peer_turn(struct loop *l1, struct loop *l2, int timeout_ms);

/* Turns the loop until cond is true or ms have passed; yields whether it is. */
#define peer_wait(loop, cond, ms)                                                                  \
	({                                                                                         \
		int64_t peer_end_ = peer_now_ms() + (ms);                                          \
		while (!(cond) && peer_now_ms() < peer_end_)                                       \
			peer_turn((loop), NULL, 20);                                               \
		(cond);                                                                            \
	})
