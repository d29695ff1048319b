/* Which signal decides whether another is present. */
#include "tools/dbc/model.h"

#include <inttypes.h>

enum { MUX_DEPTH_MAX = 16 }; /* the catalog's */

/* The multiplexor of all that SG_MUL_VAL_ does not speak of: the one that is just M. */
static uint32_t find_root(struct dbc *d, const struct dbc_report *r, const struct dbc_message *m)
{
	uint32_t root = CATALOG_NONE;

	for (uint32_t i = m->first_signal; i < m->first_signal + m->n_signals; i++) {
		const struct dbc_signal *s = &d->signals[i];

		if (s->skipped || !s->marked_mux || s->marked_muxed || s->mux != CATALOG_NONE)
			continue;
		if (root == CATALOG_NONE)
			root = i;
		else
			dbc_warn(r, s->line,
				 "message %s has two multiplexors without a value of their own: %s "
				 "decides where SG_MUL_VAL_ does not say otherwise",
				 m->name, d->signals[root].name);
	}
	return root;
}

static int set_root(struct dbc *d, struct dbc_signal *s, uint32_t root)
{
	s->ranges = dbc_arena_alloc(&d->arena, sizeof(*s->ranges));
	if (!s->ranges)
		return -ENOMEM;
	*s->ranges = (struct catalog_range){.from = s->mux_value, .to = s->mux_value};
	s->n_ranges = 1;
	s->mux = root;
	return 0;
}

static int link_message(struct dbc *d, const struct dbc_report *r, const struct dbc_message *m)
{
	uint32_t root = find_root(d, r, m);

	for (uint32_t i = m->first_signal; i < m->first_signal + m->n_signals; i++) {
		struct dbc_signal *s = &d->signals[i];

		if (s->skipped || !s->marked_muxed || s->mux != CATALOG_NONE)
			continue;
		if (root == CATALOG_NONE) {
			dbc_error(r, s->line,
				  "signal %s is multiplexed (m%" PRIu64
				  "), but message %s has no multiplexor: skipped",
				  s->name, s->mux_value, m->name);
			s->skipped = true;
		} else if (set_root(d, s, root) < 0) {
			return -ENOMEM;
		}
	}
	return 0;
}

/* Why the multiplexors that s hangs from cannot decide, or NULL. */
static const char *chain_fault(const struct dbc *d, const struct dbc_signal *s)
{
	for (int depth = 0; s->mux != CATALOG_NONE; depth++) {
		if (depth == MUX_DEPTH_MAX)
			return "its multiplexors form a circle or are nested too deep";
		s = &d->signals[s->mux];
		if (s->skipped)
			return "its multiplexor is skipped";
		if (s->kind == SIGNAL_FLOAT32 || s->kind == SIGNAL_FLOAT64)
			return "its multiplexor is a floating point number";
	}
	return NULL;
}

static uint64_t raw_max(const struct dbc_signal *s)
{
	unsigned bits = s->kind == SIGNAL_SIGNED ? s->bits - 1 : s->bits;

	return bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
}

static void check_reach(const struct dbc *d, const struct dbc_report *r, const struct dbc_signal *s)
{
	const struct dbc_signal *mux = &d->signals[s->mux];

	if (s->n_ranges > 0 && s->ranges[0].from > raw_max(mux))
		dbc_warn(r, s->line,
			 "signal %s is never present: multiplexor %s cannot be %" PRIu64, s->name,
			 mux->name, s->ranges[0].from);
}

/* One pass is enough: a fault of a multiplexor is also one of all that hang from it. */
static void drop_undecidable(struct dbc *d, const struct dbc_report *r)
{
	for (size_t i = 0; i < d->n_signals; i++) {
		struct dbc_signal *s = &d->signals[i];
		const char *fault = s->skipped ? NULL : chain_fault(d, s);

		if (!fault)
			continue;
		dbc_error(r, s->line, "signal %s: %s: skipped", s->name, fault);
		s->skipped = true;
	}
}

int dbc_resolve_muxes(struct dbc *d, const struct dbc_report *r)
{
	for (size_t i = 0; i < d->n_messages; i++)
		if (link_message(d, r, &d->messages[i]) < 0)
			return -ENOMEM;
	drop_undecidable(d, r);
	for (size_t i = 0; i < d->n_signals; i++) {
		struct dbc_signal *s = &d->signals[i];

		if (s->skipped || s->mux == CATALOG_NONE)
			continue;
		d->signals[s->mux].is_mux = true;
		check_reach(d, r, s);
	}
	return 0;
}
