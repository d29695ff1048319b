/* tools/drive/bus.c: see bus.h. */
#include "tools/drive/bus.h"
#include "tools/drive/car.h"
#include "tools/drive/encode.h"

#include <math.h>
#include <string.h>

#define ON_CHANGE_STEPS 5 /* looked at every 50 ms */

/* Most tasks run nearly on time; some wait for others. */
static int64_t lateness(struct rng *r, int64_t period_ns)
{
	double ns = 60e3 * fabs(rng_normal(r));
	if (rng_next(r) % 16 == 0)
		ns += rng_range(r, 0, 400e3);
	return (int64_t)fmin(ns, (double)period_ns / 4);
}

static void slot_init(struct bus_set *b, const struct drive_bus *bus, uint16_t no,
		      const struct drive_message *m)
{
	int64_t nominal = (int64_t)m->period_ms * NS_PER_MS;
	struct bus_slot *s = &b->slots[b->n++];
	*s = (struct bus_slot){.msg = m, .bus = bus, .bus_no = no};
	s->period_ns = nominal + (int64_t)(rng_range(&b->rng, -1e-4, 1e-4) * (double)nominal);
	s->due_ns = (int64_t)(rng_unit(&b->rng) * (double)nominal);
	s->emit_ns = s->due_ns + lateness(&b->rng, s->period_ns);
	s->counter = (uint8_t)(rng_next(&b->rng) & 15);
}

void bus_init(struct bus_set *b, uint64_t seed)
{
	*b = (struct bus_set){.rng = {seed ^ UINT64_C(0x627573)}, .last_ns = INT64_MIN};
	for (uint16_t no = 0; no < DRIVE_BUSES; no++) {
		const struct drive_bus *bus = drive_bus(no);
		assert(b->n + bus->n_messages <= BUS_MESSAGES_MAX);
		for (size_t i = 0; i < bus->n_messages; i++)
			slot_init(b, bus, no, &bus->messages[i]);
	}
}

/* Nominal length with some stuff bits: 44 or 64 bits of frame around the data; the data phase of FD
 * at four times the rate. */
static int64_t air_time(const struct bus_slot *s)
{
	int64_t bits = s->msg->flags & MSG_EXTENDED ? 67 : 47;
	int64_t data = s->msg->bytes * 8;
	data += data / 8;
	if (s->msg->flags & MSG_FD)
		data /= 4;
	return (bits + data) * s->bus->bit_ns;
}

static void emit(struct bus_slot *s, const struct car *c, int64_t at_ns, struct frame *f)
{
	uint8_t data[ENCODE_BYTES];
	const struct drive_message *m = s->msg;
	encode_message(m, c, s->group, s->counter, data);
	f->t_ns = at_ns;
	f->id = m->id;
	f->bus = s->bus_no;
	f->flags = (uint8_t)((m->flags & MSG_EXTENDED ? FRAME_EXTENDED : 0) |
			     (m->flags & MSG_FD ? FRAME_FD : 0));
	f->len = m->bytes;
	memcpy(f->data, data, sizeof(f->data));
	memcpy(s->last, data, sizeof(s->last));
	s->sent = true;
	s->counter = (s->counter + 1) & 15;
	if (m->groups)
		s->group = (uint8_t)((s->group + 1) % m->groups);
}

static size_t periodic(struct bus_set *b, const struct car *c, int64_t from_ns, int64_t tick_ns,
		       struct frame *out)
{
	size_t n = 0;
	for (size_t i = 0; i < b->n; i++) {
		struct bus_slot *s = &b->slots[i];
		while (s->emit_ns < tick_ns && n < BUS_FRAMES_MAX) {
			emit(s, c, from_ns + s->emit_ns, &out[n++]);
			s->due_ns += s->period_ns;
			s->emit_ns = s->due_ns + lateness(&b->rng, s->period_ns);
		}
		s->due_ns -= tick_ns;
		s->emit_ns -= tick_ns;
	}
	return n;
}

/* Messages that tell of events do not wait for their period. */
static size_t changed(struct bus_set *b, const struct car *c, int64_t from_ns, struct frame *out,
		      size_t n)
{
	uint8_t data[ENCODE_BYTES];
	for (size_t i = 0; i < b->n && n < BUS_FRAMES_MAX; i++) {
		struct bus_slot *s = &b->slots[i];
		if (!(s->msg->flags & MSG_ON_CHANGE) || !s->sent)
			continue;
		encode_message(s->msg, c, s->group, s->counter, data);
		if (memcmp(data, s->last, s->msg->bytes) != 0)
			emit(s, c, from_ns + 300 * NS_PER_US, &out[n++]);
	}
	return n;
}

static void sort(struct frame *f, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct frame x = f[i];
		size_t k = i;
		for (; k > 0 && f[k - 1].t_ns > x.t_ns; k--)
			f[k] = f[k - 1];
		f[k] = x;
	}
}

/* Frames come from slots of the set: one has it. */
static const struct bus_slot *slot_of(const struct bus_set *b, const struct frame *f)
{
	size_t i = 0;

	while (b->slots[i].bus_no != f->bus || b->slots[i].msg->id != f->id) {
		i++;
		assert(i < b->n);
	}
	return &b->slots[i];
}

/* A frame's time is that of its end, as a receiver stamps it. */
static void arbitrate(struct bus_set *b, struct frame *f)
{
	int64_t start = f->t_ns > b->free_ns[f->bus] ? f->t_ns : b->free_ns[f->bus];
	int64_t end = start + air_time(slot_of(b, f));
	b->free_ns[f->bus] = end;
	f->t_ns = end > b->last_ns ? end : b->last_ns;
	b->last_ns = f->t_ns;
}

size_t bus_tick(struct bus_set *b, const struct car *c, int64_t from_ns, int64_t to_ns,
		struct frame *out)
{
	size_t n = periodic(b, c, from_ns, to_ns - from_ns, out);
	if (c->step % ON_CHANGE_STEPS == 0)
		n = changed(b, c, from_ns, out, n);
	sort(out, n);
	for (size_t i = 0; i < n; i++)
		arbitrate(b, &out[i]);
	return n;
}
