#include "relay/relay.h"

#include "base/log.h"
#include "base/mqtt_conf.h"
#include "relay/api/api.h"
#include "relay/ingest/ingest.h"
#include "relay/live/history.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PATH_BYTES = 4096,
	/* The largest body that can be read, its envelope and topic. Anyone who may publish could
	 * have Paho allocate what MQTT allows (256 MiB); the broker keeps larger ones from us. */
	PACKET_MAX = BATCH_INFLATED_MAX + (64 << 10),
};

static const struct conf_section sections[] = {
	{"relay", false, "The relay itself."},
	{"mqtt", false, "The broker (MQTT 5)."},
	{"ingest", false, "From the broker to the disk, and receipts back."},
	{"history", false, "How much of the stream is kept."},
	{"http", false, "The HTTP API."},
};

#define PEM_FILE(name, text)                                                                       \
	{                                                                                          \
		.section = "mqtt", .key = name, .type = CONF_STRING, .def = "", .max = 1024,       \
		.help = "mqtts: PEM file of " text                                                 \
	}

static const struct conf_key keys[] = {
	{.section = "relay",
	 .key = "data_dir",
	 .type = CONF_STRING,
	 .min = 1,
	 .max = 1024,
	 .help = "Folder of relay.db, stream.db and http.port. Made when it is not there."},
	{.section = "relay",
	 .key = "log_level",
	 .type = CONF_ENUM,
	 .def = "info",
	 .choices = "error|warn|info|debug",
	 .help = "What is logged.",
	 .reloads = true},
	{.section = "mqtt",
	 .key = "uri",
	 .type = CONF_STRING,
	 .def = "mqtt://127.0.0.1:1883",
	 .min = 1,
	 .max = 512,
	 .help = "Broker: mqtts://host[:8883], which is TLS, or mqtt://host[:1883], on this "
		 "machine."},
	PEM_FILE("ca", "the CAs that the broker's certificate may be of. Replaced files,\n"
		       "also of the next two keys, are used from the next connection on."),
	PEM_FILE("certificate", "the relay's certificate, with its chain. Empty: none."),
	PEM_FILE("key", "its private key, mode 0600, no pass phrase. Empty: it is in the\n"
			"certificate's file."),
	{.section = "mqtt",
	 .key = "insecure",
	 .type = CONF_BOOL,
	 .def = "false",
	 .help = "Plain mqtt:// to a broker on another machine, too: whoever is on the way reads "
		 "and\n"
		 "changes all."},
	{.section = "mqtt",
	 .key = "client_id",
	 .type = CONF_STRING,
	 .def = "towline-relay",
	 .min = 1,
	 .max = 64,
	 .help = "Of the session. Two relays with one id push each other out."},
	{.section = "mqtt",
	 .key = "username",
	 .type = CONF_STRING,
	 .def = "",
	 .max = 256,
	 .help = "Empty: none."},
	{.section = "mqtt",
	 .key = "password",
	 .type = CONF_STRING,
	 .def = "",
	 .max = 256,
	 .help = "Empty: none."},
	{.section = "mqtt",
	 .key = "keepalive_s",
	 .type = CONF_INT,
	 .def = "30",
	 .min = 5,
	 .max = 65535,
	 .help = "Seconds of silence before a ping."},
	{.section = "mqtt",
	 .key = "connect_timeout_s",
	 .type = CONF_INT,
	 .def = "10",
	 .min = 1,
	 .max = 300,
	 .help = "Seconds an attempt may take."},
	{.section = "mqtt",
	 .key = "session_expiry_s",
	 .type = CONF_INT,
	 .def = "3600",
	 .max = 604800,
	 .help = "Seconds the broker keeps messages for a relay that is away. 0: none."},
	{.section = "mqtt",
	 .key = "backoff_min_ms",
	 .type = CONF_INT,
	 .def = "200",
	 .min = 10,
	 .max = 60000,
	 .help = "First wait before connecting or subscribing again, in milliseconds; doubles,\n"
		 "with jitter."},
	{.section = "mqtt",
	 .key = "backoff_max_ms",
	 .type = CONF_INT,
	 .def = "10000",
	 .min = 10,
	 .max = 600000,
	 .help = "Longest such wait, in milliseconds."},
	{.section = "mqtt",
	 .key = "receive_maximum",
	 .type = CONF_INT,
	 .def = "1000",
	 .min = 1,
	 .max = 65535,
	 .help = "QoS 1 messages that the broker may have in flight to the relay."},
	{.section = "ingest",
	 .key = "queue_bytes",
	 .type = CONF_INT,
	 .def = "16777216",
	 .min = 65536,
	 .max = 1073741824,
	 .help = "Bytes that may wait between connection and ingest; beyond, the broker waits."},
	{.section = "ingest",
	 .key = "group_commit_ms",
	 .type = CONF_INT,
	 .def = "3",
	 .max = 1000,
	 .help = "Milliseconds a batch may wait for others to be committed with.",
	 .reloads = true},
	{.section = "ingest",
	 .key = "group_commit_batches",
	 .type = CONF_INT,
	 .def = "512",
	 .min = 1,
	 .max = 65536,
	 .help = "Batches that are committed at once at most.",
	 .reloads = true},
	{.section = "ingest",
	 .key = "receipt_interval_ms",
	 .type = CONF_INT,
	 .def = "200",
	 .max = 10000,
	 .help = "Milliseconds between receipts to one device, at least; 32 batches do not wait.",
	 .reloads = true},
	{.section = "ingest",
	 .key = "unknown_retry_s",
	 .type = CONF_INT,
	 .def = "60",
	 .min = 1,
	 .max = 86400,
	 .help = "Seconds after which a device that is not registered is told to try again.",
	 .reloads = true},
	{.section = "ingest",
	 .key = "device_bytes_per_second",
	 .type = CONF_INT,
	 .def = "0",
	 .max = 1073741824,
	 .help = "Bytes that a device may send in a second; beyond, it is told to slow down. 0: "
		 "no\n"
		 "limit.",
	 .reloads = true},
	{.section = "ingest",
	 .key = "device_batches_per_second",
	 .type = CONF_INT,
	 .def = "0",
	 .max = 1000000,
	 .help = "Batches that a device may send in a second; beyond, it is told to slow down. 0: "
		 "no\n"
		 "limit.",
	 .reloads = true},
	{.section = "ingest",
	 .key = "quarantine_rows",
	 .type = CONF_INT,
	 .def = "256",
	 .min = 1,
	 .max = 100000,
	 .help = "Messages that could not be read, kept for a look at them."},
	{.section = "ingest",
	 .key = "state_save_ms",
	 .type = CONF_INT,
	 .def = "5000",
	 .min = 100,
	 .max = 600000,
	 .help = "Milliseconds between saves of the last-known state."},
	{.section = "history",
	 .key = "retention_h",
	 .type = CONF_INT,
	 .def = "24",
	 .min = 1,
	 .max = 87600,
	 .help = "Hours that batches are kept after they were received, of those that the relay\n"
		 "runs: leaps of the clock delete nothing.",
	 .reloads = true},
	{.section = "history",
	 .key = "max_bytes",
	 .type = CONF_INT,
	 .def = "10737418240",
	 .max = INT64_MAX / 4,
	 .help = "Bytes of stream.db beyond which the oldest batches go. 0: no limit. The file\n"
		 "never grows beyond an eighth more (and 16 MiB); then batches are refused.",
	 .reloads = true},
	{.section = "history",
	 .key = "query_batches_max",
	 .type = CONF_INT,
	 .def = "50000",
	 .min = 1,
	 .max = 100000000,
	 .help = "Batches that one query may decode."},
	{.section = "http",
	 .key = "listen",
	 .type = CONF_STRING,
	 .def = "127.0.0.1",
	 .min = 2,
	 .max = 64,
	 .help = "IPv4 or IPv6 address to listen on."},
	{.section = "http",
	 .key = "port",
	 .type = CONF_INT,
	 .def = "8080",
	 .max = 65535,
	 .help = "0: any free port. It is logged, and written to data_dir/http.port."},
	{.section = "http",
	 .key = "threads",
	 .type = CONF_INT,
	 .def = "4",
	 .min = 2,
	 .max = 64,
	 .help = "Threads that answer requests."},
	{.section = "http",
	 .key = "connections_max",
	 .type = CONF_INT,
	 .def = "1000",
	 .min = 4,
	 .max = 100000,
	 .help = "Connections at once."},
	{.section = "http",
	 .key = "idle_s",
	 .type = CONF_INT,
	 .def = "60",
	 .min = 1,
	 .max = 3600,
	 .help = "Seconds without traffic after which a connection is closed."},
	{.section = "http",
	 .key = "max_body_bytes",
	 .type = CONF_INT,
	 .def = "16777216",
	 .min = 1024,
	 .max = 67108864,
	 .help = "Largest body of a request."},
	{.section = "http",
	 .key = "sse_clients_max",
	 .type = CONF_INT,
	 .def = "256",
	 .max = 100000,
	 .help = "Listeners to events at once."},
	{.section = "http",
	 .key = "heartbeat_s",
	 .type = CONF_INT,
	 .def = "15",
	 .min = 1,
	 .max = 3600,
	 .help = "Seconds between signs of life on event streams; one that is gone shows by them.",
	 .reloads = true},
};

const struct conf_table relay_conf_table = {
	.sections = sections,
	.n_sections = array_len(sections),
	.keys = keys,
	.n_keys = array_len(keys),
};

int relay_conf_load(struct conf **ret, const char *path, struct error *err)
{
	struct conf *c;
	int e = conf_load(&c, &relay_conf_table, path, err);

	if (e < 0)
		return e;
	e = mqtt_conf_check(c, path, err);
	if (e < 0)
		conf_free(c);
	else
		*ret = c;
	return e;
}

struct relay {
	struct registry *registry;
	struct stream *stream;
	struct live *live;
	struct hub *hub;
	struct history *history;
	struct ingest *ingest;
	struct api *api;
	char port_path[PATH_BYTES];
	int lock_fd; /* plus one; 0: not locked */
	unsigned ticks, beat_s;
};

static int number(const struct conf *c, const char *section, const char *key)
{
	return (int)conf_int(c, section, NULL, key);
}

/* NULL for an empty text. */
static const char *text(const struct conf *c, const char *section, const char *key)
{
	const char *s = conf_string(c, section, NULL, key);

	return s && *s ? s : NULL;
}

static int data_path(char out[static PATH_BYTES], const struct conf *c, const char *name,
		     struct error *err)
{
	const char *dir = text(c, "relay", "data_dir");

	if ((size_t)snprintf(out, PATH_BYTES, "%s/%s", dir, name) < PATH_BYTES)
		return 0;
	error_set(err, "data_dir: the path is too long");
	return -ENAMETOOLONG;
}

/* A new folder is as durable as what is acknowledged from it. */
static void sync_parent(const char *dir)
{
	char path[PATH_BYTES];
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s/..", dir) >= sizeof(path))
		return;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		log_warn("folder_not_synced", "path=%s error=\"%s\"", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int make_dir(const struct conf *c, struct error *err)
{
	const char *dir = text(c, "relay", "data_dir");

	if (mkdir(dir, 0750) == 0) {
		sync_parent(dir);
		return 0;
	}
	if (errno == EEXIST)
		return 0;
	error_set(err, "data_dir %s: %s", dir, strerror(errno));
	return -errno;
}

/* Two relays on one stream would both think that they know what is stored. */
static int lock_dir(struct relay *r, const struct conf *c, struct error *err)
{
	char path[PATH_BYTES];
	int fd, e = data_path(path, c, "relay.lock", err);

	if (e < 0)
		return e;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		error_set(err, "%s: %s", path, strerror(errno));
		return -errno;
	}
	r->lock_fd = fd + 1;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	error_set(err, "data_dir %s: another relay uses it", text(c, "relay", "data_dir"));
	return -EBUSY;
}

/* One that was killed has left the port that nobody listens on any more. */
static int forget_port(struct relay *r, const struct conf *c, struct error *err)
{
	int e = data_path(r->port_path, c, "http.port", err);

	if (e == 0 && unlink(r->port_path) < 0 && errno != ENOENT) {
		e = -errno;
		error_set(err, "%s: %s", r->port_path, strerror(-e));
	}
	return e;
}

static struct ingest_tuning tuning(const struct conf *c)
{
	return (struct ingest_tuning){
		.group_commit_ms = number(c, "ingest", "group_commit_ms"),
		.group_commit_batches = number(c, "ingest", "group_commit_batches"),
		.receipt_interval_ms = number(c, "ingest", "receipt_interval_ms"),
		.unknown_retry_s = number(c, "ingest", "unknown_retry_s"),
		.retention_ns = conf_int(c, "history", NULL, "retention_h") * 3600 * NS_PER_S,
		.max_bytes = conf_int(c, "history", NULL, "max_bytes"),
		.device_bytes_per_s = conf_int(c, "ingest", NULL, "device_bytes_per_second"),
		.device_batches_per_s = conf_int(c, "ingest", NULL, "device_batches_per_second"),
	};
}

static struct mqtt_options mqtt_options(const struct conf *c)
{
	struct mqtt_options o = mqtt_conf_options(c);

	o.client_id = text(c, "mqtt", "client_id");
	o.receive_maximum = (uint16_t)number(c, "mqtt", "receive_maximum");
	o.max_packet = PACKET_MAX;
	o.queue_bytes = (size_t)number(c, "ingest", "queue_bytes");
	return o;
}

static int keep_keys(struct relay *r)
{
	int64_t vehicle, device;
	int e = stream_max_keys(r->stream, &vehicle, &device);

	return e < 0 ? e : registry_keys_above(r->registry, vehicle, device);
}

static int open_stores(struct relay *r, const struct conf *c, const struct timebase *tb,
		       struct error *err)
{
	char path[PATH_BYTES];
	int64_t max = conf_int(c, "history", NULL, "max_bytes");
	int e = make_dir(c, err);

	if (e == 0)
		e = lock_dir(r, c, err);
	if (e == 0)
		e = forget_port(r, c, err);
	if (e == 0)
		e = data_path(path, c, "relay.db", err);
	if (e == 0)
		e = registry_open(&r->registry, path, tb, err);
	if (e == 0)
		e = data_path(path, c, "stream.db", err);
	if (e == 0)
		e = stream_open(&r->stream, path, ingest_file_max(max), err);
	if (e == 0)
		e = keep_keys(r);
	if (e == 0)
		e = live_new(&r->live);
	if (e == 0)
		e = hub_new(&r->hub, (size_t)number(c, "http", "sse_clients_max"));
	if (e == 0)
		e = history_new(&r->history, path, r->registry, r->live,
				(size_t)number(c, "history", "query_batches_max"));
	return e;
}

static int open_ingest(struct relay *r, const struct conf *c, const struct timebase *tb,
		       struct error *err)
{
	struct ingest_options opt = {
		.tb = tb,
		.registry = r->registry,
		.stream = r->stream,
		.live = r->live,
		.hub = r->hub,
		.mqtt = mqtt_options(c),
		.tuning = tuning(c),
		.quarantine_rows = (size_t)number(c, "ingest", "quarantine_rows"),
		.state_save_ms = number(c, "ingest", "state_save_ms"),
	};

	return ingest_new(&r->ingest, &opt, err);
}

static int open_api(struct relay *r, const struct conf *c, const struct timebase *tb,
		    struct error *err)
{
	struct api_options opt = {
		.tb = tb,
		.registry = r->registry,
		.live = r->live,
		.hub = r->hub,
		.history = r->history,
		.ingest = r->ingest,
		.listen = text(c, "http", "listen"),
		.port = (uint16_t)number(c, "http", "port"),
		.threads = (unsigned)number(c, "http", "threads"),
		.connections_max = (unsigned)number(c, "http", "connections_max"),
		.body_max = (size_t)number(c, "http", "max_body_bytes"),
		.idle_s = (unsigned)number(c, "http", "idle_s"),
	};

	return api_start(&r->api, &opt, err);
}

/* Whoever waits for the file must never read half a number. */
static int write_port(struct relay *r, const struct conf *c, struct error *err)
{
	char tmp[PATH_BYTES];
	FILE *f;
	int e = data_path(tmp, c, "http.port.new", err);

	if (e < 0)
		return e;
	f = fopen(tmp, "we");
	if (f) {
		bool failed = fprintf(f, "%u\n", api_port(r->api)) < 0;

		if (fclose(f) == 0 && !failed && rename(tmp, r->port_path) == 0)
			return 0;
	}
	e = errno ? -errno : -EIO;
	error_set(err, "%s: %s", tmp, strerror(-e));
	return e;
}

static int start(struct relay *r, const struct conf *c, const struct timebase *tb,
		 struct error *err)
{
	int e = open_stores(r, c, tb, err);

	r->beat_s = (unsigned)number(c, "http", "heartbeat_s");
	if (e == 0)
		e = open_ingest(r, c, tb, err);
	if (e == 0)
		e = open_api(r, c, tb, err);
	if (e == 0)
		e = ingest_start(r->ingest);
	if (e == 0)
		e = write_port(r, c, err);
	return e;
}

int relay_start(struct relay **ret, const struct conf *conf, const struct timebase *tb,
		struct error *err)
{
	struct error why = {0};
	struct relay *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	e = start(r, conf, tb, &why);
	if (e < 0) {
		error_set(err, "%s", why.text[0] ? why.text : strerror(-e));
		relay_stop(r);
		return e;
	}
	log_info("http_listening", "address=%s port=%u", text(conf, "http", "listen"),
		 api_port(r->api));
	*ret = r;
	return 0;
}

struct relay *relay_stop(struct relay *r)
{
	if (!r)
		return NULL;
	if (r->port_path[0])
		(void)unlink(r->port_path);
	ingest_stop(r->ingest);
	api_stop(r->api); /* asks ingest for its counters until now */
	ingest_free(r->ingest);
	history_free(r->history);
	hub_free(r->hub);
	live_free(r->live);
	stream_close(r->stream);
	registry_close(r->registry);
	if (r->lock_fd)
		close(r->lock_fd - 1);
	free(r);
	return NULL;
}

void relay_tick(struct relay *r)
{
	if (++r->ticks < r->beat_s)
		return;
	r->ticks = 0;
	hub_beat(r->hub);
}

void relay_reload(struct relay *r, const struct conf *conf)
{
	struct ingest_tuning t = tuning(conf);

	log_set_level((enum log_level)conf_enum(conf, "relay", NULL, "log_level"));
	r->beat_s = (unsigned)number(conf, "http", "heartbeat_s");
	ingest_tune(r->ingest, &t);
}
