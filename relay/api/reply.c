#include "relay/api/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PROBLEM_TEXT_MAX = 512 };

static void header(struct MHD_Response *r, const char *name, const char *value)
{
	/* Fails without memory alone; then the answer goes without it. */
	(void)!MHD_add_response_header(r, name, value);
}

enum MHD_Result reply_queue(struct request *rq, unsigned status, struct MHD_Response *r)
{
	enum MHD_Result ret;

	if (!r)
		return MHD_NO; /* no memory: the connection is closed */
	header(r, "X-Content-Type-Options", "nosniff");
	header(r, "Cache-Control", "no-store");
	ret = MHD_queue_response(rq->conn, status, r);
	MHD_destroy_response(r);
	rq->answered = true;
	if (status / 100 < array_len(rq->api->requests))
		rq->api->requests[status / 100]++;
	return ret;
}

static struct MHD_Response *owned(const char *type, void *data, size_t len)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(len, data, MHD_RESPMEM_MUST_FREE);

	if (!r)
		free(data);
	else
		header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	return r;
}

enum MHD_Result reply_bytes(struct request *rq, unsigned status, const char *type, void *data,
			    size_t len)
{
	return reply_queue(rq, status, owned(type, data, len));
}

enum MHD_Result reply_text(struct request *rq, unsigned status, const char *type, const char *text)
{
	char *copy = strdup(text);

	return copy ? reply_bytes(rq, status, type, copy, strlen(copy)) : MHD_NO;
}

static char *dump(json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(15));

	json_decref(body);
	return text;
}

enum MHD_Result reply_json(struct request *rq, unsigned status, json_t *body)
{
	char *text = dump(body);

	if (!text)
		return reply_problem(rq, 500, "The answer could not be made.");
	return reply_bytes(rq, status, "application/json", text, strlen(text));
}

enum MHD_Result reply_created(struct request *rq, json_t *body, const char *location)
{
	char *text = dump(body);
	struct MHD_Response *r;

	if (!text)
		return reply_problem(rq, 500, "The answer could not be made.");
	r = owned("application/json", text, strlen(text));
	if (r)
		header(r, MHD_HTTP_HEADER_LOCATION, location);
	return reply_queue(rq, 201, r);
}

enum MHD_Result reply_empty(struct request *rq, unsigned status)
{
	static char nothing[1];

	return reply_queue(rq, status,
			   MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT));
}

/* What a client sent may be no UTF-8, or cut inside of a character: then it is told in ASCII. */
static json_t *json_told(const char *text)
{
	char ascii[PROBLEM_TEXT_MAX];
	json_t *s = json_string(text);

	if (s)
		return s;
	snprintf(ascii, sizeof(ascii), "%s", text);
	for (char *c = ascii; *c; c++)
		*c = *c & 0x80 ? '?' : *c;
	return json_string(ascii);
}

static struct MHD_Response *problem(struct request *rq, unsigned status, const char *detail)
{
	const char *title = MHD_get_reason_phrase_for(status);
	json_t *o = json_pack("{s:s, s:s, s:i, s:o, s:o}", "type", "about:blank", "title", title,
			      "status", (int)status, "detail", json_told(detail), "instance",
			      json_told(rq->url));
	char *text;

	text = dump(o);
	return text ? owned("application/problem+json", text, strlen(text)) : NULL;
}

enum MHD_Result reply_problem(struct request *rq, unsigned status, const char *fmt, ...)
{
	char detail[PROBLEM_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	return reply_queue(rq, status, problem(rq, status, detail));
}

enum MHD_Result reply_not_allowed(struct request *rq, const char *allow)
{
	char detail[128];
	struct MHD_Response *r;

	snprintf(detail, sizeof(detail), "This resource takes %s.", allow);
	r = problem(rq, 405, detail);
	if (r)
		header(r, MHD_HTTP_HEADER_ALLOW, allow);
	return reply_queue(rq, 405, r);
}

enum MHD_Result reply_errno(struct request *rq, int e)
{
	switch (e) {
	case -ENOSPC:
	case -EROFS:
	case -EBUSY:
		return reply_problem(rq, 503, "The storage takes no change now: %s.", strerror(-e));
	case -ENOMEM:
		return reply_problem(rq, 503, "Out of memory.");
	default:
		return reply_problem(rq, 500, "Internal error: %s.", strerror(-e));
	}
}
