/* Any bytes as the body of a batch whose clock is corrected: what is written says what was asked
 * for, the same again changes nothing, and what could be read before still can, with as many
 * samples. */
#include "proto/batch_rebase.h"

#include <string.h>

enum { BYTES_MAX = 1 << 20 };
#define WALL_NS INT64_C(1700000000000000000)

static bool can_read(const uint8_t *body, size_t len, uint64_t *ret_samples)
{
	struct envelope e = {.epoch = 1, .seq = 1, .body = body, .body_len = len};
	struct batch *b;
	struct error err;

	if (batch_read(&b, &e, &err) < 0)
		return false;
	*ret_samples = batch_sample_count(b);
	batch_free(b);
	return true;
}

static void check(const uint8_t *data, size_t size, const struct buf *out,
		  const struct batch_clock *before)
{
	struct buf again cleanup(buf_free) = BUF_INIT(BYTES_MAX);
	struct batch_clock after;
	struct error err;
	uint64_t samples, samples_after;

	if (batch_clock_read(&after, out->data, out->len, &err) < 0 ||
	    after.mono_ns != before->mono_ns || after.boot_id != before->boot_id ||
	    after.quality != CLOCK_SYNCED)
		abort();
	if (batch_rebase(out->data, out->len, WALL_NS, 0, CLOCK_SYNCED, &again, &err) < 0 ||
	    again.len != out->len || memcmp(again.data, out->data, out->len) != 0)
		abort();
	/* A span may leave the range with the new first. */
	if (can_read(data, size, &samples) && before->mono_ns < WALL_NS &&
	    (!can_read(out->data, out->len, &samples_after) || samples != samples_after))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out cleanup(buf_free) = BUF_INIT(BYTES_MAX);
	struct batch_clock before;
	struct error err;

	if (size > BYTES_MAX / 2 || batch_clock_read(&before, data, size, &err) < 0)
		return 0;
	if (batch_rebase(data, size, WALL_NS, 0, CLOCK_SYNCED, &out, &err) == 0 && out.len > 0)
		check(data, size, &out, &before);
	return 0;
}
