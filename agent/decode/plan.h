/* agent/decode/plan.h: frames to raw integers by a plan compiled per (bus, id).
 *
 * Compiled once from a catalog and the set of wanted signals. Decoding allocates nothing, compares
 * no string, and costs in proportion to the wanted signals of the frame's message alone. */
#pragma once

#include "agent/source/frame.h"
#include "proto/batch.h"
#include "proto/catalog.h"

struct plan;

/* wanted: one byte a signal of cat, nonzero: decode it; NULL: all. cat is borrowed. Returns 0 or
 * -ENOMEM. */
int plan_new(struct plan **ret, const struct catalog *cat, const uint8_t *wanted) must_check;
struct plan *plan_free(struct plan *p);
/* Most samples that one payload can give: the size that out needs. */
size_t plan_samples_max(const struct plan *p);

/* The message of a frame, or CATALOG_NONE: exact (bus, id, 11/29 bits) first, then J1939 by PGN. */
uint32_t plan_message(const struct plan *p, uint16_t bus, uint32_t id, bool extended);
/* The J1939 message that transport carries, or CATALOG_NONE. id is that of a single frame, but for
 * the priority: transport has one of its own (SAE J1939-21 §5.10), so any will do. */
uint32_t plan_carried(const struct plan *p, uint16_t bus, uint32_t id);

/* The message by which the agent tells the status of a bus, or CATALOG_NONE. */
uint32_t plan_status(const struct plan *p, uint16_t bus);
/* Whether any signal of the message is wanted. */
bool plan_wants(const struct plan *p, uint32_t message);

/* Decodes the wanted signals that lie wholly inside len bytes and whose multiplexors select them,
 * in ascending signal number. Returns how many samples were written. */
size_t plan_decode(const struct plan *p, uint32_t message, const uint8_t *data, size_t len,
		   struct sample *out);
