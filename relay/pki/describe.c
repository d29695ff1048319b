/* What people want to know of a certificate or request. Its texts come from outside: control
 * characters and what is not ASCII are escaped as in RFC 4514. */
#include "relay/pki/internal.h"

#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

enum { DAY_S = 86400 };

static void put_bio(struct buf *out, const char *label, BIO *bio)
{
	char *text;
	long len = BIO_get_mem_data(bio, &text);

	(void)buf_printf(out, "%-14s%.*s\n", label, (int)len, text);
}

static void put_name(struct buf *out, const char *label, const X509_NAME *name)
{
	BIO *bio cleanup(bio_free_p) = BIO_new(BIO_s_mem());

	if (!bio || X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ) < 0)
		(void)buf_printf(out, "%-14s(unreadable)\n", label);
	else if (X509_NAME_entry_count(name) == 0)
		(void)buf_printf(out, "%-14s(empty)\n", label);
	else
		put_bio(out, label, bio);
}

static void put_hex(struct buf *out, const char *label, const uint8_t *bytes, size_t len)
{
	char text[2 * EVP_MAX_MD_SIZE + 1];

	if (len > EVP_MAX_MD_SIZE)
		len = EVP_MAX_MD_SIZE;
	hex_encode(bytes, len, text);
	(void)buf_printf(out, "%-14s%s\n", label, text);
}

static void put_serial(struct buf *out, X509 *cert)
{
	const ASN1_INTEGER *n = X509_get0_serialNumber(cert);

	put_hex(out, "serial:", ASN1_STRING_get0_data(n), (size_t)ASN1_STRING_length(n));
}

/* ---- validity ---- */

static void put_time(struct buf *out, const char *label, const ASN1_TIME *t)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		(void)buf_printf(out, "%-14s(unreadable)\n", label);
	else
		(void)buf_printf(out, "%-14s%04d-%02d-%02dT%02d:%02d:%02dZ\n", label,
				 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
				 tm.tm_min, tm.tm_sec);
}

static void put_validity(struct buf *out, X509 *cert, struct wall_time now)
{
	int64_t from, to, s = now.ns / NS_PER_S;

	put_time(out, "not before:", X509_get0_notBefore(cert));
	put_time(out, "not after:", X509_get0_notAfter(cert));
	if (pki_time_get(X509_get0_notBefore(cert), &from) < 0 ||
	    pki_time_get(X509_get0_notAfter(cert), &to) < 0)
		(void)buf_printf(out, "%-14sUNKNOWN, its times cannot be read\n", "validity:");
	else if (s < from)
		(void)buf_printf(out, "%-14sNOT YET VALID, for %lld days more\n",
				 "validity:", (long long)((from - s) / DAY_S));
	else if (s > to)
		(void)buf_printf(out, "%-14sEXPIRED %lld days ago\n",
				 "validity:", (long long)((s - to) / DAY_S));
	else
		(void)buf_printf(out, "%-14svalid, for %lld days more\n",
				 "validity:", (long long)((to - s) / DAY_S));
}

/* ---- usage ---- */

static const struct {
	uint32_t bit;
	const char *name;
} key_usages[] = {
	{KU_DIGITAL_SIGNATURE, "digitalSignature"},
	{KU_NON_REPUDIATION, "nonRepudiation"},
	{KU_KEY_ENCIPHERMENT, "keyEncipherment"},
	{KU_DATA_ENCIPHERMENT, "dataEncipherment"},
	{KU_KEY_AGREEMENT, "keyAgreement"},
	{KU_KEY_CERT_SIGN, "keyCertSign"},
	{KU_CRL_SIGN, "cRLSign"},
};

static void put_extended_usage(struct buf *out, X509 *cert)
{
	EXTENDED_KEY_USAGE *all = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);

	for (int i = 0; all && i < sk_ASN1_OBJECT_num(all); i++) {
		char text[80];

		OBJ_obj2txt(text, sizeof(text), sk_ASN1_OBJECT_value(all, i), 0);
		(void)buf_printf(out, ", %s", text);
	}
	sk_ASN1_OBJECT_pop_free(all, ASN1_OBJECT_free);
}

static void put_usage(struct buf *out, X509 *cert)
{
	uint32_t bits = X509_get_key_usage(cert);
	long path = X509_get_pathlen(cert);
	bool ca = X509_check_ca(cert) == 1;

	(void)buf_printf(out, "%-14s%s", "usage:", ca ? "CA" : "no CA");
	if (ca && path >= 0)
		(void)buf_printf(out, " (path length %ld)", path);
	for (size_t i = 0; i < array_len(key_usages) && bits != UINT32_MAX; i++)
		if (bits & key_usages[i].bit)
			(void)buf_printf(out, ", %s", key_usages[i].name);
	put_extended_usage(out, cert);
	(void)buf_put(out, "\n", 1);
}

/* ---- key and names ---- */

static void put_key(struct buf *out, EVP_PKEY *key)
{
	const char *type = key ? EVP_PKEY_get0_type_name(key) : NULL;
	char group[40];
	size_t n;

	if (!type)
		(void)buf_printf(out, "%-14s(unreadable)\n", "key:");
	else if (EVP_PKEY_get_group_name(key, group, sizeof(group), &n) == 1)
		(void)buf_printf(out, "%-14s%s %s\n", "key:", type,
				 strcmp(group, SN_X9_62_prime256v1) == 0 ? "P-256" : group);
	else
		(void)buf_printf(out, "%-14s%s, %d bits\n", "key:", type, EVP_PKEY_get_bits(key));
}

static void put_san(BIO *bio, const GENERAL_NAME *name)
{
	int type;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
	char address[INET6_ADDRSTRLEN];

	if (type == GEN_DNS || type == GEN_URI || type == GEN_EMAIL) {
		BIO_puts(bio, type == GEN_DNS ? "DNS:" : type == GEN_URI ? "URI:" : "email:");
		ASN1_STRING_print_ex(bio, value, ASN1_STRFLGS_RFC2253);
	} else if (type == GEN_IPADD &&
		   (ASN1_STRING_length(value) == 4 || ASN1_STRING_length(value) == 16)) {
		inet_ntop(ASN1_STRING_length(value) == 4 ? AF_INET : AF_INET6,
			  ASN1_STRING_get0_data(value), address, sizeof(address));
		BIO_printf(bio, "IP:%s", address);
	} else {
		BIO_printf(bio, "(of kind %d)", type);
	}
}

static void put_sans(struct buf *out, GENERAL_NAMES *names)
{
	BIO *bio cleanup(bio_free_p) = BIO_new(BIO_s_mem());

	for (int i = 0; bio && i < sk_GENERAL_NAME_num(names); i++) {
		if (i > 0)
			BIO_puts(bio, ", ");
		put_san(bio, sk_GENERAL_NAME_value(names, i));
	}
	if (bio && names)
		put_bio(out, "names:", bio);
	GENERAL_NAMES_free(names);
}

/* SHA-256 of the SubjectPublicKeyInfo: what RFC 7469 pins. */
static void put_key_fingerprint(struct buf *out, X509_PUBKEY *key)
{
	uint8_t *der = NULL, digest[EVP_MAX_MD_SIZE];
	int len = i2d_X509_PUBKEY(key, &der);
	unsigned n = 0;

	if (len > 0 && EVP_Digest(der, (size_t)len, digest, &n, EVP_sha256(), NULL) == 1)
		put_hex(out, "key SHA-256:", digest, n);
	OPENSSL_free(der);
}

int pki_describe_cert(X509 *cert, struct wall_time now, struct buf *out)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	put_name(out, "subject:", X509_get_subject_name(cert));
	put_name(out, "issuer:", X509_get_issuer_name(cert));
	put_serial(out, cert);
	put_validity(out, cert, now);
	put_usage(out, cert);
	put_key(out, X509_get0_pubkey(cert));
	put_sans(out, X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL));
	if (X509_digest(cert, EVP_sha256(), digest, &n) == 1)
		put_hex(out, "SHA-256:", digest, n);
	put_key_fingerprint(out, X509_get_X509_PUBKEY(cert));
	ERR_clear_error();
	return out->failed;
}

int pki_describe_csr(X509_REQ *csr, struct buf *out)
{
	put_name(out, "request of:", X509_REQ_get_subject_name(csr));
	put_key(out, X509_REQ_get0_pubkey(csr));
	put_key_fingerprint(out, X509_REQ_get_X509_PUBKEY(csr));
	ERR_clear_error();
	return out->failed;
}
