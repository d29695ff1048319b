/* agent/source/replay.h: plays a candump log: a file (plain or gzip), a FIFO, or standard input.
 *
 * At a given speed, or as fast as the pipeline takes it. When the pipeline is busy it waits;
 * nothing is lost. Lines that are not candump are counted, logged with path:line, and passed over.
 */
#pragma once

#include "agent/source/source.h"

struct replay_options {
	const char *path; /* "-": standard input */
	double speed;	  /* times real time; 0: as fast as possible */
	bool loop;	  /* from the start again at the end; regular files only. Times go on. */
	/* True: wall times of samples are the log's. False: the first frame happens when it is
	 * read, and the others as far from it as in the log. */
	bool keep_times;
};

#define REPLAY_SPEED_MIN 0.001
#define REPLAY_SPEED_MAX 100000.0
/* "max", or a number from REPLAY_SPEED_MIN to REPLAY_SPEED_MAX. Returns 0 or -EINVAL. */
int replay_parse_speed(const char *text, double *ret) must_check;

/* Texts are copied. Returns 0; -ENOMEM; -EINVAL with err: cannot loop; -errno with err: cannot be
 * opened. It starts with the loop. */
int replay_new(struct source **ret, const struct source_env *env, const char *name,
	       const struct replay_options *opt, struct error *err) must_check;
