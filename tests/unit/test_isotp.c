#include "agent/decode/isotp.h"
#include "base/bytes.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

static struct isotp *t;
static int64_t now;

static void setup(void)
{
	t = NULL;
	now = 1000 * NS_PER_S;
	ck_assert_int_eq(isotp_new(&t, 2, &(struct isotp_config){0}), 0);
}

static void teardown(void)
{
	t = isotp_free(t);
}

/* A frame 10 ms after the last one. */
static int feed(size_t channel, const char *hex, uint8_t flags)
{
	struct frame f = {.flags = flags};

	now += 10 * NS_PER_MS;
	f.t_ns = now;
	f.len = (uint8_t)hex_decode(hex, strlen(hex), f.data, sizeof(f.data));
	return isotp_frame(t, channel, &f);
}

static void expect(size_t channel, const char *hex)
{
	char text[2 * 4096 + 1];
	const uint8_t *data;
	size_t len;

	data = isotp_payload(t, channel, &len);
	ck_assert_uint_le(len, 4096);
	hex_encode(data, len, text);
	ck_assert_str_eq(text, hex);
}

START_TEST(single_frame)
{
	ck_assert_int_eq(feed(0, "037f2231aaaaaaaa", 0), ISOTP_DONE);
	expect(0, "037f2231");
	ck_assert_int_eq(feed(0, "0700112233445566", 0), ISOTP_DONE);
	expect(0, "0700112233445566");
	/* Shorter than it says, or nothing in it. */
	ck_assert_int_eq(feed(0, "0500112233", 0), 0);
	ck_assert_int_eq(feed(0, "00", 0), 0);
	ck_assert_int_eq(feed(0, "", 0), 0);
	ck_assert_uint_eq(isotp_counters(t)->malformed, 3);
	ck_assert_uint_eq(isotp_counters(t)->payloads, 2);
}
END_TEST

START_TEST(multi_frame)
{
	size_t len;

	ck_assert_int_eq(feed(0, "1014000102030405", 0), 0);
	isotp_payload(t, 0, &len);
	ck_assert_uint_eq(len, 0); /* nothing complete */
	ck_assert_int_eq(feed(0, "21060708090a0b0c", 0), 0);
	ck_assert_int_eq(feed(0, "220d0e0f10111213", 0), ISOTP_DONE);
	expect(0, "14000102030405060708090a0b0c0d0e0f10111213");
	/* A short last frame, and one with padding. */
	ck_assert_int_eq(feed(0, "1008000102030405", 0), 0);
	ck_assert_int_eq(feed(0, "210607", 0), ISOTP_DONE);
	expect(0, "080001020304050607");
	ck_assert_int_eq(feed(0, "1008000102030405", 0), 0);
	ck_assert_int_eq(feed(0, "210607cccccccccc", 0), ISOTP_DONE);
	expect(0, "080001020304050607");
	ck_assert_uint_eq(isotp_counters(t)->payloads, 3);
}
END_TEST

START_TEST(channels_are_apart)
{
	ck_assert_int_eq(feed(0, "1008000102030405", 0), 0);
	ck_assert_int_eq(feed(1, "10080f0e0d0c0b0a", 0), 0);
	ck_assert_int_eq(feed(1, "30000000", 0), 0); /* flow control */
	ck_assert_int_eq(feed(0, "210607", 0), ISOTP_DONE);
	ck_assert_int_eq(feed(1, "210908", 0), ISOTP_DONE);
	expect(0, "080001020304050607");
	expect(1, "080f0e0d0c0b0a0908");
	ck_assert_uint_eq(isotp_counters(t)->flow_control, 1);
	ck_assert_uint_eq(isotp_counters(t)->interrupted, 0);
}
END_TEST

/* 4095 bytes: the sequence number wraps many times. */
START_TEST(longest)
{
	struct frame f = {.flags = 0, .len = 8, .data = {0x1F, 0xFF, 0, 1, 2, 3, 4, 5}};
	const uint8_t *data;
	unsigned next = 6, sequence = 1;
	size_t len;
	int r;

	r = isotp_frame(t, 0, &f);
	while (r == 0) {
		f.data[0] = (uint8_t)(0x20 | (sequence++ & 15));
		for (int i = 1; i < 8; i++)
			f.data[i] = (uint8_t)(next++ % 251);
		r = isotp_frame(t, 0, &f);
		ck_assert_uint_lt(next, 5000);
	}
	ck_assert_int_eq(r, ISOTP_DONE);
	data = isotp_payload(t, 0, &len);
	ck_assert_uint_eq(len, 4096);
	ck_assert_uint_eq(data[0], 0xFF);
	for (size_t i = 0; i < 4095; i++)
		ck_assert_uint_eq(data[1 + i], i % 251);
}
END_TEST

START_TEST(fd_lengths)
{
	/* Single frame with escape: 11 bytes in a 16-byte frame. */
	ck_assert_int_eq(feed(0, "000b000102030405060708090acccccc", FRAME_FD), ISOTP_DONE);
	expect(0, "0b000102030405060708090a");
	/* First frame of 16 bytes, consecutive of 16, last of 8. */
	ck_assert_int_eq(feed(0, "1020000102030405060708090a0b0c0d", FRAME_FD), 0);
	ck_assert_int_eq(feed(0, "210e0f101112131415161718191a1b1c", FRAME_FD), 0);
	ck_assert_int_eq(feed(0, "221d1e1fcccccccc", FRAME_FD), ISOTP_DONE);
	expect(0, "20000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
	/* First frame with the 32-bit escape length. */
	ck_assert_int_eq(feed(0, "100000000014000102030405060708090a0b", FRAME_FD), 0);
	ck_assert_int_eq(feed(0, "210c0d0e0f10111213", FRAME_FD), ISOTP_DONE);
	expect(0, "14000102030405060708090a0b0c0d0e0f10111213");
	ck_assert_int_eq(feed(0, "1000ffffffff000102030405060708090a0b", FRAME_FD), 0);
	ck_assert_int_eq(feed(0, "100000001000000102030405060708090a0b", FRAME_FD), 0);
	ck_assert_uint_eq(isotp_counters(t)->too_long, 2);
	ck_assert_uint_eq(isotp_counters(t)->malformed, 0);
}
END_TEST

START_TEST(longer_by_configuration)
{
	struct frame f = {.flags = FRAME_FD, .len = 64, .data = {0x10, 0, 0, 0, 0x13, 0x88}};
	struct isotp *big = NULL;
	size_t len;
	int r;

	ck_assert_int_eq(isotp_new(&big, 1, &(struct isotp_config){.payload_max = 5000}), 0);
	r = isotp_frame(big, 0, &f);
	for (unsigned i = 1; r == 0 && i < 200; i++) {
		f.data[0] = (uint8_t)(0x20 | (i & 15));
		r = isotp_frame(big, 0, &f);
	}
	ck_assert_int_eq(r, ISOTP_DONE);
	ck_assert_uint_eq(isotp_payload(big, 0, &len)[0], 5000 & 0xFF);
	ck_assert_uint_eq(len, 5001);
	isotp_free(big);
}
END_TEST

START_TEST(lost_frame)
{
	ck_assert_int_eq(feed(0, "1014000102030405", 0), 0);
	ck_assert_int_eq(feed(0, "220d0e0f10111213", 0), 0);
	ck_assert_uint_eq(isotp_counters(t)->sequence, 1);
	ck_assert_int_eq(feed(0, "230d0e0f10111213", 0), 0);
	ck_assert_uint_eq(isotp_counters(t)->stray, 1);
	/* The next payload is whole again. */
	ck_assert_int_eq(feed(0, "1008000102030405", 0), 0);
	ck_assert_int_eq(feed(0, "210607", 0), ISOTP_DONE);
	expect(0, "080001020304050607");
	ck_assert_uint_eq(isotp_counters(t)->interrupted, 0);
}
END_TEST

START_TEST(repeated_frame)
{
	ck_assert_int_eq(feed(0, "1014000102030405", 0), 0);
	ck_assert_int_eq(feed(0, "21060708090a0b0c", 0), 0);
	ck_assert_int_eq(feed(0, "21060708090a0b0c", 0), 0);
	ck_assert_uint_eq(isotp_counters(t)->sequence, 1);
}
END_TEST

START_TEST(interrupted)
{
	ck_assert_int_eq(feed(0, "1014000102030405", 0), 0);
	ck_assert_int_eq(feed(0, "10080f0e0d0c0b0a", 0), 0);
	ck_assert_int_eq(feed(0, "210908", 0), ISOTP_DONE);
	expect(0, "080f0e0d0c0b0a0908");
	ck_assert_uint_eq(isotp_counters(t)->interrupted, 1);
	ck_assert_int_eq(feed(0, "1014000102030405", 0), 0);
	ck_assert_int_eq(feed(0, "0155", 0), ISOTP_DONE);
	expect(0, "0155");
	ck_assert_uint_eq(isotp_counters(t)->interrupted, 2);
}
END_TEST

START_TEST(timeout)
{
	ck_assert_int_eq(feed(0, "1008000102030405", 0), 0);
	now += 985 * NS_PER_MS; /* 995 ms with feed's own 10 */
	ck_assert_int_eq(feed(0, "210607", 0), ISOTP_DONE);
	ck_assert_int_eq(feed(0, "1008000102030405", 0), 0);
	now += 1 * NS_PER_S;
	ck_assert_int_eq(feed(0, "210607", 0), 0);
	ck_assert_uint_eq(isotp_counters(t)->timeouts, 1);
	/* A new payload after the time is a timeout, not an interruption. */
	ck_assert_int_eq(feed(0, "1008000102030405", 0), 0);
	now += 2 * NS_PER_S;
	ck_assert_int_eq(feed(0, "1008000102030405", 0), 0);
	ck_assert_uint_eq(isotp_counters(t)->timeouts, 2);
	ck_assert_uint_eq(isotp_counters(t)->interrupted, 0);
	/* A log that starts over. */
	now = -5 * NS_PER_S;
	ck_assert_int_eq(feed(0, "210607", 0), 0);
	ck_assert_uint_eq(isotp_counters(t)->timeouts, 3);
}
END_TEST

START_TEST(malformed)
{
	ck_assert_int_eq(feed(0, "10140001020304", 0), 0);   /* first frame of 7 bytes */
	ck_assert_int_eq(feed(0, "1006000102030405", 0), 0); /* fits a single frame */
	ck_assert_int_eq(feed(0, "4000", 0), 0);
	ck_assert_int_eq(feed(0, "f000", 0), 0);
	ck_assert_int_eq(feed(0, "2100", 0), 0); /* stray */
	ck_assert_int_eq(feed(0, "1014000102030405", 0), 0);
	ck_assert_int_eq(feed(0, "210607", 0), 0); /* short in the middle */
	ck_assert_uint_eq(isotp_counters(t)->malformed, 5);
	ck_assert_uint_eq(isotp_counters(t)->stray, 1);
	ck_assert_int_eq(feed(0, "0155", FRAME_REMOTE), 0);
	ck_assert_int_eq(feed(0, "0155", FRAME_ERROR), 0);
	ck_assert_uint_eq(isotp_counters(t)->payloads, 0);
}
END_TEST

/* Whatever comes, what is handed out is within bounds and counted once. */
START_TEST(random_frames)
{
	uint64_t done = 0, x = 88172645463325252u;

	for (int i = 0; i < 300000; i++) {
		struct frame f = {.t_ns = now};
		size_t len;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		f.len = (uint8_t)(x >> 8 & (x & 1 ? 63 : 7)) + 1;
		for (size_t k = 0; k < f.len; k++)
			f.data[k] = (uint8_t)(x >> (k % 8 * 8));
		f.data[0] &= 0x3F;
		now += (int64_t)(x >> 40 & 0xFFFFFF);
		if (isotp_frame(t, x >> 63, &f) == ISOTP_DONE) {
			const uint8_t *p = isotp_payload(t, x >> 63, &len);

			done++;
			ck_assert_uint_ge(len, 2);
			ck_assert_uint_le(len, 1 + ISOTP_PAYLOAD_MAX);
			ck_assert_uint_eq(p[0], (len - 1) & 0xFF);
		}
	}
	ck_assert_uint_gt(done, 1000);
	ck_assert_uint_eq(isotp_counters(t)->payloads, done);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("isotp");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, single_frame);
	tcase_add_test(tc, multi_frame);
	tcase_add_test(tc, channels_are_apart);
	tcase_add_test(tc, longest);
	tcase_add_test(tc, fd_lengths);
	tcase_add_test(tc, longer_by_configuration);
	tcase_add_test(tc, lost_frame);
	tcase_add_test(tc, repeated_frame);
	tcase_add_test(tc, interrupted);
	tcase_add_test(tc, timeout);
	tcase_add_test(tc, malformed);
	tcase_add_test(tc, random_frames);
	return suite_run("isotp", &tc, 1);
}
