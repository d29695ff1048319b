/* agent/agent.h: the stages joined: two threads, one queue. */
#pragma once

#include "base/conf.h"
#include "base/timebase.h"

struct agent;

enum { AGENT_EXIT_FAILED = 1 };

/* conf is of config_load from path; the agent takes it, also when it fails. Blocks SIGTERM, SIGINT
 * and SIGHUP in the calling thread. Returns 0, or -errno with err. */
int agent_new(struct agent **ret, struct conf *conf, const char *path, const struct timebase *tb,
	      struct error *err) must_check;
struct agent *agent_free(struct agent *a); /* NULL is fine; always returns NULL */

/* Runs until SIGTERM or SIGINT, or until drained where the configuration says so. Returns the exit
 * code: 0, or AGENT_EXIT_FAILED. */
int agent_run(struct agent *a) must_check;
