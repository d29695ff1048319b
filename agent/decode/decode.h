/* agent/decode/decode.h: frames in, samples out: the plan, with ISO-TP and J1939 transport where a
 * message needs them.
 *
 * A message that is declared longer than its frame can carry is an ISO-TP payload: above 8 bytes on
 * a classic frame, above 64 on a CAN FD frame, and not J1939. Its signals are decoded from [length
 * byte + payload] when the last frame has come. A J1939 message comes in a frame of its own or by
 * transport (TP.CM, TP.DT), whatever length is declared; then its signals are decoded from the
 * payload when the last packet has come. */
#pragma once

#include "agent/decode/isotp.h"
#include "agent/decode/j1939tp.h"
#include "agent/decode/plan.h"

struct decoder;

/* cat is borrowed, wanted is read only here (see plan_new). Returns 0 or -ENOMEM. */
int decoder_new(struct decoder **ret, const struct catalog *cat, const uint8_t *wanted) must_check;
struct decoder *decoder_free(struct decoder *d); /* NULL is fine; always returns NULL */
/* Most samples that one frame can give: the size that out needs. */
size_t decoder_samples_max(const struct decoder *d);

/* Decodes a frame whose bus is the catalog's. *ret_message is its message, or CATALOG_NONE where
 * the catalog has none (remote and error frames, too). Returns how many samples were written, in
 * ascending signal number: 0 also for a frame of ISO-TP or J1939 transport that completes nothing.
 * For the latter the message is the one that is under way. Allocates nothing. */
size_t decoder_frame(struct decoder *d, const struct frame *f, uint32_t *ret_message,
		     struct sample *out);

/* The same for what is put together already. */
size_t decoder_payload(struct decoder *d, const struct payload *p, uint32_t *ret_message,
		       struct sample *out);

/* Payloads of this id come by decoder_payload from here on: frames of it give nothing. An id that
 * is no message is fine. */
void decoder_claim(struct decoder *d, uint16_t bus, uint32_t id, bool extended);

/* The frames of a bus that can give wanted samples, J1939 transport included. Writes at most max;
 * returns how many there are. */
size_t decoder_matches(const struct decoder *d, uint16_t bus, struct frame_match *out, size_t max);

const struct isotp_counters *decoder_isotp(const struct decoder *d);
/* NULL where no J1939 message is wanted. */
const struct j1939tp_counters *decoder_j1939(const struct decoder *d);
