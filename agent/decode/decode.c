#include "agent/decode/decode.h"

#include "agent/j1939/j1939_id.h"

#include <string.h>

struct decoder {
	const struct catalog *cat;
	struct plan *plan;
	struct isotp *isotp;
	struct j1939tp *j1939;		      /* NULL: no J1939 message is wanted */
	bool *j1939_buses;		      /* by bus: one is wanted there */
	uint32_t *channels;		      /* ISO-TP channel by message, or CATALOG_NONE */
	uint8_t *special;		      /* by message: what its frames need before the plan */
	uint8_t whole[1 + ISOTP_PAYLOAD_MAX]; /* length byte and payload */
};

enum { CLASSIC_MAX = 8 };

enum {
	SPECIAL_CLAIMED = 1,   /* its frames give nothing */
	SPECIAL_ISOTP = 2,     /* they may be parts of a payload */
	SPECIAL_TRANSPORT = 4, /* the catalog has a message for TP.CM or TP.DT itself */
};

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
		if (m->bytes > CLASSIC_MAX && !m->j1939 && !m->status && is_wanted(m, wanted)) {
			d->channels[i] = (uint32_t)n++;
			d->special[i] |= SPECIAL_ISOTP;
		}
	}
	return n;
}

/* Any message may come by transport, whatever its DBC declares: DM1 has 8 bytes or many. */
static size_t mark_buses(struct decoder *d)
{
	size_t n = 0;

	for (uint32_t i = 0; i < d->cat->n_messages; i++) {
		const struct catalog_message *m = &d->cat->messages[i];

		if (!m->j1939 || !plan_wants(d->plan, i))
			continue;
		d->j1939_buses[m->bus] = true;
		n++;
	}
	return n;
}

/* The message that a transport session is going to carry. */
static uint32_t find_j1939(void *ctx, uint16_t bus, uint32_t id)
{
	const struct decoder *d = ctx;
	uint32_t message = plan_carried(d->plan, bus, id);

	if (message == CATALOG_NONE || !plan_wants(d->plan, message) ||
	    d->special[message] & SPECIAL_CLAIMED)
		return J1939TP_NONE;
	return message;
}

static int start_j1939(struct decoder *d)
{
	struct j1939tp_config config = {.find = find_j1939, .ctx = d};

	d->j1939_buses = calloc(d->cat->n_buses + 1, sizeof(*d->j1939_buses));
	if (!d->j1939_buses)
		return -ENOMEM;
	if (mark_buses(d) == 0)
		return 0;
	for (size_t i = 0; i < d->cat->n_messages; i++) {
		const struct catalog_message *m = &d->cat->messages[i];

		if (m->extended && j1939tp_is(m->id) && d->j1939_buses[m->bus])
			d->special[i] |= SPECIAL_TRANSPORT;
	}
	return j1939tp_new(&d->j1939, &config);
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
	d->special = calloc(d->cat->n_messages + 1, sizeof(*d->special));
	if (!d->channels || !d->special)
		return -ENOMEM;
	r = start_j1939(d);
	if (r < 0)
		return r;
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
	j1939tp_free(d->j1939);
	free(d->j1939_buses);
	free(d->channels);
	free(d->special);
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
	if (!(d->special[message] & SPECIAL_ISOTP))
		return false;
	return !(f->flags & FRAME_FD) || d->cat->messages[message].bytes > FRAME_DATA_MAX;
}

static bool is_transport(const struct decoder *d, const struct frame *f)
{
	return j1939tp_is(f->id) && f->flags & FRAME_EXTENDED && d->j1939 &&
	       f->bus < d->cat->n_buses && d->j1939_buses[f->bus];
}

/* Seldom: kept out of the way of all other frames, as decode_special is. */
static __attribute__((noinline)) size_t decode_transport(struct decoder *d, const struct frame *f,
							 uint32_t *ret_message, struct sample *out)
{
	struct j1939tp_message m;
	int r = j1939tp_frame(d->j1939, f, &m);

	if (r == 0)
		return 0;
	*ret_message = m.number;
	return r == J1939TP_DONE ? plan_decode(d->plan, m.number, m.data, m.len, out) : 0;
}

static __attribute__((noinline)) size_t decode_special(struct decoder *d, const struct frame *f,
						       uint32_t *ret_message, struct sample *out)
{
	uint32_t message = *ret_message, whole;
	size_t n;

	if (d->special[message] & SPECIAL_TRANSPORT && is_transport(d, f)) {
		n = decode_transport(d, f, &whole, out);
		if (n > 0) { /* in place of its own */
			*ret_message = whole;
			return n;
		}
	}
	if (d->special[message] & SPECIAL_CLAIMED)
		return 0;
	if (is_isotp(d, f, message))
		return decode_isotp(d, f, message, out);
	return plan_decode(d->plan, message, f->data, f->len, out);
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
		return is_transport(d, f) ? decode_transport(d, f, ret_message, out) : 0;
	*ret_message = message;
	if (d->special[message])
		return decode_special(d, f, ret_message, out);
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

static uint32_t message_of(const struct plan *plan, const struct payload *p)
{
	switch (p->kind) {
	case PAYLOAD_STATUS:
		return plan_status(plan, p->bus);
	case PAYLOAD_J1939:
		return plan_carried(plan, p->bus, p->id);
	case PAYLOAD_ISOTP:
		break;
	}
	return plan_message(plan, p->bus, p->id, p->extended);
}

size_t decoder_payload(struct decoder *d, const struct payload *p, uint32_t *ret_message,
		       struct sample *out)
{
	uint32_t message = message_of(d->plan, p);

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
		d->special[message] |= SPECIAL_CLAIMED;
}

static struct frame_match match_of(const struct catalog_message *m)
{
	uint32_t all = m->extended ? 0x1FFFFFFF : 0x7FF;
	uint32_t mask = m->j1939 ? j1939_id_mask(m->id) : all;

	return (struct frame_match){.id = m->id & mask, .mask = mask, .extended = m->extended};
}

/* What carries long J1939 messages, between any nodes. */
static const struct frame_match transport_matches[] = {
	{.id = 0xEC0000, .mask = 0x3FF0000, .extended = true},
	{.id = 0xEB0000, .mask = 0x3FF0000, .extended = true},
};

size_t decoder_matches(const struct decoder *d, uint16_t bus, struct frame_match *out, size_t max)
{
	size_t n = 0;
	bool j1939 = false;

	for (uint32_t i = 0; i < d->cat->n_messages; i++) {
		const struct catalog_message *m = &d->cat->messages[i];

		if (m->bus != bus || m->status || d->special[i] & SPECIAL_CLAIMED ||
		    !plan_wants(d->plan, i))
			continue;
		if (n < max)
			out[n] = match_of(m);
		n++;
		j1939 = j1939 || m->j1939;
	}
	for (size_t i = 0; j1939 && i < array_len(transport_matches); i++, n++)
		if (n < max)
			out[n] = transport_matches[i];
	return n;
}

const struct isotp_counters *decoder_isotp(const struct decoder *d)
{
	return d->isotp ? isotp_counters(d->isotp) : NULL;
}

const struct j1939tp_counters *decoder_j1939(const struct decoder *d)
{
	return d->j1939 ? j1939tp_counters(d->j1939) : NULL;
}
