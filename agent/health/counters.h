/* agent/health/counters.h: what the agent counts, shown in the status file.
 *
 * Below all stages: each stage counts what it does. Every counter has one writing thread (front or
 * back) and may be read by any, so a plain load and store suffice: no locked instruction a frame.
 *
 * samples_accepted = samples_acked + samples_dropped + samples_quarantined + outbox_samples holds
 * for a fresh outbox whenever nothing is being committed. */
#pragma once

#include "base/base.h"

#include <stdatomic.h>

/* name, front or back thread, what it means */
#define AGENT_COUNTERS(X)                                                                          \
	X(frames_received, "frames that the pipeline took")                                        \
	X(frames_unknown, "of these: no message of the catalog has the id on that bus")            \
	X(frames_dropped, "frames lost because no batch was free, or the socket overflowed")       \
	X(frames_dropped_busy, "of these: no batch was free")                                      \
	X(frames_dropped_socket, "of these: the kernel's socket buffer was full")                  \
	X(frames_bad, "CAN frames refused, for they contradict themselves")                        \
	X(frames_error, "CAN error frames, told by the controllers")                               \
	X(bus_off, "times that a controller went bus-off")                                         \
	X(bus_restarts, "times that a controller was started again after it")                      \
	X(links_down, "times that a CAN interface went down or away")                              \
	X(payloads_received, "payloads of diagnostics, J1939 sockets and bus status")              \
	X(payloads_unknown, "of these: no message of the catalog has the id on that bus")          \
	X(diag_requests, "diagnostic requests sent")                                               \
	X(diag_responses, "positive responses")                                                    \
	X(diag_negative, "negative responses that ended a request")                                \
	X(diag_timeouts, "requests without a response in time")                                    \
	X(diag_errors, "requests that could not be sent, responses that were not to the point")    \
	X(diag_skipped,                                                                            \
	  "turns of polls that passed: the ECU, or the bus, was too slow, or silent")              \
	X(j1939_messages,                                                                          \
	  "payloads put together from J1939 transport frames, here or by the kernel")              \
	X(j1939_errors,                                                                            \
	  "J1939 transport sessions given up, and announcements that contradict themselves")       \
	X(j1939_requests, "J1939 requests for a PGN sent")                                         \
	X(isotp_messages, "payloads put together from ISO-TP frames")                              \
	X(isotp_errors, "ISO-TP payloads given up")                                                \
	X(lines_read, "lines of replayed logs")                                                    \
	X(lines_bad, "of these: not candump, passed over")                                         \
	X(sources_failed, "times that a source could not be opened or read on")                    \
	X(samples_decoded, "samples of wanted signals in frames")                                  \
	X(samples_collected, "samples that the rules let through")                                 \
	X(batches_closed, "batches handed to the store")                                           \
	X(samples_dropped_front, "collected samples that did not fit any batch")                   \
	X(store_busy, "times that a source waited because no batch was free")                      \
	X(batches_stored, "batches committed to the outbox")                                       \
	X(samples_accepted, "samples in batches committed to the outbox, or lost before")          \
	X(store_failures, "commits that failed, for instance on a full disk; tried again")         \
	X(batches_dropped,                                                                         \
	  "batches lost: quota, age, purge, encoding, stop while the disk was full")               \
	X(samples_dropped, "samples in them")                                                      \
	X(batches_dropped_quota, "of the batches: oldest of the least urgent class, quota full")   \
	X(batches_dropped_expired, "of the batches: older than their class is worth")              \
	X(batches_dropped_unsaved, "of the batches: could not be encoded")                         \
	X(batches_dropped_purge, "of the batches: the relay said that consent is gone")            \
	X(batches_dropped_stop, "of the batches: could not be stored before the agent stopped")    \
	X(batches_published, "batches handed to MQTT, repeats included")                           \
	X(batches_resent, "of these: sent before")                                                 \
	X(batches_rebased, "of these: times put right, now that the clock is known")               \
	X(batches_short, "of these: sent as the difference to a context that the relay has")       \
	X(contexts_lost, "times that the relay did not know a context; what it missed goes again") \
	X(clock_notices, "rows stored that tell what the clock of this boot is")                   \
	X(bytes_published, "bytes of MQTT packets sent")                                           \
	X(batches_refused, "PUBACKs that said no: no subscriber, quota, not authorised")           \
	X(batches_nacked, "receipts that said no")                                                 \
	X(batches_acked, "batches with a receipt, deleted from the outbox")                        \
	X(samples_acked, "samples in them")                                                        \
	X(batches_quarantined, "batches the relay cannot read, set aside")                         \
	X(samples_quarantined, "samples in them")                                                  \
	X(batches_corrupt, "of the quarantined batches: damaged on disk")                          \
	X(receipts_received, "receipts for this epoch")                                            \
	X(receipts_bad, "receipts that could not be read, or for what was never sent")             \
	X(receipts_foreign, "receipts for another epoch, not used")                                \
	X(receipts_old, "receipts that say less than an earlier one")                              \
	X(outbox_rows, "rows in the outbox now")                                                   \
	X(outbox_gaps, "of these: gap rows, which tell what was lost")                             \
	X(gaps_published, "gap rows handed to MQTT, repeats included")                             \
	X(gaps_receipted, "gaps told for rows that the relay gave receipts for and has no more")   \
	X(notices_refused, "gaps and clocks that the relay cannot read")                           \
	X(outbox_bytes, "bytes of them")                                                           \
	X(outbox_samples, "samples in them")                                                       \
	X(lifetime_samples_accepted, "samples_accepted since this outbox was made")                \
	X(lifetime_samples_acked, "samples_acked since then")                                      \
	X(lifetime_samples_dropped, "samples_dropped since then, but those lost at a stop")        \
	X(lifetime_samples_quarantined, "samples_quarantined since then")                          \
	X(in_flight, "batches sent and without receipt")                                           \
	X(window_rows, "rows without receipt that may be on their way now")                        \
	X(window_wire, "bytes without PUBACK that may be, as the link takes them")                 \
	X(connected, "1 while connected to the broker")                                            \
	X(connects, "connections made")                                                            \
	X(connect_failures, "attempts that failed")                                                \
	X(tls_failures, "of these: for certificates, keys or the TLS handshake")                   \
	X(certificate_until, "seconds since 1970 at which the certificate ends; 0: none")          \
	X(sources_active, "sources that have not ended")

struct counters {
#define COUNTER_FIELD(name, help) _Atomic uint64_t name;
	AGENT_COUNTERS(COUNTER_FIELD)
#undef COUNTER_FIELD
};

/* By the counter's own thread only. */
static inline void counter_add(_Atomic uint64_t *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void counter_set(_Atomic uint64_t *c, uint64_t v)
{
	atomic_store_explicit(c, v, memory_order_relaxed);
}

static inline uint64_t counter_get(_Atomic uint64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}
