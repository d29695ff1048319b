#include "agent/decode/decode.h"

struct decoder {
	const struct catalog *cat;
	struct plan *plan;
	struct isotp *isotp;
	uint32_t *channels; /* ISO-TP channel by message, or CATALOG_NONE */
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
	if (!d->channels)
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
	if (is_isotp(d, f, message))
		return decode_isotp(d, f, message, out);
	return plan_decode(d->plan, message, f->data, f->len, out);
}

const struct isotp_counters *decoder_isotp(const struct decoder *d)
{
	return d->isotp ? isotp_counters(d->isotp) : NULL;
}
