#include "base/mqtt_tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX = 1 << 20, CERTIFICATES_MAX = 1000 };

static int fail(struct mqtt_tls_result *ret, enum mqtt_tls_file file, const char *path,
		const char *what)
{
	ret->file = file;
	error_set(&ret->why, "%s: %s", path, what);
	ERR_clear_error();
	return -EINVAL;
}

/* ---- files ---- */

/* Not a FIFO, which would wait for a writer, and not a folder. */
static BIO *open_file(struct mqtt_tls_result *ret, enum mqtt_tls_file file, const char *path)
{
	struct stat st;
	BIO *b;

	if (stat(path, &st) < 0) {
		(void)fail(ret, file, path, strerror(errno));
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		(void)fail(ret, file, path, "no regular file of at most 1 MiB");
		return NULL;
	}
	if (file == MQTT_TLS_KEY && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		(void)fail(ret, file, path, "others than its owner may use this key; chmod 600");
		return NULL;
	}
	errno = 0;
	b = BIO_new_file(path, "re");
	if (!b)
		(void)fail(ret, file, path, errno ? strerror(errno) : "cannot be read");
	return b;
}

/* A key that asks for a pass phrase is refused: nobody would answer. */
static int no_pass_phrase(char *buf, int size, int writing, void *asked)
{
	(void)buf;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

static EVP_PKEY *read_key(struct mqtt_tls_result *ret, enum mqtt_tls_file file, const char *path)
{
	BIO *b = open_file(ret, file, path);
	bool asked = false;
	EVP_PKEY *key;

	if (!b)
		return NULL;
	key = PEM_read_bio_PrivateKey(b, NULL, no_pass_phrase, &asked);
	BIO_free(b);
	if (!key)
		(void)fail(ret, file, path,
			   asked ? "this key has a pass phrase, which nobody is there to give"
				 : "no private key in PEM");
	return key;
}

/* ---- dates ---- */

static int64_t seconds_of(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void date_text(int64_t seconds, char out[32])
{
	time_t t = (time_t)seconds;
	struct tm tm = {0};

	(void)gmtime_r(&t, &tm);
	(void)strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static int check_dates(const X509 *x, int64_t now, struct mqtt_tls_result *ret,
		       enum mqtt_tls_file file, const char *path)
{
	int64_t from = seconds_of(X509_get0_notBefore(x));
	int64_t until = seconds_of(X509_get0_notAfter(x));
	char date[32], clock[32];

	if (now >= from && now <= until)
		return 0;
	date_text(now < from ? from : until, date);
	date_text(now, clock);
	ret->file = file;
	error_set(&ret->why, "%s: %s %s; the clock says %s", path,
		  now < from ? "not valid before" : "expired at", date, clock);
	return MQTT_TLS_DATES;
}

/* ---- what they hold ---- */

/* One that is valid now is enough: an old and a new one may stand side by side. */
static int check_ca(const struct mqtt_tls *t, int64_t now, struct mqtt_tls_result *ret)
{
	BIO *b = open_file(ret, MQTT_TLS_CA, t->ca);
	int n = 0, r = MQTT_TLS_DATES;
	X509 *x;

	if (!b)
		return -EINVAL;
	while (n < CERTIFICATES_MAX && (x = PEM_read_bio_X509(b, NULL, NULL, NULL))) {
		n++;
		if (r != 0)
			r = check_dates(x, now, ret, MQTT_TLS_CA, t->ca);
		X509_free(x);
	}
	BIO_free(b);
	ERR_clear_error(); /* the end of the file is one */
	return n > 0 ? r : fail(ret, MQTT_TLS_CA, t->ca, "no certificate in PEM");
}

static int check_pair(const struct mqtt_tls *t, X509 *x, struct mqtt_tls_result *ret)
{
	enum mqtt_tls_file file = t->key ? MQTT_TLS_KEY : MQTT_TLS_CERTIFICATE;
	EVP_PKEY *key;
	int match;

	if (X509_check_purpose(x, X509_PURPOSE_SSL_CLIENT, 0) != 1)
		return fail(ret, MQTT_TLS_CERTIFICATE, t->certificate,
			    "this certificate is not for clients (extended key usage)");
	key = read_key(ret, MQTT_TLS_KEY, t->key ? t->key : t->certificate);
	if (!key)
		return -EINVAL;
	match = X509_check_private_key(x, key);
	EVP_PKEY_free(key);
	if (match != 1)
		return fail(ret, file, t->key ? t->key : t->certificate,
			    "this key is not that of the certificate");
	return 0;
}

static int check_certificate(const struct mqtt_tls *t, int64_t now, struct mqtt_tls_result *ret)
{
	BIO *b = open_file(ret, MQTT_TLS_CERTIFICATE, t->certificate);
	X509 *x;
	int r;

	if (!b)
		return -EINVAL;
	x = PEM_read_bio_X509(b, NULL, NULL, NULL);
	BIO_free(b);
	if (!x)
		return fail(ret, MQTT_TLS_CERTIFICATE, t->certificate, "no certificate in PEM");
	r = check_pair(t, x, ret);
	if (r == 0) {
		ret->until = seconds_of(X509_get0_notAfter(x));
		r = check_dates(x, now, ret, MQTT_TLS_CERTIFICATE, t->certificate);
	}
	X509_free(x);
	return r;
}

int mqtt_tls_check(const struct mqtt_tls *t, int64_t now, struct mqtt_tls_result *ret)
{
	struct mqtt_tls_result ca = {0}, own = {0};
	int r = check_ca(t, now, &ca), s = 0;

	*ret = ca;
	if (r < 0 || !t->certificate)
		return r;
	s = check_certificate(t, now, &own);
	if (s != 0 || r == 0)
		*ret = own;
	else
		ret->until = own.until;
	return s != 0 ? s : r;
}

/* ---- stamps ---- */

void mqtt_tls_stamp(const struct mqtt_tls *t, struct mqtt_tls_stamp *ret)
{
	const char *const paths[MQTT_TLS_FILES] = {t->ca, t->certificate, t->key};
	struct stat st;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < MQTT_TLS_FILES; i++) {
		if (!paths[i] || stat(paths[i], &st) < 0)
			continue;
		ret->files[i].dev = st.st_dev;
		ret->files[i].ino = st.st_ino;
		ret->files[i].size = st.st_size;
		ret->files[i].mtime = st.st_mtim;
	}
}

bool mqtt_tls_stamp_same(const struct mqtt_tls_stamp *a, const struct mqtt_tls_stamp *b)
{
	for (size_t i = 0; i < MQTT_TLS_FILES; i++) {
		if (a->files[i].dev != b->files[i].dev || a->files[i].ino != b->files[i].ino ||
		    a->files[i].size != b->files[i].size ||
		    a->files[i].mtime.tv_sec != b->files[i].mtime.tv_sec ||
		    a->files[i].mtime.tv_nsec != b->files[i].mtime.tv_nsec)
			return false;
	}
	return true;
}
