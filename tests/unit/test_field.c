/* proto/field.h: fields as they stand, and bytes that are none. */
#include "proto/field.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

START_TEST(each_type)
{
	static const uint8_t bytes[] = {
		0x08, 0x96, 0x01,			     /* 1: 150 */
		0x11, 1,    2,	  3,	4,    5,    6, 7, 8, /* 2: fixed */
		0x1a, 2,    'a',  'b',			     /* 3: bytes */
		0x25, 1,    2,	  3,	4,		     /* 4: fixed, 32 bits */
		0xf8, 0xff, 0xff, 0xff, 0x0f, 0x07,	     /* the highest number */
		0x32, 0,				     /* 6: no bytes */
	};
	struct cursor c = cursor_of(bytes, sizeof(bytes));
	struct field f;

	ck_assert(field_read(&c, &f));
	ck_assert_uint_eq(field_tag(&f), FIELD_TAG(1, WIRE_VARINT));
	ck_assert_uint_eq(f.value, 150);
	ck_assert(f.begin == bytes && field_len(&f) == 3);
	ck_assert(field_read(&c, &f));
	ck_assert_uint_eq(field_tag(&f), FIELD_TAG(2, WIRE_FIXED64));
	ck_assert_uint_eq(f.value, 0x0807060504030201);
	ck_assert(field_read(&c, &f));
	ck_assert_uint_eq(field_tag(&f), FIELD_TAG(3, WIRE_BYTES));
	ck_assert(f.value == 2 && memcmp(field_bytes(&f), "ab", 2) == 0);
	ck_assert(field_read(&c, &f));
	ck_assert_uint_eq(field_tag(&f), FIELD_TAG(4, WIRE_FIXED32));
	ck_assert_uint_eq(f.value, 0x04030201);
	ck_assert(field_read(&c, &f));
	ck_assert_uint_eq(f.number, 536870911);
	ck_assert(field_read(&c, &f));
	ck_assert(f.value == 0 && field_bytes(&f) == bytes + sizeof(bytes));
	ck_assert(!field_read(&c, &f));
	ck_assert(!c.failed);
}
END_TEST

static const struct {
	const char *bytes;
	size_t len;
} bad[] = {
	{"\x00\x01", 2},				      /* number 0 */
	{"\x0b", 1},					      /* a group */
	{"\x0f", 1},					      /* no type */
	{"\x08", 1},					      /* no value */
	{"\x08\x80", 2},				      /* cut off */
	{"\x09\x01", 2},				      /* the same */
	{"\x0d\x01", 2},				      /* the same */
	{"\x0a\x03xx", 4},				      /* fewer bytes than it says */
	{"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}, /* so many that all wraps */
	{"\x80\x80\x80\x80\x80\x80\x01\x01", 8},	      /* a number above 32 bits */
	{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}, /* no varint */
};

START_TEST(what_is_none)
{
	struct cursor c = cursor_of(bad[_i].bytes, bad[_i].len);
	struct field f = {.number = 77};

	ck_assert(!field_read(&c, &f));
	ck_assert(c.failed);
	ck_assert_uint_eq(f.number, 77);
	ck_assert(!field_read(&c, &f));
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("field");

	tcase_add_test(tc, each_type);
	tcase_add_loop_test(tc, what_is_none, 0, array_len(bad));
	return suite_run("field", &tc, 1);
}
