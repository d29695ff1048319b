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

static void count_used(struct bounded *b, size_t size)
{
	b->used += size <= b->max - b->used ? size : b->max - b->used;
}

static void *take_lent(struct bounded *b, size_t size)
{
	void *p = b->lent;

	b->lent += size;
	b->n_lent -= size;
	count_used(b, size);
	return p;
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
	if (b->n_lent > 0 && size <= b->n_lent)
		return take_lent(b, size);
	if (!blk || size > blk->size - blk->used) {
		/* Blocks grow with what is in use: few of them, and little waste. */
		size_t payload = b->used / 2 > BLOCK_MIN ? b->used / 2 : BLOCK_MIN;

		blk = block_new(size > payload ? size : payload);
		if (!blk) {
			b->no_memory = true;
			return NULL;
		}
		blk->next = b->blocks;
		b->blocks = blk;
	}
	p = blk->data + blk->used;
	blk->used += size;
	count_used(b, size);
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

void bounded_lend(struct bounded *b, void *room, size_t size)
{
	assert((uintptr_t)room % alignof(max_align_t) == 0);
	b->lent = room;
	b->n_lent = size;
}

int bounded_error(const struct bounded *b, struct error *err)
{
	if (!b->no_memory)
		return -EBADMSG;
	error_set(err, "no memory");
	return -ENOMEM;
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
