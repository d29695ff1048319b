#include "relay/stream/age.h"

#include "relay/stream/internal.h"

/* The first row of a statement that always gives one. */
static int one_row(sqlite3_stmt *st, int64_t *ret, int64_t *ret_more)
{
	int e = db_step(st);

	if (e == DB_ROW) {
		*ret = sqlite3_column_int64(st, 0);
		if (ret_more)
			*ret_more = sqlite3_column_int64(st, 1);
	}
	sqlite3_reset(st);
	return e < 0 ? e : e == DB_ROW ? 0 : -EBADMSG;
}

int stream_get_ran(struct stream *s, int64_t *ret_ns)
{
	return one_row(s->st[ST_RAN], ret_ns, NULL);
}

int stream_put_ran(struct stream *s, int64_t ran_ns)
{
	return stream_run_with(s->st[ST_PUT_RAN], ran_ns);
}

int stream_mark(struct stream *s, int64_t ran_ns)
{
	return stream_run_with(s->st[ST_MARK], ran_ns);
}

int stream_last_mark(struct stream *s, int64_t *ret_ns)
{
	return one_row(s->st[ST_LAST_MARK], ret_ns, NULL);
}

int stream_marked(struct stream *s, int64_t ran_ns, struct stream_marked *ret)
{
	int e = db_bind(s->st[ST_MARKED], "i", ran_ns);

	if (e == 0)
		e = one_row(s->st[ST_MARKED], &ret->batch, &ret->gap);
	return e < 0 ? e : stream_run_with(s->st[ST_FORGET_MARKS], ran_ns);
}

int stream_prune(struct stream *s, int64_t through, size_t max_rows)
{
	int e = db_bind(s->st[ST_PRUNE], "ii", through, (int64_t)max_rows);

	return stream_deleted(s, e < 0 ? e : db_run(s->st[ST_PRUNE]));
}

int stream_prune_gaps(struct stream *s, int64_t through, size_t max_rows)
{
	int e = db_bind(s->st[ST_PRUNE_GAPS], "ii", through, (int64_t)max_rows);

	if (e == 0)
		e = db_run(s->st[ST_PRUNE_GAPS]);
	return e < 0 ? e : sqlite3_changes(s->db);
}
