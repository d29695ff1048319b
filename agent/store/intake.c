#include "agent/store/intake.h"

#include "agent/health/limit.h"
#include "agent/store/totals.h"
#include "base/log.h"

#include <string.h>
#include <time.h>

enum {
	PENDING_MAX = 8, /* batches a commit */
	BODY_BYTES_MAX = 8 << 20,
	RETRY_S = 1,
	FINISH_WAIT_MS = 50,
};

/* Either a builder that is still to be encoded, or a body, or what cannot be encoded. */
struct pending {
	struct closed_batch closed; /* builder NULL: encoded and given back */
	bool lost;
	uint64_t samples;
	int64_t first_ns, last_ns; /* wall times */
	uint32_t encoding;
	struct buf body;
};

struct intake {
	struct loop *loop;
	struct batch_queue *queue;
	struct store *store;
	struct counters *counters;
	struct intake_handlers on;
	struct loop_timer retry;
	struct limit quota;
	int error; /* of the last commit, as logged; 0: it went well */
	struct pending pending[PENDING_MAX];
	size_t n;
};

static void on_retry(struct loop_timer *t)
{
	intake_run(t->ctx);
}

int intake_new(struct intake **ret, struct loop *loop, struct batch_queue *queue,
	       struct store *store, struct counters *counters,
	       const struct intake_handlers *handlers)
{
	struct intake *in = calloc(1, sizeof(*in));

	if (!in)
		return -ENOMEM;
	in->loop = loop;
	in->queue = queue;
	in->store = store;
	in->counters = counters;
	in->on = *handlers;
	in->retry = (struct loop_timer){.cb = on_retry, .ctx = in};
	*ret = in;
	return 0;
}

static void forget(struct intake *in, struct pending *p)
{
	if (p->closed.builder) {
		batch_queue_give_back(in->queue, p->closed.builder);
		p->closed.builder = NULL;
	}
	buf_free(&p->body);
}

static void forget_all(struct intake *in)
{
	for (size_t i = 0; i < in->n; i++)
		forget(in, &in->pending[i]);
	in->n = 0;
}

struct intake *intake_free(struct intake *in)
{
	if (!in)
		return NULL;
	loop_timer_cancel(&in->retry);
	forget_all(in);
	free(in);
	return NULL;
}

/* As the batch has them. */
static void note_times(struct pending *p)
{
	const struct batch_header *h = &p->closed.header;
	int64_t wall_of_mono = h->wall_base_ns - h->mono_base_ns;

	p->samples = batch_builder_count(p->closed.builder);
	if (p->samples == 0)
		return;
	p->first_ns = batch_builder_first_ns(p->closed.builder) + wall_of_mono;
	p->last_ns = batch_builder_last_ns(p->closed.builder) + wall_of_mono;
}

/* Returns 0, or -ENOMEM: later. A batch that cannot be encoded at all is lost, with 0. */
static int encode(struct intake *in, struct pending *p)
{
	int r;

	note_times(p);
	p->body = BUF_INIT(BODY_BYTES_MAX);
	r = batch_builder_encode(p->closed.builder, &p->closed.header, &p->body, &p->encoding);
	if (r == -ENOMEM) {
		buf_free(&p->body);
		return r;
	}
	p->lost = r < 0;
	if (p->lost) {
		buf_free(&p->body);
		log_error("batch_dropped", "class=%s samples=%llu what=%s",
			  class_name(p->closed.class), (unsigned long long)p->samples,
			  strerror(-r));
	}
	batch_queue_give_back(in->queue, p->closed.builder);
	p->closed.builder = NULL;
	in->on.room(in->on.ctx);
	return 0;
}

/* Fills pending from the queue. Returns 0 or -ENOMEM with the last one not encoded. */
static int gather(struct intake *in)
{
	int r = 0;

	if (in->n > 0 && in->pending[in->n - 1].closed.builder)
		r = encode(in, &in->pending[in->n - 1]);
	while (r == 0 && in->n < PENDING_MAX) {
		struct pending *p = &in->pending[in->n];

		*p = (struct pending){0};
		if (!batch_queue_get(in->queue, &p->closed))
			break;
		in->n++;
		r = encode(in, p);
	}
	return r;
}

static size_t make_items(const struct intake *in, struct store_item items[static PENDING_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < in->n; i++) {
		const struct pending *p = &in->pending[i];

		if (p->lost || p->closed.builder)
			continue;
		items[n++] = (struct store_item){
			.class = p->closed.class,
			.samples = p->samples,
			.first_ns = p->first_ns,
			.last_ns = p->last_ns,
			.encoding = p->encoding,
			.body = p->body.data,
			.body_len = p->body.len,
		};
	}
	return n;
}

static void report_key(struct intake *in)
{
	char quoted[2 * sizeof(((struct error *)NULL)->text)];
	struct error err;

	if (store_key_trouble(in->store, &err))
		log_warn("store_key", "what=%s", log_quote(quoted, sizeof(quoted), err.text));
}

static void account(struct intake *in, const struct store_count *stored,
		    const struct store_dropped *dropped)
{
	const struct store_count *quota = &dropped->by[GAP_QUOTA];
	struct counters *c = in->counters;

	report_key(in);
	counter_add(&c->batches_stored, stored->rows);
	counter_add(&c->samples_accepted, stored->samples);
	store_show_dropped(dropped, c);
	if (quota->rows > 0 && limit_pass(&in->quota, "store_quota", loop_now(in->loop)))
		log_warn("store_quota", "dropped=%llu samples=%llu rows=%llu",
			 (unsigned long long)quota->rows, (unsigned long long)quota->samples,
			 (unsigned long long)store_totals(in->store).rows);
	store_show_totals(in->store, in->counters);
}

/* Those that cannot be encoded become gaps. Returns 0 or -errno with the rest kept. */
static int tell_lost(struct intake *in)
{
	for (size_t i = 0; i < in->n; i++) {
		struct pending *p = &in->pending[i];
		struct store_count one = {1, p->samples};
		struct store_dropped dropped = {.by = {[GAP_UNSAVED] = one}};
		int r;

		if (!p->lost)
			continue;
		r = store_put_lost(in->store, p->closed.class, p->samples, GAP_UNSAVED);
		if (r < 0)
			return r;
		account(in, &one, &dropped);
		memmove(p, p + 1, (in->n - i - 1) * sizeof(*p));
		in->n--;
		i--;
	}
	return 0;
}

/* Drops the bodies that were stored; a last one that is not encoded yet stays. */
static void forget_stored(struct intake *in)
{
	struct pending last = {0};

	if (in->n > 0 && in->pending[in->n - 1].closed.builder) {
		last = in->pending[in->n - 1];
		in->n--;
	}
	forget_all(in);
	if (last.closed.builder)
		in->pending[in->n++] = last;
}

/* Returns 0 or -errno with everything kept. */
static int commit(struct intake *in)
{
	struct store_item items[PENDING_MAX];
	struct store_dropped dropped;
	struct store_count stored;
	size_t n;
	int r = tell_lost(in);

	n = make_items(in, items);
	if (r < 0 || n == 0)
		return r;
	r = store_put(in->store, items, n, &stored, &dropped);
	if (r < 0)
		return r;
	account(in, &stored, &dropped);
	forget_stored(in);
	return 0;
}

static void report_failure(struct intake *in, int r)
{
	counter_add(&in->counters->store_failures, 1);
	if (r != in->error)
		log_error("store_failed", "what=%s batches_waiting=%zu retry_s=%d", strerror(-r),
			  in->n + batch_queue_waiting(in->queue), RETRY_S);
	in->error = r;
	if (r == -EBADMSG)
		in->on.corrupt(in->on.ctx);
}

static void report_success(struct intake *in)
{
	if (in->error)
		log_info("store_recovered", "rows=%llu",
			 (unsigned long long)store_totals(in->store).rows);
	in->error = 0;
}

/* One gather and commit. Returns 0: more may be waiting; 1: nothing is; -errno. */
static int step(struct intake *in)
{
	int g = gather(in), c;

	if (in->n == 0)
		return 1;
	c = commit(in);
	if (c < 0)
		return c;
	in->on.stored(in->on.ctx);
	return g;
}

/* One commit a turn: receipts and publishing on the same loop get theirs, however fast the front
 * thread is. */
void intake_run(struct intake *in)
{
	int r = step(in);
	int64_t again = r < 0 ? RETRY_S * NS_PER_S : 0;

	if (r < 0)
		report_failure(in, r);
	else
		report_success(in);
	if (r > 0) {
		loop_timer_cancel(&in->retry);
		return;
	}
	loop_timer_in(in->loop, &in->retry, again);
}

bool intake_is_idle(const struct intake *in)
{
	return in->n == 0 && batch_queue_waiting(in->queue) == 0;
}

static void note_rest(struct intake *in, enum uplink_class class, const struct store_count *rest)
{
	int r = store_note_unsaved(in->store, class, rest->rows, rest->samples);

	log_error("batches_lost", "class=%s batches=%llu samples=%llu what=%s", class_name(class),
		  (unsigned long long)rest->rows, (unsigned long long)rest->samples,
		  r == 0 ? "could not be stored before the end; the next start tells it"
			 : "could not be stored before the end, nor noted");
}

static void drop_rest(struct intake *in)
{
	struct store_count rest[CLASS_COUNT] = {0};

	do {
		for (size_t i = 0; i < in->n; i++) {
			const struct pending *p = &in->pending[i];
			struct store_count *c = &rest[p->closed.class];

			c->rows++;
			c->samples += p->closed.builder ? batch_builder_count(p->closed.builder)
							: p->samples;
		}
		forget_all(in);
		in->n = batch_queue_get(in->queue, &in->pending[0].closed) ? 1 : 0;
	} while (in->n > 0);
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		if (rest[k].rows == 0)
			continue;
		note_rest(in, (enum uplink_class)k, &rest[k]);
		counter_add(&in->counters->batches_dropped, rest[k].rows);
		counter_add(&in->counters->samples_dropped, rest[k].samples);
		counter_add(&in->counters->batches_dropped_stop, rest[k].rows);
		counter_add(&in->counters->samples_accepted, rest[k].samples);
	}
}

void intake_finish(struct intake *in, const struct timebase *tb, struct mono_time deadline)
{
	const struct timespec wait = {0, FINISH_WAIT_MS * NS_PER_MS};
	int r;

	for (;;) {
		do
			r = step(in);
		while (r == 0);
		if (r > 0 || timebase_mono(tb).ns >= deadline.ns)
			break;
		report_failure(in, r);
		(void)nanosleep(&wait, NULL);
	}
	drop_rest(in);
	store_show_totals(in->store, in->counters);
}
