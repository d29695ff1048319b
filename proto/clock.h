/* proto/clock.h: what a boot's clock turned out to be, told once it is known.
 *
 * An Envelope with ENCODING_CLOCK. Batches of that boot which were closed while the clock was worse
 * have mono times that are right and wall times that are not: wall = wall_ns + (mono - mono_ns). */
#pragma once

#include "proto/batch.h"

struct clock_notice {
	uint64_t boot_id;
	int64_t wall_ns, mono_ns; /* one moment on both clocks */
	enum clock_quality quality;
};

/* Appends a Clock as an envelope's body. Returns 0, -ENOMEM, -EMSGSIZE. */
int clock_notice_encode(const struct clock_notice *n, struct buf *out) must_check;
/* Returns 0, or -EBADMSG with err. */
int clock_notice_decode(struct clock_notice *ret, const void *bytes, size_t len,
			struct error *err) must_check;
