/* tests/bench/common_bare.h: the limit that benches compare with: Paho's MQTTAsync, and nothing
 * around it but a count. Nagle's algorithm is off, as in ours: with it Paho stands still for 40 ms
 * now and then. What goes wrong ends the program, as in common.h. */
#pragma once

#include "base/base.h"

#include <sys/types.h>

/* ---- a subscriber in a process of its own ---- */

struct bare_subscriber {
	pid_t pid;
	int fd;
};

/* First in main: does not return in the process of a subscriber. */
void bare_main(int argc, char **argv);
/* Subscribes to filter with QoS 1, Receive Maximum 1000, and returns when that is granted. Each n
 * messages end one bare_subscriber_wait. */
void bare_subscriber_start(struct bare_subscriber *s, const char *uri, const char *filter,
			   size_t n);
void bare_subscriber_wait(struct bare_subscriber *s);
void bare_subscriber_stop(struct bare_subscriber *s);

/* A subscriber of another kind, in this process, which is one of its own: subscribes as above,
 * writes 'r' to standard output when that is granted, and does not return. */
struct bare_receiver {
	const char *uri, *id, *filter;
	/* On Paho's thread, which may bare_send. */
	void (*message)(struct bare_receiver *r, const char *topic, const void *data, size_t len);
	void (*each_ms)(struct bare_receiver *r); /* on this thread, about each millisecond */
	void *client;				  /* set here */
};
void bare_receive(struct bare_receiver *r) __attribute__((noreturn));
/* QoS 1; nobody waits for the PUBACK. False: Paho has no room. */
bool bare_send(struct bare_receiver *r, const char *topic, const void *data, size_t len);

/* ---- a publisher ---- */

struct bare_publisher;

/* uri is borrowed. */
struct bare_publisher *bare_publisher_start(const char *uri, unsigned window);
/* QoS 1; waits while window messages have no PUBACK. */
void bare_publish(struct bare_publisher *p, const char *topic, const void *data, size_t len);
void bare_publisher_stop(struct bare_publisher *p); /* waits for the PUBACKs */
