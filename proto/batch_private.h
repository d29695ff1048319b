/* proto/batch_private.h: what the writer and the reader of batches share. */
#pragma once

#include "proto/batch.h"
#include "proto/columns.h"

enum {
	BATCH_FORMAT = 0,
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
};

static inline bool signal_is_signed(const struct catalog_signal *s)
{
	return s->kind == SIGNAL_SIGNED;
}
