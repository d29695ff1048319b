/* tests/unit/catalog_draft.h: a small catalog that is right, for tests to spoil. */
#pragma once

#include "proto/catalog.h"
#include "tests/unit/small_catalog.h"

extern const char *const BUSES[2];
extern const struct catalog_range RANGES[2];

struct draft {
	struct catalog_message messages[3];
	struct catalog_signal signals[6];
	struct catalog catalog;
};

/* Two buses, three messages, six signals: wide, big endian, multiplexed, with choices, a float. */
void draft_init(struct draft *d);
struct catalog *draft_build(const struct draft *d); /* asserts that it is right; the caller frees */
