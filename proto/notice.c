/* Gaps and clocks: bytes in, checked structures out, and back. */
#include "proto/bounded.h"
#include "proto/clock.h"
#include "proto/gap.h"
#include "proto/notice.pb-c.h"

#include <inttypes.h>
#include <stdalign.h>

enum {
	NOTICE_BYTES_MAX = 256, /* all fields take under 100; the rest is for fields to come */
	NOTICE_UNPACKED_MAX = 16 << 10,
};

/* What a notice is unpacked into. No memory is needed: one that cannot be read is damaged. */
struct room {
	alignas(max_align_t) uint8_t bytes[NOTICE_UNPACKED_MAX + alignof(max_align_t)];
};

static int put_packed(struct buf *out, size_t len, const ProtobufCMessage *m)
{
	int r = buf_reserve(out, out->len + len);

	if (r < 0)
		return r;
	out->len += protobuf_c_message_pack(m, out->data + out->len);
	return 0;
}

static int check_len(const char *what, size_t len, struct error *err)
{
	if (len <= NOTICE_BYTES_MAX)
		return 0;
	error_set(err, "%s: %zu bytes, at most %d", what, len, NOTICE_BYTES_MAX);
	return -EBADMSG;
}

/* ---- gap ---- */

const char *gap_reason_name(enum gap_reason r)
{
	static const char *const NAMES[GAP_REASONS] = {
		[GAP_QUOTA] = "quota",	   [GAP_EXPIRED] = "expired",
		[GAP_CORRUPT] = "corrupt", [GAP_CONSENT] = "consent",
		[GAP_INVALID] = "invalid", [GAP_TOO_LARGE] = "too_large",
		[GAP_UNSAVED] = "unsaved", [GAP_RECEIPTED] = "receipted",
	};

	return (unsigned)r < GAP_REASONS && NAMES[r] ? NAMES[r] : "unknown";
}

int gap_encode(const struct gap *g, struct buf *out)
{
	Towline__V1__Gap w = TOWLINE__V1__GAP__INIT;

	w.through = g->through;
	w.reason = (uint32_t)g->reason;
	w.batches = g->batches;
	w.samples = g->samples;
	w.first_ns = g->first_ns;
	w.last_ns = g->last_ns;
	return put_packed(out, towline__v1__gap__get_packed_size(&w), &w.base);
}

static int check_gap(const Towline__V1__Gap *w, uint64_t from, struct error *err)
{
	if (w->through < from || w->through > INT64_MAX) {
		error_set(err, "gap: from %" PRIu64 " through %" PRIu64, from, w->through);
		return -EBADMSG;
	}
	if (w->reason == 0 || w->reason > INT32_MAX) {
		error_set(err, "gap: reason %" PRIu32, w->reason);
		return -EBADMSG;
	}
	if (w->batches > INT64_MAX || w->samples > INT64_MAX || w->first_ns > w->last_ns) {
		error_set(err, "gap: batches, samples or times are out of range");
		return -EBADMSG;
	}
	return 0;
}

int gap_decode(struct gap *ret, uint64_t from, const void *bytes, size_t len, struct error *err)
{
	struct bounded arena cleanup(bounded_free) = {0};
	Towline__V1__Gap *w;
	struct room room;
	int r = check_len("gap", len, err);

	if (r < 0)
		return r;
	bounded_init(&arena, NOTICE_UNPACKED_MAX);
	bounded_lend(&arena, &room, sizeof(room));
	w = towline__v1__gap__unpack(&arena.allocator, len, bytes);
	if (!w) {
		error_set(err, "gap: %zu bytes that are not a Gap", len);
		return -EBADMSG;
	}
	r = check_gap(w, from, err);
	if (r < 0)
		return r;
	*ret = (struct gap){
		.through = w->through,
		.reason = (enum gap_reason)w->reason,
		.batches = w->batches,
		.samples = w->samples,
		.first_ns = w->first_ns,
		.last_ns = w->last_ns,
	};
	return 0;
}

/* ---- clock ---- */

int clock_notice_encode(const struct clock_notice *n, struct buf *out)
{
	Towline__V1__Clock w = TOWLINE__V1__CLOCK__INIT;

	w.boot_id = n->boot_id;
	w.wall_ns = n->wall_ns;
	w.mono_ns = n->mono_ns;
	w.quality = (uint32_t)(CLOCK_SYNCED - n->quality);
	return put_packed(out, towline__v1__clock__get_packed_size(&w), &w.base);
}

int clock_notice_decode(struct clock_notice *ret, const void *bytes, size_t len, struct error *err)
{
	struct bounded arena cleanup(bounded_free) = {0};
	Towline__V1__Clock *w;
	struct room room;
	int r = check_len("clock", len, err);

	if (r < 0)
		return r;
	bounded_init(&arena, NOTICE_UNPACKED_MAX);
	bounded_lend(&arena, &room, sizeof(room));
	w = towline__v1__clock__unpack(&arena.allocator, len, bytes);
	if (!w) {
		error_set(err, "clock: %zu bytes that are not a Clock", len);
		return -EBADMSG;
	}
	if (w->boot_id == 0 || w->wall_ns < 0 || w->mono_ns < 0) {
		error_set(err, "clock: boot_id, wall_ns or mono_ns is out of range");
		return -EBADMSG;
	}
	*ret = (struct clock_notice){
		.boot_id = w->boot_id,
		.wall_ns = w->wall_ns,
		.mono_ns = w->mono_ns,
		.quality = w->quality <= CLOCK_SYNCED
				   ? (enum clock_quality)(CLOCK_SYNCED - w->quality)
				   : CLOCK_UNKNOWN,
	};
	return 0;
}
