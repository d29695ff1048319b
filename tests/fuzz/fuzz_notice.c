/* Any bytes as an envelope, a gap and a clock; what decodes must encode to what decodes the same.
 */
#include "proto/clock.h"
#include "proto/gap.h"

#include <string.h>

static void try_gap(const uint8_t *data, size_t size)
{
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 10);
	struct gap g, again;

	if (gap_decode(&g, 1, data, size, NULL) < 0)
		return;
	if (gap_encode(&g, &out) < 0 || gap_decode(&again, 1, out.data, out.len, NULL) < 0 ||
	    g.through != again.through || g.reason != again.reason || g.batches != again.batches ||
	    g.samples != again.samples || g.first_ns != again.first_ns ||
	    g.last_ns != again.last_ns || !gap_reason_name(g.reason))
		abort();
}

static void try_clock(const uint8_t *data, size_t size)
{
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 10);
	struct clock_notice n, again;

	if (clock_notice_decode(&n, data, size, NULL) < 0)
		return;
	if (clock_notice_encode(&n, &out) < 0 ||
	    clock_notice_decode(&again, out.data, out.len, NULL) < 0 ||
	    n.boot_id != again.boot_id || n.wall_ns != again.wall_ns ||
	    n.mono_ns != again.mono_ns || n.quality != again.quality)
		abort();
}

static void try_envelope(const uint8_t *data, size_t size)
{
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 20);
	struct envelope e, again;
	struct error err;

	if (envelope_decode(&e, data, size, &err) < 0)
		return;
	try_gap(e.body, e.body_len);
	try_clock(e.body, e.body_len);
	if (envelope_encode(&e, &out) < 0 || envelope_decode(&again, out.data, out.len, &err) < 0 ||
	    e.epoch != again.epoch || e.seq != again.seq || e.encoding != again.encoding ||
	    e.origin_epoch != again.origin_epoch || e.origin_seq != again.origin_seq ||
	    e.introduces != again.introduces || e.body_len != again.body_len ||
	    memcmp(e.body, again.body, e.body_len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_envelope(data, size);
	try_gap(data, size);
	try_clock(data, size);
	return 0;
}
