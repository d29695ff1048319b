/* The header of a body: what can be said of a batch without its catalog. The bytes are anyone's. */
#include "proto/batch_parsed.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

enum {
	/* What BATCH_SECTIONS_MAX sections take beside their bytes, and some unknown fields. */
	BATCH_UNPACKED_FIXED = 256 << 10,
};

/* The whole output in one call: its size is found by doubling. */
static int inflate_body(const struct envelope *e, struct buf *out, struct error *err)
{
	z_stream z = {0};
	int r;

	if (inflateInit(&z) != Z_OK)
		return -ENOMEM;
	z.next_in = (Bytef *)(uintptr_t)e->body;
	z.avail_in = (uInt)e->body_len;
	do {
		r = buf_reserve(out, out->len + 1024);
		if (r < 0)
			break;
		z.next_out = out->data + out->len;
		z.avail_out = (uInt)(out->cap - out->len);
		r = inflate(&z, Z_NO_FLUSH);
		out->len = out->cap - z.avail_out;
	} while (r == Z_OK);
	inflateEnd(&z);
	if (r == -ENOMEM || r == Z_MEM_ERROR)
		return -ENOMEM;
	if (r == -EMSGSIZE) {
		error_set(err, "batch: inflates to more than %d bytes", BATCH_INFLATED_MAX);
		return -EBADMSG;
	}
	if (r != Z_STREAM_END || z.avail_in > 0) {
		error_set(err, "batch: body of %zu bytes is not a zlib stream", e->body_len);
		return -EBADMSG;
	}
	return 0;
}

static int unpack(struct batch *b, const uint8_t *bytes, size_t len, struct error *err)
{
	bounded_init(&b->arena, len + BATCH_UNPACKED_FIXED);
	b->wire = towline__v1__batch__unpack(&b->arena.allocator, len, bytes);
	if (b->wire)
		return 0;
	error_set(err, "batch: %zu bytes that are not a Batch%s", len,
		  b->arena.exceeded ? ", or one of too many fields" : "");
	return bounded_error(&b->arena, err);
}

static int unpack_body(struct batch *b, const struct envelope *e, struct error *err)
{
	struct buf inflated cleanup(buf_free) = BUF_INIT(BATCH_INFLATED_MAX);
	int r;

	if (e->body_len > BATCH_INFLATED_MAX) {
		error_set(err, "batch: %zu bytes, at most %d", e->body_len, BATCH_INFLATED_MAX);
		return -EBADMSG;
	}
	switch (e->encoding) {
	case ENCODING_BATCH:
		return unpack(b, e->body, e->body_len, err);
	case ENCODING_DEFLATE:
		r = inflate_body(e, &inflated, err);
		return r < 0 ? r : unpack(b, inflated.data, inflated.len, err);
	default:
		error_set(err, "batch: encoding %" PRIu32 " is unknown to this version",
			  e->encoding);
		return -EBADMSG;
	}
}

/* No overflow when converted to nanoseconds. */
static bool time_is_sane(int64_t units, int64_t unit)
{
	return units <= INT64_MAX / unit && units >= INT64_MIN / unit;
}

static bool times_are_sane(const Towline__V1__Batch *w, int64_t unit)
{
	if (w->span > UINT32_MAX || w->first > INT64_MAX - (int64_t)w->span)
		return false;
	return time_is_sane(w->first, unit) && time_is_sane(w->mono, unit) &&
	       time_is_sane(w->first + (int64_t)w->span, unit);
}

static int check_header(struct batch *b, struct error *err)
{
	const Towline__V1__Batch *w = b->wire;

	if (w->format > BATCH_FORMAT) {
		error_set(err, "batch: format %" PRIu32 " is unknown to this version, it reads %d",
			  w->format, BATCH_FORMAT);
		return -EBADMSG;
	}
	if (w->format == BATCH_FORMAT_0 && w->dictionary != 0) {
		error_set(err, "batch: format 0 has no dictionary");
		return -EBADMSG;
	}
	b->unit = w->time_unit_ns ? w->time_unit_ns : BATCH_UNIT_DEFAULT_NS;
	if (!times_are_sane(w, b->unit)) {
		error_set(err, "batch: first, span or mono is out of range");
		return -EBADMSG;
	}
	if (w->samples > BATCH_SAMPLES_MAX) {
		error_set(err, "batch: %" PRIu32 " samples, at most %d", w->samples,
			  BATCH_SAMPLES_MAX);
		return -EBADMSG;
	}
	if (w->n_sections > BATCH_SECTIONS_MAX) {
		error_set(err, "batch: %zu sections, at most %d", w->n_sections,
			  BATCH_SECTIONS_MAX);
		return -EBADMSG;
	}
	if (w->n_section_messages != (w->n_sections ? w->n_sections - 1 : 0)) {
		error_set(err, "batch: %zu sections, but %zu first messages", w->n_sections,
			  w->n_section_messages);
		return -EBADMSG;
	}
	return 0;
}

static void fill_header(struct batch *b, const struct envelope *e)
{
	static const enum clock_quality QUALITY[] = {CLOCK_SYNCED, CLOCK_FREE_RUNNING};
	const Towline__V1__Batch *w = b->wire;

	b->header = (struct batch_header){
		.epoch = e->epoch,
		.seq = e->seq,
		.boot_id = w->boot_id,
		.wall_base_ns = w->first * b->unit,
		.mono_base_ns = w->mono * b->unit,
		.clock_quality = w->clock_quality < array_len(QUALITY) ? QUALITY[w->clock_quality]
								       : CLOCK_UNKNOWN,
		.catalog_id = w->catalog,
		.dictionary_id = w->dictionary,
		.campaign = w->campaign,
		.consent_epoch = w->consent_epoch,
		.time_unit_ns = (uint32_t)b->unit,
	};
}

int batch_read(struct batch **ret, const struct envelope *e, struct error *err)
{
	struct batch *b;
	int r;

	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	r = unpack_body(b, e, err);
	if (!r)
		r = check_header(b, err);
	if (r < 0) {
		batch_free(b);
		return r;
	}
	fill_header(b, e);
	*ret = b;
	return 0;
}

struct batch *batch_free(struct batch *b)
{
	if (!b)
		return NULL;
	bounded_free(&b->arena);
	free(b);
	return NULL;
}

void batch_use(struct batch *b, const struct dictionary *dictionary)
{
	b->dictionary = dictionary;
}

const struct batch_header *batch_get_header(const struct batch *b)
{
	return &b->header;
}

uint64_t batch_sample_count(const struct batch *b)
{
	return b->wire->samples;
}

int64_t batch_first_wall_ns(const struct batch *b)
{
	return b->header.wall_base_ns;
}

int64_t batch_last_wall_ns(const struct batch *b)
{
	return b->header.wall_base_ns + (int64_t)b->wire->span * b->unit;
}
