/* tests/unit/play_fixture.h: interfaces that are socket pairs, and a clock that moves when it is
 * waited for. What is sent is read from the other end at once, with the time at which it left. */
#pragma once

#include "tools/play/play_env.h"

#include <linux/can.h>

enum { PLAY_PORTS_MAX = 20, PLAY_FRAMES_MAX = 4096 };

struct play_frame {
	int64_t t_ns;
	const char *interface;
	size_t size; /* CAN_MTU or CANFD_MTU */
	struct canfd_frame frame;
};

struct play_world {
	struct play_env env;
	int64_t now_ns;
	struct {
		char name[16];
		int theirs; /* the other end of its socket */
	} ports[PLAY_PORTS_MAX];
	size_t n_ports;
	struct play_frame got[PLAY_FRAMES_MAX];
	size_t n_got;

	const char *missing; /* an interface that is not there */
	const char *classic; /* one without CAN FD */
	unsigned send_max;   /* frames a call; 0: all */
	int send_error;	     /* sends fail with it, */
	int send_errors;     /* so often; below 0: always */
	bool keep;	     /* what is sent stays in the socket until the next wait, */
	bool deaf;	     /* or for ever */
	int64_t late_ns;     /* each wait for a time takes so much longer */
	int64_t end_ns;	     /* waits say -EINTR from then on; 0: never */
	size_t sends, waits, room_waits;
	void (*on_wait)(struct play_world *w); /* before it waits; NULL: nothing happens */
};

void play_world_init(struct play_world *w);
void play_world_free(struct play_world *w);
/* Puts a frame where the program that sends to the interface reads it. */
void play_world_say(struct play_world *w, size_t port, const struct can_frame *f);
