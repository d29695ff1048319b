/* How the relay is: health, metrics (Prometheus text format 0.0.4), and its own description. */
#include "relay/api/internal.h"

#include "relay/embed.h"
#include "relay/ingest/ingest.h"
#include "relay/live/hub.h"
#include "relay/registry/registry.h"

#include <stdio.h>
#include <string.h>

enum { METRICS_MAX = 64 << 10 };

enum MHD_Result handle_openapi(struct request *rq)
{
	return reply_text(rq, 200, "application/json", relay_api_openapi);
}

static const char *storage_text(int e)
{
	switch (e) {
	case 0:
		return "ok";
	case -ENOSPC:
		return "full";
	case -EROFS:
		return "read-only";
	default:
		return "failed";
	}
}

enum MHD_Result handle_health(struct request *rq)
{
	struct ingest_stats s;
	bool ok;

	ingest_get_stats(rq->api->opt.ingest, &s);
	ok = s.broker == INGEST_CONNECTED && s.storage == 0;
	return reply_json(rq, ok ? 200 : 503,
			  json_pack("{s:s, s:s, s:s}", "status", ok ? "ok" : "degraded", "broker",
				    ingest_broker_name(s.broker), "storage",
				    storage_text(s.storage)));
}

/* ---- metrics ---- */

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
	(void)buf_printf(b, "# HELP towline_relay_%s %s\n# TYPE towline_relay_%s %s\n", name, help,
			 name, type);
}

static void one(struct buf *b, const char *name, const char *type, const char *help, uint64_t v)
{
	head(b, name, type, help);
	(void)buf_printf(b, "towline_relay_%s %llu\n", name, (unsigned long long)v);
}

static void batches(struct buf *b, const struct ingest_stats *s)
{
	head(b, "batches_total", "counter",
	     "Messages by what became of them; unknown_catalog: stored, waits for its catalog or "
	     "dictionary.");
	for (unsigned i = 0; i < INGEST_RESULTS; i++)
		(void)buf_printf(b, "towline_relay_batches_total{result=\"%s\"} %llu\n",
				 ingest_result_name((enum ingest_result)i),
				 (unsigned long long)s->results[i]);
	one(b, "batches_resolved_total", "counter",
	    "Batches decoded once their catalog or dictionary was there.", s->resolved);
	one(b, "batches_unresolved_total", "counter",
	    "Batches that did not fit their catalog when it came.", s->unresolved);
	one(b, "batches_pruned_total", "counter", "Batches that retention deleted.", s->pruned);
	one(b, "batches_quarantined_total", "counter",
	    "Messages kept in the quarantine table, of those that could not be read.",
	    s->quarantined);
	one(b, "samples_total", "counter", "Samples of batches stored once and decoded.",
	    s->samples);
	one(b, "payload_bytes_total", "counter", "Bytes of uplink payloads.", s->payload_bytes);
}

/* One number a class and reason, of those that there were. */
static void by_reason(struct buf *b, const char *name, const char *help,
		      const uint64_t v[CLASS_COUNT][GAP_REASONS])
{
	head(b, name, "counter", help);
	for (unsigned c = 0; c < CLASS_COUNT; c++) {
		for (uint32_t r = 0; r < GAP_REASONS; r++) {
			if (v[c][r])
				(void)buf_printf(b,
						 "towline_relay_%s{class=\"%s\",reason=\"%s\"} "
						 "%llu\n",
						 name, class_name((enum uplink_class)c),
						 stream_gap_reason_name(r),
						 (unsigned long long)v[c][r]);
		}
	}
}

static void delivery(struct buf *b, const struct ingest_stats *s)
{
	by_reason(b, "gaps_total", "Gaps told by vehicles, or closed unexplained.", s->gaps);
	by_reason(b, "gap_seqs_total", "Sequence numbers that gaps told missing.", s->gap_seqs);
	head(b, "duplicates_total", "counter", "Batches that came again, by class.");
	for (unsigned c = 0; c < CLASS_COUNT; c++)
		(void)buf_printf(b, "towline_relay_duplicates_total{class=\"%s\"} %llu\n",
				 class_name((enum uplink_class)c),
				 (unsigned long long)s->duplicates[c]);
	one(b, "origin_duplicates_total", "counter",
	    "Of these, stored already under the name that they had in a damaged outbox.",
	    s->origin_known);
	one(b, "late_batches_total", "counter",
	    "Batches stored although a gap had told them missing.", s->late);
	one(b, "rows_repaired_total", "counter",
	    "Batches whose times were put right when their boot's clock was known.", s->repaired);
	one(b, "windows_forgotten_total", "counter",
	    "Windows dropped because a device had too many outboxes.", s->windows_forgotten);
}

static void receipts(struct buf *b, const struct ingest_stats *s)
{
	one(b, "receipts_total", "counter", "Receipts published.", s->receipts);
	one(b, "receipts_failed_total", "counter", "Receipts that had to be tried again.",
	    s->receipts_failed);
	one(b, "nacks_total", "counter", "Batches refused in receipts.", s->nacks);
}

static void latency(struct buf *b, const struct ingest_stats *s)
{
	uint64_t sum = 0;

	head(b, "ingest_seconds", "histogram", "From taking a batch to its durable commit.");
	for (size_t i = 0; i < INGEST_LATENCY_BUCKETS; i++) {
		sum += s->latency[i];
		(void)buf_printf(b, "towline_relay_ingest_seconds_bucket{le=\"%g\"} %llu\n",
				 ingest_latency_bounds_s[i], (unsigned long long)sum);
	}
	sum += s->latency[INGEST_LATENCY_BUCKETS];
	(void)buf_printf(b, "towline_relay_ingest_seconds_bucket{le=\"+Inf\"} %llu\n",
			 (unsigned long long)sum);
	(void)buf_printf(b, "towline_relay_ingest_seconds_sum %.6f\n",
			 (double)s->latency_sum_us / 1e6);
	(void)buf_printf(b, "towline_relay_ingest_seconds_count %llu\n", (unsigned long long)sum);
}

static void storage(struct buf *b, const struct ingest_stats *s)
{
	one(b, "commits_total", "counter", "Transactions of batches.", s->commits);
	one(b, "commit_failures_total", "counter", "Writes that failed.", s->commit_failures);
	one(b, "storage_ok", "gauge", "1: the last write went well.", s->storage == 0);
	one(b, "stream_rows", "gauge", "Batches in the stream.", s->usage.rows);
	one(b, "stream_bytes", "gauge", "Bytes of the stream in use.", s->usage.used_bytes);
	one(b, "stream_file_bytes", "gauge", "Bytes of the stream's file.", s->usage.file_bytes);
	one(b, "stream_log_bytes", "gauge", "Bytes of the stream's write-ahead log.",
	    s->usage.log_bytes);
	one(b, "pending_batches", "gauge", "Batches in the open transaction.", s->pending);
}

static void broker(struct buf *b, const struct ingest_stats *s)
{
	one(b, "broker_connected", "gauge", "1: connected to the broker, and subscribed.",
	    s->broker == INGEST_CONNECTED);
	one(b, "broker_subscribe_failures_total", "counter",
	    "Subscriptions that the broker refused or did not answer.", s->subscribe_failures);
	one(b, "broker_connects_total", "counter", "Connections made.", s->mqtt.connects);
	one(b, "broker_disconnects_total", "counter", "Connections lost.", s->mqtt.disconnects);
	one(b, "broker_failed_attempts_total", "counter", "Connections that could not be made.",
	    s->mqtt.failed_attempts);
	one(b, "broker_tls_failures_total", "counter",
	    "Of these: for certificates, keys or the TLS handshake.", s->mqtt.tls_failures);
	one(b, "broker_certificate_until_seconds", "gauge",
	    "Seconds since 1970 at which the relay's certificate ends; 0: it has none.",
	    (uint64_t)s->mqtt.certificate_until);
	one(b, "broker_received_total", "counter", "Messages received.", s->mqtt.received);
}

static void clients(struct buf *b, struct api *a, const struct ingest_stats *s)
{
	struct api_stats as;
	struct hub_stats hs;

	api_get_stats(a, &as);
	hub_get_stats(a->opt.hub, &hs);
	one(b, "vehicles", "gauge", "Vehicles in the registry.",
	    registry_count_vehicles(a->opt.registry));
	one(b, "senders", "gauge", "Devices that have sent since the start.", s->senders);
	one(b, "sse_clients", "gauge", "Listeners to events.", hs.subscribers);
	one(b, "sse_dropped_total", "counter", "Events that slow listeners lost.", hs.dropped);
	one(b, "http_connections", "gauge", "Open HTTP connections.", as.connections);
	head(b, "http_requests_total", "counter", "HTTP requests by status class.");
	for (unsigned i = 1; i < array_len(as.requests); i++)
		(void)buf_printf(b, "towline_relay_http_requests_total{code=\"%uxx\"} %llu\n", i,
				 (unsigned long long)as.requests[i]);
}

enum MHD_Result handle_metrics(struct request *rq)
{
	struct buf b cleanup(buf_free) = BUF_INIT(METRICS_MAX);
	struct ingest_stats s;

	ingest_get_stats(rq->api->opt.ingest, &s);
	batches(&b, &s);
	delivery(&b, &s);
	receipts(&b, &s);
	latency(&b, &s);
	storage(&b, &s);
	broker(&b, &s);
	clients(&b, rq->api, &s);
	if (b.failed)
		return reply_errno(rq, b.failed);
	return reply_text(rq, 200, "text/plain; version=0.0.4; charset=utf-8", buf_text(&b));
}
