/* The compiled plan against a decoder that takes a bit at a time, and J1939, short frames, and the
 * decoder with ISO-TP in one. */
#include "agent/decode/decode.h"
#include "agent/decode/plan_internal.h"
#include "tests/unit/plan_world.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

START_TEST(random_signals)
{
	static const unsigned sizes[] = {1, 2, 7, 8, 9, 12, 15, 16, 17, 24, 64, 200, 4095};
	uint8_t data[4095 + 16];
	struct world *w = malloc(sizeof(*w));
	size_t checked = 0;

	for (int round = 0; round < 60; round++) {
		struct plan *p;

		seed = 0x9E3779B97F4A7C15u + (uint64_t)round;
		world_init(w);
		for (uint32_t m = 0; m < 8; m++) {
			unsigned bytes = sizes[below(array_len(sizes))];

			world_message(w, 0, 0x100 + m, false, bytes);
			for (unsigned i = below(20); i > 0; i--)
				world_random_signal(w, bytes);
		}
		world_build(w);
		p = plan_of(w->cat, NULL);
		for (int k = 0; k < 200; k++) {
			uint32_t m = below(8);
			size_t len = random_len(w->messages[m].bytes);

			random_data(data, len);
			checked += compare(p, w->cat, NULL, m, data, len);
		}
		plan_free(p);
		catalog_free(w->cat);
	}
	ck_assert_uint_gt(checked, 40000);
	free(w);
}
END_TEST

/* Every start bit and length inside 10 bytes, both byte orders and signs. */
START_TEST(every_position)
{
	struct world *w = malloc(sizeof(*w));
	uint8_t data[18];

	seed = 7;
	for (unsigned first = 0; first < 80; first++) {
		struct plan *p;

		world_init(w);
		world_message(w, 0, 1, false, 10);
		for (unsigned bits = 1; bits <= 64 && first + bits <= 80; bits++) {
			world_signal(w, first, bits, false, SIGNAL_SIGNED);
			world_signal(w, first, bits, false, SIGNAL_UNSIGNED);
			world_signal(w, first / 8 * 8 + 7 - first % 8, bits, true, SIGNAL_SIGNED);
			world_signal(w, first / 8 * 8 + 7 - first % 8, bits, true, SIGNAL_UNSIGNED);
		}
		world_build(w);
		p = plan_of(w->cat, NULL);
		for (size_t len = 0; len <= 18; len++) {
			random_data(data, len);
			compare(p, w->cat, NULL, 0, data, len);
		}
		plan_free(p);
		catalog_free(w->cat);
	}
	free(w);
}
END_TEST

START_TEST(known_values)
{
	/* From SAE and DBC practice, worked out by hand. */
	static const uint8_t data[8] = {0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xF0};
	static const uint64_t expected[] = {
		0x3412, 0x1234, 0xFFFFFFFFFFFF9ABC, 0x123456789ABCDEF0, 0xF0DEBC9A78563412, 0x5};
	struct world w;
	struct sample out[8];
	struct plan *p;

	world_init(&w);
	world_message(&w, 0, 1, false, 8);
	world_signal(&w, 0, 16, false, SIGNAL_UNSIGNED);
	world_signal(&w, 7, 16, true, SIGNAL_UNSIGNED);
	world_signal(&w, 39, 16, true, SIGNAL_SIGNED);
	world_signal(&w, 7, 64, true, SIGNAL_UNSIGNED);
	world_signal(&w, 0, 64, false, SIGNAL_SIGNED);
	world_signal(&w, 20, 4, false, SIGNAL_UNSIGNED);
	world_build(&w);
	p = plan_of(w.cat, NULL);
	ck_assert_uint_eq(plan_decode(p, 0, data, 8, out), 6);
	ck_assert_uint_eq(out[0].raw, expected[0]);
	ck_assert_uint_eq(out[1].raw, expected[1]);
	ck_assert_uint_eq(out[2].raw, expected[2]);
	ck_assert_uint_eq(out[3].raw, expected[3]);
	ck_assert_uint_eq(out[4].raw, expected[4]);
	ck_assert_uint_eq(out[5].raw, expected[5]);
	plan_free(p);
	catalog_free(w.cat);
}
END_TEST

/* ---- which message ---- */

START_TEST(exact_ids)
{
	struct world w;
	struct plan *p;

	world_init(&w);
	for (uint32_t i = 0; i < 20; i++)
		world_message(&w, i % 2, 0x100 + i / 2, i % 3 == 0, 8);
	world_build(&w);
	p = plan_of(w.cat, NULL);
	for (uint32_t i = 0; i < 20; i++) {
		ck_assert_uint_eq(plan_message(p, i % 2, 0x100 + i / 2, i % 3 == 0), i);
		ck_assert_uint_eq(plan_message(p, i % 2, 0x100 + i / 2, i % 3 != 0), CATALOG_NONE);
		ck_assert_uint_eq(plan_message(p, 2, 0x100 + i / 2, i % 3 == 0), CATALOG_NONE);
	}
	ck_assert_uint_eq(plan_message(p, 0, 0x7FF, false), CATALOG_NONE);
	ck_assert_uint_eq(plan_message(p, FRAME_BUS_NONE, 0x100, false), CATALOG_NONE);
	/* No signal at all: nothing to decode, nothing to fear. */
	ck_assert_uint_eq(plan_decode(p, 0, (const uint8_t *)"12345678", 8, NULL), 0);
	ck_assert_uint_eq(plan_decode(p, CATALOG_NONE, (const uint8_t *)"12345678", 8, NULL), 0);
	ck_assert_uint_eq(plan_samples_max(p), 0);
	plan_free(p);
	catalog_free(w.cat);
}
END_TEST

START_TEST(j1939_by_pgn)
{
	struct world w;
	struct plan *p;

	world_init(&w);
	world_message(&w, 0, 0x0CF00400, true, 8)->j1939 = true; /* PDU2: PGN F004 */
	world_message(&w, 0, 0x18EA00FE, true, 8)->j1939 =
		true;				   /* PDU1: PGN EA00, any destination */
	world_message(&w, 0, 0x18F00421, true, 8); /* exact goes first */
	world_message(&w, 0, 0x19F00400, true, 8)->j1939 = true; /* data page 1: PGN 1F004 */
	world_build(&w);
	p = plan_of(w.cat, NULL);
	ck_assert_uint_eq(plan_message(p, 0, 0x0CF00400, true), 0);
	ck_assert_uint_eq(plan_message(p, 0, 0x18F004AB, true), 0);
	ck_assert_uint_eq(plan_message(p, 0, 0x18F00421, true), 2);
	ck_assert_uint_eq(plan_message(p, 0, 0x0CF00500, true), CATALOG_NONE);
	ck_assert_uint_eq(plan_message(p, 0, 0x0CEA1234, true), 1);
	ck_assert_uint_eq(plan_message(p, 0, 0x18EAFF00, true), 1);
	ck_assert_uint_eq(plan_message(p, 0, 0x18EB0000, true), CATALOG_NONE);
	ck_assert_uint_eq(plan_message(p, 0, 0x1DF00433, true), 3);
	ck_assert_uint_eq(plan_message(p, 1, 0x0CF00400, true), CATALOG_NONE);
	ck_assert_uint_eq(plan_message(p, 0, 0x400, false), CATALOG_NONE);
	plan_free(p);
	catalog_free(w.cat);
}
END_TEST

/* ---- the decoder: plan and ISO-TP ---- */

static struct frame frame_of(uint32_t id, uint8_t flags, const char *hex)
{
	struct frame f = {.id = id, .flags = flags};

	f.len = (uint8_t)hex_decode(hex, strlen(hex), f.data, sizeof(f.data));
	return f;
}

START_TEST(decoder_joins_isotp)
{
	struct frame first = frame_of(0x7EC, 0, "1009620101AABBCC");
	struct frame second = frame_of(0x7EC, 0, "21DDEEFF00000000");
	struct frame single = frame_of(0x7EC, 0, "0462010155555555");
	struct frame fd = frame_of(0x7EC, FRAME_FD, "0962010100000000000000DD");
	struct sample out[4];
	struct decoder *d = NULL;
	uint32_t message;
	struct world w;

	world_init(&w);
	world_message(&w, 0, 0x7EC, false, 12);
	world_signal(&w, 0, 8, false, SIGNAL_UNSIGNED);	 /* the length byte */
	world_signal(&w, 56, 8, false, SIGNAL_UNSIGNED); /* 7th byte of the payload */
	world_signal(&w, 88, 8, false, SIGNAL_UNSIGNED); /* beyond this payload */
	world_build(&w);
	ck_assert_int_eq(decoder_new(&d, w.cat, NULL), 0);
	ck_assert_uint_eq(decoder_samples_max(d), 3);
	ck_assert_uint_eq(decoder_frame(d, &first, &message, out), 0);
	ck_assert_uint_eq(message, 0);
	ck_assert_uint_eq(decoder_frame(d, &second, &message, out), 2);
	ck_assert_uint_eq(out[0].raw, 9);
	ck_assert_uint_eq(out[1].raw, 0xDD);
	ck_assert_uint_eq(decoder_frame(d, &single, &message, out), 1);
	ck_assert_uint_eq(out[0].raw, 4);
	/* 12 bytes fit a CAN FD frame: that is the message itself. */
	ck_assert_uint_eq(decoder_frame(d, &fd, &message, out), 3);
	ck_assert_uint_eq(out[2].raw, 0xDD);
	ck_assert_uint_eq(decoder_isotp(d)->payloads, 2);
	decoder_free(d);
	catalog_free(w.cat);
}
END_TEST

START_TEST(decoder_passes_over)
{
	struct frame remote = frame_of(1, FRAME_REMOTE, ""), error = frame_of(1, FRAME_ERROR, "00");
	struct frame unknown = frame_of(2, 0, "00"), good = frame_of(1, 0, "2A"), broken = good;
	struct sample out[1];
	struct decoder *d = NULL;
	uint32_t message;
	struct world w;

	world_init(&w);
	world_message(&w, 0, 1, false, 8);
	world_signal(&w, 0, 8, false, SIGNAL_UNSIGNED);
	world_build(&w);
	ck_assert_int_eq(decoder_new(&d, w.cat, NULL), 0);
	ck_assert_uint_eq(decoder_frame(d, &remote, &message, out), 0);
	ck_assert_uint_eq(message, CATALOG_NONE);
	ck_assert_uint_eq(decoder_frame(d, &error, &message, out), 0);
	ck_assert_uint_eq(decoder_frame(d, &unknown, &message, out), 0);
	ck_assert_uint_eq(message, CATALOG_NONE);
	broken.len = FRAME_DATA_MAX + 1;
	ck_assert_uint_eq(decoder_frame(d, &broken, &message, out), 0);
	ck_assert_uint_eq(decoder_frame(d, &good, &message, out), 1);
	ck_assert_uint_eq(out[0].raw, 0x2A);
	decoder_free(d);
	catalog_free(w.cat);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("plan");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, random_signals);
	tcase_add_test(tc, every_position);
	tcase_add_test(tc, known_values);
	tcase_add_test(tc, exact_ids);
	tcase_add_test(tc, j1939_by_pgn);
	tcase_add_test(tc, decoder_joins_isotp);
	tcase_add_test(tc, decoder_passes_over);
	return suite_run("plan", &tc, 1);
}
