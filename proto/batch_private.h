/* proto/batch_private.h: what the writer and the reader of batches share. */
#pragma once

#include "proto/batch.h"
#include "proto/columns.h"
#include "proto/dictionary.h"

enum {
	BATCH_FORMAT_0 = 0,
	BATCH_FORMAT = 1, /* as written */
	BATCH_UNIT_DEFAULT_NS = 1000000,
	/* A section is closed with the group that takes it past this. Small enough that one signal
	 * is found without decoding much else, large enough that its beginning does not count. */
	SECTION_BYTES = 2048,
	LEADERS = 6, /* groups that a group's times may follow */
};

/* Field numbers of batch.proto, for the writer. */
enum {
	FIELD_FORMAT = 1,
	FIELD_BOOT_ID,
	FIELD_CATALOG,
	FIELD_FIRST,
	FIELD_SPAN,
	FIELD_MONO,
	FIELD_SAMPLES,
	FIELD_TIME_UNIT,
	FIELD_CLOCK_QUALITY,
	FIELD_CAMPAIGN,
	FIELD_CONSENT_EPOCH,
	FIELD_SECTIONS,
	FIELD_SECTION_MESSAGES,
	FIELD_DICTIONARY,
};

/* What is known of a column; NULL: nothing, as of a signal that was never used. */
static inline const struct column_prior *known_column(const struct column_prior *priors, uint32_t i)
{
	return priors && priors[i].used > USED_NEVER ? &priors[i] : NULL;
}

/* The model of whether a signal is used: `before` says it of the signal before. */
static inline struct bit *used_bit(struct section_models *m, const struct column_prior *priors,
				   uint32_t i, bool before)
{
	return &m->used[priors ? priors[i].used : 0][before];
}

/* The messages that a dictionary expects in a section, in turn. */
struct expecting {
	const struct dictionary *dictionary; /* NULL: none */
	size_t at;
};

/* From message `base` on. */
static inline void expecting_from(struct expecting *e, uint64_t base)
{
	const struct dictionary *d = e->dictionary;

	while (d && e->at < d->n_messages && d->messages[e->at].message < base)
		e->at++;
}

/* The next one, or CATALOG_NONE. */
static inline uint32_t expecting_message(const struct expecting *e)
{
	const struct dictionary *d = e->dictionary;

	return e->at < d->n_messages ? d->messages[e->at].message : CATALOG_NONE;
}

/* The model of whether it comes. */
static inline struct bit *expecting_bit(const struct expecting *e, struct section_models *m)
{
	const struct dictionary *d = e->dictionary;

	return &m->expected[e->at < d->n_messages ? d->messages[e->at].presence : PRESENCES - 1];
}

static inline bool signal_is_signed(const struct catalog_signal *s)
{
	return s->kind == SIGNAL_SIGNED;
}
