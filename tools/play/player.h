/* tools/play/player.h: plays a candump log onto CAN interfaces, with its timing. */
#pragma once

#include "agent/source/candump.h"
#include "tools/play/can_sender.h"

struct player_map {
	const char *bus; /* as the log names it */
	const char *interface;
};

enum player_notice {
	PLAYER_BAD_LINE, /* skipped */
	PLAYER_TIME,	 /* time goes back, or stands still for long */
};

struct player_options {
	const char *path; /* plain or gzip; "-": standard input */
	/* None: each bus goes to the interface of its name. Else buses that are not here are
	 * skipped. All borrowed until player_free. */
	const struct player_map *maps;
	size_t n_maps;
	double speed;		/* times real time; 0: as fast as the interfaces take it */
	bool loop;		/* from the start again at the end; regular files only */
	int64_t from_ns, to_ns; /* of the log, since its first frame; both included */
	int64_t gap_max_ns;	/* longer gaps are cut to it; INT64_MAX: none is */
	uint64_t count;		/* frames; 0: no end */
	/* What a person may want to know, as PATH:LINE: ...; may be NULL. */
	void (*notice)(void *ctx, enum player_notice what, const char *text);
	void *ctx;
};

struct player_counts {
	uint64_t frames;     /* sent: taken by the kernel */
	uint64_t good_lines; /* of the log, to be played or not */
	uint64_t bad_lines;
	uint64_t error_frames; /* of the log: never sent */
	uint64_t unmapped;     /* frames of buses that have no interface */
	uint64_t steps_back, gaps_cut, rounds;
	uint64_t line;	     /* read last; where sending failed, of the frame that did not leave */
	int64_t duration_ns; /* from the first frame to the last */
};

struct player_bus {
	char name[CANDUMP_BUS_MAX + 1];
	int port; /* of the sender; below 0: no interface */
	uint64_t frames;
};

struct player;

/* Opens log and interfaces; without maps, those of the buses at the start of a regular file. Copies
 * options, env is borrowed. Returns 0; -errno with err, which names path (and line) or interface.
 */
int player_new(struct player **ret, const struct player_options *opt, const struct play_env *env,
	       struct error *err) must_check;
struct player *player_free(struct player *p);

/* Plays. Returns 0 at the end; -EINTR: the program is to end; -errno with err, which names path and
 * line: of can_sender_flush; -EPROTOTYPE: a CAN FD frame for an interface without; -EBADMSG or
 * another one: the log cannot be read on. What was counted until then is there after each. */
int player_run(struct player *p, struct error *err) must_check;

void player_counts(const struct player *p, struct player_counts *ret);
/* The buses of the log, borrowed; NULL from the last on. */
const struct player_bus *player_bus(const struct player *p, size_t i);
const struct can_sender *player_sender(const struct player *p);
