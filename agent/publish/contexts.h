/* agent/publish/contexts.h: when an envelope goes short, and when it introduces a context
 * (proto/context.h). One lane a class.
 *
 * A lane offers a context with one whole envelope, and uses it from the first receipt that names
 * it, for as long as the relay knows it: across connections. When much differs from it, or little
 * fits, another is offered, with a pause in between. Pure bookkeeping. */
#pragma once

#include "proto/context.h"
#include "proto/topic.h"

struct contexts;

int contexts_new(struct contexts **ret) must_check; /* 0 or -ENOMEM */
struct contexts *contexts_free(struct contexts *c);

/* Appends e as it is to be sent: short, with the id of its context in ret_id, or whole (0), where
 * it may introduce one. What goes again goes whole: perhaps it could not be read, and a relay of an
 * earlier version does not even say so. Returns 0, -ENOMEM, -EMSGSIZE. */
int contexts_encode(struct contexts *c, enum uplink_class class, const struct envelope *e,
		    bool again, struct buf *out, uint32_t *ret_id) must_check;
/* A receipt says that the relay has stored a context of this lane. */
void contexts_stored(struct contexts *c, enum uplink_class class, uint32_t id);
/* A receipt says that the relay does not know one: it is used no more. Returns whether it was. */
bool contexts_unknown(struct contexts *c, enum uplink_class class, uint32_t id);
