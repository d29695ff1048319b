/* relay/pki/internal.h: shared by the files of this folder. */
#pragma once

#include "relay/pki/pki.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

/* For cleanup(). */
static inline void bio_free_p(BIO **p)
{
	BIO_free_all(*p);
}

static inline void key_free_p(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

static inline void cert_free_p(X509 **p)
{
	X509_free(*p);
}

static inline void csr_free_p(X509_REQ **p)
{
	X509_REQ_free(*p);
}

static inline void certs_free_p(STACK_OF(X509) * *p)
{
	sk_X509_pop_free(*p, X509_free);
}

/* Sets err to the text and, in brackets, OpenSSL's last reason, whose queue it empties. Returns
 * code. */
int pki_fail(struct error *err, int code, const char *fmt, ...) printf_like(3, 4);

/* Seconds since 1970 of a time. 0 or -EINVAL. */
int pki_time_get(const ASN1_TIME *t, int64_t *ret_s) must_check;
bool pki_time_set(ASN1_TIME *t, int64_t s) must_check; /* years 0 to 9999 */

/* The key that a pkcs11: URI names. */
int pki_token_key(EVP_PKEY **ret, const char *uri, struct error *err) must_check;

/* The one PEM block of bytes, of one of two types, with nothing but white space around it.
 * *ret_der is for OPENSSL_free. 1: there is one; 0: this is not PEM; -EINVAL. what stands for it
 * in err. */
int pki_one_pem(const void *bytes, size_t len, const char *type, const char *other_type,
		const char *what, uint8_t **ret_der, long *ret_len, struct error *err) must_check;
bool pki_is_pem(const void *bytes, size_t len);

int pki_write_file(const char *path, const void *bytes, size_t len, unsigned mode, bool replace,
		   struct error *err) must_check;
