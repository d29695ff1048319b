/* proto/batch_rebase.h: the clock of an encoded batch, read and corrected without decoding it.
 *
 * Only the header's fields are looked at, by number: sections of whatever format, and fields that
 * this version does not know, pass as they are. */
#pragma once

#include "proto/batch.h"

/* What a body says of its earliest sample's times. */
struct batch_clock {
	uint64_t boot_id;
	int64_t wall_ns; /* a whole number of units */
	int64_t mono_ns; /* likewise */
	int64_t unit_ns;
	enum clock_quality quality;
};

/* body: as ENCODING_BATCH has it. Returns 0, or -EBADMSG with err. */
int batch_clock_read(struct batch_clock *ret, const void *body, size_t len,
		     struct error *err) must_check;
/* Appends the body, with times as of a clock of this quality that says wall_ns at mono_ns. It
 * decodes to the same samples; as many bytes, give or take four. Returns 0; -EBADMSG with err, also
 * for times that leave the range of 64 bits, or come before 1970; -ENOMEM, -EMSGSIZE (out->max).
 */
int batch_rebase(const void *body, size_t len, int64_t wall_ns, int64_t mono_ns,
		 enum clock_quality quality, struct buf *out, struct error *err) must_check;
