/* proto/bounded.h: an allocator for protobuf-c with an upper bound, for bytes from outside.
 *
 * protobuf-c allocates per field and trusts lengths up to those of the message, so a few bytes on
 * the wire (an empty sub-message is two) can cost a hundred in memory. This one hands out pieces of
 * few large blocks, refuses beyond `max` bytes (the parser then fails cleanly), and frees all at
 * once. It serves unpacking; the message unpacked is not freed, the arena is. */
#pragma once

#include "base/base.h"

#include <protobuf-c/protobuf-c.h>

struct bounded_block;

struct bounded {
	ProtobufCAllocator allocator; /* pass &b->allocator */
	struct bounded_block *blocks; /* newest first */
	size_t used;		      /* bytes handed out */
	size_t max;
	bool exceeded; /* max was the reason for a failure */
	bool no_memory;
	uint8_t *lent;
	size_t n_lent;
};

void bounded_init(struct bounded *b, size_t max);
/* Memory of the caller's, aligned as malloc's is: it is handed out first. */
void bounded_lend(struct bounded *b, void *room, size_t size);
/* Why unpacking failed: -ENOMEM, with err, or -EBADMSG: the bytes are wrong, or too much for max.
 */
int bounded_error(const struct bounded *b, struct error *err) must_check;
void bounded_free(struct bounded *b); /* fits cleanup() */
