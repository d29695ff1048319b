/* base/bytes.h: a bounded growing buffer, a reading cursor, and the integers of our wire format.
 *
 * Varints are those of protobuf: little-endian groups of 7 bits, at most 10 bytes. Zigzag maps
 * signed to unsigned so that small magnitudes stay small. Fixed integers are little-endian. */
#pragma once

#include "base/base.h"

#include <sys/types.h>

/* Grows by doubling up to max, never beyond. Zero-initialised with a max it is a valid empty
 * buffer. A failed append leaves the contents as they were and sets failed, so that a long run of
 * appends needs one check at its end. */
struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max;
	int failed; /* 0, -ENOMEM, or -EMSGSIZE: max was reached; sticky until buf_clear */
};

#define BUF_INIT(max_bytes) ((struct buf){.max = (max_bytes)})

void buf_free(struct buf *b);		     /* fits cleanup() */
void buf_clear(struct buf *b);		     /* keeps the memory */
int buf_reserve(struct buf *b, size_t more); /* 0, -ENOMEM, -EMSGSIZE */
int buf_put(struct buf *b, const void *data, size_t len);
int buf_put_u8(struct buf *b, uint8_t v);
int buf_put_varint(struct buf *b, uint64_t v);
int buf_put_fixed32(struct buf *b, uint32_t v);
int buf_put_fixed64(struct buf *b, uint64_t v);
int buf_printf(struct buf *b, const char *fmt, ...) printf_like(2, 3);
/* NUL-terminates beyond len and returns the text; "" after a failure. Borrowed. */
const char *buf_text(struct buf *b);

static inline uint64_t zigzag_encode(int64_t v)
{
	return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t zigzag_decode(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* A cursor over borrowed bytes. Reads past the end yield zeros and set failed, so that a parser
 * checks once a record, and may never use a length before checking. */
struct cursor {
	const uint8_t *p;
	const uint8_t *end;
	bool failed;
};

static inline struct cursor cursor_of(const void *data, size_t len)
{
	const uint8_t *p = data;

	return (struct cursor){.p = p, .end = p + len, .failed = false};
}

static inline size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}

uint8_t cursor_u8(struct cursor *c);
uint64_t cursor_varint(struct cursor *c);
uint32_t cursor_fixed32(struct cursor *c);
uint64_t cursor_fixed64(struct cursor *c);
/* Borrowed pointer to the next len bytes, or NULL with failed set. */
const uint8_t *cursor_take(struct cursor *c, size_t len);

/* Hex: lower case out; either case in. text needs 2 * len + 1 bytes. */
void hex_encode(const void *data, size_t len, char *text);
/* Returns the number of bytes, or -EINVAL: odd, not hex, or more than max bytes. */
ssize_t hex_decode(const char *text, size_t text_len, void *data, size_t max) must_check;

/* Fills from getrandom(2); aborts if the kernel cannot. */
void random_bytes(void *data, size_t len);
