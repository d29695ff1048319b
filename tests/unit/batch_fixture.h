/* tests/unit/batch_fixture.h: a catalog, and batches of it whose samples are known. */
#pragma once

#include "proto/batch.h"

enum { MESSAGES = 6, PER_MESSAGE = 8, SIGNALS = MESSAGES * PER_MESSAGE };

extern struct catalog *cat; /* of the running test */
/* With which builder() writes and roundtrip() reads; NULL: none. The test's. */
extern struct dictionary *dict;

/* Makes cat, and starts rng anew; for tcase_add_checked_fixture. */
void batch_setup(void);
void batch_teardown(void);

extern uint64_t rng_state;
uint64_t rng(void); /* the same numbers in every run */
/* Signals of all widths and kinds; the last message has wide ones. Another variant has another id.
 */
struct catalog *make_catalog(uint64_t variant);

/* With every field set; unit in ns. */
struct batch_header header(uint32_t unit);
struct batch_builder *builder(size_t max, uint32_t unit);

/* Adds to the builder and to what roundtrip expects of it. mono is a whole number of units. Returns
 * what batch_builder_add does. */
int add(struct batch_builder *b, uint32_t message, int64_t mono, const struct sample *s, size_t n);
/* The same: rows rows of every message, with all signals or (sparse) a choice of them. */
void fill(struct batch_builder *b, int rows, bool sparse, int64_t unit, unsigned int salt);
extern size_t n_expected; /* samples; 0 forgets them */
/* Encodes, decodes, and holds all against what is expected; signals one by one as well. */
void roundtrip(struct batch_builder *b, uint32_t unit);

void encode(struct batch_builder *b, const struct batch_header *h, struct buf *out);
struct batch *decode(const struct buf *bytes);
/* The envelope of a batch with rows rows of every message. */
void valid_bytes(struct buf *out, int rows);

/* v as a sample of s holds it: cut to its bits, and extended by its sign. */
uint64_t extend_to(uint64_t v, const struct catalog_signal *s);
