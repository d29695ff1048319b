#include "agent/publish/flight_private.h"

void flight_forget_all(struct flight *w)
{
	w->n = w->urgent_rows = 0;
	w->bytes = w->wire = w->urgent = w->urgent_wire = 0;
	w->earliest_ns = INT64_MAX;
	w->acked_rows = w->acked_bytes = 0;
	for (size_t i = 0; i < FLIGHT_BUCKETS; i++)
		w->buckets[i] = FLIGHT_NOBODY;
}

static uint16_t *bucket(struct flight *w, enum uplink_class class, uint64_t seq)
{
	return &w->buckets[(seq * CLASS_COUNT + (uint64_t) class) % FLIGHT_BUCKETS];
}

struct entry *flight_find(const struct flight *w, enum uplink_class class, uint64_t seq)
{
	size_t i = w->buckets[(seq * CLASS_COUNT + (uint64_t) class) % FLIGHT_BUCKETS];

	for (; i != FLIGHT_NOBODY; i = w->entries[i].next)
		if (w->entries[i].seq == seq && flight_class_of(&w->entries[i]) == class)
			return &w->entries[i];
	return NULL;
}

/* Where the number of e is kept. */
static uint16_t *link_to(struct flight *w, const struct entry *e)
{
	uint16_t *at = bucket(w, flight_class_of(e), e->seq);

	while (*at != e - w->entries)
		at = &w->entries[*at].next;
	return at;
}

struct entry *flight_add(struct flight *w, const struct flight_row *row)
{
	struct entry *e = &w->entries[w->n];
	uint16_t *at = bucket(w, lane_class(row->lane), row->seq);

	assert(w->n < w->opt.rows_max);
	*e = (struct entry){.lane = (uint8_t)row->lane,
			    .seq = row->seq,
			    .through = row->through,
			    .first = w->turn,
			    .next = *at};
	*at = (uint16_t)w->n++;
	w->urgent_rows += flight_is_urgent(lane_class(row->lane));
	flight_pass(w, row->lane, row->seq);
	return e;
}

void flight_set_bytes(struct flight *w, struct entry *e, size_t bytes)
{
	size_t *urgent = flight_is_urgent(flight_class_of(e)) ? &w->urgent : NULL;

	w->bytes += bytes - e->bytes;
	if (urgent)
		*urgent += bytes - e->bytes;
	e->bytes = bytes;
}

void flight_set_on_wire(struct flight *w, struct entry *e, bool on_wire)
{
	size_t change;

	if (e->on_wire == on_wire)
		return;
	change = on_wire ? e->bytes : 0 - e->bytes;
	e->on_wire = on_wire;
	w->wire += change;
	if (flight_is_urgent(flight_class_of(e)))
		w->urgent_wire += change;
}

void flight_drop(struct flight *w, struct entry *e)
{
	struct entry *last = &w->entries[w->n - 1];

	flight_set_on_wire(w, e, false);
	flight_set_bytes(w, e, 0);
	w->urgent_rows -= flight_is_urgent(flight_class_of(e));
	*link_to(w, e) = e->next;
	if (e != last) {
		*link_to(w, last) = (uint16_t)(e - w->entries);
		*e = *last;
	}
	w->n--;
}
