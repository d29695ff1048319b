/* The sending side with a real outbox, a real broker and a fake relay: what receipts may do and
 * what not, gaps, a clock that becomes known, and a backlog behind a slow link. */
#include "agent/publish/publish.h"
#include "proto/batch_rebase.h"
#include "tests/fakes/fake_relay.h"
#include "tests/unit/mqtt_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 30000, BODY_MAX = 64 << 10, BOOT = 77 };

static char dir[] = "/tmp/towline-publish-XXXXXX", path[128];
static struct store *store;
static struct publish *publish;
static struct counters counters;
static struct fake_relay relay;
static int64_t wall_less_mono_ns;
static enum clock_quality quality;

static struct mono_time read_mono(void *ctx)
{
	(void)ctx;
	return timebase_mono(timebase_system());
}

static struct wall_time read_wall(void *ctx)
{
	(void)ctx;
	return (struct wall_time){read_mono(NULL).ns + wall_less_mono_ns};
}

static const struct timebase tb = {.mono = read_mono, .wall = read_wall};

static enum clock_quality say_quality(void *ctx)
{
	(void)ctx;
	return quality;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static void open_outbox(void)
{
	struct store_options opt = {.max_bytes = 64 << 20, .boot_id = BOOT, .tb = &tb};
	struct store_opened opened;
	struct error err;

	opt.expire_ns[CLASS_LOG] = 600 * NS_PER_S;
	ck_assert_msg(store_open(&store, path, &opt, &opened, &err) == 0, "%s", err.text);
}

static void start_publish(const char *uri)
{
	struct publish_options opt = {
		.vehicle = "v1",
		.device = "d1",
		.mqtt = peer_options(uri, "d1"),
		.window_rows = 1024,
		.window_bytes = 4 << 20,
		.receipt_timeout_ns = 30 * NS_PER_S,
		.boot_id = BOOT,
		.tb = &tb,
		.clock_quality = say_quality,
		.changed = nothing,
		.corrupt = nothing,
	};

	ck_assert_int_eq(publish_new(&publish, loop, store, &counters, &opt), 0);
}

/* The broker, the relay, and an empty outbox. */
static void begin(const char *config)
{
	start_tapped(config);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/outbox.db", dir);
	wall_less_mono_ns = 1000 * NS_PER_S; /* some time in 1970 */
	quality = CLOCK_FREE_RUNNING;
	memset(&counters, 0, sizeof(counters));
	memset(&relay, 0, sizeof(relay));
	relay.loop = loop;
	fake_relay_start(&relay, broker_uri(broker));
	ck_assert(peer_wait(loop, relay.subscribed, WAIT_MS));
	open_outbox();
}

static void remove_dir(void)
{
	char pattern[128];
	glob_t g;

	(void)snprintf(pattern, sizeof(pattern), "%s/*", dir);
	ck_assert_int_eq(glob(pattern, 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc; i++)
		(void)unlink(g.gl_pathv[i]);
	globfree(&g);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void end(void)
{
	publish = publish_free(publish);
	store = store_close(store);
	fake_relay_stop(&relay);
	stop();
	remove_dir();
}

static void put_field(struct buf *b, unsigned field, uint64_t v)
{
	buf_put_varint(b, field << 3);
	buf_put_varint(b, v);
}

/* A batch of one sample as of now, and so many bytes that nobody reads. */
static void put(enum uplink_class class, size_t padding)
{
	struct buf body cleanup(buf_free) = BUF_INIT(BODY_MAX);
	static const uint8_t zeros[BODY_MAX];
	struct store_item item = {.class = class, .samples = 1, .encoding = ENCODING_BATCH};
	struct store_dropped dropped;
	struct store_count stored;

	buf_put_varint(&body, 2 << 3 | 1);
	buf_put_fixed64(&body, BOOT);
	put_field(&body, 4, zigzag_encode(read_wall(NULL).ns / NS_PER_MS));
	put_field(&body, 6, zigzag_encode(read_mono(NULL).ns / NS_PER_MS));
	put_field(&body, 7, 1);
	put_field(&body, 9, (uint64_t)(CLOCK_SYNCED - quality));
	buf_put_varint(&body, 100 << 3 | 2);
	buf_put_varint(&body, padding);
	ck_assert_int_eq(buf_put(&body, zeros, padding), 0);
	item.body = body.data;
	item.body_len = body.len;
	ck_assert_int_eq(store_put(store, &item, 1, &stored, &dropped), 0);
	if (publish)
		publish_kick(publish);
}

#define wait_for(cond) ck_assert(peer_wait(loop, cond, WAIT_MS))

static bool outbox_is_empty(void)
{
	return store_totals(store).rows == 0;
}

static uint64_t count(_Atomic uint64_t *c)
{
	return counter_get(c);
}

/* ---- receipts ---- */

/* Another epoch, the future, rubbish, and what was told before: counted, and nothing is deleted. */
START_TEST(bad_receipts_do_nothing)
{
	static const char TOPIC[] = "tl/1/down/v1/d1/receipt";
	struct peer peer = {0};
	struct receipt r = {.class = CLASS_BULK, .acked_through = 2};

	begin(NULL);
	relay.mute = true;
	start_publish(broker_uri(broker));
	put(CLASS_BULK, 10);
	put(CLASS_BULK, 10);
	wait_for(relay.batches == 2);
	r.epoch = store_epoch(store) + 1;
	publish_receipt(publish, &r);
	ck_assert_uint_eq(count(&counters.receipts_foreign), 1);
	ck_assert_uint_eq(store_totals(store).rows, 2);

	r = (struct receipt){.epoch = store_epoch(store), .class = CLASS_BULK};
	r.ranges[r.n_ranges++] = (struct receipt_range){3, 1000};
	r.nacks[r.n_nacks++] = (struct receipt_nack){5, NACK_INVALID, 0};
	r.nacks[r.n_nacks++] = (struct receipt_nack){6, NACK_CONSENT, 0};
	publish_receipt(publish, &r);
	ck_assert_uint_eq(count(&counters.receipts_bad), 1);
	ck_assert_uint_eq(store_totals(store).rows, 2);

	connect_peer(&peer, "rubbish");
	ck_assert_int_eq(peer_publish(&peer, TOPIC, "no receipt at all", 1), 0);
	wait_for(count(&counters.receipts_bad) == 2);

	r = (struct receipt){.epoch = store_epoch(store), .class = CLASS_BULK, .acked_through = 2};
	publish_receipt(publish, &r);
	ck_assert(outbox_is_empty());
	r.acked_through = 1;
	publish_receipt(publish, &r);
	publish_receipt(publish, &r);
	ck_assert_uint_eq(count(&counters.receipts_old), 2);
	ck_assert_uint_eq(count(&counters.gaps_receipted), 0);
	peer_stop(&peer);
	end();
}
END_TEST

/* What is beyond of a receipt is cut off, and the rest holds. */
START_TEST(the_good_part_of_a_receipt_holds)
{
	struct receipt r = {.class = CLASS_BULK, .acked_through = UINT64_MAX};

	begin(NULL);
	relay.mute = true;
	start_publish(broker_uri(broker));
	put(CLASS_BULK, 10);
	wait_for(relay.batches == 1);
	r.epoch = store_epoch(store);
	publish_receipt(publish, &r);
	ck_assert(outbox_is_empty());
	ck_assert_uint_eq(count(&counters.receipts_bad), 1);
	put(CLASS_BULK, 10); /* it was not acknowledged before it was sent */
	relay.mute = false;
	wait_for(relay.batches == 2 && outbox_is_empty());
	end();
}
END_TEST

static int code_for_second;

static int refuse_second(void *ctx, const struct topic_up *t, const struct envelope *e)
{
	(void)ctx;
	return t->class == CLASS_BULK && e->seq == 2 && e->encoding == ENCODING_BATCH
		       ? code_for_second
		       : 0;
}

static void refuse(enum nack_code code)
{
	begin(NULL);
	code_for_second = (int)code;
	relay.judge = refuse_second;
	start_publish(broker_uri(broker));
	for (int i = 0; i < 3; i++)
		put(CLASS_BULK, 10);
}

START_TEST(what_is_refused_becomes_a_gap)
{
	enum gap_reason reason = _i == 0 ? GAP_INVALID : GAP_CONSENT;

	refuse(_i == 0 ? NACK_INVALID : NACK_CONSENT);
	wait_for(relay.gaps[reason] == 1 && outbox_is_empty());
	ck_assert_uint_eq(relay.batches, 2);
	ck_assert_uint_eq(relay.last_gap_from, 2);
	ck_assert_uint_eq(relay.last_gap.through, 2);
	ck_assert_uint_eq(relay.last_gap.samples, 1);
	ck_assert_uint_eq(count(&counters.batches_quarantined), _i == 0);
	ck_assert_uint_eq(count(&counters.batches_dropped_purge), _i == 1);
	end();
}
END_TEST

START_TEST(an_old_relay_ends_gaps_and_clocks)
{
	refuse(NACK_INVALID);
	relay.old = true;
	wait_for(count(&counters.notices_refused) == 1 && outbox_is_empty());
	ck_assert_uint_eq(count(&counters.gaps_published), 1);
	quality = CLOCK_SYNCED;
	wall_less_mono_ns = 1700000000 * NS_PER_S;
	publish_kick(publish);
	wait_for(count(&counters.clock_notices) == 1);
	wait_for(count(&counters.notices_refused) == 3 && outbox_is_empty()); /* it, and its gap */
	put(CLASS_BULK, 10);
	wait_for(relay.batches == 3 && outbox_is_empty());
	end();
}
END_TEST

/* As its CONNACK says, and as its PUBACK says. */
START_TEST(too_large_becomes_a_gap)
{
	begin(_i == 0 ? "max_packet_size 20000" : "message_size_limit 20000");
	start_publish(broker_uri(broker));
	put(CLASS_BULK, 10);
	put(CLASS_BULK, 30000);
	put(CLASS_BULK, 10);
	wait_for(relay.gaps[GAP_TOO_LARGE] == 1 && outbox_is_empty());
	ck_assert_uint_eq(relay.batches, 2);
	ck_assert_uint_eq(count(&counters.batches_quarantined), 1);
	end();
}
END_TEST

/* Not the rows are wrong, but the broker: they wait for it to be put right, and what it takes goes
 * meanwhile. A gap that it does not take either must not vanish. */
START_TEST(a_narrow_broker_costs_no_row)
{
	begin("max_packet_size 2000");
	start_publish(broker_uri(broker));
	put(CLASS_BULK, 5000);
	put(CLASS_BULK, 30000);
	wait_for(count(&counters.connected) == 1);
	put(CLASS_LIVE, 10);
	put(CLASS_STATUS, 10);
	wait_for(relay.batches == 2);
	ck_assert(!peer_wait(loop, relay.batches > 2 || outbox_is_empty(), 2500));
	ck_assert_uint_eq(store_totals(store).rows, 2);
	ck_assert_uint_eq(count(&counters.batches_quarantined), 0);
	ck_assert_uint_eq(count(&counters.gaps_published), 0);
	end();
}
END_TEST

START_TEST(later_means_later)
{
	refuse(NACK_QUOTA);
	wait_for(relay.nacks >= 1 && store_totals(store).rows == 1);
	ck_assert_uint_eq(relay.batches, 2);
	code_for_second = 0;
	wait_for(relay.batches == 3 && outbox_is_empty());
	end();
}
END_TEST

START_TEST(a_relay_that_forgot_is_told)
{
	struct receipt late = {.class = CLASS_BULK, .acked_through = 5};

	begin(NULL);
	start_publish(broker_uri(broker));
	for (int i = 0; i < 10; i++)
		put(CLASS_BULK, 10);
	wait_for(relay.batches == 10 && outbox_is_empty());
	late.epoch = store_epoch(store);
	for (int i = 0; i < 3; i++) { /* late ones do not count */
		publish_receipt(publish, &late);
		put(CLASS_BULK, 10);
		wait_for(outbox_is_empty());
	}
	ck_assert_uint_eq(count(&counters.gaps_receipted), 0);
	fake_relay_forget(&relay);
	for (int i = 0; i < 3; i++) {
		put(CLASS_BULK, 10);
		wait_for(outbox_is_empty());
	}
	wait_for(relay.gaps[GAP_RECEIPTED] == 1 && outbox_is_empty());
	ck_assert_uint_eq(relay.last_gap_from, 1);
	ck_assert_uint_eq(relay.last_gap.through, 13);
	put(CLASS_BULK, 10);
	wait_for(outbox_is_empty());
	ck_assert_uint_eq(count(&counters.gaps_receipted), 1);
	ck_assert_uint_eq(relay.streams[0]->acked_through, 17); /* no hole is left */
	end();
}
END_TEST

/* ---- contexts ---- */

static void put_evenly(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		(void)peer_wait(loop, false, 5);
		put(CLASS_BULK, 10);
	}
}

/* Rows go short once the relay has a context, also in the next connection; a relay that has lost
 * it says so, and gets at once what it could not read. */
START_TEST(short_until_the_relay_forgets)
{
	uint64_t brief;

	begin(NULL);
	start_publish(tap_uri);
	wait_for(count(&counters.connected) == 1);
	put_evenly(20);
	wait_for(outbox_is_empty());
	put_evenly(3);
	wait_for(outbox_is_empty());
	ck_assert_uint_ge(relay.brief, 3);
	ck_assert_uint_eq(count(&counters.batches_short), relay.brief);
	ck_assert_uint_eq(count(&counters.contexts_lost), 0);

	brief = relay.brief;
	tap_cut(tap);
	wait_for(count(&counters.connected) == 0);
	put_evenly(3);
	wait_for(outbox_is_empty());
	ck_assert_uint_ge(relay.brief, brief + 3);

	fake_relay_forget(&relay);
	put_evenly(3);
	wait_for(relay.batches == 29);
	ck_assert_uint_gt(relay.unread, 0);
	ck_assert_uint_gt(count(&counters.contexts_lost), 0);
	brief = relay.brief;
	put_evenly(20); /* it has another */
	wait_for(relay.brief > brief);
	ck_assert_uint_eq(relay.bad, 0);
	end();
}
END_TEST

/* ---- clock ---- */

static struct batch_clock clocks[16];
static size_t n_clocks;

static int note_clock(void *ctx, const struct topic_up *t, const struct envelope *e)
{
	struct error err;

	(void)ctx;
	(void)t;
	if (e->encoding == ENCODING_BATCH && n_clocks < array_len(clocks))
		ck_assert_int_eq(batch_clock_read(&clocks[n_clocks++], e->body, e->body_len, &err),
				 0);
	return 0;
}

/* One went out before the time was known, one waits, one comes after. */
START_TEST(a_clock_becomes_known)
{
	const int64_t right = 1700000000 * NS_PER_S;

	begin(NULL);
	n_clocks = 0;
	relay.judge = note_clock;
	start_publish(broker_uri(broker));
	put(CLASS_BULK, 10);
	wait_for(outbox_is_empty());
	publish = publish_free(publish);
	put(CLASS_BULK, 10);
	start_publish(broker_uri(broker));
	wall_less_mono_ns = right;
	quality = CLOCK_SYNCED;
	put(CLASS_BULK, 10);
	wait_for(relay.batches == 3 && relay.clocks == 1 && outbox_is_empty());
	ck_assert_int_eq(clocks[0].quality, CLOCK_FREE_RUNNING);
	for (int i = 1; i < 3; i++) {
		ck_assert_int_eq(clocks[i].quality, CLOCK_SYNCED);
		ck_assert_int_le(llabs(clocks[i].wall_ns - clocks[i].mono_ns - right),
				 2 * NS_PER_MS);
	}
	ck_assert_uint_eq(relay.last_clock.boot_id, BOOT);
	ck_assert_int_le(llabs(relay.last_clock.wall_ns - relay.last_clock.mono_ns - right),
			 NS_PER_MS);
	ck_assert_uint_eq(count(&counters.batches_rebased), 1);
	end();
}
END_TEST

/* The wall clock leaps by ten years: nothing expires, no timer goes off. */
START_TEST(leaps_of_the_wall_clock_are_no_time)
{
	struct mono_time next;
	struct store_dropped dropped;

	begin(NULL);
	relay.mute = true;
	start_publish(broker_uri(broker));
	put(CLASS_LOG, 10);
	wait_for(relay.batches == 1);
	for (int i = 0; i < 4; i++) {
		wall_less_mono_ns += (i % 2 ? -1 : 1) * 3650 * 86400 * NS_PER_S;
		quality = i < 2 ? CLOCK_FREE_RUNNING : CLOCK_SYNCED;
		publish_kick(publish);
		memset(&dropped, 0, sizeof(dropped));
		ck_assert_int_eq(store_expire(store, &dropped, &next), 0);
		ck_assert_uint_eq(dropped.by[GAP_EXPIRED].rows, 0);
		(void)peer_wait(loop, false, 100);
	}
	ck_assert_uint_eq(count(&counters.batches_resent), 0);
	ck_assert_uint_eq(relay.duplicates, 0);
	end();
}
END_TEST

/* ---- expiry ---- */

START_TEST(broker_is_told_when_a_row_is_worthless)
{
	uint8_t sent[TAP_KEPT];
	bool found = false;
	size_t n;

	begin(NULL);
	start_publish(tap_uri);
	put(CLASS_LOG, 10);
	wait_for(outbox_is_empty());
	n = tap_last_up(tap, sent);
	for (size_t i = 0; i + 5 <= n; i++) /* Message Expiry Interval: up to 600 s */
		if (sent[i] == 2 && sent[i + 1] == 0 && sent[i + 2] == 0 &&
		    sent[i + 3] == 600 / 256 && sent[i + 4] >= 600 % 256 - 10 &&
		    sent[i + 4] <= 600 % 256)
			found = true;
	ck_assert(found);
	end();
}
END_TEST

/* ---- a slow link ---- */

enum { RATE = 100 << 10, ROW = 2000, BACKLOG = 1000, LIVE = 10 };

static size_t bulk_bytes, bulk_before, worst;
static unsigned live_seen;

/* Bytes of backlog that arrived since the live row was stored. */
static int note_order(void *ctx, const struct topic_up *t, const struct envelope *e)
{
	(void)ctx;
	if (t->class != CLASS_LIVE) {
		bulk_bytes += e->body_len;
		return 0;
	}
	if (bulk_bytes - bulk_before > worst)
		worst = bulk_bytes - bulk_before;
	live_seen++;
	return 0;
}

/* 2 MB wait, which take 20 s: a live row has before it what the link takes in its round trip and a
 * quarter of a second, and two rows. There is room for a machine that is busy: twice that. */
START_TEST(live_data_passes_a_backlog)
{
	const size_t bound = 2 * (RATE / 2 + 2 * ROW);
	int64_t began;

	begin(NULL);
	bulk_bytes = worst = live_seen = 0;
	for (int i = 0; i < BACKLOG; i++)
		put(CLASS_BULK, ROW);
	relay.judge = note_order;
	tap_throttle(tap, RATE);
	start_publish(tap_uri);
	wait_for(bulk_bytes > 200000);
	began = peer_now_ms();
	for (unsigned i = 0; i < LIVE; i++) {
		bulk_before = bulk_bytes;
		put(CLASS_LIVE, 100);
		wait_for(live_seen == i + 1);
		(void)peer_wait(loop, false, 100);
	}
	ck_assert_msg(worst <= bound, "%zu bytes before a live row, bound %zu", worst, bound);
	ck_assert_int_lt(peer_now_ms() - began, 15000);
	ck_assert_uint_gt(store_totals(store).rows, 0); /* it was a backlog all the while */
	tap_throttle(tap, 0);
	wait_for(outbox_is_empty());
	ck_assert_uint_eq(relay.batches, BACKLOG + LIVE);
	ck_assert_uint_eq(relay.duplicates, 0);
	end();
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("receipts"), *clock = tcase_create("clock"),
	      *link = tcase_create("link");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, bad_receipts_do_nothing);
	tcase_add_test(tc, the_good_part_of_a_receipt_holds);
	tcase_add_loop_test(tc, what_is_refused_becomes_a_gap, 0, 2);
	tcase_add_test(tc, an_old_relay_ends_gaps_and_clocks);
	tcase_add_loop_test(tc, too_large_becomes_a_gap, 0, 2);
	tcase_add_test(tc, a_narrow_broker_costs_no_row);
	tcase_add_test(tc, later_means_later);
	tcase_add_test(tc, a_relay_that_forgot_is_told);
	tcase_add_test(tc, short_until_the_relay_forgets);
	tcase_set_timeout(clock, 120);
	tcase_add_test(clock, a_clock_becomes_known);
	tcase_add_test(clock, leaps_of_the_wall_clock_are_no_time);
	tcase_add_test(clock, broker_is_told_when_a_row_is_worthless);
	tcase_set_timeout(link, 180);
	tcase_add_test(link, live_data_passes_a_backlog);
	return suite_run("publish", (TCase *const[]){tc, clock, link}, 3);
}
