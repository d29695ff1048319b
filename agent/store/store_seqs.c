/* Up to where seqs may have been given, noted beside the database before any of them is
 * (unsaved.h): whatever is lost of the log or the file, and whether or not the power was cut, none
 * is given twice. The relay would take the second for a copy of the first, and drop it. */
#include "agent/store/store_private.h"

#include <string.h>

enum { AHEAD = 256 }; /* seqs; what a note costs, 4 KiB of flash, is shared by so many rows */

int store_check_seqs(struct store *s)
{
	const struct unsaved_seqs *noted = &s->unsaved.seqs;

	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		uint64_t last = s->w.classes[k].last_seq;

		s->reserved[k] = last;
		if (noted->epoch != s->epoch)
			continue;
		if (last > noted->last[k] || (noted->closed && last != noted->last[k]))
			return -EBADMSG;
		s->reserved[k] = noted->last[k];
	}
	if (noted->epoch == s->epoch)
		return 0;
	/* Who opens it for the first time notes them before running_boot is set. So the file is a
	 * copy, or the note is damaged; or the file that gave what is noted is lost. */
	return s->running_boot != 0 || (unsaved_gave_any(noted) && !s->follows) ? -EBADMSG : 0;
}

bool store_log_was_whole(const struct store *s)
{
	const struct unsaved_seqs *noted = &s->unsaved.seqs;

	return noted->epoch == s->epoch && (noted->closed || noted->boot == s->opt.boot_id);
}

/* An outbox takes the place of another. */
static void follow(struct unsaved_seqs *seqs, uint64_t epoch)
{
	if (unsaved_gave_any(seqs)) {
		memmove(&seqs->older[1], &seqs->older[0],
			(UNSAVED_OLDER - 1) * sizeof(seqs->older[0]));
		seqs->older[0] = seqs->epoch;
	}
	seqs->epoch = epoch;
}

int store_reserve_seqs(struct store *s, const struct working *w)
{
	struct unsaved_seqs next = s->unsaved.seqs;
	bool due = next.epoch != s->epoch || next.boot != s->opt.boot_id || next.closed;
	int r = 0;

	if (next.epoch != s->epoch)
		follow(&next, s->epoch);
	next.boot = s->opt.boot_id;
	next.closed = false;
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		uint64_t last = w->classes[k].last_seq;
		bool beyond = last > s->reserved[k];

		next.last[k] = beyond ? last + AHEAD : s->reserved[k];
		due = due || beyond;
	}
	if (due)
		r = unsaved_set_seqs(&s->unsaved, &next);
	if (r == 0)
		memcpy(s->reserved, next.last, sizeof(s->reserved));
	return r;
}

/* The last run ended without a word. Most likely they were never given; where the end of the log is
 * lost some were, and with how many samples nobody knows. */
int store_tell_reserved(struct store *s, struct working *w, enum uplink_class class)
{
	struct class_state *c = &w->classes[class];
	struct store_gap g = {
		.class = class,
		.seq = c->last_seq + 1,
		.gap = {.through = s->reserved[class], .reason = GAP_UNSAVED},
	};

	if (s->reserved[class] <= c->last_seq)
		return 0;
	c->last_seq = s->reserved[class];
	c->touched = true;
	return store_add_gap(s, w, &g);
}

int store_close_seqs(struct store *s)
{
	struct unsaved_seqs next = s->unsaved.seqs;

	next.closed = true;
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		next.last[k] = s->w.classes[k].last_seq;
	return unsaved_set_seqs(&s->unsaved, &next);
}
