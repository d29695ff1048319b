/* One message: parse, look up, keep duplicates out, check, append. */
#include "relay/ingest/internal.h"

#include "base/log.h"

#include <string.h>

struct incoming {
	const struct mqtt_message *m;
	struct topic_up topic;
	struct envelope envelope;
	struct lane *lane;
	struct mono_time at;
	struct wall_time received;
};

static void count_result(struct ingest *in, enum ingest_result r)
{
	ingest_count(in, results[r], 1);
}

void ingest_quarantine(struct ingest *in, const char *topic, const char *reason,
		       const void *payload, size_t len)
{
	char quoted[TOPIC_MAX];
	int e;

	log_warn("message_invalid", "topic=%s bytes=%zu reason=\"%s\"",
		 log_quote(quoted, sizeof(quoted), topic), len, reason);
	/* A flood must not become a flood of writes. */
	if (in->quarantine_tokens <= 0 || in->refusing)
		return;
	in->quarantine_tokens--;
	e = stream_begin(in->stream);
	if (e == 0)
		e = stream_quarantine(in->stream, timebase_wall(in->opt.tb), topic, reason, payload,
				      len, in->opt.quarantine_rows);
	if (e < 0) {
		ingest_abort(in, e);
		return;
	}
	ingest_count(in, quarantined, 1);
	if (!in->n_pending)
		(void)!loop_timer_in(in->loop, &in->commit_timer,
				     in->tuning.group_commit_ms * NS_PER_MS);
}

static void refuse(struct ingest *in, struct incoming *msg, enum nack_code code,
		   uint32_t retry_after_s)
{
	receipt_nack(in, msg->lane, msg->envelope.seq, code, retry_after_s);
}

static void refuse_invalid(struct ingest *in, struct incoming *msg, const char *reason)
{
	count_result(in, INGEST_INVALID);
	refuse(in, msg, NACK_INVALID, 0);
	ingest_quarantine(in, msg->m->topic, reason, msg->m->payload, msg->m->len);
}

static void refuse_busy(struct ingest *in, struct incoming *msg)
{
	count_result(in, INGEST_BUSY);
	refuse(in, msg, NACK_BUSY, RETRY_BUSY_S);
}

/* ---- who ---- */

/* Returns false when the message is dealt with. */
static bool parse(struct ingest *in, struct incoming *msg)
{
	struct error err = {0};

	if (topic_parse_up(msg->m->topic, &msg->topic, &err) < 0) {
		count_result(in, INGEST_BAD_TOPIC);
		ingest_quarantine(in, msg->m->topic, err.text, msg->m->payload, msg->m->len);
		return false;
	}
	if (envelope_decode(&msg->envelope, msg->m->payload, msg->m->len, &err) < 0) {
		count_result(in, INGEST_INVALID);
		ingest_quarantine(in, msg->m->topic, err.text, msg->m->payload, msg->m->len);
		return false;
	}
	if (msg->envelope.seq == 0 || msg->envelope.seq > INT64_MAX) {
		count_result(in, INGEST_INVALID);
		ingest_quarantine(in, msg->m->topic, "seq is out of range", msg->m->payload,
				  msg->m->len);
		return false;
	}
	return true;
}

static bool find_lane(struct ingest *in, struct incoming *msg)
{
	struct registry_ids ids = {0};
	struct sender *s;
	int known = registry_find(in->opt.registry, msg->topic.vehicle, msg->topic.device, &ids);
	int r;

	s = sender_get(in, &msg->topic, &ids);
	r = s ? lane_get(in, s, msg->envelope.epoch, msg->topic.class, &msg->lane) : -EBUSY;
	if (r < 0) {
		/* Nothing to answer with; the sender tries again by itself. */
		log_warn("sender_refused", "vehicle=%s device=%s error=%s", msg->topic.vehicle,
			 msg->topic.device, strerror(-r));
		count_result(in, known < 0 ? INGEST_UNKNOWN_DEVICE : INGEST_BUSY);
		return false;
	}
	if (known < 0) {
		log_warn("device_unknown", "vehicle=%s device=%s", msg->topic.vehicle,
			 msg->topic.device);
		count_result(in, INGEST_UNKNOWN_DEVICE);
		refuse(in, msg, NACK_UNKNOWN, (uint32_t)in->tuning.unknown_retry_s);
		return false;
	}
	return true;
}

/* ---- what ---- */

static bool times_are_sane(const struct batch *b)
{
	int64_t first = batch_first_wall_ns(b), last = batch_last_wall_ns(b);

	return first >= 0 && last >= first;
}

/* Decodes into p. Returns 0, -EBADMSG or -ESTALE with err, or another -errno. */
static int decode(struct ingest *in, struct batch *b, struct pending *p, struct error *err)
{
	uint64_t id = batch_get_header(b)->catalog_id;
	int r = registry_get_catalog(in->opt.registry, id, &p->cat);

	p->first_value = in->values.n;
	p->samples = batch_sample_count(b);
	if (r == -ENOENT) {
		log_warn("catalog_unknown", "catalog=%016llx vehicle=%s", (unsigned long long)id,
			 p->lane->sender->vehicle);
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

static int append(struct ingest *in, const struct incoming *msg, const struct batch *b,
		  struct pending *p)
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
		.catalog = batch_get_header(b)->catalog_id,
		.samples = p->samples,
		.state = p->cat ? STREAM_DECODED : STREAM_WAITING,
		.encoding = msg->envelope.encoding,
		.body = msg->envelope.body,
		.len = msg->envelope.body_len,
	};
	int e = stream_begin(in->stream);

	if (e == 0)
		e = stream_append(in->stream, &row);
	p->row = row.id;
	return e;
}

/* Adds it to its window and to the open transaction. */
static void store(struct ingest *in, struct incoming *msg, struct batch *b, struct pending *p)
{
	int e = pending_reserve(in);

	if (e == 0)
		e = window_add(&msg->lane->window, msg->envelope.seq);
	if (e == WINDOW_FORGOT)
		log_warn("window_full", "vehicle=%s device=%s epoch=%016llx gaps=%d",
			 msg->topic.vehicle, msg->topic.device,
			 (unsigned long long)msg->envelope.epoch, WINDOW_RANGES_MAX);
	if (e < 0) {
		in->values.n = p->first_value;
		refuse_busy(in, msg);
		return;
	}
	e = append(in, msg, b, p);
	if (e < 0) {
		window_undo(&msg->lane->window, msg->envelope.seq);
		in->values.n = p->first_value;
		ingest_abort(in, e);
		refuse_busy(in, msg);
		return;
	}
	pending_add(in, p);
}

static void check_and_store(struct ingest *in, struct incoming *msg, struct batch *b)
{
	struct pending p = {.lane = msg->lane,
			    .seq = msg->envelope.seq,
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

void ingest_accept(struct ingest *in, const struct mqtt_message *m)
{
	struct incoming msg = {
		.m = m, .at = timebase_mono(in->opt.tb), .received = timebase_wall(in->opt.tb)};
	struct error err = {0};
	struct batch *b;
	int r;

	ingest_count(in, payload_bytes, m->len);
	if (!parse(in, &msg) || !find_lane(in, &msg))
		return;
	if (window_has(&msg.lane->window, msg.envelope.seq)) {
		count_result(in, INGEST_DUPLICATE);
		receipt_mark(in, msg.lane, msg.envelope.seq);
		return;
	}
	if (in->refusing && msg.at.ns < in->refuse_until.ns) {
		refuse_busy(in, &msg);
		return;
	}
	r = batch_read(&b, &msg.envelope, &err);
	if (r == -EBADMSG) {
		refuse_invalid(in, &msg, err.text);
	} else if (r < 0) {
		refuse_busy(in, &msg);
	} else {
		check_and_store(in, &msg, b);
		batch_free(b);
	}
}
