/* proto/batch.h: many samples as one small message, and back.
 *
 * The body of an envelope (envelope.h) is a Batch: a small header, and sections of
 * arithmetic-coded columns, grouped by CAN message: one shared column of times, then a column of
 * raw integers a signal, each told as what was not expected of it (README.md). What a column does
 * not hold for some of the group's times (a signal collected on change, a multiplexed signal) is
 * told too. Nothing is left for zlib to gain, so bodies are written as they are; deflated ones are
 * read.
 *
 * Times are carried in units of time_unit_ns (default 1 ms); all else is exact. A time is
 * rounded to the batch's earliest sample, and that one's to whole units since 1970: both together
 * are off by at most a unit. */
#pragma once

#include "proto/dictionary.h"
#include "proto/envelope.h"

struct sample {
	uint32_t signal; /* number in the catalog */
	uint64_t raw;	 /* see enum signal_kind */
};

enum clock_quality { CLOCK_UNKNOWN, CLOCK_FREE_RUNNING, CLOCK_SYNCED };

/* Wall time of a sample = wall_base + (its mono time - mono_base). A batch that is read has its
 * earliest sample's times as its bases, in whole units. */
struct batch_header {
	uint64_t epoch; /* random, minted with the outbox */
	uint64_t seq;	/* grows by one a batch within (device, epoch, class), from 1 */
	uint64_t boot_id;
	int64_t wall_base_ns;
	int64_t mono_base_ns;
	enum clock_quality clock_quality;
	uint64_t catalog_id;
	uint64_t dictionary_id; /* of a batch that is read; 0: none */
	uint32_t campaign;
	uint32_t consent_epoch;
	uint32_t time_unit_ns;
};

/* ---- writing ---- */

struct batch_builder;
enum { BATCH_FULL = 1 };

/* Allocates all that adding and encoding will ever need: at most samples_max samples. cat is
 * borrowed. Returns 0 or -ENOMEM. */
int batch_builder_new(struct batch_builder **ret, const struct catalog *cat, size_t samples_max,
		      uint32_t time_unit_ns) must_check;
/* What is encoded from now on needs this dictionary to be read. It must be of the builder's catalog
 * and is borrowed; NULL: none. Returns 0 or -ENOMEM, with the one before still in use. */
int batch_builder_use(struct batch_builder *b, const struct dictionary *dictionary) must_check;
/* How sections are written: for training, which looks on. */
void batch_builder_code(struct batch_builder *b, const struct section_code *code);
struct batch_builder *batch_builder_free(struct batch_builder *b);
void batch_builder_reset(struct batch_builder *b);

/* Adds samples of one message, taken at one time (mono, ns); signals in ascending order. Copies;
 * allocates nothing. Returns 0, or BATCH_FULL with nothing added: also for a time that is some 2^31
 * units from the first one's, and when the rows would have too many cells. */
int batch_builder_add(struct batch_builder *b, uint32_t message, int64_t mono_ns,
		      const struct sample *samples, size_t n) must_check;
size_t batch_builder_count(const struct batch_builder *b); /* samples */
int64_t batch_builder_first_ns(const struct batch_builder *b);
int64_t batch_builder_last_ns(const struct batch_builder *b);

/* Appends the Batch as an envelope's body. The header's epoch and seq are
 * not part of it. Returns 0, -ENOMEM, -EMSGSIZE (out->max). The builder is left as it was. */
int batch_builder_encode(struct batch_builder *b, const struct batch_header *h, struct buf *out,
			 uint32_t *ret_encoding) must_check;

/* ---- reading: bytes come from the network, all is checked ---- */

/* Bounds of what a body that lies can cost: some 60 MiB, and 50 ms more than its samples do. */
enum {
	BATCH_INFLATED_MAX = 16 << 20,
	BATCH_SAMPLES_MAX = 1 << 20,
	BATCH_SECTIONS_MAX = 512,
	BATCH_CELLS_MAX = 1 << 22, /* of all groups, rows times signals of the message */
};

struct batch; /* a decoded batch */

/* One signal's samples, in the order of time. */
struct batch_column {
	uint32_t signal;
	size_t n;
	const int64_t *wall_ns;
	const uint64_t *raw;
};

/* Inflates and parses the header of a body; needs no catalog. Returns 0; -EBADMSG with err;
 * -ENOMEM. The epoch and seq of the header come from the envelope. */
int batch_read(struct batch **ret, const struct envelope *e, struct error *err) must_check;
struct batch *batch_free(struct batch *b);
const struct batch_header *batch_get_header(const struct batch *b);
uint64_t batch_sample_count(const struct batch *b); /* as the batch claims; checked by decoding */
int64_t batch_first_wall_ns(const struct batch *b); /* bounds of the samples' times, as claimed */
int64_t batch_last_wall_ns(const struct batch *b);

/* Gives it the dictionary that its header names; borrowed until it is freed. */
void batch_use(struct batch *b, const struct dictionary *dictionary);

/* Decodes all columns, or those of one signal (CATALOG_NONE: all), and calls back for each; the
 * arrays live for the call. The callback returns 0, or an error that ends the walk and is returned.
 * Returns 0; -EBADMSG with err (also: a signal or message that is not in cat, a count that is
 * wrong); -ESTALE: cat is not the batch's, or the dictionary that it has been given. Nothing is
 * called back for a batch that is bad anywhere when all columns are asked for. */
int batch_columns(struct batch *b, const struct catalog *cat, uint32_t signal,
		  int (*cb)(void *ctx, const struct batch_column *col), void *ctx,
		  struct error *err) must_check;
