/* The decoder with J1939 messages that come in one frame or by transport. */
#include "agent/decode/decode.h"
#include "base/bytes.h"
#include "tests/unit/plan_world.h"
#include "tests/unit/suite.h"

#include <string.h>

enum { MATCHES = 8 };

static struct world w;
static struct decoder *d;
static struct sample out[SIGNALS];
static uint32_t message;

/* Bus can0: 0: PGN 0xFECA (PDU2), declared with 8 bytes, 1: PGN 0xEF00 (PDU1), declared with 20,
 * 2: TP.DT itself, 3: an ordinary message. Bus can1: 4: an ordinary message only. */
static void setup(void)
{
	static const struct {
		uint32_t id;
		bool extended, j1939;
		unsigned bus, bytes;
	} kinds[] = {
		{0x18FECAFE, true, true, 0, 8}, {0x18EF2517, true, true, 0, 20},
		{0x1CEBFFFE, true, true, 0, 8}, {0x123, false, false, 0, 8},
		{0x123, false, false, 1, 8},
	};

	world_init(&w);
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct catalog_message *m = world_message(&w, (uint16_t)kinds[i].bus, kinds[i].id,
							  kinds[i].extended, kinds[i].bytes);

		m->j1939 = kinds[i].j1939;
		world_signal(&w, 0, 8, false, SIGNAL_UNSIGNED);
		world_signal(&w, (kinds[i].bytes - 1) * 8, 8, false, SIGNAL_UNSIGNED);
	}
	world_build(&w);
	ck_assert_int_eq(decoder_new(&d, w.cat, NULL), 0);
}

static void teardown(void)
{
	d = decoder_free(d);
	w.cat = catalog_free(w.cat);
}

static size_t feed(uint16_t bus, uint32_t id, const char *hex)
{
	struct frame f = {.id = id, .bus = bus, .flags = FRAME_EXTENDED};

	f.len = (uint8_t)hex_decode(hex, strlen(hex), f.data, sizeof(f.data));
	return decoder_frame(d, &f, &message, out);
}

static void wants_only(unsigned first, unsigned n)
{
	uint8_t wanted[10] = {0};

	memset(wanted + first, 1, n);
	decoder_free(d);
	ck_assert_int_eq(decoder_new(&d, w.cat, wanted), 0);
}

START_TEST(one_frame_or_many)
{
	ck_assert_uint_eq(feed(0, 0x18FECA21, "0001020304050607"), 2);
	ck_assert_uint_eq(message, 0);
	ck_assert_uint_eq(out[1].raw, 7);
	ck_assert_uint_eq(feed(0, 0x1CECFF21, "20090002FFCAFE00"), 0);
	ck_assert_uint_eq(message, 0);
	ck_assert_uint_eq(feed(0, 0x1CEBFF21, "02A0A1A2A3A4A5A6"), 2); /* out of order: TP.DT's */
	ck_assert_uint_eq(message, 2);
	ck_assert_uint_eq(feed(0, 0x1CECFF21, "20090002FFCAFE00"), 0);
	ck_assert_uint_eq(feed(0, 0x1CEBFF21, "01A0A1A2A3A4A5A6"), 2);
	ck_assert_uint_eq(message, 2);
	ck_assert_uint_eq(feed(0, 0x1CEBFF21, "02A7A8FFFFFFFFFF"), 2);
	ck_assert_uint_eq(message, 0);
	ck_assert_uint_eq(out[0].signal, 0);
	ck_assert_uint_eq(out[0].raw, 0xA0);
	ck_assert_uint_eq(out[1].raw, 0xA7);
	ck_assert_uint_eq(decoder_j1939(d)->payloads, 1);
	ck_assert_uint_eq(decoder_j1939(d)->sequence, 1);
}
END_TEST

/* PDU1 goes by its PGN whatever the destination; a payload longer than declared is fine, and a
 * signal beyond a short one is not there. */
START_TEST(addressed)
{
	ck_assert_uint_eq(feed(0, 0x18EC2010, "101600040400EF00"), 0);
	ck_assert_uint_eq(message, 1);
	ck_assert_uint_eq(feed(0, 0x18EC1020, "110401FFFF00EF00"), 0);
	ck_assert_uint_eq(message, 1);
	ck_assert_uint_eq(feed(0, 0x18EB2010, "01A0A1A2A3A4A5A6"), 2);
	ck_assert_uint_eq(feed(0, 0x18EB2010, "02A7A8A9AAABACAD"), 2);
	ck_assert_uint_eq(feed(0, 0x18EB2010, "03AEAFB0B1B2B3B4"), 2);
	ck_assert_uint_eq(message, 2);
	ck_assert_uint_eq(feed(0, 0x18EB2010, "04B5FFFFFFFFFFFF"), 2);
	ck_assert_uint_eq(message, 1);
	ck_assert_uint_eq(out[1].raw, 0xB3);
	ck_assert_uint_eq(feed(0, 0x18EC2010, "100900020200EF00"), 0);
	ck_assert_uint_eq(feed(0, 0x18EB2010, "01A0A1A2A3A4A5A6"), 2);
	ck_assert_uint_eq(feed(0, 0x18EB2010, "02A7A8FFFFFFFFFF"), 1);
	ck_assert_uint_eq(message, 1);
	ck_assert_uint_eq(out[0].raw, 0xA0);
}
END_TEST

START_TEST(unknown_and_unwanted)
{
	ck_assert_uint_eq(feed(0, 0x1CECFF21, "20120003FFE3FE00"), 0);
	ck_assert_uint_eq(message, CATALOG_NONE);
	/* Transport of a bus without J1939 is like any unknown frame. */
	ck_assert_uint_eq(feed(1, 0x1CECFF21, "20120000FFCAFE00"), 0);
	ck_assert_uint_eq(message, CATALOG_NONE);
	ck_assert_uint_eq(feed(FRAME_BUS_NONE, 0x1CECFF21, "20120000FFCAFE00"), 0);
	ck_assert_uint_eq(j1939tp_errors(decoder_j1939(d)), 0);
	wants_only(2, 2);
	ck_assert_uint_eq(feed(0, 0x1CECFF21, "20120003FFCAFE00"), 0);
	ck_assert_uint_eq(message, CATALOG_NONE);
	ck_assert_uint_eq(feed(0, 0x1CECFF21, "20120003FF00EF00"), 0);
	ck_assert_uint_eq(message, 1);
	/* No J1939 message at all. */
	wants_only(6, 4);
	ck_assert_ptr_null(decoder_j1939(d));
	ck_assert_uint_eq(feed(0, 0x1CECFF21, "20120003FF00EF00"), 0);
	ck_assert_uint_eq(message, CATALOG_NONE);
}
END_TEST

/* A PGN that the catalog has by source: each by its own message, though transport's priority (7) is
 * not that of DM1 (6). Of any other source: the first of the catalog, as with single frames. */
START_TEST(by_source)
{
	static const uint8_t whole[9] = {0};
	struct payload p = {.kind = PAYLOAD_J1939, .extended = true, .data = whole, .len = 9};

	teardown();
	world_init(&w);
	for (uint32_t source = 0; source < 3; source++) {
		world_message(&w, 0, 0x18FECA00 | source, true, 8)->j1939 = true;
		world_signal(&w, 0, 8, false, SIGNAL_UNSIGNED);
	}
	world_build(&w);
	ck_assert_int_eq(decoder_new(&d, w.cat, NULL), 0);
	for (uint32_t source = 0; source < 4; source++) {
		uint32_t expected = source < 3 ? source : 0;

		ck_assert_uint_eq(feed(0, 0x18FECA00 | source, "0001020304050607"), 1);
		ck_assert_uint_eq(message, expected);
		ck_assert_uint_eq(feed(0, 0x1CECFF00 | source, "20090002FFCAFE00"), 0);
		ck_assert_uint_eq(message, expected);
		ck_assert_uint_eq(feed(0, 0x1CEBFF00 | source, "01A0A1A2A3A4A5A6"), 0);
		ck_assert_uint_eq(feed(0, 0x1CEBFF00 | source, "02A7A8FFFFFFFFFF"), 1);
		ck_assert_uint_eq(message, expected);
		ck_assert_uint_eq(out[0].raw, 0xA0);
		p.id = 0x1CFECA00 | source;
		ck_assert_uint_eq(decoder_payload(d, &p, &message, out), 1);
		ck_assert_uint_eq(message, expected);
	}
}
END_TEST

/* What a source puts together itself is not put together here. */
START_TEST(claimed)
{
	decoder_claim(d, 0, 0x18FECA00, true);
	decoder_claim(d, 0, 0x1CEBFF00, true);
	ck_assert_uint_eq(feed(0, 0x18FECA21, "0001020304050607"), 0);
	ck_assert_uint_eq(feed(0, 0x1CECFF21, "20090002FFCAFE00"), 0);
	ck_assert_uint_eq(message, CATALOG_NONE);
	ck_assert_uint_eq(feed(0, 0x1CECFF22, "20090002FF00EF00"), 0);
	ck_assert_uint_eq(feed(0, 0x1CEBFF22, "01A0A1A2A3A4A5A6"), 0);
	ck_assert_uint_eq(message, 2);
	ck_assert_uint_eq(feed(0, 0x1CEBFF22, "02A7A8FFFFFFFFFF"), 1);
	ck_assert_uint_eq(message, 1);
}
END_TEST

START_TEST(asks_for_transport)
{
	struct frame_match m[MATCHES] = {{0}};

	ck_assert_uint_eq(decoder_matches(d, 0, m, MATCHES), 6);
	ck_assert_uint_eq(m[4].id, 0x0EC0000);
	ck_assert_uint_eq(m[4].mask, 0x3FF0000);
	ck_assert_uint_eq(m[5].id, 0x0EB0000);
	ck_assert_uint_eq(m[5].mask, 0x3FF0000);
	ck_assert(m[4].extended && m[5].extended);
	ck_assert_uint_eq(decoder_matches(d, 1, m, MATCHES), 1);
	memset(m, 0, sizeof(m));
	ck_assert_uint_eq(decoder_matches(d, 0, m, 5), 6);
	ck_assert_uint_eq(m[5].mask, 0);
	ck_assert_uint_eq(decoder_matches(d, 0, NULL, 0), 6);
	wants_only(6, 4);
	ck_assert_uint_eq(decoder_matches(d, 0, m, MATCHES), 1);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("decoder_j1939");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, one_frame_or_many);
	tcase_add_test(tc, addressed);
	tcase_add_test(tc, unknown_and_unwanted);
	tcase_add_test(tc, by_source);
	tcase_add_test(tc, claimed);
	tcase_add_test(tc, asks_for_transport);
	return suite_run("decoder_j1939", &tc, 1);
}
