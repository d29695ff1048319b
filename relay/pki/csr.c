/* Requests come from outside: everything here distrusts them. */
#include "relay/pki/internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

static const char what[] = "certificate request";

static int read_der(X509_REQ **ret, const uint8_t *der, size_t len, struct error *err)
{
	const unsigned char *at = der;
	X509_REQ *csr = d2i_X509_REQ(NULL, &at, (long)len);

	if (!csr)
		return pki_fail(err, -EINVAL, "%s: neither DER nor PEM of one", what);
	if (at != der + len) {
		X509_REQ_free(csr);
		return pki_fail(err, -EINVAL, "%s: %td bytes after its end", what, der + len - at);
	}
	*ret = csr;
	return 0;
}

static int read_any(X509_REQ **ret, const void *bytes, size_t len, struct error *err)
{
	uint8_t *der;
	long der_len;
	int r;

	if (len == 0 || len > PKI_CSR_MAX)
		return pki_fail(err, -EINVAL, "%s: %zu bytes, not 1 to %d", what, len, PKI_CSR_MAX);
	r = pki_one_pem(bytes, len, PEM_STRING_X509_REQ, PEM_STRING_X509_REQ_OLD, what, &der,
			&der_len, err);
	if (r < 0)
		return r;
	if (r == 0)
		return read_der(ret, bytes, len, err);
	r = read_der(ret, der, (size_t)der_len, err);
	OPENSSL_free(der);
	return r;
}

/* RFC 2986 4.1: 0 is all there is. SHA-1 and older prove nothing. */
static int check(X509_REQ *csr, struct error *err)
{
	EVP_PKEY *key = X509_REQ_get0_pubkey(csr);
	int nid = X509_REQ_get_signature_nid(csr);
	int r;

	if (X509_REQ_get_version(csr) != X509_REQ_VERSION_1)
		return pki_fail(err, -EINVAL, "%s: version %ld, not 0", what,
				X509_REQ_get_version(csr));
	r = pki_key_check(key, what, err);
	if (r < 0)
		return r;
	if (nid != NID_ecdsa_with_SHA256 && nid != NID_ecdsa_with_SHA384 &&
	    nid != NID_ecdsa_with_SHA512)
		return pki_fail(err, -EINVAL, "%s: signed with %s, not ECDSA with SHA-2", what,
				nid == NID_undef ? "something unknown" : OBJ_nid2ln(nid));
	if (X509_REQ_verify(csr, key) != 1)
		return pki_fail(err, -EINVAL, "%s: its signature does not prove its key", what);
	return 0;
}

int pki_csr_parse(X509_REQ **ret, const void *bytes, size_t len, struct error *err)
{
	X509_REQ *csr cleanup(csr_free_p) = NULL;
	int r;

	ERR_clear_error();
	r = read_any(&csr, bytes, len, err);
	if (r == 0)
		r = check(csr, err);
	if (r < 0)
		return r;
	*ret = csr;
	csr = NULL;
	return 0;
}

static int copy_name(const ASN1_STRING *s, char name[static PKI_NAME_MAX + 1])
{
	unsigned char *text;
	int len = ASN1_STRING_to_UTF8(&text, s);
	int r = len >= 1 && len <= PKI_NAME_MAX ? 0 : -EINVAL;

	if (len < 0)
		return -EINVAL;
	for (int i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] == 0x7f)
			r = -EINVAL;
	if (r == 0) {
		memcpy(name, text, (size_t)len);
		name[len] = '\0';
	}
	OPENSSL_free(text);
	return r;
}

int pki_csr_name(const X509_REQ *csr, char name[static PKI_NAME_MAX + 1], struct error *err)
{
	const X509_NAME *subject = X509_REQ_get_subject_name(csr);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	ERR_clear_error();
	if (at < 0)
		return pki_fail(err, -EINVAL, "%s: its subject has no common name", what);
	if (X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return pki_fail(err, -EINVAL, "%s: its subject has several common names", what);
	if (copy_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), name) < 0)
		return pki_fail(err, -EINVAL,
				"%s: its common name is not 1 to %d bytes of plain text", what,
				PKI_NAME_MAX);
	return 0;
}

int pki_csr_is_for(const X509_REQ *csr, const char *name, struct error *err)
{
	char own[PKI_NAME_MAX + 1];
	int r = pki_csr_name(csr, own, err);

	if (r == 0 && strcmp(own, name) != 0)
		r = pki_fail(err, -EINVAL, "%s: it is for %s, not for %.64s", what, own, name);
	return r;
}
