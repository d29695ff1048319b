/* tests/unit/pki_fixture.h: a hierarchy in a folder of its own; certificates and requests, right
 * and wrong ones. */
#pragma once

#include "relay/pki/pki.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>

enum { PKI_CAS = 4, PKI_DAY_S = 86400 };

extern char pki_dir[40];
extern struct pki_ca *pki_cas[PKI_CAS]; /* by profile */
extern struct error pki_err;		/* of what failed last */
extern const struct wall_time pki_now;	/* when all of it was made */

void pki_set_up(void);
void pki_tear_down(void);

/* A path in pki_dir; valid until the 8th call after. */
const char *pki_path(const char *name);
const char *pki_put_file(const char *name, const void *bytes, size_t len, unsigned mode);

/* A key of "P-256", "P-384", "RSA" or "ED25519". */
EVP_PKEY *pki_make_key(const char *kind);
/* Must succeed: with a key of its own. */
X509 *pki_must_issue(enum pki_profile by, const struct pki_wanted *w);
/* Signed by that CA's key, whatever the CA may; its key is *ret_key. ca: with CA:TRUE. */
X509 *pki_forge(enum pki_profile by, EVP_PKEY **ret_key, bool ca, const char *extended_usage);
/* X509_V_OK or why not: with the root trusted, the others and extra (may be NULL) known. days after
 * pki_now. */
int pki_verify(X509 *cert, X509 *extra, int purpose, int days);

int64_t pki_seconds(const ASN1_TIME *t); /* since 1970 */

/* A request for these common names (NULL-terminated), signed by signer with md (NULL: the key's
 * own). extensions: it asks for CA:TRUE and other names. */
X509_REQ *pki_make_csr(EVP_PKEY *key, EVP_PKEY *signer, const char *const *names, const EVP_MD *md,
		       bool extensions);
/* The same with defaults: P-256, SHA-256, one name. */
X509_REQ *pki_simple_csr(const char *name);
/* As DER; out is cleared before. Frees csr. */
void pki_csr_der(X509_REQ *csr, struct buf *out);
void pki_csr_pem(X509_REQ *csr, struct buf *out);

/* pki_err must have this. */
void pki_said(const char *want);
