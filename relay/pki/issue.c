#include "relay/pki/internal.h"

#include "proto/topic.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

enum { SERIAL_BITS = 128, BACKDATED_S = 300 /* for clocks that are behind */, DAY_S = 86400 };

#define CA_USAGE "critical,keyCertSign,cRLSign"

struct profile {
	const char *name;
	int days;
	const char *constraints, *usage, *extended; /* as in openssl-x509v3_config(5) */
	uint32_t purpose; /* what the issuer's extended key usage must allow; 0: any */
};

/* An intermediate has the usage of what it signs: what it signs is good for nothing else, whatever
 * it says itself (OpenSSL, wolfSSL and GnuTLS look at the usages of the whole chain). */
static const struct profile profiles[PKI_PROFILE_COUNT] = {
	[PKI_ROOT] = {"root", 7305, "critical,CA:TRUE", CA_USAGE, NULL, 0},
	[PKI_DEVICE_CA] = {"device-ca", 3652, "critical,CA:TRUE,pathlen:0", CA_USAGE, "clientAuth",
			   0},
	[PKI_SERVER_CA] = {"server-ca", 3652, "critical,CA:TRUE,pathlen:0", CA_USAGE, "serverAuth",
			   0},
	[PKI_SERVICE_CA] = {"service-ca", 3652, "critical,CA:TRUE,pathlen:0", CA_USAGE,
			    "clientAuth", 0},
	[PKI_DEVICE] = {"device", 90, "critical,CA:FALSE", "critical,digitalSignature",
			"clientAuth", XKU_SSL_CLIENT},
	[PKI_SERVER] = {"server", 90, "critical,CA:FALSE", "critical,digitalSignature",
			"serverAuth", XKU_SSL_SERVER},
	[PKI_SERVICE] = {"service", 90, "critical,CA:FALSE", "critical,digitalSignature",
			 "clientAuth", XKU_SSL_CLIENT},
};

const char *pki_profile_name(enum pki_profile p)
{
	return profiles[p].name;
}

static bool makes_ca(enum pki_profile p)
{
	return p < PKI_DEVICE;
}

/* ---- names ---- */

/* A label of a host name: RFC 1123 2.1. Returns its length, or 0. */
static size_t dns_label(const char *text)
{
	size_t n = 0;

	while (isalnum((unsigned char)text[n]) || (text[n] == '-' && n > 0))
		n++;
	return n > 63 || (n > 0 && text[n - 1] == '-') ? 0 : n;
}

static bool is_dns_name(const char *text)
{
	size_t total = strlen(text);
	bool letters = false; /* 1.2.3 is no name */

	if (total > 253)
		return false;
	for (;;) {
		size_t n = dns_label(text);

		if (n == 0)
			return false;
		letters = strspn(text, "0123456789") < n;
		text += n;
		if (*text == '\0')
			return letters;
		if (*text++ != '.')
			return false;
	}
}

static int add_san(GENERAL_NAMES *names, const char *text)
{
	uint8_t address[16];
	size_t len = 0;
	GENERAL_NAME *name;
	ASN1_STRING *value;

	if (inet_pton(AF_INET, text, address) == 1)
		len = 4;
	else if (inet_pton(AF_INET6, text, address) == 1)
		len = 16;
	else if (!is_dns_name(text))
		return -EINVAL;
	name = GENERAL_NAME_new();
	value = len ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
	if (!name || !value ||
	    ASN1_STRING_set(value, len ? (const void *)address : text,
			    len ? (int)len : (int)strlen(text)) != 1) {
		ASN1_STRING_free(value);
		GENERAL_NAME_free(name);
		return -ENOMEM;
	}
	GENERAL_NAME_set0_value(name, len ? GEN_IPADD : GEN_DNS, value);
	if (sk_GENERAL_NAME_push(names, name) > 0)
		return 0;
	GENERAL_NAME_free(name);
	return -ENOMEM;
}

/* RFC 5280 4.2.1.6: critical where there is no subject. */
static int put_sans(X509 *cert, const struct pki_wanted *w, struct error *err)
{
	bool critical = X509_NAME_entry_count(X509_get_subject_name(cert)) == 0;
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	int r = names ? 0 : -ENOMEM;

	for (size_t i = 0; i < w->n_sans && r == 0; i++) {
		r = add_san(names, w->sans[i]);
		if (r == -EINVAL)
			(void)pki_fail(err, r, "'%.100s': neither a DNS name nor an IP address",
				       w->sans[i]);
	}
	if (r == 0 &&
	    X509_add1_ext_i2d(cert, NID_subject_alt_name, names, critical, X509V3_ADD_DEFAULT) != 1)
		r = -EIO;
	GENERAL_NAMES_free(names);
	if (r < 0 && r != -EINVAL)
		(void)pki_fail(err, r, "subject alternative names cannot be set");
	return r;
}

static int check_name(const struct pki_wanted *w, struct error *err)
{
	const char *kind = profiles[w->profile].name;
	bool is_id = w->profile == PKI_DEVICE || w->profile == PKI_SERVICE;

	if (w->profile == PKI_SERVER && (w->n_sans == 0 || w->n_sans > PKI_SANS_MAX))
		return pki_fail(err, -EINVAL, "a server has 1 to %d names, not %zu", PKI_SANS_MAX,
				w->n_sans);
	if (!w->name && w->profile == PKI_SERVER)
		return 0;
	if (!w->name || !*w->name || strlen(w->name) > PKI_NAME_MAX)
		return pki_fail(err, -EINVAL, "%s: its name has 1 to %d bytes", kind, PKI_NAME_MAX);
	if (is_id && !id_is_valid(w->name))
		return pki_fail(err, -EINVAL,
				"'%s': the id of a %s is 1 to %d of letters, digits, '.', '_', '-'",
				w->name, kind, ID_MAX);
	for (const char *p = w->name; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return pki_fail(err, -EINVAL, "%s: control character in its name", kind);
	return 0;
}

static int put_subject(X509 *cert, const struct pki_wanted *w, struct error *err)
{
	const char *name = w->name ? w->name : w->sans[0];
	X509_NAME *subject = X509_NAME_new();
	int ok = subject != NULL;

	if (ok && strlen(name) <= PKI_NAME_MAX) /* else the SANs alone */
		ok = X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
						(const unsigned char *)name, -1, -1, 0);
	if (ok)
		ok = X509_set_subject_name(cert, subject);
	X509_NAME_free(subject);
	return ok ? 0 : pki_fail(err, -EINVAL, "'%.64s' cannot be a common name", name);
}

/* ---- what an issuer may ---- */

static int check_issuer(const struct pki_ca *by, const struct pki_wanted *w, struct error *err)
{
	const struct profile *p = &profiles[w->profile];
	int64_t now = w->now.ns / NS_PER_S, from, to;
	uint32_t usages;

	if (!by)
		return w->profile == PKI_ROOT
			       ? 0
			       : pki_fail(err, -EPERM, "only a root signs itself, not a %s",
					  p->name);
	if (X509_check_ca(by->cert) != 1 || !(X509_get_key_usage(by->cert) & KU_KEY_CERT_SIGN))
		return pki_fail(err, -EPERM, "the issuer of a %s is no CA", p->name);
	usages = X509_get_extended_key_usage(by->cert);
	if ((usages & p->purpose) != p->purpose)
		return pki_fail(err, -EPERM, "this CA may not issue a %s: extended key usage",
				p->name);
	if (makes_ca(w->profile) && X509_get_pathlen(by->cert) == 0)
		return pki_fail(err, -EPERM, "this CA may not issue a CA: path length 0");
	if (pki_time_get(X509_get0_notBefore(by->cert), &from) < 0 ||
	    pki_time_get(X509_get0_notAfter(by->cert), &to) < 0)
		return pki_fail(err, -EPERM, "the CA's certificate has times that are none");
	if (to < now)
		return pki_fail(err, -EKEYEXPIRED, "the CA's certificate has expired");
	if (from > now)
		return pki_fail(err, -EKEYEXPIRED, "the CA's certificate is not yet valid");
	return 0;
}

/* ---- fields ---- */

static bool put_serial(X509 *cert)
{
	BIGNUM *n = BN_new();
	bool ok = n && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
		  BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));

	BN_free(n);
	return ok;
}

/* Nothing lasts longer than its issuer. */
static bool put_validity(X509 *cert, const struct pki_ca *by, const struct pki_wanted *w)
{
	int64_t days = w->days ? w->days : profiles[w->profile].days;
	int64_t now = w->now.ns / NS_PER_S, end = now + days * DAY_S, last = end;

	if (by && pki_time_get(X509_get0_notAfter(by->cert), &last) < 0)
		return false;
	return pki_time_set(X509_getm_notBefore(cert), now - BACKDATED_S) &&
	       pki_time_set(X509_getm_notAfter(cert), end < last ? end : last);
}

static bool put_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	bool ok;

	if (!value)
		return true;
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool put_extensions(X509 *cert, const struct pki_ca *by, const struct profile *p)
{
	X509 *issuer = by ? by->cert : cert;

	return put_extension(cert, issuer, NID_basic_constraints, p->constraints) &&
	       put_extension(cert, issuer, NID_key_usage, p->usage) &&
	       put_extension(cert, issuer, NID_ext_key_usage, p->extended) &&
	       put_extension(cert, issuer, NID_subject_key_identifier, "hash") &&
	       put_extension(cert, issuer, NID_authority_key_identifier,
			     by ? "keyid:always" : NULL);
}

static int fill(X509 *cert, const struct pki_ca *by, EVP_PKEY *key, const struct pki_wanted *w,
		struct error *err)
{
	int r = put_subject(cert, w, err);
	X509_NAME *issuer;

	if (r < 0)
		return r;
	issuer = X509_get_subject_name(by ? by->cert : cert);
	if (X509_set_version(cert, X509_VERSION_3) != 1 || !put_serial(cert) ||
	    X509_set_issuer_name(cert, issuer) != 1 || X509_set_pubkey(cert, key) != 1 ||
	    !put_validity(cert, by, w) || !put_extensions(cert, by, &profiles[w->profile]))
		return pki_fail(err, -EIO, "a %s certificate cannot be made",
				profiles[w->profile].name);
	return w->profile == PKI_SERVER ? put_sans(cert, w, err) : 0;
}

int pki_issue(X509 **ret, const struct pki_ca *by, EVP_PKEY *key, const struct pki_wanted *w,
	      struct error *err)
{
	X509 *cert cleanup(cert_free_p) = NULL;
	int r = pki_key_check(key, profiles[w->profile].name, err);

	if (r == 0 && (w->days < 0 || w->days > PKI_DAYS_MAX))
		r = pki_fail(err, -EINVAL, "%d days: not 1 to %d", w->days, PKI_DAYS_MAX);
	if (r == 0)
		r = check_name(w, err);
	if (r == 0)
		r = check_issuer(by, w, err);
	if (r < 0)
		return r;
	ERR_clear_error();
	cert = X509_new();
	r = cert ? fill(cert, by, key, w, err) : pki_fail(err, -ENOMEM, "out of memory");
	if (r == 0 && X509_sign(cert, by ? by->key : key, EVP_sha256()) == 0)
		r = pki_fail(err, -EIO, "the CA's key does not sign");
	if (r < 0)
		return r;
	*ret = cert;
	cert = NULL;
	return 0;
}
