/* What counts as silence of an ECU, and what follows from it. */
#include "agent/diag/silence.h"
#include "tests/unit/suite.h"

#include <check.h>

static struct silence s;

static void setup(void)
{
	s = (struct silence){0};
}

static enum silence_change note(size_t item, enum diag_end end, int error)
{
	return silence_note(&s, item, &(struct diag_result){.end = end, .error = error});
}

START_TEST(begins_and_ends)
{
	for (int i = 1; i < SILENCE_AFTER; i++)
		ck_assert_int_eq(note(0, DIAG_END_SILENT, 0), SILENCE_AS_BEFORE);
	ck_assert(!silence_is_on(&s));
	ck_assert_int_eq(note(0, DIAG_END_SILENT, 0), SILENCE_BEGAN);
	ck_assert(silence_is_on(&s));
	ck_assert_int_eq(note(0, DIAG_END_SILENT, 0), SILENCE_AS_BEFORE); /* said once */
	ck_assert_int_eq(note(0, DIAG_END_OK, 0), SILENCE_ENDED);
	ck_assert(!silence_is_on(&s));
	ck_assert_int_eq(note(0, DIAG_END_OK, 0), SILENCE_AS_BEFORE);
}
END_TEST

/* A request of several frames to an ECU that sleeps ends without flow control. */
START_TEST(no_flow_control_is_silence)
{
	for (int i = 0; i < SILENCE_AFTER; i++)
		(void)note(0, i % 2 ? DIAG_END_SILENT : DIAG_END_TRANSPORT, ECOMM);
	ck_assert(silence_is_on(&s));
}
END_TEST

/* Neither silence nor an answer, so that a full queue does not end a silence. */
START_TEST(what_was_not_sent)
{
	static const int errors[] = {EAGAIN, ENOBUFS};

	for (size_t i = 0; i < array_len(errors); i++) {
		setup();
		for (int k = 0; k < 2 * SILENCE_AFTER; k++)
			ck_assert_int_eq(note(0, DIAG_END_TRANSPORT, errors[i]), SILENCE_AS_BEFORE);
		ck_assert(!silence_is_on(&s));
		for (int k = 0; k < SILENCE_AFTER; k++)
			(void)note(0, DIAG_END_SILENT, 0);
		ck_assert_int_eq(note(0, DIAG_END_TRANSPORT, errors[i]), SILENCE_AS_BEFORE);
		ck_assert(silence_is_on(&s));
	}
}
END_TEST

START_TEST(whatever_is_heard_ends_it)
{
	static const struct {
		enum diag_end end;
		int error;
	} heard[] = {
		{DIAG_END_OK, 0},
		{DIAG_END_NEGATIVE, 0},
		{DIAG_END_PENDING, 0},
		{DIAG_END_MALFORMED, 0},
		{DIAG_END_TOO_LONG, 0},
		{DIAG_END_TRANSPORT, ETIMEDOUT},
		{DIAG_END_TRANSPORT, EILSEQ},
		{DIAG_END_TRANSPORT, EBADMSG},
		{DIAG_END_TRANSPORT, EMSGSIZE},
	};

	for (size_t i = 0; i < array_len(heard); i++) {
		setup();
		for (int k = 0; k < SILENCE_AFTER; k++)
			(void)note(0, DIAG_END_SILENT, 0);
		ck_assert_int_eq(note(0, heard[i].end, heard[i].error), SILENCE_ENDED);
	}
}
END_TEST

/* One request is never answered, another one is. */
START_TEST(turns_that_pass)
{
	size_t taken = 0;

	for (int i = 0; i < SILENCE_AFTER; i++) {
		ck_assert(!silence_skips(&s, 1));
		(void)note(1, DIAG_END_SILENT, 0);
		(void)note(0, DIAG_END_OK, 0);
	}
	for (int i = 0; i < 4 * SILENCE_RARELY; i++) {
		taken += !silence_skips(&s, 1);
		ck_assert(!silence_skips(&s, 0));
	}
	ck_assert_uint_eq(taken, 4);
	(void)note(1, DIAG_END_NEGATIVE, 0);
	ck_assert(!silence_skips(&s, 1));
}
END_TEST

/* An ECU that slept: none of the requests is to blame. */
START_TEST(none_is_skipped_after_a_silence)
{
	for (size_t i = 0; i < 10; i++)
		(void)note(i % 2, DIAG_END_SILENT, 0);
	ck_assert(!silence_skips(&s, 1)); /* any of them may be the one that wakes it */
	ck_assert_int_eq(note(0, DIAG_END_OK, 0), SILENCE_ENDED);
	for (int i = 0; i < SILENCE_RARELY; i++)
		ck_assert(!silence_skips(&s, 1));
}
END_TEST

/* A request that is no more in the schedule still tells of the ECU. */
START_TEST(item_that_is_no_more)
{
	for (int i = 0; i < SILENCE_AFTER; i++)
		(void)note(DIAG_REQUESTS_MAX, DIAG_END_SILENT, 0);
	ck_assert(silence_is_on(&s));
	ck_assert_int_eq(note(DIAG_REQUESTS_MAX, DIAG_END_OK, 0), SILENCE_ENDED);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("silence");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, begins_and_ends);
	tcase_add_test(tc, no_flow_control_is_silence);
	tcase_add_test(tc, what_was_not_sent);
	tcase_add_test(tc, whatever_is_heard_ends_it);
	tcase_add_test(tc, turns_that_pass);
	tcase_add_test(tc, none_is_skipped_after_a_silence);
	tcase_add_test(tc, item_that_is_no_more);
	return suite_run("diag_silence", &tc, 1);
}
