/* tests/fakes/fake_relay.h: the least that an agent needs at the other end: subscribes to
 * tl/1/up/#, decodes every batch with a catalog, counts unique samples, sends receipts. Of gaps it
 * takes all seqs as answered. */
#pragma once

#include "base/mqtt.h"
#include "proto/batch.h"
#include "proto/clock.h"
#include "proto/context.h"
#include "proto/gap.h"
#include "proto/receipt.h"

enum { FAKE_RELAY_SEQ_MAX = 65536, FAKE_RELAY_EPOCHS_MAX = 4 };
enum { FAKE_RELAY_LOSE = -1 }; /* as if the broker had lost it */

struct fake_relay_stream {
	uint64_t epoch; /* 0: unused */
	enum uplink_class class;
	uint64_t acked_through, highest;
	bool owes; /* a receipt that MQTT had no room for; sent when it has */
	uint64_t owed_seq;
	int owed_code;
	struct topic_up topic;
	struct context context; /* the latest; id 0: none */
	uint8_t seen[FAKE_RELAY_SEQ_MAX / 8];
};

struct fake_relay {
	struct loop *loop;
	const struct catalog *cat; /* NULL: batches are counted, not decoded */
	bool mute;		   /* takes batches, sends no receipt */
	bool old;		   /* knows neither gaps nor clocks */
	/* 0: accept, FAKE_RELAY_LOSE, else a nack's code. NULL: accept all. */
	int (*judge)(void *ctx, const struct topic_up *t, const struct envelope *e);
	uint32_t retry_after_s;
	/* Each column of a batch that was not seen before. */
	void (*column)(void *ctx, const struct topic_up *t, const struct batch_column *col);
	void *ctx;

	struct mqtt *mqtt;
	bool subscribed;
	uint64_t batches, duplicates, bad, nacks; /* batches: unique ones */
	uint64_t samples;			  /* of unique ones */
	uint64_t gaps[GAP_REASONS], clocks;	  /* unique ones */
	uint64_t brief, unread;			  /* sent short: expanded, and not */
	struct gap last_gap;
	uint64_t last_gap_from;
	struct clock_notice last_clock;
	uint64_t bytes;	  /* payloads */
	char text[256];	  /* what was bad */
	struct buf whole; /* of a short one */
	struct fake_relay_stream *streams[FAKE_RELAY_EPOCHS_MAX * CLASS_COUNT];
};

/* Zeroed but for the first members. Aborts when it cannot. */
void fake_relay_start(struct fake_relay *f, const char *uri);
void fake_relay_stop(struct fake_relay *f);
/* It loses its disk: knows nothing that it has given receipts for. */
void fake_relay_forget(struct fake_relay *f);
