/* proto/dictionary.h: what batches of a catalog are expected to look like, so that small ones need
 * not tell it each time.
 *
 * Immutable and trained on logs (tools/dictionary), serialised by hand (README.md, "A dictionary,
 * byte by byte"), named by the SHA-256 of its bytes, and only of use with the catalog that it
 * names. It holds, for each message and signal that training saw, what its numbers were like, and
 * the states in which the adaptive models of a section start. Whatever a batch holds can be told
 * with any dictionary of its catalog: a dictionary that fits badly costs bytes, nothing else. */
#pragma once

#include "proto/catalog.h"
#include "proto/columns.h"

/* A message that training saw. */
struct dictionary_message {
	uint32_t message;
	uint32_t first_entry; /* of its signals, which follow each other, in dictionary->signals */
	uint32_t leader;      /* message that its times follow, or CATALOG_NONE */
	uint8_t presence;     /* how sure it is that a batch has it: 0 to DICTIONARY_SURE */
	int64_t rows;	      /* less 1 */
	struct time_prior times;
};

enum {
	DICTIONARY_FORMAT = 1,
	DICTIONARY_BYTES_MAX = 4 << 20,
	DICTIONARY_SURE = 2,
	DICTIONARY_SLOTS_MAX = UINT16_MAX,
};

/* In memory: 4 bytes a message of the catalog, 56 for each that was seen, 32 for each signal of
 * these, and some 30 KiB. */
struct dictionary {
	uint64_t catalog_id;
	uint8_t sha256[32];
	uint64_t id; /* the first 8 bytes of sha256, as a little-endian integer */
	const uint8_t *bytes;
	size_t len;
	uint32_t *places; /* a message of the catalog each: index into messages, or CATALOG_NONE */
	struct dictionary_message *messages; /* ascending */
	size_t n_messages;
	struct column_prior *signals;
	size_t n_signals;
	size_t n_slots; /* signals whose first values are used to expect others' */
	struct section_models models;
};

/* Parses and checks everything. cat is not kept. Returns 0; -EBADMSG with err; -ESTALE with err: it
 * is another catalog's; -ENOMEM. */
int dictionary_load(struct dictionary **ret, const struct catalog *cat, const void *bytes,
		    size_t len, struct error *err) must_check;
int dictionary_load_file(struct dictionary **ret, const struct catalog *cat, const char *path,
			 struct error *err) must_check;
struct dictionary *dictionary_free(struct dictionary *d); /* NULL is fine; returns NULL */

/* The catalog that these bytes say they are for. Returns 0, or -EBADMSG with err. */
int dictionary_peek(const void *bytes, size_t len, uint64_t *ret_catalog,
		    struct error *err) must_check;

/* Serialises messages, signals and models of `from` (sha256, id, bytes and places are ignored), and
 * loads the result, so that what is built obeys what is loaded. */
int dictionary_build(struct dictionary **ret, const struct catalog *cat,
		     const struct dictionary *from, struct error *err) must_check;

/* What is known of a message or a signal; NULL: nothing. */
static inline const struct dictionary_message *dictionary_message(const struct dictionary *d,
								  uint32_t message)
{
	if (!d || d->places[message] == CATALOG_NONE)
		return NULL;
	return &d->messages[d->places[message]];
}
