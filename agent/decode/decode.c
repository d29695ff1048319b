#include "agent/decode/decode.h"

#include <string.h>

struct decoder {
	const struct catalog *cat;
	struct plan *plan;
	struct isotp *isotp;
	uint32_t *channels;		      /* ISO-TP channel by message, or CATALOG_NONE */
	bool *claimed;			      /* by message: its frames give nothing */
	uint8_t whole[1 + ISOTP_PAYLOAD_MAX]; /* length byte and payload */
};

enum { CLASSIC_MAX = 8 };

static bool is_wanted(const struct catalog_message *m, const uint8_t *wanted)
{
	for (uint32_t i = m->first_signal; i < m->first_signal + m->n_signals; i++)
		if (!wanted || wanted[i])
			return true;
	return false;
}

/* A message of 9 to 64 bytes gets a channel, too: its frames may be classic. */
static size_t assign_channels(struct decoder *d, const uint8_t *wanted)
{
	size_t n = 0;

	for (size_t i = 0; i < d->cat->n_messages; i++) {
		const struct catalog_message *m = &d->cat->messages[i];

		d->channels[i] = CATALOG_NONE;
		if (m->bytes > CLASSIC_MAX && !m->j1939 && is_wanted(m, wanted))
			d->channels[i] = (uint32_t)n++;
	}
	return n;
}

/* Room for all of ISO 15765-2's 4095 bytes, whatever the message declares: real payloads are longer
 * than their DBC says. Pages that no payload reaches are never touched. */
static int start(struct decoder *d, const uint8_t *wanted)
{
	struct isotp_config config = {.payload_max = ISOTP_PAYLOAD_MAX};
	int r;

	r = plan_new(&d->plan, d->cat, wanted);
	if (r < 0)
		return r;
	d->channels = calloc(d->cat->n_messages + 1, sizeof(*d->channels));
	d->claimed = calloc(d->cat->n_messages + 1, sizeof(*d->claimed));
	if (!d->channels || !d->claimed)
		return -ENOMEM;
	return isotp_new(&d->isotp, assign_channels(d, wanted), &config);
}

int decoder_new(struct decoder **ret, const struct catalog *cat, const uint8_t *wanted)
{
	struct decoder *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->cat = cat;
	r = start(d, wanted);
	if (r < 0) {
		decoder_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

struct decoder *decoder_free(struct decoder *d)
{
	if (!d)
		return NULL;
	plan_free(d->plan);
	isotp_free(d->isotp);
	free(d->channels);
	free(d->claimed);
	free(d);
	return NULL;
}

size_t decoder_samples_max(const struct decoder *d)
{
	return plan_samples_max(d->plan);
}

static size_t decode_isotp(struct decoder *d, const struct frame *f, uint32_t message,
			   struct sample *out)
{
	uint32_t channel = d->channels[message];
	const uint8_t *data;
	size_t len;

	if (isotp_frame(d->isotp, channel, f) != ISOTP_DONE)
		return 0;
	data = isotp_payload(d->isotp, channel, &len);
	return plan_decode(d->plan, message, data, len, out);
}

static bool is_isotp(const struct decoder *d, const struct frame *f, uint32_t message)
{
	if (d->channels[message] == CATALOG_NONE)
		return false;
	return !(f->flags & FRAME_FD) || d->cat->messages[message].bytes > FRAME_DATA_MAX;
}

size_t decoder_frame(struct decoder *d, const struct frame *f, uint32_t *ret_message,
		     struct sample *out)
{
	uint32_t message;

	*ret_message = CATALOG_NONE;
	if (f->flags & (FRAME_REMOTE | FRAME_ERROR) || f->len > FRAME_DATA_MAX)
		return 0;
	message = plan_message(d->plan, f->bus, f->id, f->flags & FRAME_EXTENDED);
	if (message == CATALOG_NONE)
		return 0;
	*ret_message = message;
	if (d->claimed[message])
		return 0;
	if (is_isotp(d, f, message))
		return decode_isotp(d, f, message, out);
	return plan_decode(d->plan, message, f->data, f->len, out);
}

/* DBC files describe what ISO-TP carries as [length byte + payload] (README.md). */
static size_t decode_whole(struct decoder *d, const struct payload *p, uint32_t message,
			   struct sample *out)
{
	if (p->len > ISOTP_PAYLOAD_MAX)
		return 0;
	d->whole[0] = (uint8_t)p->len;
	memcpy(d->whole + 1, p->data, p->len);
	return plan_decode(d->plan, message, d->whole, 1 + p->len, out);
}

size_t decoder_payload(struct decoder *d, const struct payload *p, uint32_t *ret_message,
		       struct sample *out)
{
	uint32_t message = p->kind == PAYLOAD_STATUS
				   ? plan_status(d->plan, p->bus)
				   : plan_message(d->plan, p->bus, p->id, p->extended);

	*ret_message = message;
	if (message == CATALOG_NONE)
		return 0;
	if (p->kind == PAYLOAD_ISOTP)
		return decode_whole(d, p, message, out);
	return plan_decode(d->plan, message, p->data, p->len, out);
}

void decoder_claim(struct decoder *d, uint16_t bus, uint32_t id, bool extended)
{
	uint32_t message = plan_message(d->plan, bus, id, extended);

	if (message != CATALOG_NONE)
		d->claimed[message] = true;
}

/* SAE J1939-21 5.2: the PGN's bits of an identifier; below PF 240 its low byte is an address. */
static struct frame_match match_of(const struct catalog_message *m)
{
	uint32_t all = m->extended ? 0x1FFFFFFF : 0x7FF;
	uint32_t mask = !m->j1939 ? all : (m->id >> 16 & 0xFF) < 240 ? 0x3FF0000 : 0x3FFFF00;

	return (struct frame_match){.id = m->id & mask, .mask = mask, .extended = m->extended};
}

size_t decoder_matches(const struct decoder *d, uint16_t bus, struct frame_match *out, size_t max)
{
	size_t n = 0;

	for (uint32_t i = 0; i < d->cat->n_messages; i++) {
		const struct catalog_message *m = &d->cat->messages[i];

		if (m->bus != bus || m->status || d->claimed[i] || !plan_wants(d->plan, i))
			continue;
		if (n < max)
			out[n] = match_of(m);
		n++;
	}
	return n;
}

const struct isotp_counters *decoder_isotp(const struct decoder *d)
{
	return d->isotp ? isotp_counters(d->isotp) : NULL;
}
