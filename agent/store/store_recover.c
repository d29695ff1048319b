/* What the last run could not write, told by gaps when the outbox is opened again. */
#include "agent/store/store_private.h"

static int write_meta(struct store *s, uint64_t unsaved_id)
{
	sqlite3_stmt *st = s->st[STORE_WRITE_META];
	int r = db_bind(st, "ii", (int64_t)unsaved_id, (int64_t)s->opt.boot_id);

	return r < 0 ? r : db_run(st);
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
	bool note = s->unsaved.note.id != s->unsaved_id && !unsaved_is_empty(&s->unsaved);
	uint64_t note_id = note ? s->unsaved.note.id : s->unsaved_id;
	struct working w;
	int r = store_begin(s, &w, STORE_NOW, false);

	if (r < 0)
		return r;
	r = store_enter_boot(s);
	for (unsigned k = 0; r == 0 && k < CLASS_COUNT; k++) {
		r = store_tell_reserved(s, &w, (enum uplink_class)k);
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
