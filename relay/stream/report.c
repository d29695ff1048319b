/* What is known of one device's delivery. */
#include "relay/stream/report.h"
#include "relay/stream/internal.h"

static uint64_t u64(sqlite3_stmt *st, int column)
{
	return (uint64_t)sqlite3_column_int64(st, column);
}

static int bind_device(sqlite3_stmt *st, int64_t device, size_t limit)
{
	return db_bind(st, "ii", device, (int64_t)limit);
}

static int give_lane(sqlite3_stmt *st, int (*cb)(void *ctx, const struct report_lane *l), void *ctx)
{
	struct window w = {0};
	struct report_lane l = {
		.epoch = u64(st, 0),
		.class = (enum uplink_class)sqlite3_column_int(st, 1),
		.window = &w,
		.counts = {u64(st, 4), u64(st, 5), u64(st, 6)},
		.updated.ns = sqlite3_column_int64(st, 7),
	};
	int e = window_decode(&w, u64(st, 2), sqlite3_column_blob(st, 3),
			      (size_t)sqlite3_column_bytes(st, 3));

	if (e == 0)
		e = cb(ctx, &l);
	window_free(&w);
	return e;
}

int report_each_lane(struct stream_reader *r, int64_t device, size_t limit,
		     int (*cb)(void *ctx, const struct report_lane *l), void *ctx)
{
	sqlite3_stmt *st = r->st[RD_LANES];
	int e = bind_device(st, device, limit);

	while (e == 0 && (e = db_step(st)) == DB_ROW)
		e = give_lane(st, cb, ctx);
	sqlite3_reset(st);
	return e;
}

int report_each_total(struct stream_reader *r, int64_t device,
		      int (*cb)(void *ctx, const struct report_gaps *g), void *ctx)
{
	sqlite3_stmt *st = r->st[RD_GAP_TOTALS];
	int e = db_bind(st, "i", device);

	while (e == 0 && (e = db_step(st)) == DB_ROW) {
		struct report_gaps g = {
			.epoch = u64(st, 0),
			.class = (enum uplink_class)sqlite3_column_int(st, 1),
			.reason = (uint32_t)u64(st, 2),
			.gaps = u64(st, 3),
			.seqs = u64(st, 4),
			.batches = u64(st, 5),
			.samples = u64(st, 6),
		};

		e = cb(ctx, &g);
	}
	sqlite3_reset(st);
	return e;
}

int report_each_gap(struct stream_reader *r, int64_t device, size_t limit,
		    int (*cb)(void *ctx, const struct stream_gap *g), void *ctx)
{
	sqlite3_stmt *st = r->st[RD_GAPS];
	int e = bind_device(st, device, limit);

	while (e == 0 && (e = db_step(st)) == DB_ROW) {
		struct stream_gap g = {0};

		e = stream_read_gap(st, &g);
		if (e == 0)
			e = cb(ctx, &g);
		stream_gap_free(&g);
	}
	sqlite3_reset(st);
	return e;
}

int report_each_clock(struct stream_reader *r, int64_t device, size_t limit,
		      int (*cb)(void *ctx, const struct report_clock *c), void *ctx)
{
	sqlite3_stmt *st = r->st[RD_CLOCKS];
	int e = bind_device(st, device, limit);

	while (e == 0 && (e = db_step(st)) == DB_ROW) {
		struct report_clock c = {
			.clock = {u64(st, 0), sqlite3_column_int64(st, 1),
				  (enum clock_quality)sqlite3_column_int(st, 2)},
			.updated.ns = sqlite3_column_int64(st, 3),
			.repairing = sqlite3_column_int(st, 4) != 0,
		};

		e = cb(ctx, &c);
	}
	sqlite3_reset(st);
	return e;
}
