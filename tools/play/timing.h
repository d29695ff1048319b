/* tools/play/timing.h: when the frames of a log are due.
 *
 * Everything is reckoned from the first frame that is played, so nothing adds up. */
#pragma once

#include "base/timebase.h"

/* A log whose times go back by so much was written across a set clock, or is two logs in one: it is
 * played on from there. By less: lines of several buses that changed places. */
#define TIMING_STEP_NS NS_PER_S

enum { TIMING_STEPPED = 1 };

struct timing {
	/* Set by the owner. */
	double speed;	    /* above 0: times as fast as the log */
	int64_t gap_max_ns; /* of the log's time between two frames; longer ones are cut to it */

	int64_t gap_ns; /* before the frame given last, as in the log */
	uint64_t gaps_cut;

	/* The rest is its own. */
	bool placed;	     /* latest_ns is set in this round */
	int64_t latest_ns;   /* as logged */
	int64_t position_ns; /* since the round's first line; never back */
	bool started;	     /* origin_ns is set */
	int64_t origin_ns;   /* when the first frame was due */
	int64_t elapsed_ns;  /* of the log's time, without what was cut, to the frame given last */
	int64_t first_ns;    /* position of the first and the last frame of this round */
	int64_t last_ns;
	int64_t round_gap_ns; /* between the rounds */
	uint64_t round_frames;
};

/* Each line of the log, played or not, with its time as logged. *ret_position_ns: how far into the
 * log it is, never less than that of the line before. Returns 0, or TIMING_STEPPED: time went
 * back. */
int timing_place(struct timing *s, int64_t logged_ns, int64_t *ret_position_ns);
/* A frame that is to be played, at the position that its line has. Returns when it is due, on now's
 * clock: the first one now. */
int64_t timing_due(struct timing *s, int64_t position_ns, int64_t now_ns);
/* The log begins again, as far behind its last frame as its frames are from each other on average,
 * at least 1 ms. */
void timing_next_round(struct timing *s);
