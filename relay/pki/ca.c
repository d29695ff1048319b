#include "relay/pki/internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening ---- */

static int add_cert(STACK_OF(X509) * all, X509 *cert, struct error *err)
{
	int r = 0;

	if (sk_X509_num(all) == PKI_CERTS_MAX)
		r = pki_fail(err, -EINVAL, "more than %d certificates", PKI_CERTS_MAX);
	else if (sk_X509_push(all, cert) == 0)
		r = pki_fail(err, -ENOMEM, "out of memory");
	if (r < 0)
		X509_free(cert);
	return r;
}

static int take_pem(STACK_OF(X509) * all, const void *bytes, size_t len, struct error *err)
{
	BIO *in cleanup(bio_free_p) = BIO_new_mem_buf(bytes, (int)len);
	int r = in ? 0 : pki_fail(err, -ENOMEM, "out of memory");
	unsigned long e;
	X509 *cert;

	while (r == 0 && (cert = PEM_read_bio_X509(in, NULL, NULL, NULL)))
		r = add_cert(all, cert, err);
	e = ERR_peek_last_error();
	if (r < 0)
		return r;
	if (ERR_GET_LIB(e) != ERR_LIB_PEM || ERR_GET_REASON(e) != PEM_R_NO_START_LINE)
		return pki_fail(err, -EINVAL, "certificate %d: not well-formed",
				sk_X509_num(all) + 1);
	ERR_clear_error(); /* its end */
	return sk_X509_num(all) ? 0 : pki_fail(err, -ENOMSG, "no certificate in PEM or DER");
}

int pki_certs_parse(STACK_OF(X509) * *ret, const void *bytes, size_t len, struct error *err)
{
	STACK_OF(X509) * all cleanup(certs_free_p) = sk_X509_new_null();
	const unsigned char *at = bytes;
	X509 *cert;
	int r;

	ERR_clear_error();
	if (!all)
		return pki_fail(err, -ENOMEM, "out of memory");
	if (len > PKI_FILE_MAX)
		return pki_fail(err, -EINVAL, "more than %d bytes", PKI_FILE_MAX);
	cert = d2i_X509(NULL, &at, (long)len);
	if (cert && at != (const unsigned char *)bytes + len) {
		X509_free(cert);
		return pki_fail(err, -EINVAL, "bytes after the certificate's end");
	}
	ERR_clear_error();
	r = cert ? add_cert(all, cert, err) : take_pem(all, bytes, len, err);
	if (r < 0)
		return r;
	*ret = all;
	all = NULL;
	return 0;
}

int pki_certs_load(STACK_OF(X509) * *ret, const char *path, struct error *err)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(PKI_FILE_MAX + 1);
	struct error why = {"out of memory"};
	int r = pki_read_file(path, PKI_FILE_MAX, &bytes, err);

	if (r < 0)
		return r;
	r = pki_certs_parse(ret, bytes.data, bytes.len, &why);
	if (r < 0)
		error_set(err, "%.120s: %.120s", path, why.text);
	return r;
}

int pki_ca_open(struct pki_ca **ret, const char *cert_path, const char *key, struct error *err)
{
	STACK_OF(X509) * certs cleanup(certs_free_p) = NULL;
	struct pki_ca *ca;
	int r = pki_certs_load(&certs, cert_path, err);

	if (r < 0)
		return r;
	if (X509_check_ca(sk_X509_value(certs, 0)) != 1) {
		ERR_clear_error();
		return pki_fail(err, -EINVAL, "%s: not the certificate of a CA", cert_path);
	}
	ca = calloc(1, sizeof(*ca));
	if (!ca)
		return pki_fail(err, -ENOMEM, "out of memory");
	ca->cert = sk_X509_shift(certs);
	r = pki_key_load(&ca->key, key, err);
	if (r == 0 && X509_check_private_key(ca->cert, ca->key) != 1)
		r = pki_fail(err, -EINVAL, "%s: its key is not the one given", cert_path);
	if (r < 0)
		pki_ca_free(ca);
	else
		*ret = ca;
	return r;
}

struct pki_ca *pki_ca_free(struct pki_ca *ca)
{
	if (ca) {
		X509_free(ca->cert);
		EVP_PKEY_free(ca->key);
		free(ca);
	}
	return NULL;
}

/* ---- a new hierarchy ---- */

enum { CAS = 4, FILES = 2 * CAS + 2 };

struct draft {
	struct pki_ca ca[CAS]; /* by profile, the root first */
	const char *dir;
	char *made[FILES]; /* paths of files, in the order of writing */
	size_t n_made;
};

static const char *const titles[CAS] = {"Root", "Device", "Server", "Service"};

static int make_ca(struct draft *d, enum pki_profile p, const char *name, struct wall_time now,
		   struct error *err)
{
	struct pki_ca *ca = &d->ca[p];
	char title[PKI_NAME_MAX + 20];
	struct pki_wanted w = {.profile = p, .name = title, .now = now};
	int r = pki_key_new(&ca->key, err);

	(void)snprintf(title, sizeof(title), "%.70s %s CA", name, titles[p]);
	if (r == 0)
		r = pki_issue(&ca->cert, p == PKI_ROOT ? NULL : &d->ca[PKI_ROOT], ca->key, &w, err);
	return r;
}

/* The path of the next file; NULL: out of memory. It counts as made when d->n_made goes up. */
static const char *next_path(struct draft *d, const char *name, const char *suffix,
			     struct error *err)
{
	char **path = &d->made[d->n_made];

	free(*path);
	if (asprintf(path, "%s/%s%s", d->dir, name, suffix) < 0) {
		*path = NULL;
		error_set(err, "out of memory");
	}
	return *path;
}

static int write_ca(struct draft *d, enum pki_profile p, struct error *err)
{
	const struct pki_ca *ca = &d->ca[p];
	const char *path = next_path(d, pki_profile_name(p), ".key", err);
	int r = path ? pki_write_key(path, ca->key, false, err) : -ENOMEM;

	if (r < 0)
		return r;
	d->n_made++;
	path = next_path(d, pki_profile_name(p), ".crt", err);
	r = path ? pki_write_certs(path, &ca->cert, 1, false, err) : -ENOMEM;
	d->n_made += r == 0;
	return r;
}

static int write_bundle(struct draft *d, const char *name, X509 *const *certs, size_t n,
			struct error *err)
{
	const char *path = next_path(d, name, ".pem", err);
	int r = path ? pki_write_certs(path, certs, n, false, err) : -ENOMEM;

	d->n_made += r == 0;
	return r;
}

static int write_draft(struct draft *d, struct error *err)
{
	X509 *clients[] = {d->ca[PKI_DEVICE_CA].cert, d->ca[PKI_SERVICE_CA].cert,
			   d->ca[PKI_ROOT].cert};
	int r = 0;

	if (mkdir(d->dir, 0755) < 0 && errno != EEXIST) {
		r = -errno;
		error_set(err, "%s: cannot be made: %s", d->dir, strerror(errno));
	}
	for (int p = PKI_ROOT; p < CAS && r == 0; p++)
		r = write_ca(d, (enum pki_profile)p, err);
	if (r == 0)
		r = write_bundle(d, "device-chain", clients, array_len(clients), err);
	if (r == 0)
		r = write_bundle(d, "ca-bundle", &d->ca[PKI_ROOT].cert, 1, err);
	for (size_t i = 0; i < d->n_made && r < 0; i++)
		(void)unlink(d->made[i]); /* all or none */
	return r;
}

int pki_ca_init(const char *dir, const char *name, struct wall_time now, struct error *err)
{
	struct draft d = {.dir = dir};
	int r = 0;

	for (int p = PKI_ROOT; p < CAS && r == 0; p++)
		r = make_ca(&d, (enum pki_profile)p, name, now, err);
	if (r == 0)
		r = write_draft(&d, err);
	for (size_t i = 0; i < CAS; i++) {
		X509_free(d.ca[i].cert);
		EVP_PKEY_free(d.ca[i].key);
	}
	for (size_t i = 0; i < FILES; i++)
		free(d.made[i]);
	return r;
}
