#include "proto/batch_rebase.h"

#include "proto/batch_private.h"
#include "proto/field.h"

#include <inttypes.h>

/* As they are on the wire. */
struct header {
	uint64_t boot_id;
	int64_t first, mono; /* units */
	uint64_t unit, quality;
};

/* Returns false for a field of another type than it must have. */
static bool take_field(struct header *h, const struct field *f)
{
	switch (f->number) {
	case FIELD_BOOT_ID:
		h->boot_id = f->value;
		return f->type == WIRE_FIXED64;
	case FIELD_FIRST:
		h->first = zigzag_decode(f->value);
		return f->type == WIRE_VARINT;
	case FIELD_MONO:
		h->mono = zigzag_decode(f->value);
		return f->type == WIRE_VARINT;
	case FIELD_TIME_UNIT:
		h->unit = f->value;
		return f->type == WIRE_VARINT;
	case FIELD_CLOCK_QUALITY:
		h->quality = f->value;
		return f->type == WIRE_VARINT;
	default:
		return true;
	}
}

static int read_header(struct header *ret, const void *body, size_t len, struct error *err)
{
	struct cursor c = cursor_of(body, len);
	struct header h = {0};
	struct field f;

	while (field_read(&c, &f))
		if (!take_field(&h, &f))
			c.failed = true;
	if (c.failed || h.unit > UINT32_MAX) {
		error_set(err, "batch: %zu bytes that are not a Batch", len);
		return -EBADMSG;
	}
	if (h.unit == 0)
		h.unit = BATCH_UNIT_DEFAULT_NS;
	*ret = h;
	return 0;
}

int batch_clock_read(struct batch_clock *ret, const void *body, size_t len, struct error *err)
{
	static const enum clock_quality QUALITY[] = {CLOCK_SYNCED, CLOCK_FREE_RUNNING};
	struct batch_clock clock;
	struct header h;
	int r = read_header(&h, body, len, err);

	if (r < 0)
		return r;
	clock = (struct batch_clock){
		.boot_id = h.boot_id,
		.unit_ns = (int64_t)h.unit,
		.quality = h.quality < array_len(QUALITY) ? QUALITY[h.quality] : CLOCK_UNKNOWN,
	};
	if (__builtin_mul_overflow(h.first, clock.unit_ns, &clock.wall_ns) ||
	    __builtin_mul_overflow(h.mono, clock.unit_ns, &clock.mono_ns)) {
		error_set(err, "batch: first or mono is out of range");
		return -EBADMSG;
	}
	*ret = clock;
	return 0;
}

static void put_varint(struct buf *out, unsigned field, uint64_t v)
{
	if (v == 0)
		return;
	buf_put_varint(out, field << 3 | WIRE_VARINT);
	buf_put_varint(out, v);
}

/* The two fields that change, each before the first field with a higher number, as writers do. */
struct changed {
	uint64_t first, quality;
	unsigned put; /* the fields up to this number are out */
};

static void put_changed(struct changed *n, unsigned before, struct buf *out)
{
	if (n->put < FIELD_FIRST && before > FIELD_FIRST) {
		put_varint(out, FIELD_FIRST, n->first);
		n->put = FIELD_FIRST;
	}
	if (n->put < FIELD_CLOCK_QUALITY && before > FIELD_CLOCK_QUALITY) {
		put_varint(out, FIELD_CLOCK_QUALITY, n->quality);
		n->put = FIELD_CLOCK_QUALITY;
	}
}

static int put_fields(const void *body, size_t len, struct changed *n, struct buf *out)
{
	struct cursor c = cursor_of(body, len);
	struct field f;

	while (field_read(&c, &f)) {
		if (f.number == FIELD_FIRST || f.number == FIELD_CLOCK_QUALITY)
			continue;
		put_changed(n, f.number, out);
		buf_put(out, f.begin, field_len(&f));
	}
	put_changed(n, UINT32_MAX, out);
	return out->failed;
}

int batch_rebase(const void *body, size_t len, int64_t wall_ns, int64_t mono_ns,
		 enum clock_quality quality, struct buf *out, struct error *err)
{
	struct batch_clock clock;
	struct changed n = {.quality = (uint64_t)(CLOCK_SYNCED - quality)};
	int64_t since, wall;
	int r = batch_clock_read(&clock, body, len, err);

	if (r < 0)
		return r;
	if (__builtin_sub_overflow(clock.mono_ns, mono_ns, &since) ||
	    __builtin_add_overflow(wall_ns, since, &wall) ||
	    __builtin_add_overflow(wall, clock.unit_ns / 2, &wall) || wall < 0) {
		error_set(err, "batch: its times leave the range of the clock");
		return -EBADMSG;
	}
	n.first = zigzag_encode(wall / clock.unit_ns);
	return put_fields(body, len, &n, out);
}
