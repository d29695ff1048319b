/* tests/unit/plan_world.h: catalogs for the tests of plans, and a decoder that takes a bit at a
 * time to hold them against. */
#pragma once

#include "agent/decode/plan.h"

enum { SIGNALS = 400, MESSAGES = 64, RANGES = 4, NAME = 16 };

/* A catalog under construction, with room of its own for everything. */
struct world {
	struct catalog_signal signals[SIGNALS];
	struct catalog_message messages[MESSAGES];
	struct catalog_range ranges[SIGNALS][RANGES];
	char names[SIGNALS][NAME];
	char message_names[MESSAGES][NAME];
	const char *buses[2];
	struct catalog desc;
	struct catalog *cat;
};

/* Random numbers, the same in every run; a test sets the seed before it draws. */
extern uint64_t seed;
uint64_t rnd(void);
unsigned below(unsigned n);

void world_init(struct world *w);
struct catalog_message *world_message(struct world *w, uint16_t bus, uint32_t id, bool extended,
				      unsigned bytes);
/* Both add to the message added last; the random one lies anywhere inside its bytes. */
struct catalog_signal *world_signal(struct world *w, unsigned start, unsigned bits, bool big,
				    enum signal_kind kind);
struct catalog_signal *world_random_signal(struct world *w, unsigned bytes);
/* Adds a range of values of the signal mux for which s is there. */
void world_mux(struct world *w, struct catalog_signal *s, uint32_t mux, uint64_t from, uint64_t to);
void world_build(struct world *w); /* makes w->cat, which the test frees */

struct plan *plan_of(const struct catalog *cat, const uint8_t *wanted);
/* Decodes both ways and asserts that they agree; returns how many samples came. The data is put at
 * the very end of a block, so that a sanitizer sees any byte read beyond it. */
size_t compare(const struct plan *p, const struct catalog *cat, const uint8_t *wanted,
	       uint32_t message, const uint8_t *data, size_t len);

void random_data(uint8_t *data, size_t len);
size_t random_len(unsigned bytes); /* as declared, shorter, or longer by up to 8 */
