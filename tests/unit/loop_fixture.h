/* tests/unit/loop_fixture.h: a loop on a clock that tests turn. */
#pragma once

#include "base/loop.h"

extern struct timebase_fake fake;
extern struct loop *l;

void set_up(void); /* both, for tcase_add_checked_fixture */
void tear_down(void);
void turn(void); /* once, without waiting */

extern int n_calls; /* of count_cb */
void count_cb(struct loop_timer *t);
