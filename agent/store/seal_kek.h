/* agent/store/seal_kek.h: key-encryption keys: what wraps the data keys. For seal.c. */
#pragma once

#include "base/base.h"

enum {
	SEAL_KEY_BYTES = 32,
	SEAL_NONCE_BYTES = 12,
	SEAL_TAG_BYTES = 16,
	SEAL_WRAPPED_BYTES = SEAL_NONCE_BYTES + SEAL_KEY_BYTES + SEAL_TAG_BYTES,
};

/* Memory for secrets: zeroed, not swapped and not in core dumps where the kernel lets us. */
void *secret_alloc(size_t len);
/* Wipes it. NULL is fine. */
void secret_free(void *p, size_t len);

/* AES-256-GCM in one call: out has len bytes, and tag follows it at once when encrypting; when
 * decrypting, in has len bytes and the tag. Returns 0, -EBADMSG: the tag does not fit, -EIO. */
struct gcm_text {
	const uint8_t *nonce;
	const void *aad;
	size_t aad_len;
	const void *in;
	size_t len; /* of the plain text */
	uint8_t *out;
};
int gcm_run(const uint8_t *key, bool encrypt, const struct gcm_text *t) must_check;

struct seal_token;
struct seal_kek;

int kek_from_file(struct seal_kek **ret, const char *path, struct error *err) must_check;
/* label: of the key in the token, which is borrowed. */
int kek_from_token(struct seal_kek **ret, struct seal_token *t, const char *label,
		   struct error *err) must_check;
struct seal_kek *kek_free(struct seal_kek *k);

/* Tells keys apart, without telling of the key; never 0. The same for a key in a file and in a
 * token. */
uint64_t kek_fingerprint(const struct seal_kek *k);
/* key: SEAL_KEY_BYTES; wrapped: SEAL_WRAPPED_BYTES. Return 0, -EBADMSG (unwrap: damaged), or -EIO
 * and such with err: the token fails. */
int kek_wrap(struct seal_kek *k, const uint8_t *key, uint8_t *wrapped,
	     struct error *err) must_check;
int kek_unwrap(struct seal_kek *k, const void *wrapped, uint8_t *key, struct error *err) must_check;

/* Reads a whole small file that only its owner may read. Returns the length, or -errno with err
 * naming it: -ENOENT, -EACCES (mode, owner, cannot be read), -EINVAL (not a regular file, or more
 * than max bytes), -EIO. */
ssize_t secret_file_read(const char *path, const char *what, void *data, size_t max,
			 struct error *err) must_check;
