/* tests/unit/alloc_fixture.h: memory that runs out, at each request for it in turn.
 *
 * Programs named test_alloc_* are linked so that malloc and what else gives memory, as our own code
 * calls them, come here (CMakeLists.txt); SQLite, zlib and wolfSSL are told to come here. Paho and
 * other libraries are not asked to survive it. */
#pragma once

#include "base/base.h"

#include <check.h>

/* A scenario is run for n = 1, 2, ... with the n-th request within `run` failing; then again with
 * all from the n-th on failing; then the same for SQLite's, of which only some are taken, as there
 * are thousands. Afterwards nothing may be allocated that was not before.
 *
 * In the environment: ALLOC_POINTS: at most so many of each kind, 0: all, for as long as it takes;
 * ALLOC_ONLY: the name of one scenario; ALLOC_LOG: what is logged is shown. */
struct alloc_scenario {
	const char *name;
	void (*set_up)(void); /* NULL: nothing */
	void (*run)(void);    /* memory runs out within */
	void (*check)(void);  /* there is memory again: all goes on, and nothing is lost; NULL */
	void (*tear_down)(void);
};

/* Each scenario is a test in a process of its own. Prints how it went. Returns main's status. */
int alloc_main(const char *suite, const struct alloc_scenario *scenarios, size_t n);

/* Within `run`: memory is there again, and how it goes on is part of the test. True: a request has
 * failed. */
bool alloc_heal(void);
/* So many of what was accepted are lost; the scenario fails. */
void alloc_lost(uint64_t n);
/* r is 0 (or above), or -ENOMEM, which only comes when a request has failed. */
#define ck_assert_enomem(expr)                                                                     \
	({                                                                                         \
		int r_ = (expr);                                                                   \
		ck_assert_msg(r_ >= 0 || r_ == -ENOMEM, "%s is %d", #expr, r_);                    \
		r_;                                                                                \
	})
