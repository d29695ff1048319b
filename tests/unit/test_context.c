/* Header compression: what is expanded is what was sent, byte by byte. */
#include "proto/context.h"

#include "proto/batch_private.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 4096 };

struct header_like {
	uint64_t boot, catalog;
	int64_t first, mono;
	uint64_t span, samples, quality;
};

static const struct header_like steady = {
	.boot = 0x1122334455667788,
	.catalog = 0x99aabbccddeeff00,
	.first = 1760000000000,
	.mono = 5000,
	.span = 990,
	.samples = 20,
};

static void put(struct buf *b, unsigned field, uint64_t v)
{
	if (v == 0)
		return;
	ck_assert_int_eq(buf_put_varint(b, field << 3), 0);
	ck_assert_int_eq(buf_put_varint(b, v), 0);
}

static void put64(struct buf *b, unsigned field, uint64_t v)
{
	ck_assert_int_eq(buf_put_varint(b, field << 3 | 1), 0);
	ck_assert_int_eq(buf_put_fixed64(b, v), 0);
}

static void put_section(struct buf *b, const void *bytes, size_t len)
{
	ck_assert_int_eq(buf_put_varint(b, FIELD_SECTIONS << 3 | 2), 0);
	ck_assert_int_eq(buf_put_varint(b, len), 0);
	ck_assert_int_eq(buf_put(b, bytes, len), 0);
}

static void put_header(struct buf *b, const struct header_like *h)
{
	put64(b, FIELD_BOOT_ID, h->boot);
	put64(b, FIELD_CATALOG, h->catalog);
	put(b, FIELD_FIRST, zigzag_encode(h->first));
	put(b, FIELD_SPAN, h->span);
	put(b, FIELD_MONO, zigzag_encode(h->mono));
	put(b, FIELD_SAMPLES, h->samples);
	put(b, FIELD_CLOCK_QUALITY, h->quality);
}

static struct envelope envelope_of(const struct buf *body, uint64_t seq)
{
	return (struct envelope){
		.epoch = 0xe70c, .seq = seq, .body = body->data, .body_len = body->len};
}

static struct context context_of(const struct header_like *h, uint64_t seq, uint64_t period)
{
	struct buf body cleanup(buf_free) = BUF_INIT(BODY_MAX);
	struct envelope e;
	struct context c;

	put_header(&body, h);
	put_section(&body, "intro", 5);
	e = envelope_of(&body, seq);
	ck_assert_int_eq(context_make(&c, &e, period), 0);
	return c;
}

/* Returns the short form's bytes; 0: it cannot be short. */
static size_t check_round_trip(const struct context *c, const struct envelope *e)
{
	struct buf packed cleanup(buf_free) = BUF_INIT(BODY_MAX);
	struct buf body cleanup(buf_free) = BUF_INIT(BODY_MAX);
	struct envelope back;
	struct error err;
	int64_t seq_less;
	uint32_t id;
	int r = context_compress(c, e, &packed);

	ck_assert_int_ge(r, 0);
	if (r == 0) {
		ck_assert_uint_eq(packed.len, 0);
		return 0;
	}
	ck_assert(context_is_short(packed.data, packed.len));
	ck_assert_int_eq(context_peek(packed.data, packed.len, &id, &seq_less, &err), 0);
	ck_assert_uint_eq(id, c->id);
	ck_assert_int_eq(seq_less, (int64_t)(e->seq - c->seq));
	ck_assert_int_eq(context_expand(c, packed.data, packed.len, &body, &back, &err), 0);
	ck_assert_uint_eq(back.epoch, e->epoch);
	ck_assert_uint_eq(back.seq, e->seq);
	ck_assert_uint_eq(back.body_len, e->body_len);
	ck_assert_mem_eq(back.body, e->body, e->body_len);
	return packed.len;
}

START_TEST(a_steady_lane_takes_few_bytes)
{
	struct context c = context_of(&steady, 100, 1000);
	struct buf body cleanup(buf_free) = BUF_INIT(BODY_MAX);
	struct header_like h = steady;
	struct envelope e;

	h.mono += 7000 + 3; /* 7 periods, 3 ms late */
	h.first += 7000 + 3;
	put_header(&body, &h);
	put_section(&body, "0123456789", 10);
	e = envelope_of(&body, 107);
	/* mark, id, three numbers, mark of the section */
	ck_assert_uint_eq(check_round_trip(&c, &e), 1 + 4 + 3 + 1 + 10);
}
END_TEST

START_TEST(what_differs_is_told)
{
	struct context c = context_of(&steady, 1, 1000);
	struct buf body cleanup(buf_free) = BUF_INIT(BODY_MAX);
	struct header_like h = steady;
	struct envelope e;

	h.quality = 2;
	h.samples = 70000;
	h.catalog++;
	h.first -= 86400000; /* the clock went back */
	put_header(&body, &h);
	put_section(&body, "a", 1);
	put_section(&body, "b", 1);
	put(&body, FIELD_SECTION_MESSAGES, 1);
	e = envelope_of(&body, 1);
	ck_assert_uint_gt(check_round_trip(&c, &e), 0);
}
END_TEST

START_TEST(what_cannot_be_told_is_sent_whole)
{
	struct context c = context_of(&steady, 10, 1000);
	struct buf body cleanup(buf_free) = BUF_INIT(BODY_MAX);
	struct header_like h = steady;
	struct envelope e;

	h.samples = 0; /* the context has it */
	put_header(&body, &h);
	put_section(&body, "x", 1);
	e = envelope_of(&body, 11);
	ck_assert_uint_eq(check_round_trip(&c, &e), 0);

	buf_clear(&body);
	put_header(&body, &steady);
	put_section(&body, "x", 1);
	e = envelope_of(&body, 9); /* before the context, as a backlog is */
	ck_assert_uint_gt(check_round_trip(&c, &e), 0);
	e = envelope_of(&body, 11);
	ck_assert_uint_gt(check_round_trip(&c, &e), 0);
	e.epoch++;
	ck_assert_uint_eq(check_round_trip(&c, &e), 0);
	e.epoch--;
	e.encoding = ENCODING_GAP;
	ck_assert_uint_eq(check_round_trip(&c, &e), 0);
	e.encoding = ENCODING_BATCH;
	e.origin_seq = 1;
	ck_assert_uint_eq(check_round_trip(&c, &e), 0);
}
END_TEST

START_TEST(fields_out_of_order_are_sent_whole)
{
	struct context c = context_of(&steady, 1, 0);
	struct buf body cleanup(buf_free) = BUF_INIT(BODY_MAX);
	struct envelope e;

	put64(&body, FIELD_CATALOG, 1);
	put64(&body, FIELD_BOOT_ID, 1);
	e = envelope_of(&body, 2);
	ck_assert_uint_eq(check_round_trip(&c, &e), 0);
	ck_assert_int_eq(context_make(&c, &e, 0), -EINVAL);
}
END_TEST

START_TEST(contexts_are_kept_and_read_back)
{
	struct context c = context_of(&steady, 5, 1000), back;
	struct buf b cleanup(buf_free) = BUF_INIT(CONTEXT_BYTES_MAX);

	ck_assert_int_eq(context_encode(&c, &b), 0);
	ck_assert_int_eq(context_decode(&back, b.data, b.len), 0);
	ck_assert_uint_eq(back.id, c.id);
	ck_assert_uint_eq(back.epoch, c.epoch);
	ck_assert_uint_eq(back.seq, c.seq);
	ck_assert_uint_eq(back.period, c.period);
	ck_assert_uint_eq(back.header_len, c.header_len);
	ck_assert_mem_eq(back.header, c.header, c.header_len);
	for (size_t len = 0; len < 10; len++)
		ck_assert_int_eq(context_decode(&back, b.data, len), -EBADMSG);
}
END_TEST

START_TEST(ids_differ_with_what_they_name)
{
	struct context a = context_of(&steady, 5, 1000), b = context_of(&steady, 6, 1000);
	struct context c = context_of(&steady, 5, 1001);

	ck_assert_uint_ne(a.id, b.id);
	ck_assert_uint_ne(a.id, c.id);
}
END_TEST

START_TEST(garbage_is_refused)
{
	struct context c = context_of(&steady, 1, 1000);
	struct buf out cleanup(buf_free) = BUF_INIT(BODY_MAX);
	struct envelope e;
	struct error err;
	uint8_t bytes[32] = {CONTEXT_MARK};

	ck_assert_int_eq(context_expand(&c, bytes, 0, &out, &e, &err), -EBADMSG);
	ck_assert_int_eq(context_expand(&c, bytes, 4, &out, &e, &err), -EBADMSG);
	ck_assert_int_eq(context_expand(&c, bytes, 8, &out, &e, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "context"));
	memcpy(bytes + 1, &(uint32_t){htole32(c.id)}, 4);
	bytes[8] = 0x0d; /* a field that is cut off */
	ck_assert_int_eq(context_expand(&c, bytes, 10, &out, &e, &err), -EBADMSG);
}
END_TEST

START_TEST(random_envelopes_survive)
{
	unsigned seed = 7;
	size_t shortened = 0;

	for (int i = 0; i < 3000; i++) {
		struct context c = context_of(&steady, 1 + (unsigned)rand_r(&seed) % 5, 1000);
		struct buf body cleanup(buf_free) = BUF_INIT(BODY_MAX);
		struct envelope e;
		size_t n = (unsigned)rand_r(&seed) % 60;

		if (rand_r(&seed) % 2)
			put_header(&body, &steady);
		for (size_t k = 0; k < n; k++)
			ck_assert_int_eq(buf_put_u8(&body, (uint8_t)(rand_r(&seed) % 120)), 0);
		if (body.len == 0)
			continue;
		e = envelope_of(&body, 1 + (unsigned)rand_r(&seed) % 300);
		shortened += check_round_trip(&c, &e) > 0;
	}
	ck_assert_uint_gt(shortened, 50);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("context");

	tcase_add_test(t, a_steady_lane_takes_few_bytes);
	tcase_add_test(t, what_differs_is_told);
	tcase_add_test(t, what_cannot_be_told_is_sent_whole);
	tcase_add_test(t, fields_out_of_order_are_sent_whole);
	tcase_add_test(t, contexts_are_kept_and_read_back);
	tcase_add_test(t, ids_differ_with_what_they_name);
	tcase_add_test(t, garbage_is_refused);
	tcase_add_test(t, random_envelopes_survive);
	return suite_run("context", &t, 1);
}
