#include "agent/store/seal_kek.h"
#include "tests/unit/seal_fixture.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <string.h>

/* ---- AES-256-GCM against NIST's numbers ---- */

struct vector {
	const char *key, *nonce, *aad, *plain, *sealed; /* sealed: ciphertext and tag */
};

#define KEY_15 "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define ZEROS  "0000000000000000000000000000000000000000000000000000000000000000"

/* The GCM proposal to NIST (McGrew, Viega), test cases 13 to 16; then CAVP,
 * gcmEncryptExtIV256.rsp, Count = 0 of three groups. */
static const struct vector vectors[] = {
	{ZEROS, "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
	{ZEROS, "000000000000000000000000", "", "00000000000000000000000000000000",
	 "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
	{KEY_15, "cafebabefacedbaddecaf888", "",
	 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
	 "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
	 "b094dac5d93471bdec1a502270e3cc6c"},
	{KEY_15, "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	 "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
	 "76fc6ece0f4e1768cddf8853bb2d551b"},
	{"b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4",
	 "516c33929df5a3284ff463d7", "", "", "bdc1ac884d332457a1d2664f168c76f0"},
	{"31bdadd96698c204aa9ce1448ea94ae1fb4a9a0b3c9d773b51bb1822666b8f22",
	 "0d18e06c7c725ac9e362e1ce", "", "2db5168e932556f8089a0622981d017d",
	 "fa4362189661d163fcd6a56d8bf0405ad636ac1bbedd5cc3ee727dc2ab4a9489"},
	{"92e11dcdaa866f5ce790fd24501f92509aacf4cb8b1339d50c9c1240935dd08b",
	 "ac93a1a6145299bde902f21a", "1e0889016f67601c8ebea4943bc23ad6",
	 "2d71bcfa914e4ac045b2aa60955fad24",
	 "8995ae2e6df3dbf96fac7b7137bae67feca5aa77d51d4a0a14d9c51e1da474ab"},
};

static size_t from_hex(const char *text, uint8_t *out, size_t max)
{
	ssize_t n = hex_decode(text, strlen(text), out, max);

	ck_assert_int_ge(n, 0);
	return (size_t)n;
}

START_TEST(nist_vectors)
{
	const struct vector *v = &vectors[_i];
	uint8_t key[32], nonce[12], aad[64], plain[80], sealed[80], out[80];
	size_t n = from_hex(v->plain, plain, sizeof(plain));
	struct gcm_text t = {.nonce = nonce,
			     .aad = aad,
			     .aad_len = from_hex(v->aad, aad, sizeof(aad)),
			     .in = plain,
			     .len = n,
			     .out = out};

	ck_assert_uint_eq(from_hex(v->key, key, sizeof(key)), sizeof(key));
	ck_assert_uint_eq(from_hex(v->nonce, nonce, sizeof(nonce)), sizeof(nonce));
	ck_assert_uint_eq(from_hex(v->sealed, sealed, sizeof(sealed)), n + SEAL_TAG_BYTES);
	ck_assert_int_eq(gcm_run(key, true, &t), 0);
	ck_assert_mem_eq(out, sealed, n + SEAL_TAG_BYTES);

	t.in = sealed;
	memset(out, 0, sizeof(out));
	ck_assert_int_eq(gcm_run(key, false, &t), 0);
	ck_assert_mem_eq(out, plain, n);
	sealed[n] ^= 1;
	ck_assert_int_eq(gcm_run(key, false, &t), -EBADMSG);
}
END_TEST

/* ---- rows ---- */

static struct seal *with_key(int value)
{
	struct seal_options opt = {.key_file = seal_key_file("key", value)};

	return seal_must_attach(&opt);
}

START_TEST(no_key_no_seal)
{
	struct seal_options opt = {.key_file = "", .pkcs11_key = ""};
	struct seal *s = NULL;

	ck_assert_int_eq(seal_new(&s, &opt, &seal_err), 0);
	ck_assert_ptr_null(s);
	ck_assert_ptr_null(seal_free(NULL));
	ck_assert_uint_eq(seal_fingerprint(NULL), 0);
	ck_assert_int_eq(seal_check(NULL, seal_db, &seal_err), 0);
}
END_TEST

START_TEST(a_row_comes_back)
{
	struct seal *s = with_key(1);

	ck_assert_int_gt(seal_must_put(s, 1, "latitude 48.137"), 0);
	ck_assert_int_gt(seal_must_put(s, 2, ""), 0);
	ck_assert_int_eq(seal_get(s, 1, "latitude 48.137"), 0);
	ck_assert_int_eq(seal_get(s, 2, ""), 0);
	ck_assert_int_eq(seal_query("SELECT length(body) FROM batch WHERE id = 2"), SEAL_OVERHEAD);
	ck_assert_int_eq(seal_query("SELECT instr(body, 'latitude') FROM batch WHERE id = 1"), 0);
	seal_free(s);

	s = with_key(1);
	ck_assert_int_eq(seal_get(s, 1, "latitude 48.137"), 0);
	ck_assert_int_eq(seal_query("SELECT count(*) FROM key"), 1);
	seal_free(s);
}
END_TEST

START_TEST(appends_and_keeps_within_the_buffer)
{
	struct seal *s = with_key(1);
	struct buf out cleanup(buf_free) = BUF_INIT(60);
	struct buf back cleanup(buf_free) = BUF_INIT(20);
	int64_t key = 0;

	ck_assert_int_eq(buf_put(&out, "head", 4), 0);
	ck_assert_int_eq(seal_encrypt(s, &seal_row_1, "0123456789", 10, &out, &key), 0);
	ck_assert_uint_eq(out.len, 4 + 10 + SEAL_OVERHEAD);
	ck_assert_mem_eq(out.data, "head", 4);
	ck_assert_int_eq(seal_encrypt(s, &seal_row_1, "", 0, &out, &key), -EMSGSIZE);
	ck_assert_uint_eq(out.len, 4 + 10 + SEAL_OVERHEAD);

	ck_assert_int_eq(buf_put(&back, "head", 4), 0);
	ck_assert_int_eq(seal_decrypt(s, &seal_row_1, key, out.data + 4, out.len - 4, &back), 0);
	ck_assert_uint_eq(back.len, 14);
	ck_assert_mem_eq(back.data, "head0123456789", 14);
	ck_assert_int_eq(seal_decrypt(s, &seal_row_1, key, out.data + 4, out.len - 4, &back),
			 -EMSGSIZE);
	ck_assert_uint_eq(back.len, 14);
	seal_free(s);
}
END_TEST

START_TEST(each_bit_is_authenticated)
{
	struct seal *s = with_key(1);
	struct buf out cleanup(buf_free) = BUF_INIT(100), back cleanup(buf_free) = BUF_INIT(100);
	int64_t key;

	ck_assert_int_eq(seal_encrypt(s, &seal_row_1, "text", 4, &out, &key), 0);
	for (size_t bit = 0; bit < 8 * out.len; bit++) {
		out.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
		ck_assert_int_eq(seal_decrypt(s, &seal_row_1, key, out.data, out.len, &back),
				 -EBADMSG);
		out.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	for (size_t n = 0; n < out.len; n++)
		ck_assert_int_eq(seal_decrypt(s, &seal_row_1, key, out.data, n, &back), -EBADMSG);
	ck_assert_uint_eq(back.len, 0);
	ck_assert_int_eq(seal_decrypt(s, &seal_row_1, key, out.data, out.len, &back), 0);
	seal_free(s);
}
END_TEST

START_TEST(no_row_passes_for_another)
{
	const struct seal_row other[] = {
		{seal_row_1.epoch + 1, seal_row_1.id, seal_row_1.meta},
		{seal_row_1.epoch, seal_row_1.id + 1, seal_row_1.meta},
		{seal_row_1.epoch, seal_row_1.id, seal_row_1.meta ^ (1ULL << 63)},
	};
	struct seal *s = with_key(1);
	struct buf out cleanup(buf_free) = BUF_INIT(100), back cleanup(buf_free) = BUF_INIT(100);
	int64_t key;

	ck_assert_int_eq(seal_encrypt(s, &seal_row_1, "text", 4, &out, &key), 0);
	for (size_t i = 0; i < array_len(other); i++)
		ck_assert_int_eq(seal_decrypt(s, &other[i], key, out.data, out.len, &back),
				 -EBADMSG);
	ck_assert_int_eq(seal_decrypt(s, &seal_row_1, key + 1, out.data, out.len, &back), -EBADMSG);
	ck_assert_int_eq(seal_decrypt(s, &seal_row_1, 0, out.data, out.len, &back), -EBADMSG);
	ck_assert_int_eq(seal_decrypt(s, &seal_row_1, -1, out.data, out.len, &back), -EBADMSG);
	seal_free(s);
}
END_TEST

START_TEST(nonces_differ)
{
	struct seal *s = with_key(1);

	for (int64_t id = 1; id <= 500; id++)
		seal_must_put(s, id, "same");
	ck_assert_int_eq(seal_query("SELECT count(DISTINCT substr(body, 1, 12)) FROM batch"), 500);
	ck_assert_int_eq(seal_query("SELECT count(DISTINCT substr(body, 13, 4)) FROM batch"), 500);
	seal_free(s);
}
END_TEST

int main(void)
{
	TCase *vectors_case = tcase_create("vectors"), *rows = tcase_create("rows");
	TCase *const cases[] = {vectors_case, rows};

	tcase_add_loop_test(vectors_case, nist_vectors, 0, array_len(vectors));
	tcase_add_checked_fixture(rows, seal_set_up, seal_tear_down);
	tcase_add_test(rows, no_key_no_seal);
	tcase_add_test(rows, a_row_comes_back);
	tcase_add_test(rows, appends_and_keeps_within_the_buffer);
	tcase_add_test(rows, each_bit_is_authenticated);
	tcase_add_test(rows, no_row_passes_for_another);
	tcase_add_test(rows, nonces_differ);
	return suite_run("seal", cases, array_len(cases));
}
