#include "tests/unit/seal_fixture.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX_64 "00112233445566778899aAbBcCdDeEfF00112233445566778899aabbccddeeff"

static void fails(const char *path, int code, const char *what)
{
	struct seal_options opt = {.key_file = path};
	struct seal_options previous = {.key_file = seal_key_file("fine", 1),
					.previous_key_file = path};
	char want[300];

	snprintf(want, sizeof(want), "key file %s: %s", path, what);
	seal_new_fails(&opt, code, want);
	seal_new_fails(&previous, code, want);
}

static uint64_t fingerprint(const void *data, size_t len, unsigned mode)
{
	struct seal_options opt = {.key_file = seal_write_file("key", data, len, mode)};
	struct seal *s = seal_must_new(&opt);
	uint64_t f = seal_fingerprint(s);

	seal_free(s);
	ck_assert_int_eq(unlink(opt.key_file), 0);
	return f;
}

START_TEST(forms_of_a_key)
{
	uint8_t key[32];
	uint64_t f;

	ck_assert_int_eq(hex_decode(HEX_64, 64, key, sizeof(key)), 32);
	f = fingerprint(key, sizeof(key), 0600);
	ck_assert_uint_eq(fingerprint(key, sizeof(key), 0400), f);
	ck_assert_uint_eq(fingerprint(HEX_64, 64, 0600), f);
	ck_assert_uint_eq(fingerprint(HEX_64 "\n", 65, 0600), f);
	ck_assert_uint_eq(fingerprint(HEX_64 "\r\n", 66, 0400), f);
	key[31] ^= 1;
	ck_assert_uint_ne(fingerprint(key, sizeof(key), 0600), f);
}
END_TEST

START_TEST(wrong_mode)
{
	static const unsigned modes[] = {0640, 0604, 0620, 0602, 0610, 0644, 0666};

	for (size_t i = 0; i < array_len(modes); i++) {
		char want[40];

		snprintf(want, sizeof(want), "mode is %04o", modes[i]);
		fails(seal_write_file("key", HEX_64, 64, modes[i]), -EACCES, want);
	}
}
END_TEST

START_TEST(wrong_length)
{
	static const size_t lengths[] = {0, 1, 31, 33, 63};
	char want[60];

	for (size_t i = 0; i < array_len(lengths); i++) {
		snprintf(want, sizeof(want), "%zu bytes; a key is 32 bytes or 64 hex digits",
			 lengths[i]);
		fails(seal_write_file("key", HEX_64, lengths[i], 0600), -EINVAL, want);
	}
	fails(seal_write_file("key", HEX_64 "0", 65, 0600), -EINVAL, "65 bytes; a key is");
	fails(seal_write_file("key", HEX_64 "\n\n", 66, 0600), -EINVAL, "66 bytes; a key is");
	fails(seal_write_file("key", HEX_64 HEX_64, 128, 0600), -EINVAL, "longer than 66 bytes");
}
END_TEST

START_TEST(not_hex)
{
	char text[65] = HEX_64;

	text[40] = 'g';
	fails(seal_write_file("key", text, 64, 0600), -EINVAL,
	      "64 characters, but not all are hex digits");
}
END_TEST

START_TEST(no_file)
{
	fails(seal_path("nowhere"), -ENOENT, "No such file or directory");
	fails(seal_path("nowhere/key"), -ENOENT, "No such file or directory");
	fails(seal_dir, -EINVAL, "not a regular file");
	ck_assert_int_eq(mkfifo(seal_path("fifo"), 0600), 0);
	fails(seal_path("fifo"), -EINVAL, "not a regular file");
	ck_assert_int_eq(symlink("loop", seal_path("loop")), 0);
	fails(seal_path("loop"), -EACCES, "Too many levels of symbolic links");
}
END_TEST

/* Root may read and own all: only there can another's file be made, and only elsewhere can one be
 * unreadable. */
START_TEST(anothers_file)
{
	const char *path = seal_write_file("key", HEX_64, 64, 0600);
	char want[60];

	if (geteuid() == 0) {
		ck_assert_int_eq(chown(path, 12345, 0), 0);
		snprintf(want, sizeof(want), "belongs to user 12345; it must be %u's or root's",
			 (unsigned)geteuid());
		fails(path, -EACCES, want);
	} else {
		fails(seal_write_file("none", HEX_64, 64, 0), -EACCES, "Permission denied");
	}
}
END_TEST

START_TEST(both_kinds)
{
	struct seal_options opt = {.key_file = seal_key_file("key", 1), .pkcs11_key = "kek"};

	seal_new_fails(&opt, -EINVAL, "a key file and a PKCS#11 key");
}
END_TEST

int main(void)
{
	TCase *files = tcase_create("files");

	tcase_add_checked_fixture(files, seal_set_up, seal_tear_down);
	tcase_add_test(files, forms_of_a_key);
	tcase_add_test(files, wrong_mode);
	tcase_add_test(files, wrong_length);
	tcase_add_test(files, not_hex);
	tcase_add_test(files, no_file);
	tcase_add_test(files, anothers_file);
	tcase_add_test(files, both_kinds);
	return suite_run("seal_file", &files, 1);
}
