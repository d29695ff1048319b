/* A batch: checked, decoded, stored. */
#include "relay/ingest/internal.h"

#include "base/log.h"

static bool times_are_sane(const struct batch *b)
{
	int64_t first = batch_first_wall_ns(b), last = batch_last_wall_ns(b);

	return first >= 0 && last >= first;
}

/* What it cannot be decoded without. The registry has no dictionary without its catalog. */
static uint64_t needed(const struct batch *b)
{
	const struct batch_header *h = batch_get_header(b);

	return h->dictionary_id ? h->dictionary_id : h->catalog_id;
}

static int find_meaning(struct ingest *in, struct batch *b, struct pending *p)
{
	int r = registry_give_dictionary(in->opt.registry, b);

	if (r == 0)
		r = registry_get_catalog(in->opt.registry, batch_get_header(b)->catalog_id,
					 &p->cat);
	return r;
}

/* Decodes into p. Returns 0, -EBADMSG or -ESTALE with err, or another -errno. */
static int decode(struct ingest *in, struct batch *b, struct pending *p, struct error *err)
{
	int r = find_meaning(in, b, p);

	p->first_value = in->values.n;
	p->samples = batch_sample_count(b);
	if (r == -ENOENT) {
		bool dictionary = batch_get_header(b)->dictionary_id != 0;

		log_warn(dictionary ? "dictionary_unknown" : "catalog_unknown",
			 "%s=%016llx vehicle=%s", dictionary ? "dictionary" : "catalog",
			 (unsigned long long)needed(b), p->lane->sender->vehicle);
		p->cat = NULL;
		return 0;
	}
	if (r < 0) /* a damaged catalog of ours is no fault of the batch */
		return r == -EBADMSG ? -EIO : r;
	r = live_collect(&in->values, b, p->cat, &p->samples, err);
	if (r == 0)
		p->n_values = in->values.n - p->first_value;
	return r;
}

static struct stream_row row_of(const struct incoming *msg, const struct batch *b,
				const struct pending *p)
{
	const struct sender *s = msg->lane->sender;
	struct stream_row row = {
		.vehicle = s->vehicle_key,
		.device = s->device_key,
		.epoch = msg->envelope.epoch,
		.class = msg->topic.class,
		.seq = msg->envelope.seq,
		.received = msg->received,
		.first_ns = batch_first_wall_ns(b),
		.last_ns = batch_last_wall_ns(b),
		.catalog = p->cat ? batch_get_header(b)->catalog_id : needed(b),
		.samples = p->samples,
		.state = p->cat ? STREAM_DECODED : STREAM_WAITING,
		.encoding = msg->envelope.encoding,
		.body = msg->envelope.body,
		.len = msg->envelope.body_len,
		.quality = batch_get_header(b)->clock_quality,
		/* What was saved from an older outbox is old, whatever its new name. */
		.news = !msg->origin && msg->envelope.seq > window_top(&msg->lane->window),
	};

	clock_of_header(&row, batch_get_header(b));
	return row;
}

static bool fits(struct ingest *in, struct incoming *msg)
{
	const struct envelope *e = &msg->envelope;

	return lane_fits(in, msg->lane, e->seq, e->seq) &&
	       (!msg->origin || lane_fits(in, msg->origin, e->origin_seq, e->origin_seq));
}

/* Its own name, and the one it had before. */
static int add_names(struct ingest *in, struct incoming *msg, struct pending *p)
{
	bool late = false;
	int e = lane_take(in, msg->lane, msg->envelope.seq, &p->late);

	if (e == 0 && msg->origin && p->kind == PENDING_BATCH)
		e = lane_take(in, msg->origin, msg->envelope.origin_seq, &late);
	p->late |= late;
	return e;
}

static int write_row(struct ingest *in, struct incoming *msg, const struct batch *b,
		     struct pending *p)
{
	struct stream_row row = row_of(msg, b, p);
	int e = add_names(in, msg, p);

	if (e == 0)
		e = clock_use(in, msg->lane->sender, &row, &p->learnt);
	if (e == 0)
		e = stream_append(in->stream, &row);
	if (e == 0)
		e = context_keep(in, msg->sender, msg->topic.class, &msg->envelope, &p->context);
	if (e == 0 && p->n_values)
		live_stamp(in->values.v + p->first_value, p->n_values, &row);
	p->row = row.id;
	return e;
}

/* Answers a failure of the storage. */
static void give_up(struct ingest *in, struct incoming *msg, int e)
{
	ingest_abort(in, e);
	refuse_busy(in, msg);
}

/* Adds it to its window and to the open transaction. */
static void store(struct ingest *in, struct incoming *msg, struct batch *b, struct pending *p)
{
	int e;

	if (!fits(in, msg)) {
		in->values.n = p->first_value;
		refuse_busy(in, msg);
		return;
	}
	e = txn_begin(in);
	if (e == 0)
		e = write_row(in, msg, b, p);
	if (e < 0)
		give_up(in, msg, e);
	else
		pending_add(in, p);
}

static void check_and_store(struct ingest *in, struct incoming *msg, struct batch *b)
{
	struct pending p = {.kind = PENDING_BATCH,
			    .lane = msg->lane,
			    .seq = msg->envelope.seq,
			    .through = msg->envelope.seq,
			    .received = msg->received,
			    .at = msg->at};
	struct error err = {0};
	int r;

	if (!times_are_sane(b)) {
		refuse_invalid(in, msg, "the batch's times are before 1970 or out of order");
		return;
	}
	r = decode(in, b, &p, &err);
	if (r == -EBADMSG || r == -ESTALE)
		refuse_invalid(in, msg, err.text);
	else if (r < 0)
		refuse_busy(in, msg);
	else
		store(in, msg, b, &p);
}

/* It is stored under the name that it had in an older outbox. */
static void accept_alias(struct ingest *in, struct incoming *msg)
{
	struct pending p = {.kind = PENDING_KNOWN,
			    .lane = msg->lane,
			    .seq = msg->envelope.seq,
			    .through = msg->envelope.seq,
			    .first_value = in->values.n,
			    .received = msg->received,
			    .at = msg->at};
	int e;

	if (!fits(in, msg)) {
		refuse_busy(in, msg);
		return;
	}
	e = txn_begin(in);
	if (e == 0)
		e = add_names(in, msg, &p);
	if (e < 0) {
		give_up(in, msg, e);
		return;
	}
	lane_count_duplicate(in, msg->lane);
	pending_add(in, &p);
}

void accept_batch(struct ingest *in, struct incoming *msg)
{
	struct error err = {0};
	struct batch *b;
	int r = msg->origin ? lane_has(in, msg->origin, msg->envelope.origin_seq) : 0;

	if (r == 1) {
		accept_alias(in, msg);
		return;
	}
	if (r == 0)
		r = batch_read(&b, &msg->envelope, &err);
	if (r == -EBADMSG) {
		refuse_invalid(in, msg, err.text);
	} else if (r < 0) {
		refuse_busy(in, msg);
	} else {
		check_and_store(in, msg, b);
		batch_free(b);
	}
}
