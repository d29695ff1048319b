/* When envelopes go short: after a receipt, until the relay forgets, and never wrongly. */
#include "agent/publish/contexts.h"
#include "proto/batch_private.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

enum { EPOCH = 77, BYTES_MAX = 1024 };

static struct contexts *contexts;
static struct context relay; /* what the relay took from the latest introduction */
static uint64_t boot;
static int64_t shift; /* of the wall clock */

static void setup(void)
{
	ck_assert_int_eq(contexts_new(&contexts), 0);
	relay = (struct context){0};
	boot = 0x1234567812345678;
	shift = 0;
}

static void teardown(void)
{
	contexts = contexts_free(contexts);
}

static void put_field(struct buf *b, unsigned field, uint64_t v)
{
	ck_assert_int_eq(buf_put_varint(b, field << 3), 0);
	ck_assert_int_eq(buf_put_varint(b, v), 0);
}

static void make_body(struct buf *b, int64_t mono)
{
	ck_assert_int_eq(buf_put_varint(b, FIELD_BOOT_ID << 3 | 1), 0);
	ck_assert_int_eq(buf_put_fixed64(b, boot), 0);
	ck_assert_int_eq(buf_put_varint(b, FIELD_CATALOG << 3 | 1), 0);
	ck_assert_int_eq(buf_put_fixed64(b, 0xca7a109), 0);
	put_field(b, FIELD_FIRST, zigzag_encode(1760000000000 + shift + mono));
	put_field(b, FIELD_MONO, zigzag_encode(mono));
	put_field(b, FIELD_SAMPLES, 20);
	ck_assert_int_eq(buf_put_varint(b, FIELD_SECTIONS << 3 | 2), 0);
	ck_assert_int_eq(buf_put_varint(b, 3), 0);
	ck_assert_int_eq(buf_put(b, "abc", 3), 0);
}

struct sent {
	bool is_short, introduces;
};

/* Sends batch seq, one each second, and reads it as a relay does. */
static struct sent send_it(enum uplink_class class, uint64_t seq, bool repeat)
{
	struct buf body cleanup(buf_free) = BUF_INIT(BYTES_MAX);
	struct buf out cleanup(buf_free) = BUF_INIT(BYTES_MAX);
	struct buf again cleanup(buf_free) = BUF_INIT(BYTES_MAX);
	struct envelope e = {.epoch = EPOCH, .seq = seq}, back;
	struct sent sent = {0};
	uint32_t id;

	make_body(&body, (int64_t)seq * 1000);
	e.body = body.data;
	e.body_len = body.len;
	ck_assert_int_eq(contexts_encode(contexts, class, &e, repeat, &out, &id), 0);
	sent.is_short = context_is_short(out.data, out.len);
	ck_assert_uint_eq(id, sent.is_short ? relay.id : 0);
	if (sent.is_short)
		ck_assert_int_eq(context_expand(&relay, out.data, out.len, &again, &back, NULL), 0);
	else
		ck_assert_int_eq(envelope_decode(&back, out.data, out.len, NULL), 0);
	ck_assert_uint_eq(back.seq, seq);
	ck_assert_uint_eq(back.body_len, body.len);
	ck_assert_mem_eq(back.body, body.data, body.len);
	sent.introduces = back.introduces > 0;
	if (sent.introduces)
		ck_assert_int_eq(context_make(&relay, &back, back.introduces - 1), 0);
	return sent;
}

static struct sent send(enum uplink_class class, uint64_t seq)
{
	return send_it(class, seq, false);
}

static void introduce(void)
{
	ck_assert(!send(CLASS_BULK, 1).introduces);
	ck_assert(send(CLASS_BULK, 2).introduces);
	contexts_stored(contexts, CLASS_BULK, relay.id);
}

START_TEST(short_after_the_receipt_that_names_it)
{
	ck_assert(!send(CLASS_BULK, 1).introduces); /* the period is not known yet */
	ck_assert(send(CLASS_BULK, 2).introduces);
	ck_assert(!send(CLASS_BULK, 3).is_short);
	contexts_stored(contexts, CLASS_BULK, relay.id + 1);
	ck_assert(!send(CLASS_BULK, 4).is_short);
	contexts_stored(contexts, CLASS_LIVE, relay.id);
	ck_assert(!send(CLASS_BULK, 5).is_short);
	contexts_stored(contexts, CLASS_BULK, relay.id);
	ck_assert(send(CLASS_BULK, 6).is_short);
	ck_assert(send(CLASS_BULK, 1).is_short); /* a backlog too */
	ck_assert(!send(CLASS_LIVE, 6).is_short);
}
END_TEST

START_TEST(a_repeat_introduces_again)
{
	struct context first;

	ck_assert(!send(CLASS_BULK, 1).introduces);
	ck_assert(send(CLASS_BULK, 2).introduces);
	first = relay;
	ck_assert(send(CLASS_BULK, 2).introduces);
	ck_assert_uint_eq(relay.id, first.id);
	contexts_stored(contexts, CLASS_BULK, first.id);
	ck_assert(send(CLASS_BULK, 3).is_short);
}
END_TEST

START_TEST(a_lost_introduction_is_made_again)
{
	bool again = false;

	ck_assert(!send(CLASS_BULK, 1).introduces);
	ck_assert(send(CLASS_BULK, 2).introduces);
	for (uint64_t seq = 3; seq < 60; seq++)
		again |= send(CLASS_BULK, seq).introduces;
	ck_assert(again);
	contexts_stored(contexts, CLASS_BULK, relay.id);
	ck_assert(send(CLASS_BULK, 60).is_short);
}
END_TEST

START_TEST(whole_when_the_relay_has_forgotten)
{
	introduce();
	ck_assert(send(CLASS_BULK, 3).is_short);
	ck_assert(!contexts_unknown(contexts, CLASS_BULK, relay.id ^ 1));
	ck_assert(!contexts_unknown(contexts, CLASS_EVENT, relay.id));
	ck_assert(send(CLASS_BULK, 4).is_short);
	ck_assert(contexts_unknown(contexts, CLASS_BULK, relay.id));
	ck_assert(!contexts_unknown(contexts, CLASS_BULK, relay.id));
	ck_assert(send(CLASS_BULK, 5).introduces);
	contexts_stored(contexts, CLASS_BULK, relay.id);
	ck_assert(send(CLASS_BULK, 6).is_short);
}
END_TEST

START_TEST(a_repeat_goes_whole)
{
	introduce();
	ck_assert(send(CLASS_BULK, 3).is_short);
	ck_assert(!send_it(CLASS_BULK, 3, true).is_short);
	ck_assert(send(CLASS_BULK, 4).is_short);
}
END_TEST

START_TEST(a_worn_context_is_replaced)
{
	struct context first;
	uint64_t seq;

	introduce();
	first = relay;
	boot++; /* another boot: nine bytes, and the clocks have another difference: six more */
	shift = 123456789012;
	for (seq = 3; relay.id == first.id && seq < 60; seq++)
		ck_assert(send(CLASS_BULK, seq).is_short || relay.id != first.id);
	ck_assert_uint_lt(seq, 60);
	relay = first; /* the receipt has not come yet, and the old one is still good */
	ck_assert(send(CLASS_BULK, seq).is_short);
}
END_TEST

START_TEST(a_few_bytes_do_not_wear_it)
{
	struct context first;

	introduce();
	first = relay;
	boot++;
	for (uint64_t seq = 3; seq < 100; seq++)
		ck_assert(send(CLASS_BULK, seq).is_short);
	ck_assert_uint_eq(relay.id, first.id);
}
END_TEST

START_TEST(other_rows_go_whole)
{
	struct buf out cleanup(buf_free) = BUF_INIT(BYTES_MAX);
	struct envelope e = {.epoch = EPOCH, .seq = 3, .encoding = ENCODING_GAP}, back;
	uint32_t id;

	introduce();
	e.body = (const uint8_t *)"\x08\x04\x10\x01";
	e.body_len = 4;
	ck_assert_int_eq(contexts_encode(contexts, CLASS_BULK, &e, false, &out, &id), 0);
	ck_assert_uint_eq(id, 0);
	ck_assert_int_eq(envelope_decode(&back, out.data, out.len, NULL), 0);
	ck_assert_uint_eq(back.encoding, ENCODING_GAP);
	ck_assert_uint_eq(back.introduces, 0);
	ck_assert(send(CLASS_BULK, 5).is_short);
}
END_TEST

/* It tells no time, so what comes after it tells no period. */
START_TEST(a_gap_is_no_beginning_of_a_period)
{
	struct buf out cleanup(buf_free) = BUF_INIT(BYTES_MAX);
	struct envelope e = {.epoch = EPOCH, .seq = 41, .encoding = ENCODING_GAP};
	uint32_t id;

	e.body = (const uint8_t *)"\x08\x29\x10\x01";
	e.body_len = 4;
	ck_assert_int_eq(contexts_encode(contexts, CLASS_BULK, &e, false, &out, &id), 0);
	ck_assert(!send(CLASS_BULK, 42).introduces);
	ck_assert(send(CLASS_BULK, 43).introduces);
	ck_assert_uint_eq(relay.period, 1000);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("contexts");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, short_after_the_receipt_that_names_it);
	tcase_add_test(t, a_repeat_introduces_again);
	tcase_add_test(t, a_lost_introduction_is_made_again);
	tcase_add_test(t, whole_when_the_relay_has_forgotten);
	tcase_add_test(t, a_repeat_goes_whole);
	tcase_add_test(t, a_worn_context_is_replaced);
	tcase_add_test(t, a_few_bytes_do_not_wear_it);
	tcase_add_test(t, other_rows_go_whole);
	tcase_add_test(t, a_gap_is_no_beginning_of_a_period);
	return suite_run("contexts", &t, 1);
}
