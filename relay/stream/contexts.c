#include "relay/stream/contexts.h"

#include "relay/stream/internal.h"

int stream_put_context(struct stream *s, int64_t vehicle, int64_t device, enum uplink_class class,
		       const void *bytes, size_t len)
{
	int e = db_bind(s->st[ST_PUT_CONTEXT], "iiib", vehicle, device, (int64_t) class, bytes,
			len);

	if (e == 0)
		e = db_run(s->st[ST_PUT_CONTEXT]);
	if (e == 0)
		e = db_bind(s->st[ST_LIMIT_CONTEXTS], "iii", device, (int64_t) class,
			    (int64_t)STREAM_CONTEXTS_MAX);
	return e < 0 ? e : db_run(s->st[ST_LIMIT_CONTEXTS]);
}

int stream_each_context(struct stream *s, int64_t device,
			int (*cb)(void *ctx, enum uplink_class class, const void *bytes,
				  size_t len),
			void *ctx)
{
	sqlite3_stmt *st = s->st[ST_CONTEXTS];
	int e = db_bind(st, "i", device);

	while (e == 0 && (e = db_step(st)) == DB_ROW) {
		int64_t class = sqlite3_column_int64(st, 0);
		const void *bytes = sqlite3_column_blob(st, 1);

		e = class >= 0 && class < CLASS_COUNT
			    ? cb(ctx, (enum uplink_class) class, bytes ? bytes : "",
				 (size_t)sqlite3_column_bytes(st, 1))
			    : 0;
	}
	sqlite3_reset(st);
	return e;
}
