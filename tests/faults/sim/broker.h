/* tests/faults/sim/broker.h: a broker, the links to it, and clients of base/mqtt.h, all simulated.
 *
 * The object has the functions of base/mqtt.h, so the programs' own code is linked with it instead
 * of with Paho. As MQTT 5 and a real broker have it: sessions, QoS 1, PUBACK as soon as the broker
 * has a message and whoever else has it, queues with bounds that drop what does not fit, message
 * expiry, receive maximum, the order of a topic, copies with DUP after a reconnection. What the
 * client library has acknowledged and not handed over dies with its program. A client is told by
 * its client id, which is its machine's name. */
#pragma once

#include "tests/faults/sim/world.h"

struct broker_options {
	size_t queue_max;      /* messages that wait in a session; beyond, newcomers are dropped */
	bool says_full;	       /* then the publisher is told so (0x97), else nobody */
	bool says_no_listener; /* 0x10 for what nobody subscribes to; else 0 */
	int64_t latency_ns;    /* each way, and up to twice that */
};

enum broker_loss {
	BROKER_KEEPS,
	BROKER_LOSES_QUEUES,   /* sessions and subscriptions are kept */
	BROKER_LOSES_SESSIONS, /* no persistence at all */
};

/* What is wrong for a while, with a machine's link; all zero: nothing. */
struct link_trouble {
	bool down;	     /* no connection; what is on the way is lost */
	bool stalled;	     /* half open: nothing passes until it ends or keep-alive says so */
	int64_t extra_ns;    /* latency */
	int64_t bytes_per_s; /* 0: fast */
	unsigned twice_per_mille; /* of deliveries to it */
};
/* With the broker. */
struct broker_trouble {
	unsigned lose_per_mille;   /* that it has acknowledged */
	unsigned refuse_per_mille; /* of publishes */
	int refuse_reason;	   /* 0x97, 0x87 */
	bool lose_receipts;	   /* all that go down to vehicles */
};

void sim_broker_open(const struct broker_options *opt);
void sim_broker_close(void);
/* Ends all connections, and takes none until sim_broker_up. */
void sim_broker_down(enum broker_loss loss);
void sim_broker_up(void);
void sim_broker_trouble(const struct broker_trouble *t);
void link_trouble(const struct machine *m, const struct link_trouble *t);
/* Ends the machine's connection: what is on the way is lost. */
void link_reset(const struct machine *m);
/* The program of the machine dies: of what it has sent, what is on the way gets there in part. */
void client_killed(const struct machine *m);
