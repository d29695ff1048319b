/* tests/unit/agent_fixture.h: the world around a whole agent: its files, a real Mosquitto, and a
 * relay that is a fake. The agent is the program that was built beside the test. */
#pragma once

#include "tests/fakes/broker.h"
#include "tests/fakes/fake_relay.h"

#include <check.h>
#include <stdio.h>
#include <sys/types.h>

enum { WAIT_MS = 60000 }; /* machines may be busy */
/* The log: a frame each STEP_US; every tenth is a B (one signal), the others an A (two). */
enum { FRAMES = 20000, STEP_US = 700, PATH = 256 };
enum { SAMPLES = FRAMES / 10 * 9 * 2 + FRAMES / 10 };

/* Of the running test. */
extern char e2e_dir[]; /* the folder of its files */
extern struct broker *e2e_broker;
extern struct loop *e2e_loop;
extern struct fake_relay e2e_relay;

/* Makes the folder and the inputs, runs the case with a broker for each test, removes all. Returns
 * main's status. */
int agent_run(const char *suite, TCase *tc);

void e2e_path(char out[static PATH], const char *name); /* in the folder */
FILE *create(const char *name);				/* there, for writing */

/* agent.conf with more lines; the other one also replays the log, with B as events. */
void write_config(const char *uri, const char *more);
void write_replay_config(const char *more);

void start_relay(void); /* and the loop that it needs */
void stop_relay(void);

pid_t start_agent(void);
/* Turns the relay until the agent has ended. Returns its exit code; -1: still running. */
int wait_agent(pid_t pid, int64_t ms);
/* A counter of the status file; UINT64_MAX: not there. */
uint64_t status_counter(const char *name);
void check_sums(void); /* all samples of the log came, once, and nothing is left */

int64_t now_ms(void);
/* Turns the relay until cond is true or ms have passed; yields whether it is. */
#define turn_until(cond, ms)                                                                       \
	({                                                                                         \
		int64_t end_ = now_ms() + (ms);                                                    \
		while (!(cond) && now_ms() < end_)                                                 \
			ck_assert_int_eq(loop_turn(e2e_loop, 10), 0);                              \
		(cond);                                                                            \
	})
