/* Authorities, keys and certificates in files, and what is said of them. */
#include "tests/unit/pki_fixture.h"
#include "tests/unit/suite.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const made[] = {
	"root.key",	 "root.crt",	   "device-ca.key",  "device-ca.crt",	 "server-ca.key",
	"server-ca.crt", "service-ca.key", "service-ca.crt", "device-chain.pem", "ca-bundle.pem",
};

static X509 *new_device(int days)
{
	struct pki_wanted w = {.profile = PKI_DEVICE, .name = "dev1", .days = days, .now = pki_now};

	return pki_must_issue(PKI_DEVICE_CA, &w);
}

static unsigned mode_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(stat(pki_path(name), &st), 0);
	return st.st_mode & 0777;
}

static size_t read_whole(const char *path, char out[static 4096])
{
	FILE *f = fopen(path, "re");
	size_t n;

	ck_assert_ptr_nonnull(f);
	n = fread(out, 1, 4096, f);
	fclose(f);
	return n;
}

/* ---- init ---- */

START_TEST(init_makes_files)
{
	STACK_OF(X509) *certs = NULL;

	for (size_t i = 0; i < array_len(made); i++)
		ck_assert_uint_eq(mode_of(made[i]), strstr(made[i], ".key") ? 0600 : 0644);
	ck_assert_int_eq(pki_certs_load(&certs, pki_path("device-chain.pem"), &pki_err), 0);
	ck_assert_int_eq(sk_X509_num(certs), 3);
	ck_assert_int_eq(X509_cmp(sk_X509_value(certs, 0), pki_cas[PKI_DEVICE_CA]->cert), 0);
	ck_assert_int_eq(X509_cmp(sk_X509_value(certs, 1), pki_cas[PKI_SERVICE_CA]->cert), 0);
	ck_assert_int_eq(X509_cmp(sk_X509_value(certs, 2), pki_cas[PKI_ROOT]->cert), 0);
	sk_X509_pop_free(certs, X509_free);
	ck_assert_int_eq(pki_certs_load(&certs, pki_path("ca-bundle.pem"), &pki_err), 0);
	ck_assert_int_eq(sk_X509_num(certs), 1);
	ck_assert_int_eq(X509_cmp(sk_X509_value(certs, 0), pki_cas[PKI_ROOT]->cert), 0);
	sk_X509_pop_free(certs, X509_free);
}
END_TEST

/* Whichever of the files is there: it stays as it is, and none comes. */
START_TEST(init_never_overwrites)
{
	char before[4096], after[4096];

	for (size_t i = 0; i < array_len(made); i++) {
		size_t len = read_whole(pki_path(made[i]), before);

		for (size_t k = 0; k < array_len(made); k++)
			if (k != i)
				(void)unlink(pki_path(made[k]));
		ck_assert_int_eq(pki_ca_init(pki_dir, "Other", pki_now, &pki_err), -EEXIST);
		pki_said(made[i]);
		ck_assert_uint_eq(read_whole(pki_path(made[i]), after), len);
		ck_assert_mem_eq(before, after, len);
		for (size_t k = 0; k < array_len(made); k++)
			ck_assert_int_eq(access(pki_path(made[k]), F_OK), k == i ? 0 : -1);
		ck_assert_int_eq(unlink(pki_path(made[i])), 0);
		ck_assert_int_eq(pki_ca_init(pki_dir, "Test", pki_now, &pki_err), 0);
	}
}
END_TEST

START_TEST(init_cannot)
{
	char text[60];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(pki_ca_init(pki_path("a/b"), "Test", pki_now, &pki_err), -ENOENT);
	pki_said("a/b: cannot be made: No such file");
	ck_assert_int_eq(pki_ca_init(pki_path("root.crt"), "Test", pki_now, &pki_err), -ENOTDIR);
	ck_assert_int_eq(pki_ca_init(pki_path("new"), text, pki_now, &pki_err), -EINVAL);
	pki_said("its name has 1 to 64 bytes");
	ck_assert_int_eq(pki_ca_init(pki_path("new"), "a\tb", pki_now, &pki_err), -EINVAL);
	ck_assert_int_eq(pki_ca_init(pki_path("new"), "\xff", pki_now, &pki_err), -EINVAL);
	ck_assert_int_eq(access(pki_path("new"), F_OK), -1);
}
END_TEST

/* ---- opening ---- */

static void open_fails(const char *cert, const char *key, int code, const char *why)
{
	struct pki_ca *ca = NULL;

	ck_assert_int_eq(pki_ca_open(&ca, cert, key, &pki_err), code);
	ck_assert_ptr_null(ca);
	pki_said(why);
}

START_TEST(not_an_authority)
{
	const char *cert = pki_path("device-ca.crt"), *key = pki_path("device-ca.key");
	const char *leaf = pki_path("leaf.crt");
	X509 *unit = new_device(0);

	ck_assert_int_eq(pki_write_certs(leaf, &unit, 1, false, &pki_err), 0);
	X509_free(unit);
	open_fails(leaf, key, -EINVAL, "leaf.crt: not the certificate of a CA");
	open_fails(cert, pki_path("service-ca.key"), -EINVAL, "its key is not the one given");
	open_fails(pki_path("nowhere.crt"), key, -ENOENT, "nowhere.crt: cannot be read: No such");
	open_fails(key, key, -ENOMSG, "device-ca.key: no certificate");
	open_fails(cert, cert, -EACCES, "device-ca.crt: others may read this key (mode 644)");
	open_fails(cert, pki_path("nowhere.key"), -ENOENT, "nowhere.key: cannot be read: No such");
	open_fails(cert, pki_put_file("junk.key", "junk", 4, 0600), -EINVAL, "no private key");
}
END_TEST

START_TEST(key_that_others_may_read)
{
	const char *path = pki_path("root.key");
	EVP_PKEY *key = NULL;

	for (unsigned bit = 040; bit; bit >>= 1) {
		ck_assert_int_eq(chmod(path, 0600 | bit), 0);
		ck_assert_int_eq(pki_key_load(&key, path, &pki_err), -EACCES);
		pki_said("root.key: others may read this key");
	}
	ck_assert_int_eq(chmod(path, 0400), 0);
	ck_assert_int_eq(pki_key_load(&key, path, &pki_err), 0);
	EVP_PKEY_free(key);
}
END_TEST

START_TEST(key_with_a_passphrase)
{
	static const unsigned char secret[] = "secret";
	EVP_PKEY *key = NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long len;

	ck_assert_int_eq(PEM_write_bio_PKCS8PrivateKey(bio, pki_cas[PKI_ROOT]->key,
						       EVP_aes_128_cbc(), (const char *)secret, 6,
						       NULL, NULL),
			 1);
	len = BIO_get_mem_data(bio, &text);
	ck_assert_int_eq(
		pki_key_load(&key, pki_put_file("p.key", text, (size_t)len, 0600), &pki_err),
		-EINVAL);
	pki_said("p.key: no private key in PEM without a passphrase");
	BIO_free(bio);
}
END_TEST

START_TEST(bad_token_uris)
{
	char uri[2000] = "pkcs11:token=";
	EVP_PKEY *key = NULL;

	ck_assert_int_eq(pki_key_load(&key, "pkcs11:object=a?module-path=/no%2where.so", &pki_err),
			 -EINVAL);
	ck_assert_int_eq(pki_key_load(&key, "pkcs11:object=a?module-path=/a%00b", &pki_err),
			 -EINVAL);
	ck_assert_int_eq(pki_key_load(&key,
				      "pkcs11:object=a?pin-value=7&module-path=/no%2Dwhere.so",
				      &pki_err),
			 -ENOENT);
	pki_said("PKCS#11 module /no-where.so: No such file");
	memset(uri + strlen(uri), 'x', sizeof(uri) - strlen(uri) - 1);
	ck_assert_int_eq(pki_key_load(&key, uri, &pki_err), -EINVAL);
}
END_TEST

/* ---- certificates in files ---- */

START_TEST(writes)
{
	X509 *cert = new_device(0), *other = new_device(0);
	STACK_OF(X509) *certs = NULL;
	EVP_PKEY *key = NULL;

	ck_assert_int_eq(pki_write_certs(pki_path("c"), &cert, 1, false, &pki_err), 0);
	ck_assert_int_eq(pki_write_certs(pki_path("c"), &other, 1, false, &pki_err), -EEXIST);
	pki_said("c: cannot be written: File exists");
	ck_assert_int_eq(pki_write_certs(pki_path("c"), &other, 1, true, &pki_err), 0);
	ck_assert_int_eq(pki_certs_load(&certs, pki_path("c"), &pki_err), 0);
	ck_assert_int_eq(X509_cmp(sk_X509_value(certs, 0), other), 0);
	ck_assert_int_eq(pki_write_key(pki_path("k"), pki_cas[PKI_ROOT]->key, false, &pki_err), 0);
	ck_assert_uint_eq(mode_of("k"), 0600);
	ck_assert_int_eq(pki_key_load(&key, pki_path("k"), &pki_err), 0);
	ck_assert_int_eq(EVP_PKEY_eq(key, pki_cas[PKI_ROOT]->key), 1);
	ck_assert_int_eq(pki_write_key(pki_path("no/k"), key, false, &pki_err), -ENOENT);
	EVP_PKEY_free(key);
	sk_X509_pop_free(certs, X509_free);
	X509_free(cert);
	X509_free(other);
}
END_TEST

static void parse_fails(const void *bytes, size_t len, int code, const char *why)
{
	STACK_OF(X509) *certs = NULL;

	ck_assert_int_eq(pki_certs_parse(&certs, bytes, len, &pki_err), code);
	ck_assert_ptr_null(certs);
	pki_said(why);
}

START_TEST(certificates_that_are_none)
{
	struct buf text cleanup(buf_free) = BUF_INIT(PKI_FILE_MAX + 4096);
	X509 *cert = new_device(0);
	uint8_t *der = NULL;
	int len = i2d_X509(cert, &der);

	parse_fails("", 0, -ENOMSG, "no certificate");
	parse_fails("junk", 4, -ENOMSG, "no certificate");
	ck_assert_int_eq(buf_put(&text, der, (size_t)len), 0);
	ck_assert_int_eq(buf_put(&text, "x", 1), 0);
	parse_fails(text.data, text.len, -EINVAL, "bytes after the certificate's end");
	parse_fails(text.data, text.len - 2, -ENOMSG, "no certificate");
	buf_clear(&text);
	for (int i = 0; i <= PKI_CERTS_MAX; i++)
		ck_assert_int_eq(pki_put_pem(&text, &cert, 1, &pki_err), 0);
	parse_fails(text.data, text.len, -EINVAL, "more than 32 certificates");
	buf_clear(&text);
	ck_assert_int_eq(pki_put_pem(&text, &cert, 1, &pki_err), 0);
	buf_printf(&text, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	parse_fails(text.data, text.len, -EINVAL, "certificate 2: not well-formed");
	ck_assert_int_eq(buf_reserve(&text, PKI_FILE_MAX), 0);
	memset(text.data, '\n', PKI_FILE_MAX + 1);
	parse_fails(text.data, PKI_FILE_MAX + 1, -EINVAL, "more than 262144 bytes");
	OPENSSL_free(der);
	X509_free(cert);
}
END_TEST

/* ---- said to people ---- */

static const char *describe(X509 *cert, int days, struct buf *out)
{
	struct wall_time then = {pki_now.ns + (int64_t)days * PKI_DAY_S * NS_PER_S};

	buf_clear(out);
	ck_assert_int_eq(pki_describe_cert(cert, then, out), 0);
	return buf_text(out);
}

static void has(const char *text, const char *want)
{
	ck_assert_msg(strstr(text, want), "'%s' is not in\n%s", want, text);
}

START_TEST(says_what_it_is)
{
	struct buf out cleanup(buf_free) = BUF_INIT(64 << 10);
	X509 *cert = new_device(10);
	const char *text = describe(cert, 3, &out);

	has(text, "subject:      CN=dev1\n");
	has(text, "issuer:       CN=Test Device CA\n");
	has(text, "not before:   2026-11-18T11:01:40Z\n");
	has(text, "not after:    2026-11-28T11:06:40Z\n");
	has(text, "validity:     valid, for 7 days more\n");
	has(text, "usage:        no CA, digitalSignature, TLS Web Client Authentication\n");
	has(text, "key:          EC P-256\n");
	has(describe(cert, 12, &out), "validity:     EXPIRED 2 days ago\n");
	has(describe(cert, -5, &out), "validity:     NOT YET VALID, for 4 days more\n");
	has(describe(pki_cas[PKI_DEVICE_CA]->cert, 0, &out),
	    "usage:        CA (path length 0), keyCertSign, cRLSign, TLS Web Client Auth");
	X509_free(cert);
}
END_TEST

/* Names from outside do not steer a terminal, nor make up lines. */
START_TEST(control_characters_are_escaped)
{
	static const char evil[] = "a\nvalidity: fine\x1b[2J\xc2\x9b";
	struct buf out cleanup(buf_free) = BUF_INIT(64 << 10);
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *value = ASN1_IA5STRING_new();
	X509 *cert = new_device(0);
	X509_NAME *subject = X509_NAME_new();
	const char *text;

	ASN1_STRING_set(value, evil, sizeof(evil) - 1);
	GENERAL_NAME_set0_value(name, GEN_DNS, value);
	sk_GENERAL_NAME_push(names, name);
	X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)evil, -1,
				   -1, 0);
	X509_set_subject_name(cert, subject);
	text = describe(cert, 0, &out);
	has(text, "subject:      CN=a\\0Avalidity");
	has(text, "names:        DNS:a\\0Avalidity");
	for (const char *p = text; *p; p++)
		ck_assert_msg(*p == '\n' || (*p >= ' ' && *p < 0x7f), "%02x in\n%s", *p & 0xff,
			      text);
	X509_NAME_free(subject);
	GENERAL_NAMES_free(names);
	X509_free(cert);
}
END_TEST

START_TEST(says_what_a_request_is)
{
	struct buf out cleanup(buf_free) = BUF_INIT(64 << 10);
	X509_REQ *csr = pki_simple_csr("dev1");

	ck_assert_int_eq(pki_describe_csr(csr, &out), 0);
	has(buf_text(&out), "request of:   O=Maker, CN=dev1\n");
	has(buf_text(&out), "key:          EC P-256\n");
	X509_REQ_free(csr);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("files");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, pki_set_up, pki_tear_down);
	tcase_add_test(t, init_makes_files);
	tcase_add_test(t, init_never_overwrites);
	tcase_add_test(t, init_cannot);
	tcase_add_test(t, not_an_authority);
	tcase_add_test(t, key_that_others_may_read);
	tcase_add_test(t, key_with_a_passphrase);
	tcase_add_test(t, bad_token_uris);
	tcase_add_test(t, writes);
	tcase_add_test(t, certificates_that_are_none);
	tcase_add_test(t, says_what_it_is);
	tcase_add_test(t, control_characters_are_escaped);
	tcase_add_test(t, says_what_a_request_is);
	return suite_run("pki_files", &t, 1);
}
