/* Any bytes as a receipt; one that decodes must encode to something that decodes the same. */
#include "proto/receipt.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out cleanup(buf_free) = BUF_INIT(64 << 10);
	struct receipt r, again;
	struct error err;

	if (receipt_decode(&r, data, size, &err) < 0)
		return 0;
	if (receipt_encode(&r, &out) < 0 || receipt_decode(&again, out.data, out.len, &err) < 0 ||
	    r.epoch != again.epoch || r.class != again.class || r.n_ranges != again.n_ranges ||
	    r.n_nacks != again.n_nacks ||
	    memcmp(r.ranges, again.ranges, r.n_ranges * sizeof(*r.ranges)) != 0)
		abort();
	return 0;
}
