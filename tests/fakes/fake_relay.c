#include "tests/fakes/fake_relay.h"

#include <stdio.h>
#include <string.h>

enum { REASON_ERROR = 0x80, RECEIPT_BYTES = 4096, WHOLE_MAX = 9 << 20 };

static struct fake_relay_stream *stream_of(struct fake_relay *f, uint64_t epoch,
					   enum uplink_class class)
{
	for (size_t i = 0; i < array_len(f->streams); i++) {
		if (!f->streams[i]) {
			f->streams[i] = calloc(1, sizeof(**f->streams));
			if (!f->streams[i])
				abort();
			f->streams[i]->epoch = epoch;
			f->streams[i]->class = class;
		}
		if (f->streams[i]->epoch == epoch && f->streams[i]->class == class)
			return f->streams[i];
	}
	abort();
}

static bool seen(const struct fake_relay_stream *s, uint64_t seq)
{
	return seq < FAKE_RELAY_SEQ_MAX && s->seen[seq / 8] & 1u << seq % 8;
}

static void mark(struct fake_relay_stream *s, uint64_t seq)
{
	if (seq >= FAKE_RELAY_SEQ_MAX)
		abort();
	s->seen[seq / 8] |= (uint8_t)(1u << seq % 8);
	if (seq > s->highest)
		s->highest = seq;
	while (seen(s, s->acked_through + 1))
		s->acked_through++;
}

static void add_ranges(const struct fake_relay_stream *s, struct receipt *r)
{
	for (uint64_t seq = s->acked_through + 1; seq <= s->highest; seq++) {
		struct receipt_range *last = r->n_ranges ? &r->ranges[r->n_ranges - 1] : NULL;

		if (!seen(s, seq))
			continue;
		if (last && last->to == seq - 1)
			last->to = seq;
		else if (r->n_ranges < RECEIPT_RANGES_MAX)
			r->ranges[r->n_ranges++] = (struct receipt_range){seq, seq};
	}
}

/* Returns what mqtt_publish does. */
static int send_receipt(struct fake_relay *f, const struct topic_up *t, const struct receipt *r)
{
	struct buf b cleanup(buf_free) = BUF_INIT(RECEIPT_BYTES);
	char topic[TOPIC_MAX];

	topic_format_receipt(t->vehicle, t->device, topic);
	if (receipt_encode(r, &b) < 0)
		abort();
	return mqtt_publish(f->mqtt, &(struct mqtt_publish){
					     .topic = topic,
					     .payload = b.data,
					     .len = b.len,
					     .qos = 1,
				     });
}

static void answer(struct fake_relay *f, const struct topic_up *t, uint64_t seq,
		   struct fake_relay_stream *s, int code)
{
	struct receipt r = {
		.epoch = s->epoch,
		.class = s->class,
		.acked_through = s->acked_through,
		.context = s->context.id,
	};

	if (f->mute)
		return;
	add_ranges(s, &r);
	if (code) {
		r.nacks[r.n_nacks++] =
			(struct receipt_nack){seq, (enum nack_code)code, f->retry_after_s};
		f->nacks++;
	} else if (s->owes && s->owed_code) {
		r.nacks[r.n_nacks++] = (struct receipt_nack){
			s->owed_seq, (enum nack_code)s->owed_code, f->retry_after_s};
	}
	s->owes = send_receipt(f, t, &r) < 0;
	s->owed_seq = s->owes && code ? seq : s->owed_seq;
	s->owed_code = s->owes && code ? code : s->owes ? s->owed_code : 0;
	s->topic = *t;
}

static void on_published(void *ctx, uint64_t cookie, int reason)
{
	struct fake_relay *f = ctx;

	(void)cookie;
	(void)reason;
	for (size_t i = 0; i < array_len(f->streams) && f->streams[i]; i++)
		if (f->streams[i]->owes)
			answer(f, &f->streams[i]->topic, 0, f->streams[i], 0);
}

struct walk {
	struct fake_relay *f;
	const struct topic_up *t;
	uint64_t samples;
};

static int on_column(void *ctx, const struct batch_column *col)
{
	struct walk *w = ctx;

	w->samples += col->n;
	if (w->f->column)
		w->f->column(w->f->ctx, w->t, col);
	return 0;
}

/* Returns the samples of a batch, decoded one by one. */
static int64_t count_samples(struct fake_relay *f, const struct topic_up *t,
			     const struct envelope *e, struct error *err)
{
	struct walk w = {f, t, 0};
	struct batch *b;
	int r = batch_read(&b, e, err);

	if (r < 0)
		return r;
	if (f->cat)
		r = batch_columns(b, f->cat, CATALOG_NONE, on_column, &w, err);
	else
		w.samples = batch_sample_count(b);
	batch_free(b);
	return r < 0 ? r : (int64_t)w.samples;
}

/* Returns 0, or what is wrong with it. */
static int take_gap(struct fake_relay *f, struct fake_relay_stream *s, const struct envelope *e,
		    struct error *err)
{
	bool origin = envelope_has_origin(e);
	uint64_t from = origin ? e->origin_seq : e->seq;
	struct gap g;
	int r = gap_decode(&g, from, e->body, e->body_len, err);

	if (r < 0)
		return r;
	f->gaps[(unsigned)g.reason < GAP_REASONS ? g.reason : 0]++;
	f->last_gap = g;
	f->last_gap_from = from;
	for (uint64_t seq = e->seq; seq <= (origin ? e->seq : g.through); seq++)
		mark(s, seq);
	return 0;
}

static int take_clock(struct fake_relay *f, struct fake_relay_stream *s, const struct envelope *e,
		      struct error *err)
{
	int r = clock_notice_decode(&f->last_clock, e->body, e->body_len, err);

	if (r < 0)
		return r;
	f->clocks++;
	mark(s, e->seq);
	return 0;
}

static int take_batch(struct fake_relay *f, struct fake_relay_stream *s, const struct topic_up *t,
		      const struct envelope *e, struct error *err)
{
	int64_t n = count_samples(f, t, e, err);

	if (n < 0)
		return (int)n;
	if (e->introduces > 0 && context_make(&s->context, e, e->introduces - 1) < 0)
		return error_set(err, "a context that cannot be made"), -EBADMSG;
	f->batches++;
	f->samples += (uint64_t)n;
	mark(s, e->seq);
	return 0;
}

/* A gap may begin with a seq that is known as a batch, and end with one that is not. */
static bool is_known(const struct fake_relay_stream *s, const struct envelope *e)
{
	struct gap g;

	if (!seen(s, e->seq))
		return false;
	return e->encoding != ENCODING_GAP || envelope_has_origin(e) ||
	       gap_decode(&g, e->seq, e->body, e->body_len, NULL) < 0 || seen(s, g.through);
}

static void take(struct fake_relay *f, const struct topic_up *t, const struct envelope *e,
		 struct error *err)
{
	struct fake_relay_stream *s = stream_of(f, e->epoch, t->class);
	bool notice = e->encoding == ENCODING_GAP || e->encoding == ENCODING_CLOCK;
	int code = f->judge ? f->judge(f->ctx, t, e) : 0;
	int r;

	if (code == FAKE_RELAY_LOSE)
		return;
	if (!code && notice && f->old)
		code = NACK_INVALID;
	if (code) {
		answer(f, t, e->seq, s, code);
		return;
	}
	if (is_known(s, e)) {
		f->duplicates++;
		answer(f, t, e->seq, s, 0);
		return;
	}
	if (e->encoding == ENCODING_GAP)
		r = take_gap(f, s, e, err);
	else
		r = notice ? take_clock(f, s, e, err) : take_batch(f, s, t, e, err);
	if (r < 0)
		f->bad++;
	else
		answer(f, t, e->seq, s, 0);
}

static const struct context *find_context(const struct fake_relay *f, enum uplink_class class,
					  uint32_t id)
{
	for (size_t i = 0; i < array_len(f->streams) && f->streams[i]; i++)
		if (f->streams[i]->class == class && f->streams[i]->context.id == id)
			return &f->streams[i]->context;
	return NULL;
}

/* Returns 1; 0: it refers to a context that is not known, as the agent is told; -EBADMSG. */
static int expand(struct fake_relay *f, const struct topic_up *t, const struct mqtt_message *m,
		  struct envelope *ret, struct error *err)
{
	const struct context *c;
	int64_t seq_less;
	uint32_t id;
	int r = context_peek(m->payload, m->len, &id, &seq_less, err);

	if (r < 0)
		return r;
	c = find_context(f, t->class, id);
	if (!c) {
		f->unread++;
		(void)!send_receipt(f, t,
				    &(struct receipt){.class = t->class, .unknown_context = id});
		return 0;
	}
	f->whole.max = WHOLE_MAX;
	buf_clear(&f->whole);
	r = context_expand(c, m->payload, m->len, &f->whole, ret, err);
	f->brief += r == 0;
	return r == 0 ? 1 : r;
}

/* As expand. */
static int read_message(struct fake_relay *f, const struct mqtt_message *m, struct topic_up *t,
			struct envelope *ret, struct error *err)
{
	int r = topic_parse_up(m->topic, t, err);

	if (r == 0 && context_is_short(m->payload, m->len))
		return expand(f, t, m, ret, err);
	if (r == 0)
		r = envelope_decode(ret, m->payload, m->len, err);
	return r == 0 ? 1 : r;
}

static void on_message(void *ctx, const struct mqtt_message *m)
{
	struct fake_relay *f = ctx;
	struct error err = {""};
	struct topic_up t;
	struct envelope e;
	int r;

	f->bytes += m->len;
	r = read_message(f, m, &t, &e, &err);
	if (r < 0)
		f->bad++;
	else if (r > 0)
		take(f, &t, &e, &err);
	if (*err.text)
		(void)snprintf(f->text, sizeof(f->text), "%s", err.text);
}

static void on_connected(void *ctx, bool session_present)
{
	struct fake_relay *f = ctx;

	(void)session_present;
	if (mqtt_subscribe(f->mqtt, "tl/1/up/#", 1) < 0)
		abort();
}

static void on_disconnected(void *ctx, const char *reason)
{
	struct fake_relay *f = ctx;

	(void)reason;
	f->subscribed = false;
}

static void on_subscribed(void *ctx, const char *filter, int reason)
{
	struct fake_relay *f = ctx;

	(void)filter;
	f->subscribed = reason < REASON_ERROR;
}

static const struct mqtt_handlers handlers = {
	.connected = on_connected,
	.disconnected = on_disconnected,
	.message = on_message,
	.published = on_published,
	.subscribed = on_subscribed,
};

void fake_relay_start(struct fake_relay *f, const char *uri)
{
	struct mqtt_options opt = {
		.uri = uri,
		.client_id = "fake-relay",
		.keepalive_s = 60,
		.session_expiry_s = 3600,
		.backoff_min_ms = 50,
		.backoff_max_ms = 400,
		.connect_timeout_s = 10,
		.receive_maximum = 100,
		.queue_bytes = 8 << 20,
	};

	if (mqtt_new(&f->mqtt, f->loop, &opt, &handlers, f) < 0)
		abort();
}

void fake_relay_forget(struct fake_relay *f)
{
	for (size_t i = 0; i < array_len(f->streams); i++) {
		free(f->streams[i]);
		f->streams[i] = NULL;
	}
}

void fake_relay_stop(struct fake_relay *f)
{
	f->mqtt = mqtt_free(f->mqtt);
	fake_relay_forget(f);
	buf_free(&f->whole);
}
