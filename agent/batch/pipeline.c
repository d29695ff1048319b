#include "agent/batch/pipeline.h"

#include "agent/decode/decode.h"
#include "agent/health/limit.h"
#include "base/log.h"

struct claim {
	uint32_t id;
	uint16_t bus;
	bool extended;
};

/* Payloads that were put together, and those given up. */
struct reassembled {
	uint64_t payloads, errors;
};

struct pipeline {
	const struct catalog *cat;
	struct decoder *decoder;
	struct collect *collect;
	struct batcher *batcher;
	struct counters *counters;
	struct reassembled isotp_before, j1939_before; /* of decoders with other rules */
	struct reassembled j1939_counted;
	unsigned classes;
	struct limit dropped;
	struct sample *samples; /* pipeline_slack of them */
	struct claim *claims;
	size_t n_claims;
};

size_t pipeline_slack(const struct catalog *cat)
{
	size_t most = 1;

	for (size_t i = 0; i < cat->n_messages; i++)
		if (cat->messages[i].n_signals > most)
			most = cat->messages[i].n_signals;
	return most;
}

/* What was put together since the start, whichever rules were in force. */
static struct reassembled isotp_total(const struct pipeline *p)
{
	const struct isotp_counters *c = p->decoder ? decoder_isotp(p->decoder) : NULL;
	struct reassembled r = p->isotp_before;

	if (!c)
		return r;
	r.payloads += c->payloads;
	r.errors += c->timeouts + c->sequence + c->interrupted + c->too_long + c->malformed;
	return r;
}

static struct reassembled j1939_total(const struct pipeline *p)
{
	const struct j1939tp_counters *c = p->decoder ? decoder_j1939(p->decoder) : NULL;
	struct reassembled r = p->j1939_before;

	if (!c)
		return r;
	r.payloads += c->payloads;
	r.errors += j1939tp_errors(c);
	return r;
}

int pipeline_set_collect(struct pipeline *p, struct collect *col)
{
	struct decoder *d;
	int r = decoder_new(&d, p->cat, collect_wanted(col));

	if (r < 0)
		return r;
	assert(decoder_samples_max(d) <= pipeline_slack(p->cat));
	for (size_t i = 0; i < p->n_claims; i++)
		decoder_claim(d, p->claims[i].bus, p->claims[i].id, p->claims[i].extended);
	p->isotp_before = isotp_total(p);
	p->j1939_before = j1939_total(p);
	decoder_free(p->decoder);
	collect_free(p->collect);
	p->decoder = d;
	p->collect = col;
	p->classes = collect_classes(col);
	batcher_keep(p->batcher, p->classes);
	return 0;
}

int pipeline_new(struct pipeline **ret, const struct catalog *cat, struct collect *col,
		 struct batcher *batcher, struct counters *counters)
{
	struct pipeline *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->cat = cat;
	p->batcher = batcher;
	p->counters = counters;
	p->samples = calloc(pipeline_slack(cat), sizeof(*p->samples));
	r = p->samples ? pipeline_set_collect(p, col) : -ENOMEM;
	if (r < 0) {
		pipeline_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

struct pipeline *pipeline_free(struct pipeline *p)
{
	if (!p)
		return NULL;
	decoder_free(p->decoder);
	collect_free(p->collect);
	free(p->samples);
	free(p->claims);
	free(p);
	return NULL;
}

static void add_run(struct pipeline *p, uint32_t message, int64_t t_ns, const struct collected *run)
{
	counter_add(&p->counters->samples_collected, run->n);
	if (batcher_add(p->batcher, run->class, message, t_ns, run->samples, run->n) == 0)
		return;
	counter_add(&p->counters->samples_dropped_front, run->n);
	if (limit_pass(&p->dropped, "samples_dropped", batcher_now(p->batcher)))
		log_error("samples_dropped", "message=%s samples=%zu what=they fit no batch",
			  p->cat->messages[message].name, run->n);
}

static void count_isotp(struct pipeline *p)
{
	struct reassembled r = isotp_total(p);

	counter_set(&p->counters->isotp_messages, r.payloads);
	counter_set(&p->counters->isotp_errors, r.errors);
}

/* Payloads that a source has put together count themselves, hence the difference. */
static void count_j1939(struct pipeline *p)
{
	struct reassembled r = j1939_total(p);

	counter_add(&p->counters->j1939_messages, r.payloads - p->j1939_counted.payloads);
	counter_add(&p->counters->j1939_errors, r.errors - p->j1939_counted.errors);
	p->j1939_counted = r;
}

/* What a frame or payload of a message gave. */
static void take_samples(struct pipeline *p, uint32_t message, int64_t t_ns, size_t n)
{
	struct collected runs[CLASS_COUNT];
	size_t n_runs;

	if (n == 0)
		return;
	counter_add(&p->counters->samples_decoded, n);
	n_runs = collect_apply(p->collect, message, t_ns, p->samples, n, runs);
	for (size_t i = 0; i < n_runs; i++)
		add_run(p, message, t_ns, &runs[i]);
}

int pipeline_frame(struct pipeline *p, const struct frame *f)
{
	uint32_t message = CATALOG_NONE;
	size_t n = 0;

	if (!batcher_ready(p->batcher, p->classes))
		return PIPELINE_BUSY;
	counter_add(&p->counters->frames_received, 1);
	if (f->bus != FRAME_BUS_NONE)
		n = decoder_frame(p->decoder, f, &message, p->samples);
	if (f->flags & FRAME_EXTENDED && j1939tp_is(f->id))
		count_j1939(p);
	if (message == CATALOG_NONE) {
		counter_add(&p->counters->frames_unknown, 1);
		return 0;
	}
	if (p->cat->messages[message].bytes > 8)
		count_isotp(p);
	take_samples(p, message, f->t_ns, n);
	return 0;
}

int pipeline_payload(struct pipeline *p, const struct payload *payload)
{
	uint32_t message;
	size_t n;

	if (!batcher_ready(p->batcher, p->classes))
		return PIPELINE_BUSY;
	counter_add(&p->counters->payloads_received, 1);
	n = decoder_payload(p->decoder, payload, &message, p->samples);
	if (message == CATALOG_NONE)
		counter_add(&p->counters->payloads_unknown, 1);
	take_samples(p, message, payload->t_ns, n);
	return 0;
}

int pipeline_claim(struct pipeline *p, uint16_t bus, uint32_t id, bool extended)
{
	struct claim *more;

	for (size_t i = 0; i < p->n_claims; i++)
		if (p->claims[i].bus == bus && p->claims[i].id == id &&
		    p->claims[i].extended == extended)
			return 0;
	more = reallocarray(p->claims, p->n_claims + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	p->claims = more;
	p->claims[p->n_claims++] = (struct claim){.id = id, .bus = bus, .extended = extended};
	decoder_claim(p->decoder, bus, id, extended);
	return 0;
}

size_t pipeline_matches(const struct pipeline *p, uint16_t bus, struct frame_match *out, size_t max)
{
	return decoder_matches(p->decoder, bus, out, max);
}

bool pipeline_wants(const struct pipeline *p, uint32_t signal)
{
	return collect_wanted(p->collect)[signal];
}
