/* agent/collect/collect.h: which samples go into a batch, how often, and of which class.
 *
 * Rules are compiled to one small state a signal. Nothing here allocates after collect_new, and
 * nothing compares strings. */
#pragma once

#include "proto/batch.h"
#include "proto/catalog.h"
#include "proto/topic.h"

enum collect_mode {
	COLLECT_EVERY,	/* each sample */
	COLLECT_CHANGE, /* the first, then each that differs from the last one collected */
	COLLECT_PERIOD, /* the first of each period: at most one in it, on a grid of mono time */
};

/* One pattern of one [collect] section. The first rule that matches a signal decides. */
struct collect_rule {
	const char *pattern; /* "bus.message.signal"; * stands for any text but dots in a part,
			      * and a pattern that is only * for everything. Borrowed for the
			      * call of collect_new */
	enum collect_mode mode;
	int64_t period_ns; /* COLLECT_PERIOD */
	enum uplink_class class;
	const char *origin; /* "agent.conf:42 [collect NAME]", for messages; borrowed likewise */
};

struct collect;

/* cat is borrowed for the life of the result. Returns 0; -EINVAL with err: a pattern that is
 * malformed, or matches no signal of cat (a pattern whose signals earlier rules took is fine);
 * -ENOMEM. */
int collect_new(struct collect **ret, const struct catalog *cat, const struct collect_rule *rules,
		size_t n_rules, struct error *err) must_check;
struct collect *collect_free(struct collect *c); /* NULL is fine; always returns NULL */

/* One byte a signal of the catalog, nonzero where some rule matches: what the plan decodes. */
const uint8_t *collect_wanted(const struct collect *c);
size_t collect_wanted_count(const struct collect *c);
/* Bit 1 << class for each class that some signal has. */
unsigned collect_classes(const struct collect *c);

/* What is left of one message's samples. */
struct collected {
	enum uplink_class class;
	struct sample *samples;
	size_t n;
};

/* Filters samples of one message at one time; all must be wanted ones, in ascending order. The
 * result has a run a class, at most CLASS_COUNT, in ret; they live in `samples` itself, or, where
 * a message has several classes, in memory of c until the next call. Returns the number of runs. */
size_t collect_apply(struct collect *c, uint32_t message, int64_t mono_ns, struct sample *samples,
		     size_t n, struct collected ret[static CLASS_COUNT]);
