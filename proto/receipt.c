#include "proto/receipt.h"

#include "proto/bounded.h"
#include "proto/receipt.pb-c.h"

#include <inttypes.h>
#include <stdalign.h>

enum {
	/* A full receipt unpacks to under this, for which no memory is needed; the rest is room for
	 * fields of later versions. */
	UNPACKED_FULL = 16 << 10,
	UNPACKED_MAX = 64 << 10,
};

struct room {
	alignas(max_align_t) uint8_t bytes[UNPACKED_FULL];
};

const char *nack_name(enum nack_code code)
{
	static const char *const NAMES[] = {
		[NACK_INVALID] = "invalid", [NACK_QUOTA] = "quota", [NACK_CONSENT] = "consent",
		[NACK_UNKNOWN] = "unknown", [NACK_BUSY] = "busy",
	};

	if (code < NACK_INVALID || code > NACK_BUSY)
		return "other";
	return NAMES[code];
}

static void pack(Towline__V1__Receipt *m, struct buf *out)
{
	size_t n = towline__v1__receipt__get_packed_size(m);

	if (n == 0 || buf_reserve(out, n) < 0)
		return;
	out->len += towline__v1__receipt__pack(m, out->data + out->len);
}

int receipt_encode(const struct receipt *r, struct buf *out)
{
	Towline__V1__Receipt m = TOWLINE__V1__RECEIPT__INIT;
	Towline__V1__ReceiptRange ranges[RECEIPT_RANGES_MAX], *range_ptrs[RECEIPT_RANGES_MAX];
	Towline__V1__ReceiptNack nacks[RECEIPT_NACKS_MAX], *nack_ptrs[RECEIPT_NACKS_MAX];

	assert(r->n_ranges <= RECEIPT_RANGES_MAX && r->n_nacks <= RECEIPT_NACKS_MAX);
	m.epoch = r->epoch;
	m.class_ = (uint32_t)r->class;
	m.acked_through = r->acked_through;
	m.n_ranges = r->n_ranges;
	m.ranges = range_ptrs;
	for (size_t i = 0; i < r->n_ranges; i++) {
		towline__v1__receipt_range__init(&ranges[i]);
		ranges[i].from = r->ranges[i].from;
		ranges[i].to = r->ranges[i].to;
		range_ptrs[i] = &ranges[i];
	}
	m.n_nacks = r->n_nacks;
	m.nacks = nack_ptrs;
	for (size_t i = 0; i < r->n_nacks; i++) {
		towline__v1__receipt_nack__init(&nacks[i]);
		nacks[i].seq = r->nacks[i].seq;
		nacks[i].code = (uint32_t)r->nacks[i].code;
		nacks[i].retry_after_s = r->nacks[i].retry_after_s;
		nack_ptrs[i] = &nacks[i];
	}
	m.context = r->context;
	m.unknown_context = r->unknown_context;
	pack(&m, out);
	return out->failed;
}

static int copy_ranges(struct receipt *r, const Towline__V1__Receipt *m, struct error *err)
{
	uint64_t above = m->acked_through;

	if (m->n_ranges > RECEIPT_RANGES_MAX) {
		error_set(err, "receipt: %zu ranges, at most %d", m->n_ranges, RECEIPT_RANGES_MAX);
		return -EBADMSG;
	}
	for (size_t i = 0; i < m->n_ranges; i++) {
		const Towline__V1__ReceiptRange *g = m->ranges[i];

		if (g->from <= above || g->to < g->from) {
			error_set(err,
				  "receipt: range %zu (%" PRIu64 " to %" PRIu64
				  ") is not above %" PRIu64,
				  i, g->from, g->to, above);
			return -EBADMSG;
		}
		r->ranges[i] = (struct receipt_range){.from = g->from, .to = g->to};
		above = g->to;
	}
	r->n_ranges = m->n_ranges;
	return 0;
}

/* A code that this version does not know is kept as it is: what to do with it is the caller's
 * choice (it keeps the batch and tries later). */
static int copy_nacks(struct receipt *r, const Towline__V1__Receipt *m, struct error *err)
{
	if (m->n_nacks > RECEIPT_NACKS_MAX) {
		error_set(err, "receipt: %zu nacks, at most %d", m->n_nacks, RECEIPT_NACKS_MAX);
		return -EBADMSG;
	}
	for (size_t i = 0; i < m->n_nacks; i++) {
		const Towline__V1__ReceiptNack *k = m->nacks[i];

		if (k->seq == 0 || k->code == 0 || k->code > INT32_MAX) {
			error_set(err,
				  "receipt: nack %zu (seq %" PRIu64 ", code %" PRIu32
				  ") is out of range",
				  i, k->seq, k->code);
			return -EBADMSG;
		}
		r->nacks[i] = (struct receipt_nack){.seq = k->seq,
						    .code = (enum nack_code)k->code,
						    .retry_after_s = k->retry_after_s};
	}
	r->n_nacks = m->n_nacks;
	return 0;
}

int receipt_decode(struct receipt *ret, const void *bytes, size_t len, struct error *err)
{
	struct bounded arena cleanup(bounded_free);
	Towline__V1__Receipt *m;
	struct receipt r = {0};
	struct room room;
	int e;

	bounded_init(&arena, UNPACKED_MAX);
	bounded_lend(&arena, &room, sizeof(room));
	m = towline__v1__receipt__unpack(&arena.allocator, len, bytes);
	if (!m) {
		error_set(err, "receipt: %zu bytes that are not a Receipt", len);
		return bounded_error(&arena, err);
	}
	if (m->class_ >= CLASS_COUNT) {
		error_set(err, "receipt: class %" PRIu32 " is unknown", m->class_);
		return -EBADMSG;
	}
	r.epoch = m->epoch;
	r.class = (enum uplink_class)m->class_;
	r.acked_through = m->acked_through;
	r.context = m->context;
	r.unknown_context = m->unknown_context;
	e = copy_ranges(&r, m, err);
	if (!e)
		e = copy_nacks(&r, m, err);
	if (!e)
		*ret = r;
	return e;
}
