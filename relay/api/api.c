#include "relay/api/internal.h"

#include "base/log.h"
#include "relay/live/hub.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTION_MEMORY = 64 << 10, BACKLOG = 128 };

/* ---- a request ---- */

static struct request *new_request(struct api *a, struct MHD_Connection *conn, const char *url)
{
	struct request *rq = calloc(1, sizeof(*rq));

	if (!rq)
		return NULL;
	rq->api = a;
	rq->conn = conn;
	rq->body = BUF_INIT(a->opt.body_max);
	snprintf(rq->url, sizeof(rq->url), "%s", url);
	memcpy(rq->path, rq->url, sizeof(rq->path));
	return rq;
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **ctx,
			 enum MHD_RequestTerminationCode why)
{
	struct request *rq = *ctx;

	(void)cls;
	(void)conn;
	(void)why;
	if (!rq)
		return;
	if (!rq->answered)
		rq->api->requests[0]++;
	buf_free(&rq->body);
	free(rq);
	*ctx = NULL;
}

static const char *request_header(struct request *rq, const char *name)
{
	return MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND, name);
}

/* "type/subtype; parameters": the type alone counts. */
static bool is_media_type(const char *given, const char *wanted)
{
	size_t n = strlen(wanted);

	return given && strncasecmp(given, wanted, n) == 0 &&
	       (given[n] == '\0' || given[n] == ';' || given[n] == ' ');
}

static bool body_is_too_long(struct request *rq)
{
	const char *text = request_header(rq, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return text && strtoull(text, NULL, 10) > rq->api->opt.body_max;
}

static enum MHD_Result reply_too_large(struct request *rq)
{
	return reply_problem(rq, 413, "The body is larger than %zu bytes.", rq->api->opt.body_max);
}

/* What the head alone decides. Returns true when it is answered, with the result. */
static bool check_head(struct request *rq, const char *url, const char *method,
		       enum MHD_Result *ret)
{
	char allow[64];

	if (strlen(url) >= URL_BYTES_MAX) {
		*ret = reply_problem(rq, 414, "The path is longer than %d bytes.",
				     URL_BYTES_MAX - 1);
		return true;
	}
	switch (api_match(rq, method, allow, sizeof(allow))) {
	case ROUTE_NO_PATH:
		*ret = reply_problem(rq, 404, "There is no such resource.");
		return true;
	case ROUTE_NO_METHOD:
		*ret = reply_not_allowed(rq, allow);
		return true;
	case ROUTE_FOUND:
		break;
	}
	if (body_is_too_long(rq)) {
		*ret = reply_too_large(rq);
		return true;
	}
	if (rq->route->accepts &&
	    !is_media_type(request_header(rq, MHD_HTTP_HEADER_CONTENT_TYPE), rq->route->accepts)) {
		*ret = reply_problem(rq, 415, "Content-Type: must be %s.", rq->route->accepts);
		return true;
	}
	return false;
}

static enum MHD_Result take_upload(struct request *rq, const char *data, size_t *size)
{
	if (!rq->route->accepts) {
		/* A body that nobody asked for is read and dropped. */
	} else if (!rq->too_large && buf_put(&rq->body, data, *size) < 0) {
		rq->too_large = true;
		buf_clear(&rq->body);
	}
	*size = 0;
	return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **ctx)
{
	struct request *rq = *ctx;
	enum MHD_Result ret;

	(void)version;
	if (!rq) {
		rq = new_request(cls, conn, url);
		if (!rq)
			return MHD_NO;
		*ctx = rq;
		return check_head(rq, url, method, &ret) ? ret : MHD_YES;
	}
	if (*size)
		return take_upload(rq, data, size);
	if (rq->too_large)
		return reply_too_large(rq);
	return rq->route->handler(rq);
}

/* ---- listening ---- */

static int resolve(const struct api_options *opt, struct sockaddr_storage *addr, socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)addr;

	*addr = (struct sockaddr_storage){0};
	if (inet_pton(AF_INET, opt->listen, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(opt->port);
		*len = sizeof(*v4);
		return 0;
	}
	if (inet_pton(AF_INET6, opt->listen, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(opt->port);
		*len = sizeof(*v6);
		return 0;
	}
	return -EINVAL;
}

static int listen_on(struct api *a)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int one = 1;

	if (resolve(&a->opt, &addr, &len) < 0)
		return -EINVAL;
	a->fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0)
		return -errno;
	if (setsockopt(a->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(a->fd, (struct sockaddr *)&addr, len) < 0 || listen(a->fd, BACKLOG) < 0 ||
	    getsockname(a->fd, (struct sockaddr *)&addr, &len) < 0)
		return -errno;
	/* The port is at the same place in both families. */
	a->port = ntohs(((struct sockaddr_in *)&addr)->sin_port);
	return 0;
}

static void on_mhd_log(void *cls, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void on_mhd_log(void *cls, const char *fmt, va_list ap)
{
	char line[256], quoted[300];

	(void)cls;
	vsnprintf(line, sizeof(line), fmt, ap);
	log_debug("http", "message=%s", log_quote(quoted, sizeof(quoted), line));
}

static int start_daemon(struct api *a)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
			 MHD_USE_ERROR_LOG;

	a->daemon = MHD_start_daemon(
		flags, 0, NULL, NULL, on_request, a, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, a->fd, MHD_OPTION_THREAD_POOL_SIZE, a->opt.threads,
		MHD_OPTION_CONNECTION_LIMIT, a->opt.connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
		a->opt.idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
	if (!a->daemon)
		return errno ? -errno : -EIO;
	a->fd = -1; /* the daemon's from now on */
	return 0;
}

int api_start(struct api **ret, const struct api_options *opt, struct error *err)
{
	struct api *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->opt = *opt;
	a->fd = -1;
	r = listen_on(a);
	if (r == 0)
		r = start_daemon(a);
	if (r < 0) {
		error_set(err, "cannot listen on %s:%u: %s", opt->listen, opt->port, strerror(-r));
		api_stop(a);
		return r;
	}
	*ret = a;
	return 0;
}

uint16_t api_port(const struct api *a)
{
	return a->port;
}

struct api *api_stop(struct api *a)
{
	if (!a)
		return NULL;
	if (a->daemon) {
		/* Suspended connections must be awake for the daemon to stop. */
		hub_shutdown(a->opt.hub);
		MHD_stop_daemon(a->daemon);
	}
	if (a->fd >= 0)
		close(a->fd);
	free(a);
	return NULL;
}

void api_get_stats(struct api *a, struct api_stats *ret)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	for (size_t i = 0; i < array_len(ret->requests); i++)
		ret->requests[i] = a->requests[i];
	ret->connections = info ? info->num_connections : 0;
}
