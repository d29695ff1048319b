/* agent/store/seal.h: encryption of rows at rest: AES-256-GCM (NIST SP 800-38D) by wolfCrypt.
 *
 * Rows are encrypted by a data key, which lies in the outbox itself, wrapped (AES-256-GCM) by the
 * key-encryption key: 32 bytes in a file, or an AES key in a PKCS#11 token. A new key-encryption
 * key wraps the data keys anew; a new data key serves new rows, and old ones are read by theirs
 * until they are gone. One thread. */
#pragma once

#include "base/bytes.h"

#include <sqlite3.h>

struct seal;

/* key_file and pkcs11 name the same kind of thing: give one. previous_*: the key before a rotation;
 * data keys that only it can unwrap are wrapped anew when the outbox is opened. */
struct seal_options {
	const char *key_file, *previous_key_file; /* "": none. 64 hex digits or 32 bytes, 0600 */
	const char *pkcs11_module;		  /* "": none; the library's path */
	const char *pkcs11_token;		  /* its label */
	const char *pkcs11_key,
		*pkcs11_previous_key; /* CKA_LABEL of the AES-256 keys; previous "": none */
	const char *pkcs11_pin_file;  /* the user's PIN, 0600 */
	int64_t data_key_max_rows;    /* a new data key is made after so many rows */
};

/* Reads the key. Returns 0 and *ret NULL where no key is configured; -errno with err, naming the
 * file or the token: -ENOENT, -EACCES (wrong mode, wrong PIN), -EINVAL (not a key), -EIO. */
int seal_new(struct seal **ret, const struct seal_options *opt, struct error *err) must_check;
struct seal *seal_free(struct seal *s); /* NULL is fine; wipes the keys */

/* What identifies a row; part of what is authenticated, so that no row can be put for another. */
struct seal_row {
	uint64_t epoch;
	int64_t id;
	uint64_t meta; /* checksum over the row's other columns */
};

enum { SEAL_OVERHEAD = 28 }; /* bytes: 12 of nonce, 16 of tag */

/* Unwraps the data keys of an outbox's `key` table, wraps anew what a previous key has wrapped, and
 * makes the first data key. Within the caller's transaction. Returns 0; -ENOKEY with err: no key
 * given fits. */
int seal_attach(struct seal *s, sqlite3 *db, struct error *err) must_check;
/* Appends nonce, ciphertext and tag. ret_key: the data key's number, above 0, to be kept with the
 * row. May add a data key to the outbox: within the caller's transaction. */
int seal_encrypt(struct seal *s, const struct seal_row *row, const void *plain, size_t len,
		 struct buf *out, int64_t *ret_key) must_check;
/* Appends the plain text. Returns 0; -EBADMSG: forged or damaged; -ENOKEY: no such data key. */
int seal_decrypt(struct seal *s, const struct seal_row *row, int64_t key, const void *sealed,
		 size_t len, struct buf *out) must_check;
/* A rolled back transaction may have added a data key: forgets it. */
void seal_rolled_back(struct seal *s);
