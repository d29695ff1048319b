/* Server-sent events (WHATWG HTML §9.2). A connection with nothing to send is suspended: no thread
 * waits for it. */
#include "relay/api/internal.h"

#include "relay/live/hub.h"

#include <string.h>

enum { SSE_BLOCK = 16 << 10, SSE_EVENT_MAX = 4 << 20 };

struct events {
	struct hub *hub;
	struct hub_sub *sub;
	struct MHD_Connection *conn;
	struct buf text; /* what is being sent */
	size_t sent;
	bool closing;
};

/* Both with the hub's lock held; see hub.h. */
static void suspend(void *ctx)
{
	MHD_suspend_connection(((struct events *)ctx)->conn);
}

static void resume(void *ctx)
{
	MHD_resume_connection(((struct events *)ctx)->conn);
}

static const struct hub_callbacks callbacks = {.sleep = suspend, .wake = resume};

static int64_t newest(const struct hub_event *e)
{
	int64_t t = 0;

	for (size_t i = 0; i < e->n; i++) {
		if (e->v[i].wall_ns > t)
			t = e->v[i].wall_ns;
	}
	return t;
}

static char *event_json(const struct hub_event *e)
{
	json_t *signals = json_array(), *o;
	char *text;

	for (size_t i = 0; i < e->n; i++)
		json_array_append_new(signals, json_signal(e->cat, &e->v[i], false));
	o = json_pack("{s:s, s:o, s:o}", "vehicle", e->vehicle_id, "time", json_time(newest(e)),
		      "signals", signals);
	text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(15));
	json_decref(o);
	return text;
}

static void write_event(struct events *ev, struct hub_event *e)
{
	char *text cleanup(free_ptr) = event_json(e);

	hub_release(ev->hub, e);
	(void)buf_put(&ev->text, "event: samples\ndata: ", 21);
	if (text)
		(void)buf_put(&ev->text, text, strlen(text));
	(void)buf_put(&ev->text, "\n\n", 2);
	if (!text || ev->text.failed) { /* told like any other loss */
		buf_clear(&ev->text);
		(void)buf_printf(&ev->text, "event: dropped\ndata: {\"count\":1}\n\n");
	}
}

/* Puts the next thing to send into text. False: nothing now, or never again. */
static bool next_text(struct events *ev)
{
	struct hub_event *e = NULL;
	uint64_t dropped = 0;

	buf_clear(&ev->text);
	ev->sent = 0;
	switch (hub_next(ev->sub, &e, &dropped)) {
	case HUB_EVENT:
		write_event(ev, e);
		return true;
	case HUB_DROPPED:
		(void)buf_printf(&ev->text, "event: dropped\ndata: {\"count\":%llu}\n\n",
				 (unsigned long long)dropped);
		return true;
	case HUB_BEAT:
		(void)buf_printf(&ev->text, ": alive\n\n");
		return true;
	case HUB_CLOSED:
		ev->closing = true;
		return false;
	case HUB_SLEEPS:
		return false;
	}
	return false;
}

static ssize_t read_events(void *cls, uint64_t pos, char *out, size_t max)
{
	struct events *ev = cls;
	size_t n;

	(void)pos;
	if (ev->sent == ev->text.len && !next_text(ev))
		return ev->closing ? MHD_CONTENT_READER_END_OF_STREAM : 0;
	n = ev->text.len - ev->sent;
	if (n > max)
		n = max;
	memcpy(out, ev->text.data + ev->sent, n);
	ev->sent += n;
	return (ssize_t)n;
}

static void free_events(void *cls)
{
	struct events *ev = cls;

	if (ev->sub)
		hub_unsubscribe(ev->sub);
	buf_free(&ev->text);
	free(ev);
}

static enum MHD_Result stream_events(struct request *rq, int64_t vehicle)
{
	struct events *ev = calloc(1, sizeof(*ev));
	struct MHD_Response *r;
	int e = ev ? hub_subscribe(rq->api->opt.hub, vehicle, &callbacks, ev, &ev->sub) : -ENOMEM;

	if (e < 0) {
		free(ev);
		return reply_problem(rq, 503, "%s.",
				     e == -ENOSPC ? "As many clients listen as may"
						  : "No events now");
	}
	ev->hub = rq->api->opt.hub;
	ev->conn = rq->conn;
	ev->text = BUF_INIT(SSE_EVENT_MAX);
	/* The client learns at once that it is heard. */
	(void)buf_printf(&ev->text, ": hello\n\n");
	r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, SSE_BLOCK, read_events, ev,
					      free_events);
	if (!r) {
		free_events(ev);
		return MHD_NO;
	}
	(void)!MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
	return reply_queue(rq, 200, r);
}

enum MHD_Result handle_events(struct request *rq)
{
	int64_t vehicle;

	return request_vehicle(rq, &vehicle) ? stream_events(rq, vehicle) : MHD_YES;
}

enum MHD_Result handle_all_events(struct request *rq)
{
	return stream_events(rq, 0);
}
