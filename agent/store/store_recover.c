/* What the last run could not write, told by gaps when the outbox is opened again. */
#include "agent/store/store_private.h"

static int write_meta(struct store *s, uint64_t unsaved_id)
{
	sqlite3_stmt *st = s->st[STORE_WRITE_META];
	int r = db_bind(st, "ii", (int64_t)unsaved_id, (int64_t)s->opt.boot_id);

	return r < 0 ? r : db_run(st);
}

/* Another boot found it open: a power cut, or a crash of the machine. Rows that were not synced are
 * gone, and the relay may have them: their seqs must not come again. Which of them there were, and
 * with how many samples, nobody knows. */
static int tell_cut(struct store *s, struct working *w, enum uplink_class class)
{
	struct class_state *c = &w->classes[class];
	struct store_gap g = {
		.class = class,
		.seq = c->last_seq + 1,
		.gap = {.through = c->reserved_seq, .reason = GAP_UNSAVED},
	};

	if (c->reserved_seq <= c->last_seq)
		return 0;
	c->last_seq = c->reserved_seq;
	c->touched = true;
	return store_add_gap(s, w, &g);
}

static int tell_unsaved(struct store *s, struct working *w, enum uplink_class class)
{
	const struct unsaved_count *n = &s->unsaved.note.by[class];
	struct gap lost = {.reason = GAP_UNSAVED, .batches = n->batches, .samples = n->samples};

	if (n->batches == 0 && n->samples == 0)
		return 0;
	return store_lose_newcomer(s, w, class, &lost);
}

int store_recover(struct store *s, uint64_t *ret_unsaved)
{
	bool cut = s->running_boot != s->opt.boot_id;
	bool note = s->unsaved.fd >= 0 && s->unsaved.note.id != s->unsaved_id &&
		    !unsaved_is_empty(&s->unsaved);
	uint64_t note_id = note ? s->unsaved.note.id : s->unsaved_id;
	struct working w;
	int r = store_begin(s, &w, STORE_NOW, false);

	if (r < 0)
		return r;
	r = store_enter_boot(s);
	for (unsigned k = 0; r == 0 && k < CLASS_COUNT; k++) {
		if (cut)
			r = tell_cut(s, &w, (enum uplink_class)k);
		if (r == 0 && note)
			r = tell_unsaved(s, &w, (enum uplink_class)k);
	}
	if (r == 0)
		r = write_meta(s, note_id);
	r = store_finish(s, &w, r);
	if (r < 0)
		return r;
	for (unsigned k = 0; note && k < CLASS_COUNT; k++)
		*ret_unsaved += s->unsaved.note.by[k].batches;
	s->unsaved_id = note_id;
	s->running_boot = s->opt.boot_id;
	return 0;
}

int store_leave(struct store *s)
{
	struct working w;
	bool any = false;
	int r;

	for (unsigned k = 0; k < CLASS_COUNT; k++)
		any = any || s->w.classes[k].reserved_seq > s->w.classes[k].last_seq;
	if (!any)
		return store_flush(s);
	r = store_begin(s, &w, STORE_NOW, true);
	if (r < 0)
		return r;
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		struct class_state *c = &w.classes[k];

		c->reserved = c->reserved_seq > c->last_seq;
		if (c->reserved)
			c->reserved_seq = c->last_seq;
	}
	return store_finish(s, &w, 0);
}
