/* agent/store/seal.h: encryption of rows at rest: AES-256-GCM (NIST SP 800-38D) by wolfCrypt.
 *
 * Rows are encrypted by a data key, which lies in the outbox itself, wrapped (AES-256-GCM) by the
 * key-encryption key: 32 bytes in a file, or an AES key that never leaves its PKCS#11 token. A
 * key-encryption key has a fingerprint, kept beside what it wraps, so that a wrong key is told from
 * damage. A new key-encryption key wraps the data keys anew; a new data key serves new rows, and
 * old ones are read by theirs until they are gone. One thread at a time. */
#pragma once

#include "agent/store/seal_schema.h"
#include "base/bytes.h"
#include "base/timebase.h"

#include <sqlite3.h>

struct seal;

/* The key is key_file or pkcs11_key; previous_*: keys before a rotation, of either kind: data keys
 * that only they can unwrap are wrapped anew when the outbox is opened. With previous_* alone what
 * is sealed can be read, and new rows are plain. Texts: "" or NULL: none; copied. */
struct seal_options {
	const char *key_file, *previous_key_file;     /* 64 hex digits or 32 bytes, mode 0600 */
	const char *pkcs11_module;		      /* the library's absolute path */
	const char *pkcs11_token;		      /* its label */
	const char *pkcs11_key, *pkcs11_previous_key; /* CKA_LABEL of AES-256 keys */
	const char *pkcs11_pin_file;		      /* the user's PIN, mode 0600 */
	int64_t data_key_max_rows; /* a new data key is made after so many rows; 0: 2^20 */
	const struct timebase *tb; /* when a data key was made, for those who look; borrowed */
};

/* Reads the key. Returns 0, *ret NULL where no key is configured; -errno with err, naming the file
 * or the token: -ENOENT (no such file, token or key), -EACCES (mode or owner; wrong PIN: it was
 * tried once, and is not tried again until somebody logged in with the right one), -EINVAL (not a
 * key, not a module), -EIO (the token fails), -ENOMEM. */
int seal_new(struct seal **ret, const struct seal_options *opt, struct error *err) must_check;
struct seal *seal_free(struct seal *s); /* NULL is fine; wipes the keys; always returns NULL */
/* Of the key; 0: new rows are plain. */
uint64_t seal_fingerprint(const struct seal *s);

/* Whether the rows of an outbox can be read with s (NULL: no key). Only reads. Returns 0; -ENOKEY
 * with err, which says how many rows need which key; -errno of the database. */
int seal_check(const struct seal *s, sqlite3 *db, struct error *err) must_check;

/* seal_check; then unwraps the data keys of an outbox, wraps anew what a previous key has wrapped,
 * deletes those without rows, and makes a data key where needed. Within the caller's transaction.
 * db is borrowed until the next seal_attach; no statement stays open. Returns as seal_check, and
 * -EIO with err: the token fails. */
int seal_attach(struct seal *s, sqlite3 *db, struct error *err) must_check;

/* What identifies a row; part of what is authenticated, so that no row can be put for another. */
struct seal_row {
	uint64_t epoch;
	int64_t id;
	uint64_t meta; /* checksum over the row's other columns */
};

enum { SEAL_OVERHEAD = 28 }; /* bytes: 12 of nonce, 16 of tag */

/* Appends nonce, ciphertext and tag. ret_key: the data key's number, above 0, to be kept with the
 * row; 0: there is no key for new rows, and plain was appended as it is. May write to the outbox:
 * within the caller's transaction. Returns 0, -ENOMEM, -EMSGSIZE (out is full), -errno of the
 * database, -EIO (no data key could be made). */
int seal_encrypt(struct seal *s, const struct seal_row *row, const void *plain, size_t len,
		 struct buf *out, int64_t *ret_key) must_check;
/* Appends the plain text. Returns 0; -EBADMSG: forged or damaged, or its data key is; -ENOMEM,
 * -EMSGSIZE. A failure leaves out as it was. */
int seal_decrypt(struct seal *s, const struct seal_row *row, int64_t key, const void *sealed,
		 size_t len, struct buf *out) must_check;
/* The transaction of a seal_attach or seal_encrypt was rolled back: what it added is forgotten. */
void seal_rolled_back(struct seal *s);

/* Something that hinders, but not yet: the token is away and a new data key is due. True once each
 * time, with ret set; to be logged. */
bool seal_trouble(struct seal *s, struct error *ret);

/* For salvage: reads rows of another file with the keys of s, which it borrows. */
int seal_new_reader(struct seal **ret, struct seal *s) must_check;
/* A data key of that file, as in its tables key and key_spare. Returns 0; -ENOKEY: wrapped by a key
 * that s does not have; -EBADMSG: damaged; -EIO; -ENOSPC: too many. */
int seal_reader_add(struct seal *s, int64_t id, uint64_t kek, const void *wrapped,
		    size_t len) must_check;
