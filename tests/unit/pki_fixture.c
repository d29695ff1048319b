#include "tests/unit/pki_fixture.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

char pki_dir[40];
struct pki_ca *pki_cas[PKI_CAS];
struct error pki_err;
const struct wall_time pki_now = {1795000000 * NS_PER_S}; /* 2026-11-18 */

const char *pki_path(const char *name)
{
	static char paths[8][200];
	static size_t next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", pki_dir, name);
	return path;
}

const char *pki_put_file(const char *name, const void *bytes, size_t len, unsigned mode)
{
	const char *path = pki_path(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

void pki_set_up(void)
{
	char cert[20], key[20];

	snprintf(pki_dir, sizeof(pki_dir), "/tmp/towline-pki-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(pki_dir));
	ck_assert_int_eq(pki_ca_init(pki_dir, "Test", pki_now, &pki_err), 0);
	for (int p = PKI_ROOT; p < PKI_CAS; p++) {
		snprintf(cert, sizeof(cert), "%s.crt", pki_profile_name(p));
		snprintf(key, sizeof(key), "%s.key", pki_profile_name(p));
		ck_assert_int_eq(pki_ca_open(&pki_cas[p], pki_path(cert), pki_path(key), &pki_err),
				 0);
	}
}

void pki_tear_down(void)
{
	DIR *d = opendir(pki_dir);
	struct dirent *e;

	for (int p = PKI_ROOT; p < PKI_CAS; p++)
		pki_cas[p] = pki_ca_free(pki_cas[p]);
	while (d && (e = readdir(d)))
		(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	ck_assert_int_eq(rmdir(pki_dir), 0);
}

EVP_PKEY *pki_make_key(const char *kind)
{
	EVP_PKEY *key;

	if (strcmp(kind, "RSA") == 0)
		key = EVP_RSA_gen(2048);
	else if (strcmp(kind, "ED25519") == 0)
		key = EVP_PKEY_Q_keygen(NULL, NULL, kind);
	else
		key = EVP_EC_gen(kind);
	ck_assert_ptr_nonnull(key);
	return key;
}

X509 *pki_must_issue(enum pki_profile by, const struct pki_wanted *w)
{
	EVP_PKEY *key = pki_make_key("P-256");
	X509 *cert = NULL;
	int r = pki_issue(&cert, pki_cas[by], key, w, &pki_err);

	ck_assert_msg(r == 0, "%s", pki_err.text);
	EVP_PKEY_free(key);
	return cert;
}

static void put_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
	ck_assert_ptr_nonnull(ext);
	ck_assert_int_eq(X509_add_ext(cert, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

X509 *pki_forge(enum pki_profile by, EVP_PKEY **ret_key, bool ca, const char *extended_usage)
{
	const struct pki_ca *issuer = pki_cas[by];
	X509_NAME *name = X509_NAME_new();
	X509 *cert = X509_new();

	*ret_key = pki_make_key("P-256");
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"Forged", -1,
				   -1, 0);
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
	X509_set_subject_name(cert, name);
	X509_set_issuer_name(cert, X509_get_subject_name(issuer->cert));
	X509_set1_notBefore(cert, X509_get0_notBefore(issuer->cert));
	X509_set1_notAfter(cert, X509_get0_notAfter(issuer->cert));
	X509_set_pubkey(cert, *ret_key);
	put_extension(cert, issuer->cert, NID_basic_constraints,
		      ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	put_extension(cert, issuer->cert, NID_key_usage,
		      ca ? "critical,keyCertSign" : "critical,digitalSignature");
	put_extension(cert, issuer->cert, NID_subject_key_identifier, "hash");
	put_extension(cert, issuer->cert, NID_authority_key_identifier, "keyid:always");
	if (extended_usage)
		put_extension(cert, issuer->cert, NID_ext_key_usage, extended_usage);
	ck_assert_int_gt(X509_sign(cert, issuer->key, EVP_sha256()), 0);
	X509_NAME_free(name);
	return cert;
}

/* OpenSSL's time_t is a long: 32 bits in Debian 12's on 32-bit ARM, where ours has 64. */
static void set_time(X509_STORE_CTX *ctx, int64_t s)
{
	void (*set)(X509_STORE_CTX *, unsigned long, long) = (void (*)(
		X509_STORE_CTX *, unsigned long, long))(void (*)(void))X509_STORE_CTX_set_time;

	set(ctx, 0, (long)s);
}

int64_t pki_seconds(const ASN1_TIME *t)
{
	struct tm tm;

	ck_assert_int_eq(ASN1_TIME_to_tm(t, &tm), 1);
	return (int64_t)timegm(&tm);
}

int pki_verify(X509 *cert, X509 *extra, int purpose, int days)
{
	STACK_OF(X509) *known = sk_X509_new_null();
	X509_STORE *trusted = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int r;

	X509_STORE_add_cert(trusted, pki_cas[PKI_ROOT]->cert);
	for (int p = PKI_DEVICE_CA; p < PKI_CAS; p++)
		sk_X509_push(known, pki_cas[p]->cert);
	if (extra)
		sk_X509_push(known, extra);
	ck_assert_int_eq(X509_STORE_CTX_init(ctx, trusted, cert, known), 1);
	X509_STORE_CTX_set_purpose(ctx, purpose);
	set_time(ctx, pki_now.ns / NS_PER_S + (int64_t)days * PKI_DAY_S);
	X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT);
	r = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(trusted);
	sk_X509_free(known);
	return r;
}

static void ask_for_extensions(X509_REQ *csr)
{
	STACK_OF(X509_EXTENSION) *all = sk_X509_EXTENSION_new_null();

	sk_X509_EXTENSION_push(
		all, X509V3_EXT_nconf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE"));
	sk_X509_EXTENSION_push(
		all, X509V3_EXT_nconf_nid(NULL, NULL, NID_subject_alt_name, "DNS:broker.example"));
	sk_X509_EXTENSION_push(all,
			       X509V3_EXT_nconf_nid(NULL, NULL, NID_ext_key_usage, "serverAuth"));
	ck_assert_int_eq(X509_REQ_add_extensions(csr, all), 1);
	sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
}

X509_REQ *pki_make_csr(EVP_PKEY *key, EVP_PKEY *signer, const char *const *names, const EVP_MD *md,
		       bool extensions)
{
	X509_REQ *csr = X509_REQ_new();
	X509_NAME *subject = X509_NAME_new();

	X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const unsigned char *)"Maker", -1,
				   -1, 0);
	for (; *names; names++)
		ck_assert_int_eq(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
							    (const unsigned char *)*names, -1, -1,
							    0),
				 1);
	ck_assert_int_eq(X509_REQ_set_version(csr, X509_REQ_VERSION_1), 1);
	ck_assert_int_eq(X509_REQ_set_subject_name(csr, subject), 1);
	ck_assert_int_eq(X509_REQ_set_pubkey(csr, key), 1);
	if (extensions)
		ask_for_extensions(csr);
	ck_assert_int_gt(X509_REQ_sign(csr, signer, md), 0);
	X509_NAME_free(subject);
	return csr;
}

X509_REQ *pki_simple_csr(const char *name)
{
	EVP_PKEY *key = pki_make_key("P-256");
	X509_REQ *csr =
		pki_make_csr(key, key, (const char *const[]){name, NULL}, EVP_sha256(), false);

	EVP_PKEY_free(key);
	return csr;
}

void pki_csr_der(X509_REQ *csr, struct buf *out)
{
	uint8_t *der = NULL;
	int len = i2d_X509_REQ(csr, &der);

	ck_assert_int_gt(len, 0);
	buf_clear(out);
	ck_assert_int_eq(buf_put(out, der, (size_t)len), 0);
	OPENSSL_free(der);
	X509_REQ_free(csr);
}

void pki_csr_pem(X509_REQ *csr, struct buf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long len;

	ck_assert_int_eq(PEM_write_bio_X509_REQ(bio, csr), 1);
	len = BIO_get_mem_data(bio, &text);
	buf_clear(out);
	ck_assert_int_eq(buf_put(out, text, (size_t)len), 0);
	BIO_free(bio);
	X509_REQ_free(csr);
}

void pki_said(const char *want)
{
	ck_assert_msg(strstr(pki_err.text, want), "'%s' is not in '%s'", want, pki_err.text);
}
