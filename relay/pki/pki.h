/* relay/pki/pki.h: keys, certificate requests and certificates (X.509, RFC 5280) with OpenSSL 3.
 *
 *   root --- device CA ---- device certificates    client; CN = the device's id
 *        +-- server CA ---- server certificates    server; SANs
 *        +-- service CA --- service certificates   client: relay, applications
 *
 * Keys are P-256, signatures ECDSA with SHA-256, serials 128 random bits. A certificate is built
 * from its profile alone: a request gives its key and its name, nothing else. Every object of
 * OpenSSL that is returned belongs to the caller. Functions with a struct error set it whenever
 * they fail; those that take bytes from outside return -EINVAL for what is wrong with them, and
 * -EIO where OpenSSL itself fails. Threads: any; no state is shared, but for tokens (pki_key_load).
 */
#pragma once

#include "base/base.h"
#include "base/bytes.h"
#include "base/timebase.h"

#include <openssl/x509.h>

enum {
	PKI_FILE_MAX = 256 << 10, /* bytes of a file that is read */
	PKI_CSR_MAX = 8 << 10,	  /* bytes of a request; one of P-256 has about 300 */
	PKI_CERTS_MAX = 32,	  /* of a file */
	PKI_SANS_MAX = 32,	  /* of a server */
	PKI_NAME_MAX = 64,	  /* bytes of a common name: ub-common-name, RFC 5280 A.1 */
	PKI_DAYS_MAX = 36500,
};

enum pki_profile {
	PKI_ROOT,
	PKI_DEVICE_CA,
	PKI_SERVER_CA,
	PKI_SERVICE_CA,
	PKI_DEVICE,
	PKI_SERVER,
	PKI_SERVICE,
	PKI_PROFILE_COUNT
};

const char *pki_profile_name(enum pki_profile p); /* "device", "server-ca" */

/* ---- keys ---- */

/* A new P-256 key. */
int pki_key_new(EVP_PKEY **ret, struct error *err) must_check;
/* A private key: the path of a PEM file that only its owner may read, or a URI `pkcs11:...` (RFC
 * 7512), with `pin-source=` and `module-path=` where needed; p11-kit's modules without the latter.
 * One PKCS#11 module a process. -EACCES: others may read the file. */
int pki_key_load(EVP_PKEY **ret, const char *where, struct error *err) must_check;
/* 0, or -EINVAL: not a P-256 public key. what stands for it in err ("request"). */
int pki_key_check(EVP_PKEY *key, const char *what, struct error *err) must_check;

/* ---- requests ---- */

/* Reads exactly one request (PKCS #10, RFC 2986), DER or PEM, and checks it: version, P-256, a
 * SHA-2 signature that proves possession of the key. What extensions and attributes it asks for
 * has no effect. */
int pki_csr_parse(X509_REQ **ret, const void *bytes, size_t len, struct error *err) must_check;
/* The one common name of its subject. -EINVAL: none, several, longer than PKI_NAME_MAX, or with a
 * control character. */
int pki_csr_name(const X509_REQ *csr, char name[static PKI_NAME_MAX + 1],
		 struct error *err) must_check;
/* 0, or -EINVAL where that is not name; err has both. Other fields of the subject do not matter: a
 * certificate has none of them. */
int pki_csr_is_for(const X509_REQ *csr, const char *name, struct error *err) must_check;

/* ---- certificates ---- */

/* An authority's certificate and key. */
struct pki_ca {
	X509 *cert;
	EVP_PKEY *key;
};

/* The first certificate of a PEM file, and its key (as for pki_key_load). -EINVAL: not a CA, or
 * another's key. */
int pki_ca_open(struct pki_ca **ret, const char *cert_path, const char *key,
		struct error *err) must_check;
struct pki_ca *pki_ca_free(struct pki_ca *ca);

struct pki_wanted {
	enum pki_profile profile;
	/* Common name. PKI_DEVICE, PKI_SERVICE: an id (proto/topic.h). NULL with PKI_SERVER: the
	 * first SAN, where it fits. */
	const char *name;
	const char *const *sans; /* PKI_SERVER: DNS names without wildcards, IP addresses */
	size_t n_sans;
	int days; /* 0: as the profile has it; never longer than the CA's own life */
	struct wall_time now;
};

/* Signs a certificate for a public key. by: NULL for PKI_ROOT, which key signs itself.
 * -EINVAL: key, name or SAN; -EPERM: not for this CA to issue; -EKEYEXPIRED: the CA's certificate
 * is not valid now. */
int pki_issue(X509 **ret, const struct pki_ca *by, EVP_PKEY *key, const struct pki_wanted *w,
	      struct error *err) must_check;

/* All certificates of a PEM file or one in DER, 1 to PKI_CERTS_MAX. -ENOMSG: a PEM file without
 * any. */
int pki_certs_load(STACK_OF(X509) * *ret, const char *path, struct error *err) must_check;
int pki_certs_parse(STACK_OF(X509) * *ret, const void *bytes, size_t len,
		    struct error *err) must_check;

/* ---- files ---- */

/* Whole or not at all, synced. Keys get mode 0600, certificates 0644. Without replace a file that
 * is there stays: -EEXIST. */
int pki_write_key(const char *path, EVP_PKEY *key, bool replace, struct error *err) must_check;
/* n certificates in this order; NULL ones are left out. */
int pki_write_certs(const char *path, X509 *const *certs, size_t n, bool replace,
		    struct error *err) must_check;
/* Appends them as PEM. */
int pki_put_pem(struct buf *out, X509 *const *certs, size_t n, struct error *err) must_check;
/* Appends a file of at most max bytes. */
int pki_read_file(const char *path, size_t max, struct buf *out, struct error *err) must_check;

/* Makes a development hierarchy in a folder, which is made if need be: root, device-ca, server-ca
 * and service-ca, each .crt and .key; device-chain.pem (device CA, service CA, root: whom a broker
 * trusts for clients) and ca-bundle.pem (root: whom clients trust for servers). name goes into the
 * names of the CAs. All files or none; -EEXIST with err naming the file that is there. */
int pki_ca_init(const char *dir, const char *name, struct wall_time now,
		struct error *err) must_check;

/* ---- for people ---- */

/* Appends lines "subject: ...": names, validity (expired and not yet valid in words), usage, key,
 * SANs, SHA-256 fingerprints of certificate and public key. No control characters but \n. */
int pki_describe_cert(X509 *cert, struct wall_time now, struct buf *out) must_check;
int pki_describe_csr(X509_REQ *csr, struct buf *out) must_check;
