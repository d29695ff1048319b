#include "agent/decode/isotp.h"

#include <string.h>

enum pci { PCI_SINGLE = 0, PCI_FIRST = 1, PCI_CONSECUTIVE = 2, PCI_FLOW_CONTROL = 3 };

struct channel {
	int64_t last_ns;    /* time of the last frame of the payload under way */
	uint32_t total;	    /* bytes it announced; 0: none under way */
	uint32_t have;	    /* bytes of it; the complete payload's when total is 0 */
	uint32_t frame_len; /* bytes of its first frame: all but the last frame are as long */
	uint8_t sequence;   /* number of the next consecutive frame */
};

struct isotp {
	struct isotp_config config;
	struct isotp_counters count;
	size_t n;
	struct channel *channels;
	uint8_t *bytes; /* n times a length byte and payload_max bytes */
};

int isotp_new(struct isotp **ret, size_t n, const struct isotp_config *config)
{
	struct isotp *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->config = *config;
	if (!t->config.payload_max)
		t->config.payload_max = ISOTP_PAYLOAD_MAX;
	if (!t->config.n_cr_ns)
		t->config.n_cr_ns = ISOTP_N_CR_MS * NS_PER_MS;
	t->n = n;
	t->channels = calloc(n + 1, sizeof(*t->channels));
	t->bytes = calloc(n + 1, 1 + t->config.payload_max);
	if (!t->channels || !t->bytes) {
		isotp_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

struct isotp *isotp_free(struct isotp *t)
{
	if (!t)
		return NULL;
	free(t->channels);
	free(t->bytes);
	free(t);
	return NULL;
}

static uint8_t *bytes_of(const struct isotp *t, size_t channel)
{
	return t->bytes + channel * (1 + t->config.payload_max);
}

static int malformed(struct isotp *t)
{
	t->count.malformed++;
	return 0;
}

static bool has_timed_out(const struct isotp *t, const struct channel *c, int64_t now_ns)
{
	int64_t passed;

	if (__builtin_sub_overflow(now_ns, c->last_ns, &passed))
		return true;
	return passed > t->config.n_cr_ns || passed < -t->config.n_cr_ns;
}

/* Gives up what is under way because something new begins. */
static void give_up(struct isotp *t, struct channel *c, int64_t now_ns)
{
	if (c->total) {
		if (has_timed_out(t, c, now_ns))
			t->count.timeouts++;
		else
			t->count.interrupted++;
	}
	c->total = 0;
	c->have = 0;
}

static void append(struct isotp *t, size_t channel, const uint8_t *data, size_t len)
{
	struct channel *c = &t->channels[channel];

	memcpy(bytes_of(t, channel) + 1 + c->have, data, len);
	c->have += (uint32_t)len;
}

static int finish(struct isotp *t, size_t channel)
{
	struct channel *c = &t->channels[channel];

	bytes_of(t, channel)[0] = (uint8_t)c->have;
	c->total = 0;
	t->count.payloads++;
	return ISOTP_DONE;
}

static int take_single(struct isotp *t, size_t channel, const struct frame *f)
{
	size_t len = f->data[0] & 15, pci = 1;

	if (len == 0 && f->len > 8) { /* escape: CAN FD frames above 8 bytes */
		len = f->data[1];
		pci = 2;
	}
	if (len == 0 || len > f->len - pci)
		return malformed(t);
	give_up(t, &t->channels[channel], f->t_ns);
	if (len > t->config.payload_max) {
		t->count.too_long++;
		return 0;
	}
	append(t, channel, f->data + pci, len);
	return finish(t, channel);
}

static uint32_t first_frame_length(const struct frame *f, size_t *ret_pci)
{
	const uint8_t *d = f->data;
	uint32_t len = (uint32_t)(d[0] & 15) << 8 | d[1];

	*ret_pci = 2;
	if (len == 0) {
		len = (uint32_t)d[2] << 24 | (uint32_t)d[3] << 16 | (uint32_t)d[4] << 8 | d[5];
		*ret_pci = 6;
	}
	return len;
}

static int take_first(struct isotp *t, size_t channel, const struct frame *f)
{
	struct channel *c = &t->channels[channel];
	uint32_t total;
	size_t pci;

	if (f->len < 8)
		return malformed(t);
	total = first_frame_length(f, &pci);
	if (total <= f->len - pci) /* would have been a single frame */
		return malformed(t);
	give_up(t, c, f->t_ns);
	if (total > t->config.payload_max) {
		t->count.too_long++;
		return 0;
	}
	c->total = total;
	c->sequence = 1;
	c->frame_len = f->len;
	c->last_ns = f->t_ns;
	append(t, channel, f->data + pci, f->len - pci);
	return 0;
}

static int take_consecutive(struct isotp *t, size_t channel, const struct frame *f)
{
	struct channel *c = &t->channels[channel];
	size_t left = c->total - c->have, room = (size_t)f->len - 1;

	if (c->total && has_timed_out(t, c, f->t_ns)) {
		give_up(t, c, f->t_ns);
		return 0;
	}
	if (!c->total) {
		t->count.stray++;
		return 0;
	}
	if ((f->data[0] & 15) != c->sequence) {
		c->total = 0;
		t->count.sequence++;
		return 0;
	}
	if (room < left && f->len != c->frame_len) {
		c->total = 0;
		return malformed(t);
	}
	c->sequence = (c->sequence + 1) & 15;
	c->last_ns = f->t_ns;
	append(t, channel, f->data + 1, room < left ? room : left);
	return c->have == c->total ? finish(t, channel) : 0;
}

int isotp_frame(struct isotp *t, size_t channel, const struct frame *f)
{
	assert(channel < t->n);
	if (f->flags & (FRAME_REMOTE | FRAME_ERROR))
		return 0;
	if (f->len == 0 || f->len > FRAME_DATA_MAX)
		return malformed(t);
	switch (f->data[0] >> 4) {
	case PCI_SINGLE:
		return take_single(t, channel, f);
	case PCI_FIRST:
		return take_first(t, channel, f);
	case PCI_CONSECUTIVE:
		return take_consecutive(t, channel, f);
	case PCI_FLOW_CONTROL:
		t->count.flow_control++;
		return 0;
	default:
		return malformed(t);
	}
}

const uint8_t *isotp_payload(const struct isotp *t, size_t channel, size_t *ret_len)
{
	const struct channel *c = &t->channels[channel];

	*ret_len = c->total ? 0 : 1 + (size_t)c->have;
	return bytes_of(t, channel);
}

const struct isotp_counters *isotp_counters(const struct isotp *t)
{
	return &t->count;
}
