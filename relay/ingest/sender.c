/* Senders and their lanes: what ingest keeps in memory of devices that talk. */
#include "relay/ingest/internal.h"

#include <stdio.h>
#include <string.h>

static void free_lane(struct lane *l)
{
	window_free(&l->window);
	free(l->nacks);
	free(l);
}

static void free_talk(struct sender *s)
{
	while (s->lanes) {
		struct lane *l = s->lanes;

		s->lanes = l->next;
		free_lane(l);
	}
	s->n_lanes = 0;
	contexts_forget(&s->contexts);
}

void senders_free(struct ingest *in)
{
	for (size_t i = 0; i < in->senders.cap; i++) {
		struct sender *s = in->senders.slots[i].value;

		if (s)
			free_talk(s);
		free(s);
	}
	table_free(&in->senders);
	table_free(&in->by_device);
}

/* Forgets unknown senders that have nothing to be told. */
static void sweep_unknown(struct ingest *in)
{
	for (size_t i = 0; i < in->senders.cap;) {
		struct sender *s = in->senders.slots[i].value;

		if (!s || s->device_key || s->queued) {
			i++;
			continue;
		}
		/* Another may move into this slot. */
		table_remove(&in->senders, s->key, strlen(s->key));
		free_talk(s);
		free(s);
		in->n_unknown--;
	}
}

static struct sender *new_sender(struct ingest *in, const struct topic_up *t, const char *key)
{
	struct sender *s;

	if (in->n_unknown >= UNKNOWN_SENDERS_MAX)
		sweep_unknown(in);
	if (in->n_unknown >= UNKNOWN_SENDERS_MAX)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	snprintf(s->key, sizeof(s->key), "%s", key);
	memcpy(s->vehicle, t->vehicle, sizeof(s->vehicle));
	memcpy(s->device, t->device, sizeof(s->device));
	if (table_put(&in->senders, s->key, strlen(s->key), s) < 0) {
		free(s);
		return NULL;
	}
	in->n_unknown++;
	return s;
}

/* Follows the registry: the device came, went, or came again under a new key. */
static int rekey(struct ingest *in, struct sender *s, const struct registry_ids *ids)
{
	int r = 0;

	ingest_commit(in); /* the transaction may point to lanes of s */
	free_talk(s);
	if (s->device_key) {
		pthread_mutex_lock(&in->lock);
		table_remove(&in->by_device, &s->device_key, sizeof(s->device_key));
		pthread_mutex_unlock(&in->lock);
		in->n_unknown++;
	}
	s->device_key = ids->device;
	s->vehicle_key = ids->vehicle;
	s->stats = s->committed = (struct stream_device){0};
	s->clock = (struct stream_clock){0};
	s->receipt_ns = 0;
	if (!ids->device)
		return 0;
	r = stream_get_device(in->stream, ids->device, &s->stats);
	s->committed = s->stats;
	pthread_mutex_lock(&in->lock);
	if (r == 0)
		r = table_put(&in->by_device, &s->device_key, sizeof(s->device_key), s);
	pthread_mutex_unlock(&in->lock);
	if (r < 0)
		s->device_key = s->vehicle_key = 0;
	else
		in->n_unknown--;
	return r;
}

void senders_forget(struct ingest *in, int64_t vehicle)
{
	static const struct registry_ids none;

	for (size_t i = 0; i < in->senders.cap; i++) {
		struct sender *s = in->senders.slots[i].value;

		if (s && s->device_key && s->vehicle_key == vehicle)
			(void)!rekey(in, s, &none); /* can only fail for a device that is there */
	}
}

struct sender *sender_get(struct ingest *in, const struct topic_up *t,
			  const struct registry_ids *ids)
{
	char key[SENDER_KEY_MAX];
	struct sender *s;

	snprintf(key, sizeof(key), "%s/%s", t->vehicle, t->device);
	s = table_get(&in->senders, key, strlen(key));
	if (!s)
		s = new_sender(in, t, key);
	if (s && s->device_key != ids->device && rekey(in, s, ids) < 0)
		return NULL;
	return s;
}

/* ---- lanes ---- */

static bool lane_is_idle(const struct lane *l)
{
	return !l->in_txn && !l->untold && !l->uncounted && !l->pinned;
}

static void drop_oldest_lane(struct sender *s)
{
	struct lane **oldest = NULL;

	for (struct lane **p = &s->lanes; *p; p = &(*p)->next) {
		if (lane_is_idle(*p) && (!oldest || (*p)->used < (*oldest)->used))
			oldest = p;
	}
	if (oldest) {
		struct lane *l = *oldest;

		*oldest = l->next;
		free_lane(l);
		s->n_lanes--;
	}
}

static int read_window(struct ingest *in, struct lane *l)
{
	int64_t device = l->sender->device_key;
	int r = stream_get_window(in->stream, device, l->epoch, l->class, &l->window, &l->counts);

	if (r == 0)
		r = stream_has_gaps(in->stream, device, l->epoch, l->class);
	if (r < 0)
		return r;
	l->gaps = r == 1;
	l->fresh = !l->window.through && !l->window.n;
	l->stale = false;
	return 0;
}

int lane_reload(struct ingest *in, struct lane *l)
{
	uint64_t duplicates = l->counts.duplicates; /* these may be news to the disk */

	window_free(&l->window);
	int r = read_window(in, l);

	l->counts.duplicates = duplicates;
	return r;
}

static int new_lane(struct ingest *in, struct sender *s, uint64_t epoch, enum uplink_class class,
		    struct lane **ret)
{
	struct lane *l;
	int r = 0;

	if (s->n_lanes >= LANES_MAX)
		drop_oldest_lane(s);
	if (s->n_lanes >= LANES_MAX)
		return -EBUSY;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->epoch = epoch;
	l->class = class;
	l->sender = s;
	if (s->device_key)
		r = read_window(in, l);
	if (r < 0) {
		free_lane(l);
		return r;
	}
	l->next = s->lanes;
	s->lanes = l;
	s->n_lanes++;
	*ret = l;
	return 0;
}

int lane_get(struct ingest *in, struct sender *s, uint64_t epoch, enum uplink_class class,
	     struct lane **ret)
{
	struct lane *l = s->lanes;
	int r = 0;

	while (l && (l->epoch != epoch || l->class != class))
		l = l->next;
	if (!l)
		r = new_lane(in, s, epoch, class, &l);
	else if (l->stale)
		r = lane_reload(in, l);
	if (r < 0)
		return r;
	l->used = ++in->turn;
	*ret = l;
	return 0;
}
