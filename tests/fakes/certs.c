#include "tests/fakes/certs.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOUR_S = 3600, PATHS = 8 };

struct certs {
	char dir[64];
};

static void need(bool fine)
{
	if (!fine)
		abort();
}

struct certs *certs_new(void)
{
	struct certs *c = calloc(1, sizeof(*c));

	need(c != NULL);
	(void)snprintf(c->dir, sizeof(c->dir), "/tmp/towline-certs-XXXXXX");
	need(mkdtemp(c->dir) != NULL);
	return c;
}

struct certs *certs_free(struct certs *c)
{
	DIR *d = c ? opendir(c->dir) : NULL;
	struct dirent *e;

	if (!d)
		return NULL;
	while ((e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0); /* fails on . and .. */
	closedir(d);
	rmdir(c->dir);
	free(c);
	return NULL;
}

const char *certs_path(const struct certs *c, const char *file)
{
	static char paths[PATHS][128];
	static unsigned n;
	char *path = paths[n++ % PATHS];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", c->dir, file);
	return path;
}

static FILE *create(const struct certs *c, const char *file)
{
	/* A new file each time: the old one may be open. */
	int fd;
	FILE *f;

	unlink(certs_path(c, file));
	fd = open(certs_path(c, file), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	need(fd >= 0);
	f = fdopen(fd, "w");
	need(f != NULL);
	return f;
}

void certs_write(const struct certs *c, const char *file, const char *text)
{
	FILE *f = create(c, file);

	need(fputs(text, f) >= 0);
	need(fclose(f) == 0);
}

static FILE *file_of(const struct certs *c, const char *name, const char *end, bool writing)
{
	char file[64];
	FILE *f;

	(void)snprintf(file, sizeof(file), "%s.%s", name, end);
	if (writing)
		return create(c, file);
	f = fopen(certs_path(c, file), "re");
	need(f != NULL);
	return f;
}

static EVP_PKEY *load_key(const struct certs *c, const char *name)
{
	FILE *f = file_of(c, name, "key", false);
	EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);

	need(key != NULL);
	(void)fclose(f);
	return key;
}

static X509 *load_cert(const struct certs *c, const char *name)
{
	FILE *f = file_of(c, name, "crt", false);
	X509 *x = PEM_read_X509(f, NULL, NULL, NULL);

	need(x != NULL);
	(void)fclose(f);
	return x;
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
	need(e && X509_add_ext(x, e, -1) == 1);
	X509_EXTENSION_free(e);
}

static void fill(X509 *x, const char *name, const struct cert_options *o)
{
	bool dates = o->from_s || o->until_s;
	X509_NAME *subject = X509_get_subject_name(x);
	unsigned char serial[8];
	uint64_t number;

	need(RAND_bytes(serial, sizeof(serial)) == 1);
	memcpy(&number, serial, sizeof(number));
	need(X509_set_version(x, X509_VERSION_3) == 1);
	need(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), number) == 1);
	need(X509_gmtime_adj(X509_getm_notBefore(x), dates ? (long)o->from_s : -HOUR_S) != NULL);
	need(X509_gmtime_adj(X509_getm_notAfter(x), dates ? (long)o->until_s : HOUR_S) != NULL);
	need(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name,
					-1, -1, 0) == 1);
}

static void extend_all(X509 *x, X509 *issuer, const struct cert_options *o)
{
	extend(x, issuer, NID_basic_constraints, o->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	extend(x, issuer, NID_key_usage,
	       o->ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
	extend(x, issuer, NID_subject_key_identifier, "hash");
	if (o->usage)
		extend(x, issuer, NID_ext_key_usage, o->usage);
	if (o->san)
		extend(x, issuer, NID_subject_alt_name, o->san);
}

void certs_make(struct certs *c, const char *name, const struct cert_options *o)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *signer;
	X509 *x = X509_new(), *issuer;
	FILE *f;

	need(key && x);
	issuer = o->issuer ? load_cert(c, o->issuer) : x;
	signer = o->issuer ? load_key(c, o->issuer) : key;
	fill(x, name, o);
	need(X509_set_pubkey(x, key) == 1);
	need(X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1);
	extend_all(x, issuer, o);
	need(X509_sign(x, signer, EVP_sha256()) > 0);
	f = file_of(c, name, "crt", true);
	need(PEM_write_X509(f, x) == 1 && fclose(f) == 0);
	f = file_of(c, name, "key", true);
	need(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
	if (o->issuer) {
		X509_free(issuer);
		EVP_PKEY_free(signer);
	}
	X509_free(x);
	EVP_PKEY_free(key);
}

void certs_lock_key(const struct certs *c, const char *name, const char *file)
{
	static const unsigned char phrase[] = "secret";
	EVP_PKEY *key = load_key(c, name);
	FILE *f = create(c, file);

	need(PEM_write_PrivateKey(f, key, EVP_aes_256_cbc(), phrase, sizeof(phrase) - 1, NULL,
				  NULL) == 1);
	need(fclose(f) == 0);
	EVP_PKEY_free(key);
}
