/* relay/stream/contexts.h: what short envelopes refer to (proto/context.h). */
#pragma once

#include "relay/stream/stream.h"

enum { STREAM_CONTEXTS_MAX = 4 }; /* of a (device, class): the latest */

/* Part of the transaction that stores the batch which introduces it. bytes: of context_encode. */
int stream_put_context(struct stream *s, int64_t vehicle, int64_t device, enum uplink_class class,
		       const void *bytes, size_t len) must_check;
/* In the order of their coming; bytes are borrowed for the call, and cb's error ends the walk. */
int stream_each_context(struct stream *s, int64_t device,
			int (*cb)(void *ctx, enum uplink_class class, const void *bytes,
				  size_t len),
			void *ctx) must_check;
