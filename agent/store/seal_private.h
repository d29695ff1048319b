/* agent/store/seal_private.h: what seal.c (rows) and seal_keys.c (data keys) share. */
#pragma once

#include "agent/store/seal.h"
#include "agent/store/seal_kek.h"
#include "base/db.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

enum {
	SEAL_KEKS_MAX = 3,    /* the current one first, where there is one; then previous ones */
	SEAL_KEYS_MAX = 1024, /* data keys at once; beyond, the newest serves longer */
};

/* NIST SP 800-38D 8.3: invocations of a key with random nonces of 96 bits. */
#define SEAL_ROWS_LIMIT ((int64_t)1 << 32)

struct data_key {
	int64_t id;
	uint64_t kek; /* fingerprint of what wraps it in the file */
	uint8_t key[SEAL_KEY_BYTES];
};

/* A key schedule, kept from row to row: making one takes as long as 100 bytes of text. */
struct schedule {
	Aes aes;
	int64_t id; /* of the data key; 0: none */
};

/* In memory for secrets as a whole. */
struct seal {
	struct seal_token *token;
	struct seal_kek *keks[SEAL_KEKS_MAX];
	size_t n_keks;
	bool writes;	 /* keks[0] is for new rows */
	bool reads_only; /* keks and token are another's */
	const struct timebase *tb;
	int64_t max_rows;

	sqlite3 *db;
	struct data_key keys[SEAL_KEYS_MAX];
	size_t n_keys;
	int64_t current; /* id of the one for new rows; 0: none */
	/* Rows sealed with it, and how many the file knows of: the latter runs ahead in blocks, so
	 * that a count costs no write a row, and a crash forgets none. */
	int64_t used, reserved;
	bool stale; /* a transaction was rolled back: see what the file has */
	bool is_trouble;
	struct error trouble;
	struct schedule in, out; /* decrypts, encrypts */
};

struct data_key *seal_find_key(struct seal *s, int64_t id);
/* There is a data key with room for a row. */
int seal_ready(struct seal *s) must_check;
/* Forgets all data keys. */
void seal_drop_keys(struct seal *s);
/* Unwraps a data key and adds it to the ring, where it is not there. As seal_reader_add. */
int seal_keep_key(struct seal *s, int64_t id, uint64_t kek, const void *wrapped, size_t len,
		  struct error *err) must_check;
