/* Requests: what is right is taken, and all else refused with a reason. */
#include "tests/unit/pki_fixture.h"
#include "tests/unit/suite.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <string.h>

static struct buf bytes;

static void set_up(void)
{
	bytes = BUF_INIT(64 << 10);
}

static void tear_down(void)
{
	buf_free(&bytes);
}

static int parse(void)
{
	X509_REQ *csr = NULL;
	int r = pki_csr_parse(&csr, bytes.data, bytes.len, &pki_err);

	if (r < 0)
		ck_assert_ptr_null(csr);
	X509_REQ_free(csr);
	return r;
}

static void refused(const char *why)
{
	ck_assert_int_eq(parse(), -EINVAL);
	pki_said(why);
}

static void of_kind(const char *kind, const EVP_MD *md)
{
	EVP_PKEY *key = pki_make_key(kind);

	pki_csr_der(pki_make_csr(key, key, (const char *const[]){"dev1", NULL}, md, false), &bytes);
	EVP_PKEY_free(key);
}

/* ---- taken ---- */

START_TEST(der_and_pem)
{
	char name[PKI_NAME_MAX + 1];
	X509_REQ *csr;

	pki_csr_der(pki_simple_csr("dev1"), &bytes);
	ck_assert_int_eq(pki_csr_parse(&csr, bytes.data, bytes.len, &pki_err), 0);
	ck_assert_int_eq(pki_csr_name(csr, name, &pki_err), 0);
	ck_assert_str_eq(name, "dev1");
	ck_assert_int_eq(pki_csr_is_for(csr, "dev1", &pki_err), 0);
	X509_REQ_free(csr);
	pki_csr_pem(pki_simple_csr("dev1"), &bytes);
	ck_assert_int_eq(parse(), 0);
	buf_put(&bytes, "\r\n \n", 4);
	ck_assert_int_eq(parse(), 0);
	of_kind("P-256", EVP_sha384());
	ck_assert_int_eq(parse(), 0);
	of_kind("P-256", EVP_sha512());
	ck_assert_int_eq(parse(), 0);
}
END_TEST

/* ---- the name ---- */

START_TEST(another_name)
{
	static const char *const others[] = {"dev2", "dev", "dev11", "DEV1", " dev1", ""};
	X509_REQ *csr = pki_simple_csr("dev1");

	for (size_t i = 0; i < array_len(others); i++) {
		ck_assert_int_eq(pki_csr_is_for(csr, others[i], &pki_err), -EINVAL);
		pki_said("it is for dev1, not for ");
		pki_said(others[i]);
	}
	X509_REQ_free(csr);
}
END_TEST

static void name_refused(const char *const *names, const char *why)
{
	EVP_PKEY *key = pki_make_key("P-256");
	X509_REQ *csr = pki_make_csr(key, key, names, EVP_sha256(), false);

	ck_assert_int_eq(pki_csr_is_for(csr, "dev1", &pki_err), -EINVAL);
	pki_said(why);
	X509_REQ_free(csr);
	EVP_PKEY_free(key);
}

START_TEST(no_name_or_several)
{
	name_refused((const char *const[]){NULL}, "no common name");
	name_refused((const char *const[]){"dev1", "dev1", NULL}, "several common names");
	name_refused((const char *const[]){"dev1", "dev2", NULL}, "several common names");
	name_refused((const char *const[]){"dev1\n", NULL}, "plain text");
	name_refused((const char *const[]){"\x7f", NULL}, "plain text");
}
END_TEST

/* "dev1\0.evil" is not dev1; 65 bytes are beyond what X.509 has. */
START_TEST(names_of_other_lengths)
{
	static const struct {
		const char *text;
		int len;
	} odd[] = {{"dev1\0", 5}, {"dev1\0.evil", 10}, {"", 0}, {NULL, 65}};
	char long_text[65];

	memset(long_text, 'a', sizeof(long_text));
	for (size_t i = 0; i < array_len(odd); i++) {
		X509_REQ *csr = pki_simple_csr("dev1");
		X509_NAME *subject = X509_NAME_dup(X509_REQ_get_subject_name(csr));
		X509_NAME_ENTRY *e = X509_NAME_get_entry(
			subject, X509_NAME_get_index_by_NID(subject, NID_commonName, -1));

		ck_assert_int_eq(ASN1_STRING_set(X509_NAME_ENTRY_get_data(e),
						 odd[i].text ? odd[i].text : long_text, odd[i].len),
				 1);
		/* Changes the entry, so that the name is encoded anew. */
		ck_assert_int_eq(X509_NAME_add_entry_by_txt(subject, "OU", MBSTRING_UTF8,
							    (const unsigned char *)"x", -1, -1, 0),
				 1);
		ck_assert_int_eq(X509_REQ_set_subject_name(csr, subject), 1);
		ck_assert_int_eq(pki_csr_is_for(csr, "dev1", &pki_err), -EINVAL);
		pki_said("plain text");
		X509_NAME_free(subject);
		X509_REQ_free(csr);
	}
}
END_TEST

/* ---- the key ---- */

START_TEST(other_keys)
{
	of_kind("RSA", EVP_sha256());
	refused("its key is RSA, not P-256");
	of_kind("P-384", EVP_sha256());
	refused("its key is on the curve secp384r1, not P-256");
	of_kind("secp256k1", EVP_sha256());
	refused("its key is on the curve secp256k1, not P-256");
	of_kind("ED25519", NULL);
	refused("its key is ED25519, not P-256");
}
END_TEST

/* P-256 by its numbers instead of its name: a way to smuggle in another generator. */
START_TEST(spelled_out_curve)
{
	EVP_PKEY *key = pki_make_key("P-256");

	ck_assert_int_eq(EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING,
							OSSL_PKEY_EC_ENCODING_EXPLICIT),
			 1);
	pki_csr_der(
		pki_make_csr(key, key, (const char *const[]){"dev1", NULL}, EVP_sha256(), false),
		&bytes);
	EVP_PKEY_free(key);
	refused("spells out the curve");
}
END_TEST

/* ---- the signature ---- */

START_TEST(sha1)
{
	of_kind("P-256", EVP_sha1());
	refused("not ECDSA with SHA-2");
}
END_TEST

START_TEST(another_key_signed)
{
	EVP_PKEY *key = pki_make_key("P-256"), *other = pki_make_key("P-256");

	pki_csr_der(
		pki_make_csr(key, other, (const char *const[]){"dev1", NULL}, EVP_sha256(), false),
		&bytes);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	refused("does not prove its key");
}
END_TEST

/* Any changed byte, and any end that is missing. */
START_TEST(changed_or_cut)
{
	size_t len;

	pki_csr_der(pki_simple_csr("dev1"), &bytes);
	len = bytes.len;
	ck_assert_int_eq(parse(), 0);
	for (size_t i = 0; i < len; i++) {
		bytes.data[i] ^= 1;
		ck_assert_msg(parse() == -EINVAL, "byte %zu", i);
		bytes.data[i] ^= 1;
	}
	for (bytes.len = 0; bytes.len < len; bytes.len++)
		ck_assert_msg(parse() == -EINVAL, "%zu bytes", bytes.len);
	bytes.len = len;
	ck_assert_int_eq(parse(), 0);
}
END_TEST

/* ---- no request, or more than one ---- */

START_TEST(garbage)
{
	refused("0 bytes, not 1 to ");
	for (int i = 0; i < 300; i++) {
		size_t n = 1 + (size_t)i * 7;

		buf_clear(&bytes);
		ck_assert_int_eq(buf_reserve(&bytes, n), 0);
		random_bytes(bytes.data, n);
		bytes.len = n;
		ck_assert_int_eq(parse(), -EINVAL);
	}
	buf_clear(&bytes);
	buf_printf(&bytes, "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n");
	refused("not well-formed PEM");
}
END_TEST

START_TEST(something_behind)
{
	pki_csr_der(pki_simple_csr("dev1"), &bytes);
	buf_put(&bytes, "", 1);
	refused("1 bytes after its end");
	pki_csr_pem(pki_simple_csr("dev1"), &bytes);
	buf_put(&bytes, "x", 1);
	refused("bytes after its end");
	pki_csr_pem(pki_simple_csr("dev1"), &bytes);
	ck_assert_int_eq(buf_reserve(&bytes, bytes.len), 0);
	memcpy(bytes.data + bytes.len, bytes.data, bytes.len); /* twice */
	bytes.len *= 2;
	refused("bytes after its end");
}
END_TEST

START_TEST(too_large)
{
	pki_csr_pem(pki_simple_csr("dev1"), &bytes);
	while (bytes.len <= PKI_CSR_MAX)
		buf_put(&bytes, "\n", 1);
	refused("8193 bytes, not 1 to 8192");
	bytes.len--;
	ck_assert_int_eq(parse(), 0);
}
END_TEST

START_TEST(pem_of_something_else)
{
	char *at;

	pki_csr_pem(pki_simple_csr("dev1"), &bytes);
	while ((at = memmem(bytes.data, bytes.len, "CERTIFICATE REQUEST", 19)))
		memcpy(at, "CERTIFICATE MATTERS", 19);
	refused("PEM of CERTIFICATE MATTERS, not CERTIFICATE REQUEST");
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("csr");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, der_and_pem);
	tcase_add_test(t, another_name);
	tcase_add_test(t, no_name_or_several);
	tcase_add_test(t, names_of_other_lengths);
	tcase_add_test(t, other_keys);
	tcase_add_test(t, spelled_out_curve);
	tcase_add_test(t, sha1);
	tcase_add_test(t, another_key_signed);
	tcase_add_test(t, changed_or_cut);
	tcase_add_test(t, garbage);
	tcase_add_test(t, something_behind);
	tcase_add_test(t, too_large);
	tcase_add_test(t, pem_of_something_else);
	return suite_run("pki_csr", &t, 1);
}
