/* Any bytes as a context (behind one byte of length), and a short envelope under it: what expands
 * must be a Batch's bytes that compress to something that expands the same. And the rest as a body.
 */
#include "proto/context.h"

#include <string.h>

static void check_compress(const struct context *c, const struct envelope *e)
{
	struct buf packed cleanup(buf_free) = BUF_INIT(1 << 20);
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct envelope back;
	struct error err;

	if (context_compress(c, e, &packed) != 1)
		return;
	if (context_expand(c, packed.data, packed.len, &body, &back, &err) < 0 ||
	    back.seq != e->seq || back.epoch != e->epoch || back.body_len != e->body_len ||
	    memcmp(back.body, e->body, e->body_len) != 0)
		abort();
}

static void check_expand(const struct context *c, const uint8_t *bytes, size_t len)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct envelope e;
	struct error err;

	if (context_expand(c, bytes, len, &body, &e, &err) == 0)
		check_compress(c, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf named cleanup(buf_free) = BUF_INIT(1 << 20);
	struct context c;
	size_t n;

	if (size == 0 || data[0] > size - 1)
		return 0;
	n = data[0];
	if (context_decode(&c, data + 1, n) < 0)
		return 0;
	check_expand(&c, data + 1 + n, size - 1 - n);
	/* The id is a hash: give the bytes the right one, so that what is behind it is read. */
	buf_put_u8(&named, CONTEXT_MARK);
	buf_put_fixed32(&named, c.id);
	buf_put(&named, data + 1 + n, size - 1 - n);
	check_expand(&c, named.data, named.len);
	check_compress(&c, &(struct envelope){.epoch = c.epoch,
					      .seq = c.seq + 1,
					      .body = data + 1 + n,
					      .body_len = size - 1 - n});
	return 0;
}
