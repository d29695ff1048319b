/* agent/diag/coverage.h: what the catalog knows of a response, and whether anybody wants it.
 *
 * A response is named by its first bytes: service and identifier. The signals that it can bring
 * are those of its message that begin after these bytes and whose multiplexors select them, as far
 * as these bytes decide that. */
#pragma once

#include "proto/catalog.h"

struct coverage {
	const struct catalog *cat; /* borrowed */
	uint32_t message;	   /* CATALOG_NONE: no signals at all */
	bool (*wants)(void *ctx, uint32_t signal);
	void *ctx;
};

/* The message of a response identifier, or CATALOG_NONE. */
uint32_t coverage_message(const struct catalog *cat, uint16_t bus, uint32_t id, bool extended);

struct covered {
	bool wanted;  /* some signal of it is collected */
	size_t bytes; /* from the end of the first bytes to the end of its last signal; 0: none */
};

/* first: the payload's first n bytes, at most COVERAGE_FIRST_MAX. */
enum { COVERAGE_FIRST_MAX = 8 };
struct covered coverage_of(const struct coverage *c, const uint8_t *first, size_t n);
