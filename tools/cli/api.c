#include "tools/cli/api.h"
#include "base/bytes.h"
#include "tools/cli/cli.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <string.h>

enum {
	API_BODY_MAX = 256 << 20,
	API_EVENT_MAX = 16 << 20,
	API_TIMEOUT_S = 60,
	API_CONNECT_TIMEOUT_S = 5,
};

struct api {
	CURL *curl;
	char *url;
	char curl_error[CURL_ERROR_SIZE];
};

struct api *api_new(const char *url)
{
	struct api *a = calloc(1, sizeof(*a));

	if (!url)
		url = getenv("TOWLINE_RELAY");
	if (!url || !*url)
		url = "http://127.0.0.1:8080";
	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
		cli_fail(EXIT_USAGE, "relay URL '%s' does not begin with http:// or https://", url);
		free(a);
		return NULL;
	}
	if (!a || curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		goto fail;
	a->url = strdup(url);
	a->curl = curl_easy_init();
	if (!a->url || !a->curl)
		goto fail;
	for (size_t n = strlen(a->url); n > 0 && a->url[n - 1] == '/'; n--)
		a->url[n - 1] = '\0';
	return a;
fail:
	cli_fail(EXIT_FAILED, "out of memory");
	return api_free(a);
}

struct api *api_free(struct api *a)
{
	if (!a)
		return NULL;
	curl_easy_cleanup(a->curl);
	free(a->url);
	free(a);
	curl_global_cleanup();
	return NULL;
}

static size_t take_body(char *data, size_t size, size_t n, void *ctx)
{
	struct buf *body = ctx;

	return buf_put(body, data, size * n) < 0 ? 0 : size * n;
}

/* The problem's title and detail (RFC 9457), or what there is of the body. */
static int report_problem(const struct api *a, long status, const json_t *problem)
{
	const char *title = json_string_value(json_object_get(problem, "title"));
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	int code = status == 404 ? EXIT_NOT_FOUND : EXIT_FAILED;

	if (!title)
		return cli_fail(code, "%s answered with HTTP status %ld", a->url, status);
	return cli_fail(code, "%s%s%s", title, detail ? ": " : "", detail ? detail : "");
}

static int prepare(struct api *a, const char *path, struct buf *url)
{
	buf_printf(url, "%s%s", a->url, path);
	if (url->failed)
		return cli_fail(EXIT_FAILED, "out of memory");
	curl_easy_reset(a->curl);
	a->curl_error[0] = '\0';
	curl_easy_setopt(a->curl, CURLOPT_URL, buf_text(url));
	curl_easy_setopt(a->curl, CURLOPT_ERRORBUFFER, a->curl_error);
	curl_easy_setopt(a->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(a->curl, CURLOPT_CONNECTTIMEOUT, (long)API_CONNECT_TIMEOUT_S);
	curl_easy_setopt(a->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(a->curl, CURLOPT_USERAGENT, "towline/" TOWLINE_VERSION);
	return EXIT_OK;
}

static int report_transport(const struct api *a, CURLcode rc)
{
	return cli_fail(EXIT_NO_RELAY, "no answer from the relay at %s: %s", a->url,
			a->curl_error[0] ? a->curl_error : curl_easy_strerror(rc));
}

static int finish(const struct api *a, struct buf *body, json_t **ret)
{
	json_error_t jerr;
	json_t *json = NULL;
	long status = 0;
	int code = EXIT_OK;

	curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
	if (body->len > 0)
		json = json_loadb((const char *)body->data, body->len, 0, &jerr);
	if (status < 200 || status >= 300)
		code = report_problem(a, status, json);
	else if (body->len > 0 && !json)
		code = cli_fail(EXIT_FAILED, "%s answered with what is not JSON: %s", a->url,
				jerr.text);
	if (code == EXIT_OK && ret)
		*ret = json;
	else
		json_decref(json);
	return code;
}

static int perform(struct api *a, json_t **ret)
{
	struct buf body cleanup(buf_free) = BUF_INIT(API_BODY_MAX);
	CURLcode rc;

	curl_easy_setopt(a->curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(a->curl, CURLOPT_WRITEDATA, &body);
	curl_easy_setopt(a->curl, CURLOPT_TIMEOUT, (long)API_TIMEOUT_S);
	rc = curl_easy_perform(a->curl);
	if (rc != CURLE_OK)
		return report_transport(a, rc);
	return finish(a, &body, ret);
}

enum { API_PATH_MAX = 4096 };

printf_like(4, 0) static int request(struct api *a, const char *method, json_t **ret,
				     const char *fmt, va_list ap)
{
	struct buf url cleanup(buf_free) = BUF_INIT(2 * API_PATH_MAX);
	char path[API_PATH_MAX];
	int code;

	if (vsnprintf(path, sizeof(path), fmt, ap) >= (int)sizeof(path))
		return cli_fail(EXIT_USAGE, "the request's path is too long");
	code = prepare(a, path, &url);
	if (code != EXIT_OK)
		return code;
	if (method)
		curl_easy_setopt(a->curl, CURLOPT_CUSTOMREQUEST, method);
	return perform(a, ret);
}

int api_get(struct api *a, json_t **ret, const char *path, ...)
{
	va_list ap;
	int code;

	va_start(ap, path);
	code = request(a, NULL, ret, path, ap);
	va_end(ap);
	return code;
}

int api_delete(struct api *a, const char *path, ...)
{
	va_list ap;
	int code;

	va_start(ap, path);
	code = request(a, "DELETE", NULL, path, ap);
	va_end(ap);
	return code;
}

static int post(struct api *a, const char *path, const char *type, const void *body, size_t len,
		json_t **ret)
{
	struct buf url cleanup(buf_free) = BUF_INIT(2 * API_PATH_MAX);
	struct curl_slist *headers = NULL;
	int code = prepare(a, path, &url);

	if (code != EXIT_OK)
		return code;
	headers = curl_slist_append(headers, type);
	if (!headers)
		return cli_fail(EXIT_FAILED, "out of memory");
	curl_easy_setopt(a->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(a->curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(a->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
	code = perform(a, ret);
	curl_slist_free_all(headers);
	return code;
}

int api_post_json(struct api *a, const char *path, const json_t *body, json_t **ret)
{
	char *text cleanup(free_ptr) = json_dumps(body, JSON_COMPACT);

	if (!text)
		return cli_fail(EXIT_FAILED, "out of memory, or an argument is not UTF-8");
	return post(a, path, "Content-Type: application/json", text, strlen(text), ret);
}

int api_post_bytes(struct api *a, const char *path, const void *body, size_t len, json_t **ret)
{
	return post(a, path, "Content-Type: application/octet-stream", body, len, ret);
}

char *api_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0);
	char *copy = escaped ? strdup(escaped) : NULL;

	if (!copy)
		abort(); /* out of memory: a command line tool has nothing better to do */
	curl_free(escaped);
	return copy;
}

/* ---- server-sent events ---- */

struct event_stream {
	struct api *api;
	int (*cb)(void *ctx, const struct api_event *e);
	void *ctx;
	int stopped; /* what cb returned, when not 0 */
	struct buf line, name, data;
	struct buf error; /* the body of an answer that is not an event stream */
};

static void dispatch_event(struct event_stream *s)
{
	struct api_event e = {.name = s->name.len ? buf_text(&s->name) : "message"};

	if (s->data.len > 0) {
		s->data.len--; /* the newline after its last line */
		e.data = buf_text(&s->data);
		s->stopped = s->cb(s->ctx, &e);
	}
	buf_clear(&s->name);
	buf_clear(&s->data);
}

static void take_field(struct event_stream *s, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	size_t name_len = colon ? (size_t)(colon - line) : len;
	const char *value = colon ? colon + 1 : line + len;
	size_t value_len = (size_t)(line + len - value);

	if (value_len > 0 && *value == ' ') {
		value++;
		value_len--;
	}
	if (name_len == 5 && memcmp(line, "event", 5) == 0) {
		buf_clear(&s->name);
		buf_put(&s->name, value, value_len);
	} else if (name_len == 4 && memcmp(line, "data", 4) == 0) {
		buf_put(&s->data, value, value_len);
		buf_put_u8(&s->data, '\n');
	} /* comments (empty name), id and retry: not used */
}

static void take_line(struct event_stream *s)
{
	if (s->line.len > 0 && s->line.data[s->line.len - 1] == '\r')
		s->line.len--;
	if (s->line.len == 0)
		dispatch_event(s);
	else
		take_field(s, (const char *)s->line.data, s->line.len);
	buf_clear(&s->line);
}

static size_t take_stream(char *data, size_t size, size_t n, void *ctx)
{
	struct event_stream *s = ctx;
	const char *end = data + size * n;
	long status = 0;

	curl_easy_getinfo(s->api->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return take_body(data, size, n, &s->error);
	while (data < end && !s->stopped) {
		const char *newline = memchr(data, '\n', (size_t)(end - data));
		size_t len = (size_t)((newline ? newline : end) - data);

		buf_put(&s->line, data, len);
		if (s->line.failed || s->data.failed)
			return 0;
		if (newline)
			take_line(s);
		data += len + (newline ? 1 : 0);
	}
	return s->stopped ? 0 : size * n;
}

static int end_of_stream(struct event_stream *s, CURLcode rc)
{
	long status = 0;

	if (s->stopped)
		return s->stopped;
	if (rc == CURLE_OPERATION_TIMEDOUT && s->error.len == 0) {
		curl_easy_getinfo(s->api->curl, CURLINFO_RESPONSE_CODE, &status);
		if (status == 200)
			return EXIT_OK;
	}
	if (rc != CURLE_OK)
		return report_transport(s->api, rc);
	curl_easy_getinfo(s->api->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return finish(s->api, &s->error, NULL);
	return cli_fail(EXIT_NO_RELAY, "the relay at %s ended the event stream", s->api->url);
}

int api_events(struct api *a, const char *path, int max_s,
	       int (*cb)(void *ctx, const struct api_event *e), void *ctx)
{
	struct buf url cleanup(buf_free) = BUF_INIT(2 * API_PATH_MAX);
	struct event_stream s = {
		.api = a,
		.cb = cb,
		.ctx = ctx,
		.line = BUF_INIT(API_EVENT_MAX),
		.name = BUF_INIT(256),
		.data = BUF_INIT(API_EVENT_MAX),
		.error = BUF_INIT(1 << 20),
	};
	int code = prepare(a, path, &url);

	if (code != EXIT_OK)
		return code;
	curl_easy_setopt(a->curl, CURLOPT_WRITEFUNCTION, take_stream);
	curl_easy_setopt(a->curl, CURLOPT_WRITEDATA, &s);
	curl_easy_setopt(a->curl, CURLOPT_TIMEOUT, (long)max_s);
	code = end_of_stream(&s, curl_easy_perform(a->curl));
	buf_free(&s.line);
	buf_free(&s.name);
	buf_free(&s.data);
	buf_free(&s.error);
	return code;
}
