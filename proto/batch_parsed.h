/* proto/batch_parsed.h: a batch whose header is read, for batch_parse.c and batch_read.c. */
#pragma once

#include "proto/batch.pb-c.h"
#include "proto/batch_private.h"
#include "proto/bounded.h"

struct batch {
	struct batch_header header;
	struct bounded arena; /* holds what was unpacked */
	const Towline__V1__Batch *wire;
	int64_t unit;			     /* ns */
	const struct dictionary *dictionary; /* borrowed, or NULL */
};
