/* tools/cli/decode_out.h: decoded samples as lines of CSV or JSON, fast.
 *
 * What does not change from frame to frame (names, quoted or escaped) is prepared once; lines go
 * through a buffer of its own. */
#pragma once

#include "agent/source/frame.h"
#include "proto/batch.h"
#include "proto/catalog.h"

struct decode_out;

/* Opens path for writing (NULL or "-": standard output) and writes CSV's header. cat is borrowed.
 * Returns 0; -errno with err. */
int decode_out_new(struct decode_out **ret, const struct catalog *cat, bool json, const char *path,
		   struct error *err) must_check;
/* Discards what was not flushed; NULL is fine; always returns NULL. */
struct decode_out *decode_out_free(struct decode_out *o);

/* The samples of the number-th frame of the log (from 1). Returns 0, or -errno: something earlier
 * could not be written; decode_out_flush says what. */
int decode_out_frame(struct decode_out *o, uint64_t number, const struct frame *f,
		     const struct sample *samples, size_t n) must_check;
/* Returns 0, or the first -errno of writing with err. */
int decode_out_flush(struct decode_out *o, struct error *err) must_check;
