#include "agent/decode/decode.h"
#include "tests/unit/plan_world.h"
#include "tests/unit/suite.h"

#include <string.h>

enum { BUS = 1, MATCHES = 8 };

static struct world w;
static struct decoder *d;
static struct sample out[SIGNALS];
static uint32_t message;

/* Messages: 0: 0x7e8, an ISO-TP payload of 20 bytes; 1: 0x123 of 8 bytes; 2: J1939 PGN 0xFEF1
 * (PDU2); 3: J1939 PGN 0xEF00 (PDU1); 4: the status of the bus. One signal each, in the last byte.
 */
static void setup(void)
{
	static const struct {
		uint32_t id;
		bool extended, j1939, status;
		unsigned bytes;
	} kinds[] = {
		{0x7e8, false, false, false, 20},   {0x123, false, false, false, 8},
		{0x18fef117, true, true, false, 8}, {0x18ef2517, true, true, false, 8},
		{0, false, false, true, 8},
	};

	world_init(&w);
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct catalog_message *m =
			world_message(&w, BUS, kinds[i].id, kinds[i].extended, kinds[i].bytes);

		m->j1939 = kinds[i].j1939;
		m->status = kinds[i].status;
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

static size_t give(enum payload_kind kind, uint32_t id, bool extended, size_t len)
{
	static uint8_t data[8192];
	struct payload p = {
		.id = id, .bus = BUS, .extended = extended, .kind = kind, .data = data, .len = len};

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i + 1);
	return decoder_payload(d, &p, &message, out);
}

START_TEST(isotp_payloads_have_a_length_byte)
{
	ck_assert_uint_eq(give(PAYLOAD_ISOTP, 0x7e8, false, 19), 1);
	ck_assert_uint_eq(message, 0);
	ck_assert_uint_eq(out[0].raw, 19); /* byte 19 of [length byte + payload] */
	ck_assert_uint_eq(give(PAYLOAD_ISOTP, 0x7e8, false, 18), 0); /* too short for the signal */
	ck_assert_uint_eq(message, 0);
	ck_assert_uint_eq(give(PAYLOAD_ISOTP, 0x7e8, false, ISOTP_PAYLOAD_MAX), 1);
	ck_assert_uint_eq(give(PAYLOAD_ISOTP, 0x7e8, false, ISOTP_PAYLOAD_MAX + 1), 0);
	ck_assert_uint_eq(give(PAYLOAD_ISOTP, 0x7e8, true, 19), 0); /* another width: another id */
	ck_assert_uint_eq(message, CATALOG_NONE);
}
END_TEST

START_TEST(j1939_payloads_go_by_pgn)
{
	ck_assert_uint_eq(give(PAYLOAD_J1939, 0x1cfef1aa, true, 8), 1);
	ck_assert_uint_eq(message, 2);
	ck_assert_uint_eq(out[0].raw, 8);
	ck_assert_uint_eq(give(PAYLOAD_J1939, 0x1cfef2aa, true, 8), 0);
	ck_assert_uint_eq(message, CATALOG_NONE);
}
END_TEST

START_TEST(status_is_the_bus_own)
{
	struct frame frame = {.bus = BUS, .id = 0, .len = 8};

	ck_assert_uint_eq(give(PAYLOAD_STATUS, 0, false, 8), 1);
	ck_assert_uint_eq(message, 4);
	ck_assert_uint_eq(out[0].raw, 8);
	/* No frame can pretend to be it, whatever its id. */
	ck_assert_uint_eq(decoder_frame(d, &frame, &message, out), 0);
	ck_assert_uint_eq(message, CATALOG_NONE);
	frame.flags = FRAME_EXTENDED;
	frame.id = 1u << 29;
	ck_assert_uint_eq(decoder_frame(d, &frame, &message, out), 0);
	ck_assert_uint_eq(message, CATALOG_NONE);
}
END_TEST

START_TEST(claimed_frames_give_nothing)
{
	struct frame f = {.bus = BUS, .id = 0x123, .len = 8};

	ck_assert_uint_eq(decoder_frame(d, &f, &message, out), 1);
	decoder_claim(d, BUS, 0x999, false); /* no message: nothing happens */
	decoder_claim(d, BUS - 1, 0x123, false);
	ck_assert_uint_eq(decoder_frame(d, &f, &message, out), 1);
	decoder_claim(d, BUS, 0x123, false);
	ck_assert_uint_eq(decoder_frame(d, &f, &message, out), 0);
	ck_assert_uint_eq(message, 1); /* known all the same */
	ck_assert_uint_eq(give(PAYLOAD_ISOTP, 0x123, false, 7), 1);
}
END_TEST

static bool has_match(const struct frame_match *m, size_t n, uint32_t id, uint32_t mask,
		      bool extended)
{
	for (size_t i = 0; i < n; i++)
		if (m[i].id == id && m[i].mask == mask && m[i].extended == extended)
			return true;
	return false;
}

START_TEST(matches_are_what_the_rules_need)
{
	struct frame_match m[MATCHES];
	size_t n = decoder_matches(d, BUS, m, MATCHES);

	ck_assert(has_match(m, n, 0x7e8, 0x7ff, false));
	ck_assert(has_match(m, n, 0x123, 0x7ff, false));
	ck_assert(has_match(m, n, 0x0fef100, 0x3ffff00, true));
	ck_assert(has_match(m, n, 0x0ef0000, 0x3ff0000, true));
	ck_assert(!has_match(m, n, 0, 0x7ff, false));
	ck_assert_uint_eq(decoder_matches(d, BUS - 1, m, MATCHES), 0);
	decoder_claim(d, BUS, 0x7e8, false);
	ck_assert_uint_eq(decoder_matches(d, BUS, m, MATCHES), n - 1);
	ck_assert(!has_match(m, n - 1, 0x7e8, 0x7ff, false));
	/* No more than there is room for, and the true number. */
	memset(m, 0, sizeof(m));
	ck_assert_uint_eq(decoder_matches(d, BUS, m, 1), n - 1);
	ck_assert_uint_eq(m[1].mask, 0);
}
END_TEST

START_TEST(nothing_wanted_needs_nothing)
{
	uint8_t wanted[5] = {0, 1, 0, 0, 1};
	struct frame_match m[MATCHES];

	decoder_free(d);
	ck_assert_int_eq(decoder_new(&d, w.cat, wanted), 0);
	ck_assert_uint_eq(decoder_matches(d, BUS, m, MATCHES), 1);
	ck_assert_uint_eq(m[0].id, 0x123);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("decoder");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, isotp_payloads_have_a_length_byte);
	tcase_add_test(tc, j1939_payloads_go_by_pgn);
	tcase_add_test(tc, status_is_the_bus_own);
	tcase_add_test(tc, claimed_frames_give_nothing);
	tcase_add_test(tc, matches_are_what_the_rules_need);
	tcase_add_test(tc, nothing_wanted_needs_nothing);
	return suite_run("decoder", &tc, 1);
}
