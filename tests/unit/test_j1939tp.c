#include "agent/decode/j1939tp.h"
#include "agent/j1939/j1939_id.h"
#include "base/bytes.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <string.h>

enum { SLOTS = 4, BUS = 3 };

static struct j1939tp *t;
static int64_t now;
static struct j1939tp_message m;
static uint32_t not_wanted; /* PGN */

/* Numbers are PGNs here. */
static uint32_t find(void *ctx, uint16_t bus, uint32_t id)
{
	uint32_t pgn = id >> 8 & 0x3FFFF;

	ck_assert_ptr_eq(ctx, &now);
	ck_assert_uint_eq(bus, BUS);
	if ((pgn >> 8 & 0xFF) < 240)
		pgn &= 0x3FF00;
	return pgn == not_wanted ? (uint32_t)J1939TP_NONE : pgn;
}

static void setup(void)
{
	struct j1939tp_config config = {.sessions = SLOTS, .find = find, .ctx = &now};

	t = NULL;
	now = 1000 * NS_PER_S;
	not_wanted = 0xFFFFFF;
	ck_assert_int_eq(j1939tp_new(&t, &config), 0);
}

static void teardown(void)
{
	t = j1939tp_free(t);
}

/* A frame 10 ms after the last one. */
static int feed(uint32_t id, const char *hex)
{
	struct frame f = {.id = id, .bus = BUS, .flags = FRAME_EXTENDED};

	now += 10 * NS_PER_MS;
	f.t_ns = now;
	f.len = (uint8_t)hex_decode(hex, strlen(hex), f.data, sizeof(f.data));
	memset(&m, 0, sizeof(m));
	return j1939tp_frame(t, &f, &m);
}

static void expect(uint32_t id, const char *hex)
{
	char text[2 * J1939TP_BYTES_MAX + 1];

	ck_assert_uint_eq(m.id, id);
	ck_assert_ptr_nonnull(m.data);
	hex_encode(m.data, m.len, text);
	ck_assert_str_eq(text, hex);
}

static const struct j1939tp_counters *count(void)
{
	return j1939tp_counters(t);
}

START_TEST(identifiers)
{
	ck_assert(j1939tp_is(0x1CECFF00));
	ck_assert(j1939tp_is(0x00EB1234));
	ck_assert(!j1939tp_is(0x1DECFF00)); /* data page 1 */
	ck_assert(!j1939tp_is(0x1EECFF00)); /* extended data page */
	ck_assert(!j1939tp_is(0x18EAFF00));
	ck_assert(!j1939tp_is(0x1CC8FF00)); /* ETP.CM */
	ck_assert_uint_eq(j1939_id(6, 0xFECA, 0x21, 0x55), 0x18FECA21);
	ck_assert_uint_eq(j1939_id(7, 0xEF00, 0x21, 0x55), 0x1CEF5521);
	ck_assert_uint_eq(j1939_id(3, 0x1F004, 0x00, 0xFF), 0x0DF00400);
}
END_TEST

/* As a car says it: DM1 of 18 bytes. */
START_TEST(broadcast)
{
	ck_assert_int_eq(feed(0x1CECFF00, "20120003FFCAFE00"), J1939TP_TAKEN);
	ck_assert_uint_eq(m.number, 0xFECA);
	ck_assert_ptr_null(m.data);
	ck_assert_int_eq(feed(0x1CEBFF00, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "020708090a0b0c0d"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "030e0f1011ffffff"), J1939TP_DONE);
	ck_assert_uint_eq(m.number, 0xFECA);
	expect(0x1CFECA00, "000102030405060708090a0b0c0d0e0f1011");
	/* And another, whose last frame is no longer than it must be. */
	ck_assert_int_eq(feed(0x1CECFF00, "20090002FFCAFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "01a0a1a2a3a4a5a6"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "02a7a8"), J1939TP_DONE);
	expect(0x1CFECA00, "a0a1a2a3a4a5a6a7a8");
	ck_assert_uint_eq(count()->payloads, 2);
	ck_assert_uint_eq(j1939tp_errors(count()), 0);
}
END_TEST

/* A broadcast and two sessions of one source, one of them with a PDU1 message, and the opposite
 * direction of it. */
START_TEST(interleaved)
{
	ck_assert_int_eq(feed(0x1CECFF10, "20090002FFCAFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEC2010, "1009000202EBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEC3010, "100900020200EF00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEC1020, "1009000202DAFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEC1020, "110201FFFFEBFE00"), J1939TP_TAKEN);
	ck_assert_uint_eq(m.number, 0xFEEB);
	ck_assert_int_eq(feed(0x1CEC1030, "110201FFFF00EF00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEC2010, "110201FFFFDAFE00"), J1939TP_TAKEN);
	ck_assert_uint_eq(m.number, 0xFEDA);
	for (unsigned i = 1; i <= 2; i++) {
		static const uint32_t ids[] = {0x1CEB3010, 0x1CEBFF10, 0x1CEB1020, 0x1CEB2010};
		static const uint32_t whole[] = {0x1CEF3010, 0x1CFECA10, 0x1CFEDA20, 0x1CFEEB10};

		for (size_t k = 0; k < array_len(ids); k++) {
			char hex[17], all[19];

			snprintf(hex, sizeof(hex), "%02x%02zx010203040506", i, k);
			ck_assert_int_eq(feed(ids[k], hex), i == 2 ? J1939TP_DONE : J1939TP_TAKEN);
			if (i < 2)
				continue;
			snprintf(all, sizeof(all), "%02zx010203040506%02zx01", k, k);
			expect(whole[k], all);
		}
	}
	ck_assert_int_eq(feed(0x1CEC1020, "13090002FFEBFE00"), J1939TP_TAKEN);
	ck_assert_uint_eq(count()->payloads, 4);
	ck_assert_uint_eq(j1939tp_errors(count()), 0);
}
END_TEST

/* 1785 bytes in 255 packets, asked for 16 at a time. */
START_TEST(longest)
{
	int r = feed(0x18EC2010, "10F906FF10EBFE00");

	ck_assert_int_eq(r, J1939TP_TAKEN);
	for (unsigned i = 1; i <= 255; i++) {
		char hex[17];

		if (i % 16 == 1) {
			snprintf(hex, sizeof(hex), "11%02x%02xffffebfe00", i > 240 ? 15 : 16, i);
			ck_assert_int_eq(feed(0x18EC1020, hex), J1939TP_TAKEN);
		}
		snprintf(hex, sizeof(hex), "%02x%02x%02x%02x%02x%02x%02x%02x", i, i, 1, 2, 3, 4, 5,
			 255 - i);
		r = feed(0x18EB2010, hex);
		ck_assert_int_eq(r, i == 255 ? J1939TP_DONE : J1939TP_TAKEN);
	}
	ck_assert_uint_eq(m.len, 1785);
	for (size_t i = 0; i < 255; i++) {
		ck_assert_uint_eq(m.data[i * 7], i + 1);
		ck_assert_uint_eq(m.data[i * 7 + 6], 254 - i);
	}
	ck_assert_uint_eq(j1939tp_errors(count()), 0);
}
END_TEST

/* The receiver lost packet 2 and asks for it again, then for all that is left. */
START_TEST(asked_again)
{
	ck_assert_int_eq(feed(0x18EC2010, "10190004FFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EC1020, "110301FFFFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "030e0f1011121314"), J1939TP_TAKEN); /* we, too */
	ck_assert_int_eq(feed(0x18EC1020, "110102FFFFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "020708090a0b0c0d"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EC1020, "110203FFFFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "030e0f1011121314"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "0415161718ffffff"), J1939TP_DONE);
	expect(0x18FEEB10, "000102030405060708090a0b0c0d0e0f101112131415161718");
	/* The receiver did not get the last one: that is its own affair. */
	ck_assert_int_eq(feed(0x18EC1020, "110104FFFFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "0415161718ffffff"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EC1020, "13190004FFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "0415161718ffffff"), 0);
	ck_assert_uint_eq(count()->payloads, 1);
	ck_assert_uint_eq(count()->repeated, 2);
	ck_assert_uint_eq(count()->stray, 1);
	ck_assert_uint_eq(j1939tp_errors(count()), 0);
}
END_TEST

START_TEST(asked_for_more_than_there_is)
{
	ck_assert_int_eq(feed(0x18EC2010, "10120003FFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EC1020, "11FF01FFFFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EC1020, "110F02FFFFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "020708090a0b0c0d"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "030e0f1011ffffff"), J1939TP_DONE);
	expect(0x18FEEB10, "000102030405060708090a0b0c0d0e0f1011");
	ck_assert_uint_eq(j1939tp_errors(count()), 0);
}
END_TEST

START_TEST(request_repeated)
{
	ck_assert_int_eq(feed(0x18EC2010, "10090002FFEBFE00"), J1939TP_TAKEN);
	now += 1240 * NS_PER_MS;
	ck_assert_int_eq(feed(0x18EC2010, "10090002FFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "020708"), J1939TP_DONE);
	ck_assert_uint_eq(j1939tp_errors(count()), 0);
}
END_TEST

START_TEST(delivered_twice)
{
	ck_assert_int_eq(feed(0x1CECFF00, "20090002FFCAFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "020708ffffffffff"), J1939TP_DONE);
	expect(0x1CFECA00, "000102030405060708");
	ck_assert_int_eq(feed(0x1CEBFF00, "020708ffffffffff"), J1939TP_TAKEN);
	ck_assert_uint_eq(count()->repeated, 2);
	/* The same number with other data is not the same frame. */
	ck_assert_int_eq(feed(0x1CECFF00, "20090002FFCAFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "0100010203040507"), 0);
	ck_assert_uint_eq(count()->sequence, 1);
	ck_assert_uint_eq(count()->payloads, 1);
}
END_TEST

START_TEST(broadcast_lost)
{
	ck_assert_int_eq(feed(0x1CECFF00, "20120003FFCAFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "030e0f1011ffffff"), 0);
	ck_assert_uint_eq(count()->sequence, 1);
	ck_assert_int_eq(feed(0x1CEBFF00, "020708090a0b0c0d"), 0);
	ck_assert_uint_eq(count()->stray, 1);
	/* The first one lost. */
	ck_assert_int_eq(feed(0x1CECFF00, "20120003FFCAFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "020708090a0b0c0d"), 0);
	ck_assert_uint_eq(count()->sequence, 2);
	ck_assert_uint_eq(count()->payloads, 0);
}
END_TEST

/* The receiver has it all, we do not. */
START_TEST(session_lost)
{
	ck_assert_int_eq(feed(0x18EC2010, "10120003FFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "030e0f1011ffffff"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EC1020, "13120003FFEBFE00"), J1939TP_TAKEN);
	ck_assert_uint_eq(count()->incomplete, 1);
	ck_assert_uint_eq(count()->payloads, 0);
	/* A request that was lost: its CTS says that the old session is over. */
	ck_assert_int_eq(feed(0x18EC2010, "10120003FFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EC1020, "110301FFFFDAFE00"), 0);
	ck_assert_int_eq(feed(0x18EB2010, "0100010203040506"), 0);
	ck_assert_uint_eq(count()->interrupted, 1);
}
END_TEST

START_TEST(replaced)
{
	ck_assert_int_eq(feed(0x1CECFF00, "20120003FFCAFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CECFF00, "20090002FFCAFE00"), J1939TP_TAKEN);
	ck_assert_uint_eq(count()->interrupted, 1);
	ck_assert_int_eq(feed(0x1CEBFF00, "01a0a1a2a3a4a5a6"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "02a7a8ffffffffff"), J1939TP_DONE);
	expect(0x1CFECA00, "a0a1a2a3a4a5a6a7a8");
	/* Also by one that is not wanted, and by one that cannot be. */
	not_wanted = 0xFEE3;
	ck_assert_int_eq(feed(0x1CECFF00, "20120003FFCAFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CECFF00, "20090002FFE3FE00"), 0);
	ck_assert_int_eq(feed(0x1CEBFF00, "0100010203040506"), 0);
	ck_assert_uint_eq(count()->interrupted, 2);
	ck_assert_int_eq(feed(0x1CECFF00, "20120003FFCAFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CECFF00, "20090003FFCAFE00"), 0);
	ck_assert_int_eq(feed(0x1CEBFF00, "0100010203040506"), 0);
	ck_assert_uint_eq(count()->interrupted, 3);
	ck_assert_uint_eq(count()->malformed, 1);
}
END_TEST

START_TEST(broadcast_timeout)
{
	ck_assert_int_eq(feed(0x1CECFF00, "20090002FFCAFE00"), J1939TP_TAKEN);
	now += 740 * NS_PER_MS; /* 750 ms with feed's own 10 */
	ck_assert_int_eq(feed(0x1CEBFF00, "0100010203040506"), J1939TP_TAKEN);
	now += 741 * NS_PER_MS;
	ck_assert_int_eq(feed(0x1CEBFF00, "020708ffffffffff"), 0);
	ck_assert_uint_eq(count()->timeouts, 1);
	ck_assert_uint_eq(count()->stray, 1);
	/* Followed by another one it is a timeout, too, not an interruption. */
	ck_assert_int_eq(feed(0x1CECFF00, "20090002FFCAFE00"), J1939TP_TAKEN);
	now += 2 * NS_PER_S;
	ck_assert_int_eq(feed(0x1CECFF00, "20090002FFCAFE00"), J1939TP_TAKEN);
	ck_assert_uint_eq(count()->timeouts, 2);
	/* A log that starts over. */
	now = INT64_MIN + NS_PER_S;
	ck_assert_int_eq(feed(0x1CEBFF00, "0100010203040506"), 0);
	ck_assert_uint_eq(count()->timeouts, 3);
	ck_assert_uint_eq(count()->interrupted, 0);
}
END_TEST

START_TEST(session_timeouts)
{
	/* T3 for the answer, T2 for the first packet, T1 inside what was asked for, T3 after. */
	static const struct {
		uint32_t id;
		const char *hex;
		int wait_ms;
	} steps[] = {
		{0x18EC2010, "10120003FFEBFE00", 1250}, {0x18EC1020, "110000FFFFEBFE00", 1250},
		{0x18EC1020, "110201FFFFEBFE00", 1250}, {0x18EB2010, "0100010203040506", 750},
		{0x18EB2010, "020708090a0b0c0d", 1250}, {0x18EC1020, "110103FFFFEBFE00", 1250},
		{0x18EB2010, "030e0f1011ffffff", 0},
	};

	for (size_t late = 0; late < array_len(steps); late++) {
		int r = 0;

		now += 10 * NS_PER_S;
		for (size_t i = 0; i < array_len(steps); i++) {
			r = feed(steps[i].id, steps[i].hex);
			now += (steps[i].wait_ms - 10 + (i == late)) * NS_PER_MS;
			if (i > late)
				break;
		}
		if (late + 1 < array_len(steps))
			ck_assert_int_eq(r, 0);
		else
			ck_assert_int_eq(r, J1939TP_DONE);
	}
	ck_assert_uint_eq(count()->timeouts, array_len(steps) - 1);
	ck_assert_uint_eq(count()->payloads, 1);
}
END_TEST

START_TEST(aborted)
{
	/* By the source, by the destination; of another message: not meant. */
	ck_assert_int_eq(feed(0x18EC2010, "10090002FFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EC2010, "FF01FFFFFFDAFE00"), 0);
	ck_assert_int_eq(feed(0x18EC2010, "FF01FFFFFFEBFE00"), J1939TP_TAKEN);
	ck_assert_uint_eq(count()->aborted, 1);
	ck_assert_int_eq(feed(0x18EB2010, "0100010203040506"), 0);
	ck_assert_int_eq(feed(0x18EC2010, "10090002FFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EC1020, "FF03FFFFFFEBFE00"), J1939TP_TAKEN);
	ck_assert_uint_eq(count()->aborted, 2);
	ck_assert_int_eq(feed(0x18EB2010, "020708ffffffffff"), 0);
	/* After the end nothing is lost by it. */
	ck_assert_int_eq(feed(0x18EC2010, "10090002FFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "020708ffffffffff"), J1939TP_DONE);
	ck_assert_int_eq(feed(0x18EC1020, "FF03FFFFFFEBFE00"), J1939TP_TAKEN);
	ck_assert_uint_eq(count()->aborted, 2);
	ck_assert_uint_eq(count()->payloads, 1);
}
END_TEST

START_TEST(malformed)
{
	static const struct {
		uint32_t id;
		const char *hex;
	} bad[] = {
		{0x1CECFF00, "20080002FFCAFE00"},   /* fits a single frame */
		{0x1CECFF00, "20FA06FFFFCAFE00"},   /* 1786 bytes */
		{0x1CECFF00, "20FFFFFFFFCAFE00"},   /* 65535 bytes */
		{0x1CECFF00, "20000000FFCAFE00"},   /* none */
		{0x1CECFF00, "20120002FFCAFE00"},   /* 18 bytes are 3 packets */
		{0x1CECFF00, "20120004FFCAFE00"},   /* ... */
		{0x1CECFF00, "20120000FFCAFE00"},   /* ... */
		{0x1CECFF00, "20120003FFCAFE04"},   /* a PGN of 19 bits */
		{0x1CEC2000, "20120003FFCAFE00"},   /* a broadcast to one */
		{0x1CECFF00, "10120003FFCAFE00"},   /* a request to all */
		{0x1CECFF00, "20120003FFCAFE"},	    /* short */
		{0x1CECFF00, "20120003FFCAFE0000"}, /* long */
		{0x1CECFF00, ""},
		{0x1CECFF00, "12120003FFCAFE00"}, /* no such control */
	};

	for (size_t i = 0; i < array_len(bad); i++)
		ck_assert_int_eq(feed(bad[i].id, bad[i].hex), 0);
	ck_assert_uint_eq(count()->malformed, array_len(bad));
	/* Of a session that does not exist. */
	ck_assert_int_eq(feed(0x18EC1020, "110102FFFFEBFE00"), 0);
	ck_assert_int_eq(feed(0x18EC1020, "13190004FFEBFE00"), 0);
	ck_assert_int_eq(feed(0x18EC1020, "FF01FFFFFFEBFE00"), 0);
	ck_assert_int_eq(feed(0x18EB1020, ""), 0);
	ck_assert_int_eq(feed(0x18ECFFFF, "20120003FFCAFE00"), 0); /* the source is everybody */
	ck_assert_uint_eq(j1939tp_errors(count()), array_len(bad));
}
END_TEST

START_TEST(impossible_packets)
{
	static const char *const bad[] = {"00aaaaaaaaaaaaaa", "04aaaaaaaaaaaaaa",
					  "ffaaaaaaaaaaaaaa", "01aaaaaaaaaaaa", "01"};
	static const char *const cts[] = {"110100FFFFEBFE00", "110104FFFFEBFE00",
					  "110204FFFFEBFE00", "11FFFFFFFFEBFE00"};

	for (size_t i = 0; i < array_len(bad); i++) {
		ck_assert_int_eq(feed(0x18EC2010, "10120003FFEBFE00"), J1939TP_TAKEN);
		ck_assert_int_eq(feed(0x18EB2010, bad[i]), 0);
		ck_assert_int_eq(feed(0x18EB2010, "0100010203040506"), 0);
	}
	for (size_t i = 0; i < array_len(cts); i++) {
		ck_assert_int_eq(feed(0x18EC2010, "10120003FFEBFE00"), J1939TP_TAKEN);
		ck_assert_int_eq(feed(0x18EC1020, cts[i]), 0);
		ck_assert_int_eq(feed(0x18EB2010, "0100010203040506"), 0);
	}
	/* The last packet one byte short. */
	ck_assert_int_eq(feed(0x18EC2010, "10090002FFEBFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x18EB2010, "0207"), 0);
	ck_assert_uint_eq(count()->malformed, array_len(bad) + array_len(cts) + 1);
	ck_assert_uint_eq(count()->payloads, 0);
}
END_TEST

/* Not CAN FD, not remote, not an error frame; nothing that is unwanted takes a slot. */
START_TEST(passed_over)
{
	struct frame f = {.id = 0x1CECFF00, .bus = BUS, .len = 8};
	static const uint8_t flags[] = {FRAME_FD, FRAME_REMOTE, FRAME_ERROR};

	ck_assert_int_eq(hex_decode("20120003FFCAFE00", 16, f.data, sizeof(f.data)), 8);
	for (size_t i = 0; i < array_len(flags); i++) {
		f.flags = FRAME_EXTENDED | flags[i];
		ck_assert_int_eq(j1939tp_frame(t, &f, &m), 0);
	}
	f.flags = FRAME_EXTENDED;
	ck_assert_int_eq(j1939tp_frame(t, &f, &m), J1939TP_TAKEN);
	not_wanted = 0xFEE3;
	for (uint32_t i = 0; i < 250; i++)
		ck_assert_int_eq(feed(0x1CECFF01 + i, "20120003FFE3FE00"), 0);
	f.id = 0x1CEBFF00;
	f.data[0] = 1;
	ck_assert_int_eq(j1939tp_frame(t, &f, &m), J1939TP_TAKEN);
	ck_assert_uint_eq(j1939tp_errors(count()), 0);
}
END_TEST

/* More sessions than slots: of those without a packet the one that has been silent the longest
 * goes. */
START_TEST(too_many)
{
	for (uint32_t i = 0; i < SLOTS; i++)
		ck_assert_int_eq(feed(0x1CECFF00 + i, "20090002FFCAFE00"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CEBFF00, "0100010203040506"), J1939TP_TAKEN);
	ck_assert_int_eq(feed(0x1CECFF00 + SLOTS, "20090002FFCAFE00"), J1939TP_TAKEN);
	ck_assert_uint_eq(count()->evicted, 1);
	ck_assert_int_eq(feed(0x1CEBFF01, "0100010203040506"), 0); /* it was this one */
	ck_assert_int_eq(feed(0x1CEBFF00, "020708ffffffffff"), J1939TP_DONE);
	/* What is complete goes before what is not. */
	ck_assert_int_eq(feed(0x1CECFF20, "20090002FFCAFE00"), J1939TP_TAKEN);
	ck_assert_uint_eq(count()->evicted, 1);
	/* Thousands of them. */
	for (uint32_t i = 0; i < 5000; i++)
		ck_assert_int_eq(feed(0x18EC0000 | (i * 37 & 0xFFFF) % 254 << 8 | (i * 11) % 254,
				      "10F906FFFFEBFE00"),
				 J1939TP_TAKEN);
	ck_assert_uint_ge(count()->evicted + count()->timeouts, 5000 - SLOTS);
	/* One that has timed out goes without being counted as pushed out. */
	now += 10 * NS_PER_S;
	for (uint32_t i = 0; i < SLOTS; i++)
		ck_assert_int_eq(feed(0x1CECFF00 + i, "20090002FFCAFE00"), J1939TP_TAKEN);
	for (uint32_t i = 0; i < SLOTS; i++)
		ck_assert_int_eq(feed(0x1CEBFF00 + i, "0100010203040506"), J1939TP_TAKEN);
	for (uint32_t i = 0; i < SLOTS; i++)
		ck_assert_int_eq(feed(0x1CEBFF00 + i, "020708ffffffffff"), J1939TP_DONE);
}
END_TEST

/* Announcements that nothing follows, by the hundred, between two packets of what is being sent. */
START_TEST(flooded)
{
	for (uint32_t i = 1; i < SLOTS; i++) {
		ck_assert_int_eq(feed(0x1CECFF00 + i, "20090002FFCAFE00"), J1939TP_TAKEN);
		ck_assert_int_eq(feed(0x1CEBFF00 + i, "0100010203040506"), J1939TP_TAKEN);
	}
	for (uint32_t i = 0; i < 200; i++) {
		now -= 9 * NS_PER_MS;
		ck_assert_int_eq(feed(0x18EC4000 | i, "10F906FFFFEBFE00"), J1939TP_TAKEN);
	}
	ck_assert_uint_eq(count()->evicted, 199);
	for (uint32_t i = 1; i < SLOTS; i++)
		ck_assert_int_eq(feed(0x1CEBFF00 + i, "020708ffffffffff"), J1939TP_DONE);
	ck_assert_uint_eq(count()->timeouts, 0);
}
END_TEST

/* Whatever comes, what is handed out is within bounds and counted once. */
START_TEST(random_frames)
{
	static const uint8_t controls[] = {16, 17, 19, 32, 255, 3};
	uint64_t done = 0, x = 88172645463325252u;

	for (int i = 0; i < 400000; i++) {
		struct frame f = {.t_ns = now, .bus = BUS, .flags = FRAME_EXTENDED};
		int r;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		now += (int64_t)(x >> 44) * 200;
		f.id = (x & 3 ? 0xEB0000u : 0xEC0000u) | (x >> 2 & 1 ? 0xFF00u : 0x100u) |
		       (x >> 3 & 1);
		f.len = x >> 4 & 31 ? 8 : (uint8_t)(x >> 9 & 15);
		if (x & 3)
			f.data[0] = (uint8_t)(1 + (x >> 16 & 1));
		else
			f.data[0] = controls[(x >> 16 & 0xFF) % array_len(controls)];
		f.data[1] = (uint8_t)(9 + (x >> 24 & 3));
		f.data[2] = x >> 40 & 15 ? 0 : (uint8_t)(x >> 32);
		f.data[3] = x >> 44 & 15 ? 2 : (uint8_t)(x >> 24);
		f.data[6] = 0xFE;
		r = j1939tp_frame(t, &f, &m);
		if (r != J1939TP_DONE)
			continue;
		done++;
		if (m.len < J1939TP_BYTES_MIN || m.len > J1939TP_BYTES_MAX)
			ck_abort_msg("%zu bytes", m.len);
	}
	ck_assert_uint_gt(done, 1000);
	ck_assert_uint_eq(count()->payloads, done);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("j1939tp");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, identifiers);
	tcase_add_test(tc, broadcast);
	tcase_add_test(tc, interleaved);
	tcase_add_test(tc, longest);
	tcase_add_test(tc, asked_again);
	tcase_add_test(tc, asked_for_more_than_there_is);
	tcase_add_test(tc, request_repeated);
	tcase_add_test(tc, delivered_twice);
	tcase_add_test(tc, broadcast_lost);
	tcase_add_test(tc, session_lost);
	tcase_add_test(tc, replaced);
	tcase_add_test(tc, broadcast_timeout);
	tcase_add_test(tc, session_timeouts);
	tcase_add_test(tc, aborted);
	tcase_add_test(tc, malformed);
	tcase_add_test(tc, impossible_packets);
	tcase_add_test(tc, passed_over);
	tcase_add_test(tc, too_many);
	tcase_add_test(tc, flooded);
	tcase_add_test(tc, random_frames);
	return suite_run("j1939tp", &tc, 1);
}
