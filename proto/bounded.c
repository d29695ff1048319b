#include "proto/bounded.h"

#include <stdalign.h>

enum { BLOCK_MIN = 16 << 10 };

struct bounded_block {
	struct bounded_block *next;
	size_t used, size;
	alignas(max_align_t) uint8_t data[];
};

static struct bounded_block *block_new(size_t payload)
{
	struct bounded_block *blk;

	blk = malloc(sizeof(*blk) + payload);
	if (!blk)
		return NULL;
	blk->used = 0;
	blk->size = payload;
	return blk;
}

static void *bounded_alloc(void *ctx, size_t size)
{
	struct bounded *b = ctx;
	struct bounded_block *blk = b->blocks;
	void *p;

	if (size > b->max - b->used) {
		b->exceeded = true;
		return NULL;
	}
	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (!blk || size > blk->size - blk->used) {
		/* Blocks grow with what is in use: few of them, and little waste. */
		size_t payload = b->used / 2 > BLOCK_MIN ? b->used / 2 : BLOCK_MIN;

		blk = block_new(size > payload ? size : payload);
		if (!blk)
			return NULL;
		blk->next = b->blocks;
		b->blocks = blk;
	}
	p = blk->data + blk->used;
	blk->used += size;
	b->used += size <= b->max - b->used ? size : b->max - b->used;
	return p;
}

static void bounded_release(void *ctx, void *p)
{
	(void)ctx; /* all is freed at once */
	(void)p;
}

void bounded_init(struct bounded *b, size_t max)
{
	*b = (struct bounded){
		.allocator = {.alloc = bounded_alloc, .free = bounded_release, .allocator_data = b},
		.max = max,
	};
}

void bounded_free(struct bounded *b)
{
	struct bounded_block *blk = b->blocks;

	while (blk) {
		struct bounded_block *next = blk->next;

		free(blk);
		blk = next;
	}
	b->blocks = NULL;
}
