/* The watchdog: a ping only when the other loop has answered. Both loops are turned by the test. */
#include "agent/health/service.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WATCHDOG_S = 8 }; /* asked each 2 s */

static char address[64];
static int manager;
static struct counters counters;
static struct service s;
static struct loop *back;
static struct loop_wake asked;
static int n_asked;

static void on_asked(struct loop_wake *w)
{
	(void)w;
	service_answer(&s);
}

static void ask(void *ctx)
{
	n_asked++;
	loop_wake_post(ctx);
}

static void set_up_service(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int len = snprintf(address, sizeof(address), "@towline-service-%d", (int)getpid());

	set_up();
	memcpy(sa.sun_path + 1, address + 1, (size_t)len - 1);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&sa,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
			 0);
	setenv("NOTIFY_SOCKET", address, 1);
	setenv("WATCHDOG_USEC", "8000000", 1);
	unsetenv("WATCHDOG_PID");
	ck_assert_int_eq(loop_new(&back, &fake.tb), 0);
	asked = (struct loop_wake){.cb = on_asked};
	ck_assert_int_eq(loop_wake_add(back, &asked), 0);
	n_asked = 0;
}

static void tear_down_service(void)
{
	service_end(&s);
	service_end(&s);
	loop_wake_remove(&asked);
	back = loop_free(back);
	close(manager);
	tear_down();
}

static const char *heard(void)
{
	static char text[NOTIFY_TEXT_MAX];
	ssize_t len = recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[len < 0 ? 0 : len] = '\0';
	return text;
}

static bool is(const char *text, const char *state)
{
	return strncmp(text, state, strlen(state)) == 0 && text[strlen(state)] == '\n';
}

static void start(void)
{
	ck_assert_int_eq(service_start(&s, l, &counters, ask, &asked), 0);
	ck_assert(is(heard(), "READY=1"));
}

/* Some of the watchdog's time: the front loop turns, and the back loop too where it lives. */
static void pass(int seconds, bool back_lives)
{
	timebase_fake_advance(&fake, seconds * NS_PER_S);
	turn();
	if (!back_lives)
		return;
	ck_assert_int_eq(loop_turn(back, 0), 0);
	turn();
}

START_TEST(says_what_it_counts)
{
	counter_set(&counters.connected, 1);
	counter_set(&counters.sources_active, 3);
	counter_set(&counters.outbox_rows, 12);
	counter_set(&counters.outbox_bytes, 3456);
	ck_assert_int_eq(service_start(&s, l, &counters, ask, &asked), 0);
	ck_assert_str_eq(heard(), "READY=1\nSTATUS=connected; sources 3; without receipt 12 "
				  "batches, 3456 bytes");
	counter_set(&counters.connected, 0);
	service_stopping(&s);
	ck_assert_str_eq(heard(), "STOPPING=1\nSTATUS=not connected; sources 3; without receipt "
				  "12 batches, 3456 bytes");
}
END_TEST

START_TEST(pings_while_both_live)
{
	start();
	for (int i = 0; i < 20; i++) {
		pass(WATCHDOG_S / 4, true);
		ck_assert_msg(is(heard(), "WATCHDOG=1"), "at %d", i);
		ck_assert_str_eq(heard(), "");
	}
	ck_assert_int_eq(n_asked, 20);
}
END_TEST

START_TEST(a_back_loop_that_hangs_stops_the_pings)
{
	start();
	pass(WATCHDOG_S / 4, true);
	ck_assert(is(heard(), "WATCHDOG=1"));
	for (int i = 0; i < 10; i++) {
		pass(WATCHDOG_S / 4, false);
		ck_assert_str_eq(heard(), "");
	}
	ck_assert_int_eq(n_asked, 2); /* one question at a time */
}
END_TEST

/* Three quarters of the time are the disk's: asked 2 s after the ping, answered 7 s after it. */
START_TEST(a_back_loop_that_is_late_is_not_dead)
{
	start();
	pass(2, true);
	ck_assert(is(heard(), "WATCHDOG=1"));
	pass(2, false);
	pass(2, false);
	pass(2, false);
	pass(1, true); /* 7 s after the ping */
	ck_assert(is(heard(), "WATCHDOG=1"));
	pass(1, true);
	ck_assert(is(heard(), "WATCHDOG=1"));
}
END_TEST

START_TEST(a_front_loop_that_hangs_does_not_ping)
{
	start();
	timebase_fake_advance(&fake, WATCHDOG_S * NS_PER_S);
	ck_assert_int_eq(loop_turn(back, 0), 0);
	ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(an_answer_that_nobody_asked_for_is_no_ping)
{
	start();
	service_answer(&s);
	turn();
	ck_assert_str_eq(heard(), "");
}
END_TEST

/* The manager's queue is full: the ping is tried again long before the time is over. */
START_TEST(a_ping_that_failed_comes_again)
{
	start();
	while (sendto(s.notify.fd, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&s.notify.addr,
		      s.notify.addr_len) == 1)
		;
	pass(2, true);
	while (strcmp(heard(), "x") == 0)
		;
	timebase_fake_advance(&fake, NS_PER_S / 4);
	pass(0, true);
	ck_assert(is(heard(), "WATCHDOG=1"));
}
END_TEST

START_TEST(a_reload_is_told)
{
	long long usec = 0;
	struct timespec now;

	start();
	ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
	service_reloading(&s);
	ck_assert_int_eq(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%lld", &usec), 1);
	ck_assert_int_ge(usec, (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	ck_assert_int_le(usec, (long long)(now.tv_sec + 60) * 1000000);
	service_ready(&s);
	ck_assert(is(heard(), "READY=1"));
}
END_TEST

START_TEST(without_a_watchdog_nobody_is_asked)
{
	unsetenv("WATCHDOG_USEC");
	start();
	for (int i = 0; i < 10; i++)
		pass(WATCHDOG_S, true);
	ck_assert_int_eq(n_asked, 0);
	ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(a_strange_environment_is_no_reason_to_fail)
{
	setenv("WATCHDOG_USEC", "soon", 1);
	start();
	service_end(&s);
	setenv("NOTIFY_SOCKET", "nowhere", 1);
	ck_assert_int_eq(service_start(&s, l, &counters, ask, &asked), 0);
	service_reloading(&s);
	service_ready(&s);
	service_stopping(&s);
	ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(one_that_did_not_start_may_end)
{
	struct service none = {0};

	service_stopping(&none);
	service_end(&none);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("service");

	tcase_add_checked_fixture(tc, set_up_service, tear_down_service);
	tcase_add_test(tc, says_what_it_counts);
	tcase_add_test(tc, pings_while_both_live);
	tcase_add_test(tc, a_back_loop_that_hangs_stops_the_pings);
	tcase_add_test(tc, a_back_loop_that_is_late_is_not_dead);
	tcase_add_test(tc, a_front_loop_that_hangs_does_not_ping);
	tcase_add_test(tc, an_answer_that_nobody_asked_for_is_no_ping);
	tcase_add_test(tc, a_ping_that_failed_comes_again);
	tcase_add_test(tc, a_reload_is_told);
	tcase_add_test(tc, without_a_watchdog_nobody_is_asked);
	tcase_add_test(tc, a_strange_environment_is_no_reason_to_fail);
	tcase_add_test(tc, one_that_did_not_start_may_end);
	return suite_run("service", &tc, 1);
}
