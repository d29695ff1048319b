/* proto/context.h: header compression of envelopes: what batches of one lane have in common is sent
 * once.
 *
 * A lane is a (device, class). A whole Envelope whose `introduces` is set introduces a context: its
 * epoch, seq, and the header fields of its Batch. Once the relay says in a receipt that it has
 * stored that context, later envelopes of the lane may be sent short, as the difference to it:
 *
 *   0x01          no Envelope starts with this byte: 0 is no field number of protobuf
 *   id            4 bytes, little-endian: the first of the context's SHA-256
 *   seq           varint, zigzag: less the context's
 *   mono          varint, zigzag: less what is expected: the context's + seq (as above) * period
 *   first         varint, zigzag: less what is expected: the context's + the difference in mono
 *   body          Batch fields that the context does not have, or has otherwise; then its sections
 *
 * Expanding gives back the very bytes of the whole Envelope, or fails: what is stored, receipted
 * and decoded never knows of contexts. A relay that does not know an id (it lost its disk) says so
 * in a receipt, and gets the envelope whole. */
#pragma once

#include "proto/envelope.h"

enum {
	CONTEXT_MARK = 0x01,
	CONTEXT_HEADER_MAX = 128, /* bytes of the header fields of a Batch */
	CONTEXT_BYTES_MAX = 192,  /* of context_encode */
};

struct context {
	uint32_t id;
	uint64_t epoch, seq;
	uint64_t period; /* by what mono grows from one seq to the next, in units; 0: not known */
	uint8_t header[CONTEXT_HEADER_MAX]; /* fields of the Batch before its sections */
	size_t header_len;
};

/* The context that a whole envelope introduces with this period. Returns 0, or -EINVAL: its body is
 * no Batch with its fields in order, or its header is too long. */
int context_make(struct context *ret, const struct envelope *e, uint64_t period) must_check;

/* Whether e can be sent short under c; then appends it to out. Returns 1 when appended; 0: it
 * cannot, or not with fewer bytes; -ENOMEM, -EMSGSIZE. What it appends was expanded again and
 * compared. */
int context_compress(const struct context *c, const struct envelope *e, struct buf *out) must_check;

static inline bool context_is_short(const void *bytes, size_t len)
{
	return len > 0 && *(const uint8_t *)bytes == CONTEXT_MARK;
}

/* Id and seq difference of a short envelope. Returns 0, or -EBADMSG with err. */
int context_peek(const void *bytes, size_t len, uint32_t *ret_id, int64_t *ret_seq_less,
		 struct error *err) must_check;
/* Appends the whole body to body and fills ret, which borrows it. Returns 0; -EBADMSG with err;
 * -ENOMEM, -EMSGSIZE. The id must be c's. */
int context_expand(const struct context *c, const void *bytes, size_t len, struct buf *body,
		   struct envelope *ret, struct error *err) must_check;

/* Mono time of a whole batch, in its units; 0: it has none. */
int64_t context_mono(const struct envelope *e);

/* For keeping a context on disk. 0, -ENOMEM, -EMSGSIZE. */
int context_encode(const struct context *c, struct buf *out) must_check;
/* Returns 0, or -EBADMSG. The id is made anew. */
int context_decode(struct context *ret, const void *bytes, size_t len) must_check;
