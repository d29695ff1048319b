#include "tests/unit/loop_fixture.h"

#include <check.h>

struct timebase_fake fake;
struct loop *l;

void set_up(void)
{
	timebase_fake_init(&fake, 1000, 0);
	ck_assert_int_eq(loop_new(&l, &fake.tb), 0);
}

void tear_down(void)
{
	l = loop_free(l);
	ck_assert_ptr_null(l);
}

void turn(void)
{
	ck_assert_int_eq(loop_turn(l, 0), 0);
}

int n_calls;

void count_cb(struct loop_timer *t)
{
	(void)t;
	n_calls++;
}
