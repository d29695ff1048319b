/* tests/faults/sim/broker_private.h: what broker.c (the broker) and client.c (links, and the
 * clients at their ends) share. */
#pragma once

#include "base/mqtt.h"
#include "base/mqtt_backoff.h"
#include "proto/topic.h"
#include "tests/faults/sim/broker.h"

enum { FILTERS_MAX = 4, FILTER_MAX = 128, CLIENT_ID_MAX = 64, REASON_DELIVERED = 0 };

struct message {
	unsigned refs;
	char topic[TOPIC_MAX];
	int64_t expires_ns; /* simulated; INT64_MAX: does not */
	struct event about;
	size_t len;
	uint8_t payload[];
};
struct message *message_drop(struct message *m);

enum packet_kind { PACKET_PUBLISH, PACKET_ACK, PACKET_SUBSCRIBE };

struct packet {
	struct packet *next;
	enum packet_kind kind;
	int64_t due_ns;		 /* at the other end; simulated */
	struct message *message; /* of a publish */
	char filter[FILTER_MAX]; /* of a subscribe, and its answer */
	uint64_t cookie;	 /* which one is answered */
	int reason;
};

/* One way of a connection. */
struct pipe {
	struct packet *first, **end;
	int64_t last_due_ns, free_ns; /* simulated */
	struct loop_timer timer;      /* at the receiving end's loop */
};

struct waiting {
	struct waiting *next;
	struct message *message;
	uint64_t id; /* 0: was not sent yet */
};

struct session {
	struct session *next;
	char client[CLIENT_ID_MAX];
	char filters[FILTERS_MAX][FILTER_MAX];
	size_t n_filters;
	struct waiting *queue, **queue_end; /* not sent in this connection */
	size_t n_queue;
	struct waiting *flying, **flying_end; /* sent, not acknowledged */
	size_t n_flying, flying_max;
	uint64_t next_id;
	struct connection *connection; /* NULL: away */
	uint32_t expiry_s;
	int64_t expires_ns; /* while away */
};

struct connection {
	struct connection *next;
	struct link *link;
	struct session *session;
	struct mqtt *client; /* NULL: gone, what is on its way up still comes */
	struct pipe up, down;
};

struct link {
	const struct machine *machine;
	struct link_trouble trouble;
	struct connection *connection;
	struct loop_timer keepalive;
	int64_t keepalive_ns; /* one and a half */
};

/* ---- broker.c ---- */
extern bool sim_broker_is_up;
extern struct broker_options broker_options;
/* Attaches the client's session. */
struct connection *sim_broker_connect(struct link *l, struct mqtt *client, const char *id,
				      bool clean, uint32_t expiry_s, size_t receive_max,
				      bool *ret_present);
/* Sends what waited for it: the client is ready for that. */
void sim_broker_resume(struct connection *c);
/* Something has come up. Frees it. */
void sim_broker_take(struct connection *c, struct packet *p);
/* The session goes on without it. */
void sim_broker_detach(struct connection *c);

/* ---- client.c ---- */
struct link *link_of(const char *name);
void links_close(void);
/* p is taken; bytes of it. */
void pipe_send(struct connection *c, bool up, struct packet *p, size_t bytes);
struct packet *packet_new(enum packet_kind kind);
struct packet *packet_free(struct packet *p);
/* Nothing that is on its way arrives; the client, where there is one, is told. */
void connection_cut(struct connection *c, const char *why);
void connections_cut_all(const char *why);
