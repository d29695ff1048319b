/* tests/unit/ingest_fixture.h: the relay's ingest without its thread and, as a rule, without a
 * broker: messages are handed in, upkeep is called, the clock moves when it is told to. Vehicle v1
 * with device d1 and store_cat (one message M with a signal A of 64 bits) are registered. */
#pragma once

#include "proto/gap.h"
#include "relay/ingest/internal.h"
#include "tests/unit/relay_fixture.h"

struct ingest_world {
	struct timebase_fake clk;
	struct registry *registry;
	struct stream *stream;
	struct live *live;
	struct hub *hub;
	struct ingest *in;
};
extern struct ingest_world iw;

/* The broker that it connects to when its loop is turned; nobody listens at the default. */
extern const char *ingest_uri;

/* For tcase_add_checked_fixture. */
void ingest_setup(void);
void ingest_teardown(void);
/* Stream, live state and ingest; as at a stop or a kill, what is not committed is lost. */
void ingest_open(void);
void ingest_close(void);
void ingest_add_vehicle(void);

/* ---- what arrives ---- */

struct sent_batch {
	uint64_t epoch, seq;
	enum uplink_class class; /* CLASS_EVENT where it is not set */
	uint64_t origin_epoch, origin_seq;
	uint64_t boot;
	int64_t wall_ns, mono_ns; /* of the first sample; wall 0: now */
	enum clock_quality quality;
	uint64_t first; /* raw of the first sample; the others are noise */
	size_t n;	/* samples, a millisecond apart; 0: one */
};
void send_batch(const struct sent_batch *b);
void send_gap(enum uplink_class class, const struct envelope *named, const struct gap *g);
void send_clock(uint64_t epoch, uint64_t seq, uint64_t boot, int64_t wall_ns, int64_t mono_ns,
		enum clock_quality q);
void send_envelope(enum uplink_class class, const struct envelope *e);
void send_payload(enum uplink_class class, const struct buf *payload);
/* As send_batch sends it; appends. */
void make_batch_body(const struct sent_batch *b, struct buf *out, uint32_t *encoding);

/* ---- what it led to ---- */

void maintain_all(void); /* commits, then upkeep until there is nothing to do */
struct sender *sent_by(void);
struct lane *lane_of(uint64_t epoch, enum uplink_class class); /* asserts that it is there */
/* The code of the last nack of seq that is to be told; 0: none. */
int nack_of(uint64_t epoch, enum uplink_class class, uint64_t seq);
uint64_t stream_rows(void);
int64_t query_number(const char *sql); /* the first column of its one row, of stream.db */
struct live_value state_value(void);   /* of the only signal */
