#include "agent/diag/schedule.h"

#include "agent/diag/uds.h"

bool diag_learn_supported(struct diag_learnt *l, enum diag_service service, const uint8_t *data,
			  size_t len)
{
	/* Service 09 has the number of data items in front (SAE J1979 §6.9). */
	size_t before = service == DIAG_OBD_INFO;

	if (len < before + OBD_SUPPORTED_BYTES)
		return false;
	obd_supported_add(&l->supported, data + before);
	return true;
}

struct maker {
	struct diag_schedule *s;
	const struct diag_poll *poll;
	const struct diag_learnt *learnt;
	size_t number; /* of the poll */
	const struct coverage *c;
	struct diag_request open; /* being filled */
};

static void add_item(struct maker *m, const struct diag_request *r, int64_t period_ns,
		     bool discovers)
{
	struct diag_item *it;

	if (m->s->n == DIAG_REQUESTS_MAX) {
		m->s->left_out++;
		return;
	}
	it = &m->s->items[m->s->n++];
	*it = (struct diag_item){
		.request = *r,
		.period_ns = period_ns,
		.poll = m->number,
		.discovers = discovers,
	};
}

static void open_request(struct maker *m)
{
	m->open = (struct diag_request){
		.service = m->poll->service,
		.status_mask = m->poll->status_mask,
	};
}

static void close_request(struct maker *m)
{
	if (m->open.n > 0)
		add_item(m, &m->open, m->poll->period_ns, false);
	open_request(m);
}

static struct covered covered(const struct maker *m, enum diag_service service, uint16_t id)
{
	struct diag_request r = {.service = service, .n = diag_id_bytes(service) > 0};
	uint8_t first[DIAG_REQUEST_BYTES];
	size_t n;

	r.ids[0].id = id;
	n = diag_request_encode(&r, first);
	first[0] = (uint8_t)(first[0] + UDS_POSITIVE);
	if (diag_id_bytes(service) == 0 && !diag_service_is_obd(service))
		n--; /* the status mask of a request is not that of its response */
	return coverage_of(m->c, first, n);
}

/* What the standard fixes, or else what the catalog's signals take. */
static uint16_t record_bytes(const struct maker *m, const struct diag_id *id,
			     const struct covered *c)
{
	if (id->bytes > 0)
		return id->bytes;
	if (m->poll->service == DIAG_OBD_CURRENT)
		return obd_pid_bytes((uint8_t)id->id);
	return m->poll->service == DIAG_UDS_DID ? (uint16_t)c->bytes : 0;
}

static size_t group_of(const struct maker *m)
{
	size_t most = diag_group_max(m->poll->service);

	if (m->learnt->alone)
		return 1;
	return m->poll->group < most ? m->poll->group : most;
}

static void add_id(struct maker *m, const struct diag_id *id)
{
	struct covered c = covered(m, m->poll->service, id->id);
	struct diag_id known = *id;

	if (!c.wanted)
		return;
	known.bytes = record_bytes(m, id, &c);
	if (known.bytes == 0 || group_of(m) == 1) {
		struct diag_request alone = {.service = m->poll->service, .n = 1};

		alone.ids[0] = known;
		add_item(m, &alone, m->poll->period_ns, false);
		return;
	}
	m->open.ids[m->open.n++] = known;
	if (m->open.n == group_of(m))
		close_request(m);
}

static void add_without_ids(struct maker *m, enum diag_service service)
{
	struct diag_request r = m->open;

	r.service = service;
	if (covered(m, service, 0).wanted)
		add_item(m, &r, m->poll->period_ns, false);
}

static void discover(struct maker *m)
{
	const uint8_t service = (uint8_t)(diag_service_byte(m->poll->service) + UDS_POSITIVE);
	struct diag_request r = {.service = m->poll->service, .n = 1};
	int64_t period_ns = DIAG_DISCOVER_S * NS_PER_S;

	if (!coverage_of(m->c, &service, 1).wanted)
		return;
	r.ids[0] = (struct diag_id){m->learnt->supported.next, OBD_SUPPORTED_BYTES};
	add_item(m, &r, m->poll->period_ns < period_ns ? m->poll->period_ns : period_ns, true);
}

/* What is known is asked for while more is found out: an ECU may never respond to a range that it
 * said is there. The bit fields themselves came when they were asked for, and do not change. */
static void add_supported(struct maker *m)
{
	if (!m->learnt->supported.complete)
		discover(m);
	for (unsigned pid = 0; pid < 256; pid++)
		if (pid % OBD_RANGE != 0 && obd_supported_has(&m->learnt->supported, (uint8_t)pid))
			add_id(m, &(struct diag_id){.id = (uint16_t)pid});
}

static void add_poll(struct maker *m)
{
	open_request(m);
	if (m->poll->service == DIAG_UDS_DTCS)
		add_without_ids(m, DIAG_UDS_DTC_COUNT);
	if (diag_id_bytes(m->poll->service) == 0)
		add_without_ids(m, m->poll->service);
	else if (m->poll->any)
		add_supported(m);
	for (size_t i = 0; i < m->poll->n_ids; i++)
		add_id(m, &m->poll->ids[i]);
	close_request(m);
}

void diag_schedule_make(struct diag_schedule *ret, const struct diag_poll *polls,
			const struct diag_learnt *learnt, size_t n, const struct coverage *c)
{
	ret->n = ret->left_out = 0;
	for (size_t i = 0; i < n; i++) {
		struct maker m = {
			.s = ret, .poll = &polls[i], .learnt = &learnt[i], .number = i, .c = c};

		add_poll(&m);
	}
}

static bool items_equal(const struct diag_item *a, const struct diag_item *b)
{
	const struct diag_request *ra = &a->request, *rb = &b->request;

	if (a->poll != b->poll || a->period_ns != b->period_ns || a->discovers != b->discovers ||
	    ra->service != rb->service || ra->status_mask != rb->status_mask || ra->n != rb->n)
		return false;
	for (size_t i = 0; i < ra->n; i++)
		if (ra->ids[i].id != rb->ids[i].id || ra->ids[i].bytes != rb->ids[i].bytes)
			return false;
	return true;
}

bool diag_schedule_equal(const struct diag_schedule *a, const struct diag_schedule *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!items_equal(&a->items[i], &b->items[i]))
			return false;
	return true;
}
