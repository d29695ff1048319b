/* Key-encryption keys, from a file or in a token, and what handles secrets. */
#include "agent/store/seal_kek.h"

#include "agent/store/seal_pkcs11.h"
#include "base/bytes.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

enum { LABEL_BYTES = 256, FINGERPRINT_BYTES = 8 };

struct seal_kek {
	struct seal_token *token; /* borrowed; NULL: key is the key */
	char label[LABEL_BYTES];
	uint8_t key[SEAL_KEY_BYTES];
	uint64_t fingerprint;
};

/* ---- memory ---- */

static size_t in_pages(size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (len + page - 1) / page * page;
}

void *secret_alloc(size_t len)
{
	void *p = mmap(NULL, in_pages(len), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	if (p == MAP_FAILED)
		return NULL;
	/* Best effort: a limit on locked memory is no reason to leave rows plain. Locked when
	 * touched, so that what is not used takes no memory. */
	(void)mlock2(p, in_pages(len), MLOCK_ONFAULT);
	(void)madvise(p, in_pages(len), MADV_DONTDUMP);
	return p;
}

void secret_free(void *p, size_t len)
{
	if (!p)
		return;
	explicit_bzero(p, len);
	(void)munmap(p, in_pages(len));
}

/* ---- AES-GCM ---- */

static int run_with(Aes *aes, const uint8_t *key, bool encrypt, const struct gcm_text *t)
{
	const uint8_t *in = t->in;
	int r = wc_AesGcmSetKey(aes, key, SEAL_KEY_BYTES);

	if (r != 0)
		return -EIO;
	r = encrypt ? wc_AesGcmEncrypt(aes, t->out, in, (word32)t->len, t->nonce, SEAL_NONCE_BYTES,
				       t->out + t->len, SEAL_TAG_BYTES, t->aad, (word32)t->aad_len)
		    : wc_AesGcmDecrypt(aes, t->out, in, (word32)t->len, t->nonce, SEAL_NONCE_BYTES,
				       in + t->len, SEAL_TAG_BYTES, t->aad, (word32)t->aad_len);
	if (r == AES_GCM_AUTH_E)
		return -EBADMSG;
	return r == 0 ? 0 : -EIO;
}

int gcm_run(const uint8_t *key, bool encrypt, const struct gcm_text *t)
{
	Aes *aes = secret_alloc(sizeof(*aes));
	int r;

	if (!aes)
		return -ENOMEM;
	r = wc_AesInit(aes, NULL, INVALID_DEVID) == 0 ? run_with(aes, key, encrypt, t) : -EIO;
	wc_AesFree(aes);
	secret_free(aes, sizeof(*aes));
	return r;
}

/* ---- files ---- */

static int check_file(int fd, const char *path, const char *what, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0) {
		error_set(err, "%s %s: %s", what, path, strerror(errno));
		return -EIO;
	}
	if (!S_ISREG(st.st_mode)) {
		error_set(err, "%s %s: not a regular file", what, path);
		return -EINVAL;
	}
	if (st.st_mode & (S_IRWXG | S_IRWXO)) {
		error_set(err, "%s %s: mode is %04o: others than its owner may use it; chmod 600",
			  what, path, (unsigned)(st.st_mode & 07777));
		return -EACCES;
	}
	if (st.st_uid != geteuid() && st.st_uid != 0) {
		error_set(err, "%s %s: belongs to user %u; it must be %u's or root's", what, path,
			  (unsigned)st.st_uid, (unsigned)geteuid());
		return -EACCES;
	}
	return 0;
}

/* One byte more than max tells of a file that is too long. */
static ssize_t read_all(int fd, uint8_t *data, size_t max)
{
	size_t n = 0;

	while (n <= max) {
		uint8_t beyond;
		ssize_t r = n < max ? read(fd, data + n, max - n) : read(fd, &beyond, 1);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return (ssize_t)n;
		n += (size_t)r;
	}
	return -EFBIG;
}

ssize_t secret_file_read(const char *path, const char *what, void *data, size_t max,
			 struct error *err)
{
	/* Without waiting: it may be a FIFO. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n;
	int r;

	if (fd < 0) {
		r = errno == ENOENT || errno == ENOTDIR ? -ENOENT : -EACCES;
		error_set(err, "%s %s: %s", what, path, strerror(errno));
		return r;
	}
	r = check_file(fd, path, what, err);
	n = r < 0 ? r : read_all(fd, data, max);
	(void)close(fd);
	if (r < 0 || n >= 0)
		return n;
	explicit_bzero(data, max);
	if (n == -EFBIG) {
		error_set(err, "%s %s: longer than %zu bytes", what, path, max);
		return -EINVAL;
	}
	error_set(err, "%s %s: %s", what, path, strerror((int)-n));
	return -EIO;
}

/* 32 bytes, or 64 hex digits, which an editor may have ended with a newline. */
static int parse_key(uint8_t *key, const uint8_t *text, size_t n, const char *path,
		     struct error *err)
{
	size_t digits = n;

	if (n == SEAL_KEY_BYTES) {
		memcpy(key, text, SEAL_KEY_BYTES);
		return 0;
	}
	if (digits > 0 && text[digits - 1] == '\n')
		digits--;
	if (digits > 0 && text[digits - 1] == '\r')
		digits--;
	if (digits != (size_t)2 * SEAL_KEY_BYTES) {
		error_set(err, "key file %s: %zu bytes; a key is 32 bytes or 64 hex digits", path,
			  n);
		return -EINVAL;
	}
	if (hex_decode((const char *)text, digits, key, SEAL_KEY_BYTES) != SEAL_KEY_BYTES) {
		error_set(err, "key file %s: 64 characters, but not all are hex digits", path);
		return -EINVAL;
	}
	return 0;
}

static int read_key(uint8_t *key, const char *path, struct error *err)
{
	uint8_t text[2 * SEAL_KEY_BYTES + 2];
	ssize_t n = secret_file_read(path, "key file", text, sizeof(text), err);
	int r = n < 0 ? (int)n : parse_key(key, text, (size_t)n, path, err);

	explicit_bzero(text, sizeof(text));
	return r;
}

/* ---- keys ---- */

static int run(struct seal_kek *k, bool encrypt, const struct gcm_text *t, struct error *err)
{
	int r;

	if (k->token)
		return token_gcm(k->token, k->label, encrypt, t, err);
	r = gcm_run(k->key, encrypt, t);
	if (r < 0)
		error_set(err, "AES-GCM: %s", strerror(-r));
	return r;
}

/* Half of the tag over a fixed text with a fixed nonce. That nonce is used for nothing else: those
 * of wrapped keys have their first bit set. */
static int set_fingerprint(struct seal_kek *k, struct error *err)
{
	static const uint8_t nonce[SEAL_NONCE_BYTES];
	static const char text[] = "towline kek name"; /* 16 bytes: some tokens take no empty one */
	uint8_t out[sizeof(text) - 1 + SEAL_TAG_BYTES];
	const struct gcm_text t = {.nonce = nonce,
				   .aad = "towline",
				   .aad_len = 7,
				   .in = text,
				   .len = sizeof(text) - 1,
				   .out = out};
	struct cursor c = cursor_of(out + t.len, FINGERPRINT_BYTES);
	int r = run(k, true, &t, err);

	if (r < 0)
		return r;
	k->fingerprint = cursor_fixed64(&c);
	if (k->fingerprint == 0) /* means "none" */
		k->fingerprint = 1;
	return 0;
}

static int finish(struct seal_kek **ret, struct seal_kek *k, int r, struct error *err)
{
	if (r == 0)
		r = set_fingerprint(k, err);
	if (r < 0) {
		kek_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

static struct seal_kek *allocate(struct error *err)
{
	struct seal_kek *k = secret_alloc(sizeof(*k));

	if (!k)
		error_set(err, "no memory for a key");
	return k;
}

int kek_from_file(struct seal_kek **ret, const char *path, struct error *err)
{
	struct seal_kek *k = allocate(err);

	if (!k)
		return -ENOMEM;
	return finish(ret, k, read_key(k->key, path, err), err);
}

int kek_from_token(struct seal_kek **ret, struct seal_token *t, const char *label,
		   struct error *err)
{
	struct seal_kek *k = allocate(err);
	int n;

	if (!k)
		return -ENOMEM;
	k->token = t;
	n = snprintf(k->label, sizeof(k->label), "%s", label);
	if (n < 0 || (size_t)n >= sizeof(k->label)) {
		error_set(err, "the label of a PKCS#11 key has more than %d bytes",
			  LABEL_BYTES - 1);
		return finish(ret, k, -EINVAL, err);
	}
	return finish(ret, k, 0, err);
}

struct seal_kek *kek_free(struct seal_kek *k)
{
	secret_free(k, sizeof(*k));
	return NULL;
}

uint64_t kek_fingerprint(const struct seal_kek *k)
{
	return k->fingerprint;
}

static const char wrap_aad[] = "towline outbox data key 1";

/* A random nonce of 95 bits: the few hundred keys that a key-encryption key wraps in its life are
 * far from the 2^32 of NIST SP 800-38D 8.3. */
int kek_wrap(struct seal_kek *k, const uint8_t *key, uint8_t *wrapped, struct error *err)
{
	const struct gcm_text t = {.nonce = wrapped,
				   .aad = wrap_aad,
				   .aad_len = sizeof(wrap_aad) - 1,
				   .in = key,
				   .len = SEAL_KEY_BYTES,
				   .out = wrapped + SEAL_NONCE_BYTES};

	random_bytes(wrapped, SEAL_NONCE_BYTES);
	wrapped[0] |= 0x80;
	return run(k, true, &t, err);
}

int kek_unwrap(struct seal_kek *k, const void *wrapped, uint8_t *key, struct error *err)
{
	const uint8_t *w = wrapped;
	const struct gcm_text t = {.nonce = w,
				   .aad = wrap_aad,
				   .aad_len = sizeof(wrap_aad) - 1,
				   .in = w + SEAL_NONCE_BYTES,
				   .len = SEAL_KEY_BYTES,
				   .out = key};

	return run(k, false, &t, err);
}
