#include "base/bytes.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

/* Repeatable numbers with every bit length equally likely (xorshift64*). */
static uint64_t rng_state = 88172645463325252ull;

static uint64_t next_u64(void)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return rng_state * 2685821657736338717ull;
}

static uint64_t next_any_length(void)
{
	uint64_t v = next_u64();

	return v >> (next_u64() % 64);
}

START_TEST(buf_grows_to_its_maximum_and_not_beyond)
{
	cleanup(buf_free) struct buf b = BUF_INIT(1000);

	for (unsigned i = 0; i < 1000; i++)
		ck_assert_int_eq(buf_put_u8(&b, (uint8_t)i), 0);
	ck_assert_int_eq(buf_put_u8(&b, 1), -EMSGSIZE);
	ck_assert_int_eq(b.failed, -EMSGSIZE);
	ck_assert_uint_eq(b.len, 1000);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_uint_eq(b.data[i], (uint8_t)i);
}
END_TEST

START_TEST(a_failed_append_changes_nothing_and_sticks)
{
	cleanup(buf_free) struct buf b = BUF_INIT(8);

	ck_assert_int_eq(buf_put(&b, "abcdef", 6), 0);
	ck_assert_int_eq(buf_put(&b, "ghi", 3), -EMSGSIZE);
	ck_assert_int_eq(buf_put(&b, "g", 1), -EMSGSIZE);
	ck_assert_int_eq(buf_put_varint(&b, 1), -EMSGSIZE);
	ck_assert_int_eq(buf_printf(&b, "x"), -EMSGSIZE);
	ck_assert_uint_eq(b.len, 6);
	ck_assert_mem_eq(b.data, "abcdef", 6);
	ck_assert_str_eq(buf_text(&b), "");
	buf_clear(&b);
	ck_assert_int_eq(buf_put(&b, "12345678", 8), 0);
	ck_assert_str_eq(buf_text(&b), "12345678");
}
END_TEST

START_TEST(huge_requests_do_not_wrap)
{
	cleanup(buf_free) struct buf b = BUF_INIT(SIZE_MAX);

	ck_assert_int_eq(buf_put(&b, "abc", 3), 0);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX), -EMSGSIZE);
	buf_clear(&b);
	ck_assert_int_eq(buf_put(&b, "abc", 3), 0);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX - 3), -ENOMEM);
	ck_assert_uint_eq(b.len, 3);
}
END_TEST

START_TEST(printf_fills_to_the_last_byte)
{
	for (size_t len = 0; len < 200; len++) {
		cleanup(buf_free) struct buf b = BUF_INIT(len);

		ck_assert_int_eq(buf_printf(&b, "%0*d", (int)len, 0) < 0, len == 0);
		ck_assert_uint_eq(b.len, len);
		ck_assert_uint_eq(strlen(buf_text(&b)), len);
		ck_assert_int_eq(buf_printf(&b, "x"), -EMSGSIZE);
	}
}
END_TEST

START_TEST(text_of_an_empty_buffer)
{
	cleanup(buf_free) struct buf b = BUF_INIT(0);

	ck_assert_str_eq(buf_text(&b), "");
	ck_assert_int_eq(buf_put(&b, NULL, 0), 0);
	ck_assert_int_eq(buf_printf(&b, "%s", ""), 0);
	ck_assert_str_eq(buf_text(&b), "");
}
END_TEST

static void check_varint(uint64_t v)
{
	cleanup(buf_free) struct buf b = BUF_INIT(10);
	size_t want = 1;
	struct cursor c;

	for (uint64_t rest = v >> 7; rest; rest >>= 7)
		want++;
	ck_assert_int_eq(buf_put_varint(&b, v), 0);
	ck_assert_uint_eq(b.len, want);
	c = cursor_of(b.data, b.len);
	ck_assert_uint_eq(cursor_varint(&c), v);
	ck_assert(!c.failed);
	ck_assert_uint_eq(cursor_left(&c), 0);
	for (size_t cut = 0; cut < b.len; cut++) {
		c = cursor_of(b.data, cut);
		ck_assert_uint_eq(cursor_varint(&c), 0);
		ck_assert(c.failed);
	}
}

START_TEST(varint_round_trip)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		check_varint((uint64_t)1 << bit);
		check_varint(((uint64_t)1 << bit) - 1);
		check_varint(~(((uint64_t)1 << bit) - 1));
	}
	for (int i = 0; i < 20000; i++)
		check_varint(next_any_length());
}
END_TEST

START_TEST(varint_known_bytes)
{
	static const uint8_t bytes[] = {0xac, 0x02, 0x00, 0xff, 0xff, 0xff, 0xff,
					0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	ck_assert_uint_eq(cursor_varint(&c), 300);
	ck_assert_uint_eq(cursor_varint(&c), 0);
	ck_assert_uint_eq(cursor_varint(&c), UINT64_MAX);
	ck_assert(!c.failed);
}
END_TEST

START_TEST(varint_refuses_more_than_64_bits)
{
	static const uint8_t wide[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
	static const uint8_t endless[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
					  0x80, 0x80, 0x80, 0x80, 0x00};
	struct cursor c = cursor_of(wide, sizeof(wide));

	ck_assert_uint_eq(cursor_varint(&c), 0);
	ck_assert(c.failed);
	c = cursor_of(endless, sizeof(endless));
	ck_assert_uint_eq(cursor_varint(&c), 0);
	ck_assert(c.failed);
}
END_TEST

START_TEST(zigzag_round_trip)
{
	static const int64_t edges[] = {0, -1, 1, INT64_MAX, INT64_MIN, INT64_MIN + 1};

	for (size_t i = 0; i < array_len(edges); i++)
		ck_assert_int_eq(zigzag_decode(zigzag_encode(edges[i])), edges[i]);
	for (int i = 0; i < 20000; i++) {
		uint64_t v = next_any_length();

		ck_assert_uint_eq(zigzag_encode(zigzag_decode(v)), v);
	}
	ck_assert_uint_eq(zigzag_encode(0), 0);
	ck_assert_uint_eq(zigzag_encode(-1), 1);
	ck_assert_uint_eq(zigzag_encode(1), 2);
	ck_assert_uint_eq(zigzag_encode(INT64_MIN), UINT64_MAX);
	for (int64_t v = -1000; v <= 1000; v++)
		ck_assert_uint_le(zigzag_encode(v), 2000);
}
END_TEST

START_TEST(fixed_integers_are_little_endian)
{
	cleanup(buf_free) struct buf b = BUF_INIT(64);
	struct cursor c;

	buf_put_fixed32(&b, 0x01020304);
	buf_put_fixed64(&b, 0x05060708090a0b0cull);
	ck_assert_int_eq(b.failed, 0);
	ck_assert_mem_eq(b.data, "\x04\x03\x02\x01\x0c\x0b\x0a\x09\x08\x07\x06\x05", 12);
	c = cursor_of(b.data, b.len);
	ck_assert_uint_eq(cursor_fixed32(&c), 0x01020304);
	ck_assert_uint_eq(cursor_fixed64(&c), 0x05060708090a0b0cull);
	ck_assert(!c.failed);
	ck_assert_uint_eq(cursor_fixed32(&c), 0);
	ck_assert(c.failed);
}
END_TEST

START_TEST(a_failed_cursor_stays_failed_and_gives_zeros)
{
	struct cursor c = cursor_of("\x11\x22\x33", 3);

	ck_assert_ptr_null(cursor_take(&c, 4));
	ck_assert(c.failed);
	ck_assert_uint_eq(cursor_u8(&c), 0);
	ck_assert_uint_eq(cursor_varint(&c), 0);
	ck_assert_uint_eq(cursor_fixed64(&c), 0);
	ck_assert_ptr_null(cursor_take(&c, 0));
	ck_assert_uint_eq(cursor_left(&c), 3);
	c = cursor_of("\x11\x22\x33", 3);
	ck_assert_ptr_null(cursor_take(&c, SIZE_MAX));
	c = cursor_of("\x11\x22\x33", 3);
	ck_assert_mem_eq(cursor_take(&c, 2), "\x11\x22", 2);
	ck_assert_uint_eq(cursor_u8(&c), 0x33);
	ck_assert_ptr_nonnull(cursor_take(&c, 0));
	ck_assert(!c.failed);
}
END_TEST

START_TEST(hex_round_trip)
{
	uint8_t data[64], back[64];
	char text[2 * sizeof(data) + 1];

	for (int i = 0; i < 2000; i++) {
		size_t len = next_u64() % (sizeof(data) + 1);

		for (size_t k = 0; k < len; k++)
			data[k] = (uint8_t)next_u64();
		hex_encode(data, len, text);
		ck_assert_uint_eq(strlen(text), 2 * len);
		ck_assert_uint_eq(strspn(text, "0123456789abcdef"), 2 * len);
		ck_assert_int_eq(hex_decode(text, strlen(text), back, sizeof(back)), (ssize_t)len);
		ck_assert(memcmp(data, back, len) == 0);
	}
}
END_TEST

START_TEST(hex_refuses_what_is_not_hex)
{
	uint8_t out[4] = {0};

	ck_assert_int_eq(hex_decode("DEADbeef", 8, out, 4), 4);
	ck_assert_mem_eq(out, "\xde\xad\xbe\xef", 4);
	ck_assert_int_eq(hex_decode("", 0, out, 4), 0);
	ck_assert_int_eq(hex_decode("abc", 3, out, 4), -EINVAL);
	ck_assert_int_eq(hex_decode("0011223344", 10, out, 4), -EINVAL);
	for (int c = 0; c < 256; c++) {
		char text[2] = {'0', (char)c};
		bool hex = c != 0 && strchr("0123456789abcdefABCDEF", c);

		ck_assert_int_eq(hex_decode(text, 2, out, 4), hex ? 1 : -EINVAL);
	}
}
END_TEST

START_TEST(random_bytes_differ)
{
	uint8_t a[32] = {0}, b[32] = {0}, zero[32] = {0};

	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	ck_assert_mem_ne(a, b, sizeof(a));
	ck_assert_mem_ne(a, zero, sizeof(a));
	random_bytes(a, 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("bytes");

	tcase_add_test(tc, buf_grows_to_its_maximum_and_not_beyond);
	tcase_add_test(tc, a_failed_append_changes_nothing_and_sticks);
	tcase_add_test(tc, huge_requests_do_not_wrap);
	tcase_add_test(tc, printf_fills_to_the_last_byte);
	tcase_add_test(tc, text_of_an_empty_buffer);
	tcase_add_test(tc, varint_round_trip);
	tcase_add_test(tc, varint_known_bytes);
	tcase_add_test(tc, varint_refuses_more_than_64_bits);
	tcase_add_test(tc, zigzag_round_trip);
	tcase_add_test(tc, fixed_integers_are_little_endian);
	tcase_add_test(tc, a_failed_cursor_stays_failed_and_gives_zeros);
	tcase_add_test(tc, hex_round_trip);
	tcase_add_test(tc, hex_refuses_what_is_not_hex);
	tcase_add_test(tc, random_bytes_differ);
	return suite_run("bytes", &tc, 1);
}
