/* Envelopes: encoded and decoded, origins, fields of the future, bytes that are none. */
#include "proto/envelope.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

START_TEST(envelopes_come_back)
{
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 10);
	struct envelope e = {.epoch = UINT64_MAX,
			     .seq = INT64_MAX,
			     .encoding = UINT32_MAX,
			     .body = (const uint8_t *)"body",
			     .body_len = 4,
			     .origin_epoch = 1ull << 63,
			     .origin_seq = 7,
			     .introduces = 11},
			back;

	ck_assert_int_eq(envelope_encode(&e, &out), 0);
	ck_assert_int_eq(envelope_decode(&back, out.data, out.len, NULL), 0);
	ck_assert_uint_eq(back.epoch, e.epoch);
	ck_assert_uint_eq(back.seq, e.seq);
	ck_assert_uint_eq(back.encoding, e.encoding);
	ck_assert_uint_eq(back.origin_epoch, e.origin_epoch);
	ck_assert_uint_eq(back.origin_seq, e.origin_seq);
	ck_assert_uint_eq(back.introduces, e.introduces);
	ck_assert(envelope_has_origin(&back));
	ck_assert_uint_eq(back.body_len, 4);
	ck_assert_mem_eq(back.body, "body", 4);
	ck_assert(back.body >= out.data && back.body + 4 <= out.data + out.len); /* borrowed */
}
END_TEST

START_TEST(what_is_absent_takes_no_bytes)
{
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 10);
	struct envelope e = {.seq = 1, .body = (const uint8_t *)"", .body_len = 0}, back;

	ck_assert_int_eq(envelope_encode(&e, &out), 0);
	ck_assert_uint_eq(out.len, 4);
	ck_assert_int_eq(envelope_decode(&back, out.data, out.len, NULL), 0);
	ck_assert(!envelope_has_origin(&back));
	ck_assert_uint_eq(back.encoding, ENCODING_BATCH);
}
END_TEST

START_TEST(fields_of_the_future_are_passed_over)
{
	/* seq 1, field 15 of each wire type, body "x" */
	static const uint8_t BYTES[] = {0x10, 0x01, 0x78, 0x05, 0x7a, 0x02, 'a', 'b', 0x79,
					1,    2,    3,	  4,	5,    6,    7,	 8,   0x7d,
					1,    2,    3,	  4,	0x22, 0x01, 'x'};
	struct envelope back;

	ck_assert_int_eq(envelope_decode(&back, BYTES, sizeof(BYTES), NULL), 0);
	ck_assert_uint_eq(back.seq, 1);
	ck_assert_mem_eq(back.body, "x", 1);
}
END_TEST

static void refused(const char *bytes, size_t len, const char *said)
{
	struct envelope back = {.seq = 99};
	struct error err = {0};

	ck_assert_int_eq(envelope_decode(&back, bytes, len, &err), -EBADMSG);
	ck_assert_msg(strstr(err.text, said) != NULL, "%s", err.text);
	ck_assert_uint_eq(back.seq, 99); /* untouched */
}

START_TEST(bytes_that_are_no_envelope)
{
	refused("", 0, "no seq");
	refused("\x22\x01x", 3, "no seq");
	refused("\x10\x01", 2, "no body");
	refused("\x10\x01\x22\x05x", 5, "not an Envelope"); /* the body is cut */
	refused("\x10\x01\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", 13, "not an Envelope");
	refused("\x15\x01\x00\x00\x00\x22\x01x", 8, "not an Envelope"); /* seq as fixed32 */
	refused("\x10\x01\x2c\x22\x01x", 6, "not an Envelope");		/* the end of a group */
	refused("\x10\x80", 2, "not an Envelope");
}
END_TEST

START_TEST(every_cut_is_refused_or_lacks_its_end)
{
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 10);
	struct envelope e = {.epoch = 5,
			     .seq = 300,
			     .encoding = ENCODING_GAP,
			     .body = (const uint8_t *)"0123456789",
			     .body_len = 10,
			     .origin_epoch = 3,
			     .origin_seq = 1},
			back;

	ck_assert_int_eq(envelope_encode(&e, &out), 0);
	for (size_t len = 0; len < out.len; len++)
		ck_assert_int_eq(envelope_decode(&back, out.data, len, NULL), -EBADMSG);
}
END_TEST

START_TEST(a_full_buffer_is_told)
{
	struct buf out cleanup(buf_free) = BUF_INIT(8);
	struct envelope e = {.seq = 1, .body = (const uint8_t *)"0123456789", .body_len = 10};

	ck_assert_int_eq(envelope_encode(&e, &out), -EMSGSIZE);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("envelope");

	tcase_add_test(t, envelopes_come_back);
	tcase_add_test(t, what_is_absent_takes_no_bytes);
	tcase_add_test(t, fields_of_the_future_are_passed_over);
	tcase_add_test(t, bytes_that_are_no_envelope);
	tcase_add_test(t, every_cut_is_refused_or_lacks_its_end);
	tcase_add_test(t, a_full_buffer_is_told);
	return suite_run("envelope", &t, 1);
}
