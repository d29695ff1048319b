#include "relay/pki/internal.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(struct error *err, const char *path, const char *what, int e)
{
	error_set(err, "%s: cannot be %s: %s", path, what, strerror(e));
	return -e;
}

int pki_read_file(const char *path, size_t max, struct buf *out, struct error *err)
{
	enum { STEP = 4 << 10 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO does not hold us */
	size_t start = out->len;
	ssize_t n = 1;
	int e = 0;

	if (fd < 0)
		return fail(err, path, "read", errno);
	while (n > 0 && out->len - start <= max) {
		size_t want = max + 1 - (out->len - start);

		want = want < STEP ? want : STEP;
		if (buf_reserve(out, want) < 0)
			break;
		n = read(fd, out->data + out->len, want);
		if (n > 0)
			out->len += (size_t)n;
	}
	if (n < 0)
		e = errno;
	close(fd);
	if (e)
		return fail(err, path, "read", e);
	if (out->len - start > max) {
		error_set(err, "%s: more than %zu bytes", path, max);
		return -EFBIG;
	}
	return out->failed ? fail(err, path, "read", -out->failed) : 0;
}

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Makes the new name last. */
static int sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir cleanup(free_ptr) =
		slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r;

	if (fd < 0)
		return dir ? -errno : -ENOMEM;
	r = fsync(fd) < 0 && errno != EINVAL ? -errno : 0; /* EINVAL: this one cannot be synced */
	close(fd);
	return r;
}

int pki_write_file(const char *path, const void *bytes, size_t len, unsigned mode, bool replace,
		   struct error *err)
{
	char *temporary cleanup(free_ptr) = NULL;
	int fd, r = 0;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return fail(err, path, "written", ENOMEM);
	fd = mkostemp(temporary, O_CLOEXEC); /* 0600 from the first moment */
	if (fd < 0)
		return fail(err, path, "written", errno);
	r = write_all(fd, bytes, len);
	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 &&
	    renameat2(AT_FDCWD, temporary, AT_FDCWD, path, replace ? 0 : RENAME_NOREPLACE) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(temporary);
		return fail(err, path, "written", -r);
	}
	r = sync_folder(path);
	return r < 0 ? fail(err, path, "written", -r) : 0;
}

int pki_write_key(const char *path, EVP_PKEY *key, bool replace, struct error *err)
{
	BIO *out cleanup(bio_free_p) = BIO_new(BIO_s_secmem()); /* wiped when freed */
	char *text;
	long len;

	ERR_clear_error();
	if (!out || PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1)
		return pki_fail(err, -EIO, "%s: the key cannot be written as PEM", path);
	len = BIO_get_mem_data(out, &text);
	return pki_write_file(path, text, (size_t)len, 0600, replace, err);
}

int pki_put_pem(struct buf *out, X509 *const *certs, size_t n, struct error *err)
{
	BIO *bio cleanup(bio_free_p) = BIO_new(BIO_s_mem());
	char *text;
	long len;

	ERR_clear_error();
	if (!bio)
		return pki_fail(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		if (certs[i] && PEM_write_bio_X509(bio, certs[i]) != 1)
			return pki_fail(err, -EIO, "a certificate cannot be written as PEM");
	len = BIO_get_mem_data(bio, &text);
	if (buf_put(out, text, (size_t)len) < 0)
		return pki_fail(err, out->failed, "no room for certificates");
	return 0;
}

int pki_write_certs(const char *path, X509 *const *certs, size_t n, bool replace, struct error *err)
{
	struct buf pem cleanup(buf_free) = BUF_INIT(PKI_FILE_MAX);
	int r = pki_put_pem(&pem, certs, n, err);

	return r < 0 ? r : pki_write_file(path, pem.data, pem.len, 0644, replace, err);
}

/* ---- reading ---- */

static size_t skip_space(const char *p, size_t len)
{
	size_t n = 0;

	while (n < len && strchr(" \t\r\n", p[n]) && p[n])
		n++;
	return n;
}

bool pki_is_pem(const void *bytes, size_t len)
{
	static const char begin[] = "-----BEGIN ";
	size_t at = skip_space(bytes, len), n = sizeof(begin) - 1;

	return len - at >= n && memcmp((const char *)bytes + at, begin, n) == 0;
}

static int take_pem(BIO *in, const char *type, const char *other_type, const char *what,
		    uint8_t **ret_der, long *ret_len, struct error *err)
{
	char *name = NULL, *header = NULL;
	uint8_t *der = NULL;
	int r = 0;

	if (PEM_read_bio(in, &name, &header, &der, ret_len) != 1)
		r = pki_fail(err, -EINVAL, "%s: not well-formed PEM", what);
	else if (*header || (strcmp(name, type) != 0 && strcmp(name, other_type) != 0))
		r = pki_fail(err, -EINVAL, "%s: PEM of %.40s, not %s", what, name, type);
	OPENSSL_free(name);
	OPENSSL_free(header);
	if (r < 0)
		OPENSSL_free(der);
	else
		*ret_der = der;
	return r;
}

int pki_one_pem(const void *bytes, size_t len, const char *type, const char *other_type,
		const char *what, uint8_t **ret_der, long *ret_len, struct error *err)
{
	BIO *in cleanup(bio_free_p) = NULL;
	uint8_t *der;
	char *rest;
	long left;
	int r;

	if (!pki_is_pem(bytes, len))
		return 0;
	in = BIO_new_mem_buf(bytes, (int)len);
	if (!in)
		return pki_fail(err, -ENOMEM, "out of memory");
	r = take_pem(in, type, other_type, what, &der, ret_len, err);
	if (r < 0)
		return r;
	left = BIO_get_mem_data(in, &rest);
	if (left > 0 && skip_space(rest, (size_t)left) != (size_t)left) {
		OPENSSL_free(der);
		return pki_fail(err, -EINVAL, "%s: bytes after its end", what);
	}
	*ret_der = der;
	return 1;
}
