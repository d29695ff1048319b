/* One message: parse, look up who sent it, keep duplicates out, hand on what is in it. */
#include "relay/ingest/internal.h"

#include "base/log.h"
#include "proto/context.h"

#include <stdio.h>
#include <string.h>

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
	e = txn_begin(in);
	if (e == 0)
		e = stream_quarantine(in->stream, timebase_wall(in->opt.tb), topic, reason, payload,
				      len, in->opt.quarantine_rows);
	if (e < 0)
		ingest_abort(in, e);
	else
		ingest_count(in, quarantined, 1);
}

static void refuse(struct ingest *in, struct incoming *msg, enum nack_code code,
		   uint32_t retry_after_s)
{
	receipt_nack(in, msg->lane, msg->envelope.seq, code, retry_after_s);
}

void refuse_invalid(struct ingest *in, struct incoming *msg, const char *reason)
{
	count_result(in, INGEST_INVALID);
	refuse(in, msg, NACK_INVALID, 0);
	ingest_quarantine(in, msg->m->topic, reason, msg->m->payload, msg->m->len);
}

void refuse_busy(struct ingest *in, struct incoming *msg)
{
	count_result(in, INGEST_BUSY);
	refuse(in, msg, NACK_BUSY, RETRY_BUSY_S);
}

void accept_known(struct ingest *in, struct incoming *msg, uint64_t through)
{
	count_result(in, INGEST_DUPLICATE);
	lane_count_duplicate(in, msg->lane);
	if (msg->envelope.introduces)
		msg->lane->context =
			context_find(in, msg->sender, msg->topic.class, &msg->envelope);
	receipt_mark(in, msg->lane, msg->envelope.seq, through);
}

/* ---- who ---- */

/* Returns NULL, or what is wrong. */
static const char *check_envelope(const struct envelope *e)
{
	if (e->seq > INT64_MAX)
		return "seq is out of range";
	if (e->origin_seq > INT64_MAX)
		return "origin_seq is out of range";
	if (envelope_has_origin(e) && e->origin_epoch == e->epoch)
		return "origin_epoch is the epoch itself";
	return NULL;
}

/* Nothing to answer with; the sender tries again by itself. */
static bool drop(struct ingest *in, const struct incoming *msg, enum ingest_result result, int e)
{
	log_warn("sender_refused", "vehicle=%s device=%s error=%s", msg->topic.vehicle,
		 msg->topic.device, strerror(-e));
	count_result(in, result);
	return false;
}

/* This and what follows: false when the message is dealt with. */
static bool find_sender(struct ingest *in, struct incoming *msg)
{
	struct registry_ids ids = {0};
	struct error err = {0};

	if (topic_parse_up(msg->m->topic, &msg->topic, &err) < 0) {
		count_result(in, INGEST_BAD_TOPIC);
		ingest_quarantine(in, msg->m->topic, err.text, msg->m->payload, msg->m->len);
		return false;
	}
	msg->known =
		registry_find(in->opt.registry, msg->topic.vehicle, msg->topic.device, &ids) == 0;
	msg->sender = sender_get(in, &msg->topic, &ids);
	return msg->sender ||
	       drop(in, msg, msg->known ? INGEST_BUSY : INGEST_UNKNOWN_DEVICE, -EBUSY);
}

static bool read_envelope(struct ingest *in, struct incoming *msg)
{
	const struct mqtt_message *m = msg->m;
	struct error err = {0};
	const char *wrong;
	int r;

	if (context_is_short(m->payload, m->len))
		r = context_read(in, msg->sender, msg->topic.class, m, &msg->envelope, &err);
	else
		r = envelope_decode(&msg->envelope, m->payload, m->len, &err);
	if (r == -ENOENT) {
		count_result(in, INGEST_UNKNOWN_CONTEXT);
		return false;
	}
	if (r < 0 && r != -EBADMSG)
		return drop(in, msg, INGEST_BUSY, r);
	wrong = r < 0 ? err.text : check_envelope(&msg->envelope);
	if (!wrong)
		return true;
	count_result(in, INGEST_INVALID);
	ingest_quarantine(in, m->topic, wrong, m->payload, m->len);
	return false;
}

static bool find_lane(struct ingest *in, struct incoming *msg)
{
	int r = lane_get(in, msg->sender, msg->envelope.epoch, msg->topic.class, &msg->lane);

	if (r < 0)
		return drop(in, msg, msg->known ? INGEST_BUSY : INGEST_UNKNOWN_DEVICE, r);
	if (!msg->known) {
		log_warn("device_unknown", "vehicle=%s device=%s", msg->topic.vehicle,
			 msg->topic.device);
		count_result(in, INGEST_UNKNOWN_DEVICE);
		refuse(in, msg, NACK_UNKNOWN, (uint32_t)in->tuning.unknown_retry_s);
		return false;
	}
	if (!envelope_has_origin(&msg->envelope))
		return true;
	msg->lane->pinned = true;
	r = lane_get(in, msg->sender, msg->envelope.origin_epoch, msg->topic.class, &msg->origin);
	msg->lane->pinned = false;
	return r < 0 ? drop(in, msg, INGEST_BUSY, r) : true;
}

/* ---- how fast ---- */

static void refill(struct ingest *in, struct sender *s, struct mono_time now)
{
	double bytes = (double)in->tuning.device_bytes_per_s;
	double batches = (double)in->tuning.device_batches_per_s;
	double passed = s->refilled.ns ? (double)(now.ns - s->refilled.ns) / 1e9 : 1;

	s->refilled = now;
	s->bytes_left += passed * bytes;
	s->batches_left += passed * batches;
	if (s->bytes_left > bytes)
		s->bytes_left = bytes;
	if (s->batches_left > batches)
		s->batches_left = batches;
}

/* Token buckets of a second's worth. One that is not empty lets any message pass, and goes below
 * zero by it: a message larger than the bucket passes too, and costs as long as it is large.
 * Returns 0, or seconds to wait. */
static uint32_t throttle(struct ingest *in, struct sender *s, size_t len, struct mono_time now)
{
	const struct ingest_tuning *t = &in->tuning;
	double wait = 0;

	if (!t->device_bytes_per_s && !t->device_batches_per_s)
		return 0;
	refill(in, s, now);
	if (t->device_bytes_per_s && s->bytes_left <= 0)
		wait = (1 - s->bytes_left) / (double)t->device_bytes_per_s;
	if (t->device_batches_per_s && s->batches_left <= 0 &&
	    (1 - s->batches_left) / (double)t->device_batches_per_s > wait)
		wait = (1 - s->batches_left) / (double)t->device_batches_per_s;
	if (wait > 0)
		return wait < 3600 ? (uint32_t)wait + 1 : 3600;
	s->bytes_left -= t->device_bytes_per_s ? (double)len : 0;
	s->batches_left -= t->device_batches_per_s ? 1 : 0;
	return 0;
}

/* ---- what ---- */

static void accept_body(struct ingest *in, struct incoming *msg)
{
	char reason[64];

	switch (msg->envelope.encoding) {
	case ENCODING_BATCH:
	case ENCODING_DEFLATE:
		accept_batch(in, msg);
		break;
	case ENCODING_GAP:
		accept_gap(in, msg);
		break;
	case ENCODING_CLOCK:
		accept_clock(in, msg);
		break;
	default:
		snprintf(reason, sizeof(reason), "encoding %u is unknown to this version",
			 (unsigned)msg->envelope.encoding);
		refuse_invalid(in, msg, reason);
	}
}

/* Whether it is there already, and acknowledged. A gap with an unknown part is not. */
static int is_known(struct ingest *in, struct incoming *msg)
{
	if (msg->envelope.encoding == ENCODING_GAP && !msg->origin)
		return 0;
	return lane_has(in, msg->lane, msg->envelope.seq);
}

void ingest_accept(struct ingest *in, const struct mqtt_message *m)
{
	struct incoming msg = {
		.m = m, .at = timebase_mono(in->opt.tb), .received = timebase_wall(in->opt.tb)};
	uint32_t wait_s;
	int known;

	ingest_count(in, payload_bytes, m->len);
	if (!find_sender(in, &msg) || !read_envelope(in, &msg) || !find_lane(in, &msg))
		return;
	known = is_known(in, &msg);
	if (known == 1) {
		accept_known(in, &msg, msg.envelope.seq);
		return;
	}
	if (known < 0 || (in->refusing && msg.at.ns < in->refuse_until.ns)) {
		refuse_busy(in, &msg);
		return;
	}
	wait_s = throttle(in, msg.lane->sender, m->len, msg.at);
	if (wait_s) {
		count_result(in, INGEST_THROTTLED);
		refuse(in, &msg, NACK_QUOTA, wait_s);
		return;
	}
	accept_body(in, &msg);
}
