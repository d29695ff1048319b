/* The J1939 source on a kernel that the test plays: what it opens, asks, claims, hands over, and
 * how it fails. Real sockets: tests/system. */
#include "agent/can/can_interface.h"
#include "agent/j1939/j1939.h"
#include "base/log.h"
#include "tests/unit/small_catalog.h"
#include "tests/unit/suite.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ITEMS_MAX = 64, SENT_MAX = 256, GOT_MAX = 64, OWN = 0x80 };

struct item {
	int error; /* of recvmmsg */
	uint32_t pgn;
	uint8_t source, destination;
	uint8_t data[2000];
	size_t len;
	bool has_overflow;
	uint32_t overflow;
};

struct sent {
	uint32_t pgn, id; /* id: by the raw socket */
	uint8_t destination;
	uint8_t data[8];
	size_t len;
};

static struct {
	struct item items[ITEMS_MAX];
	size_t n, next;
	struct sent sent[SENT_MAX];
	size_t n_sent;
	int probe_error, find_error, open_error, send_error;
	unsigned opens, raw_opens, can_opens, binds, filter_calls;
	uint8_t address;
	uint64_t name;
	struct j1939_filter filters[J1939_FILTERS_MAX];
	size_t n_filters;
} kernel;

static struct {
	struct payload payloads[GOT_MAX];
	uint8_t data[GOT_MAX][J1939_PAYLOAD_MAX];
	size_t n;
	struct frame frames[GOT_MAX];
	size_t n_frames;
	bool busy;
	struct frame_match matches[8];
	size_t n_matches;
} got;

static struct catalog *cat;
static struct timebase_fake fake;
static struct loop *loop;
static struct counters counters;
static struct source_env env;
static struct source *source;

/* ---- the kernel ---- */

static int fake_probe(void)
{
	return -kernel.probe_error;
}

static int fake_find(const char *interface, struct can_interface *ret)
{
	ck_assert_str_eq(interface, "can7");
	*ret = (struct can_interface){.index = 3};
	return -kernel.find_error;
}

static void keep_filters(const struct j1939_filter *filters, size_t n)
{
	ck_assert_uint_le(n, J1939_FILTERS_MAX);
	memcpy(kernel.filters, filters, n * sizeof(*filters));
	kernel.n_filters = n;
}

static int fake_open(int ifindex, const struct j1939_socket_options *opt)
{
	ck_assert_int_eq(ifindex, 3);
	if (kernel.open_error)
		return -kernel.open_error;
	kernel.opens++;
	kernel.address = opt->address;
	kernel.name = opt->name;
	keep_filters(opt->filters, opt->n_filters);
	return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* always readable */
}

static int fake_filter(int fd, const struct j1939_filter *filters, size_t n)
{
	ck_assert_int_ge(fd, 0);
	kernel.filter_calls++;
	keep_filters(filters, n);
	return 0;
}

static int fake_bind(int fd, int ifindex, uint64_t name, uint8_t address)
{
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ifindex, 3);
	ck_assert_uint_eq(name, kernel.name);
	kernel.binds++;
	kernel.address = address;
	return 0;
}

static int keep_sent(uint32_t pgn, uint32_t id, uint8_t destination, const uint8_t *data,
		     size_t len)
{
	struct sent *s = &kernel.sent[kernel.n_sent];

	if (kernel.send_error)
		return -kernel.send_error;
	ck_assert_uint_lt(kernel.n_sent++, SENT_MAX);
	ck_assert_uint_le(len, sizeof(s->data));
	*s = (struct sent){.pgn = pgn, .id = id, .destination = destination, .len = len};
	memcpy(s->data, data, len);
	return 0;
}

static int fake_send(int fd, uint32_t pgn, uint8_t destination, const uint8_t *data, size_t len)
{
	ck_assert_int_ge(fd, 0);
	return keep_sent(pgn, 0, destination, data, len);
}

static int fake_raw_open(int ifindex)
{
	ck_assert_int_eq(ifindex, 3);
	kernel.raw_opens++;
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static int fake_raw_send(int fd, uint32_t id, const uint8_t *data, size_t len)
{
	ck_assert_int_ge(fd, 0);
	return keep_sent(0, id, 0, data, len);
}

static void put(struct msghdr *m, int level, int type, const void *data, size_t size)
{
	struct cmsghdr *h = (struct cmsghdr *)((uint8_t *)m->msg_control + m->msg_controllen);

	h->cmsg_level = level;
	h->cmsg_type = type;
	h->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(h), data, size);
	m->msg_controllen += CMSG_SPACE(size);
}

static void put_message(struct mmsghdr *to, const struct item *item)
{
	struct msghdr *m = &to->msg_hdr;
	struct sockaddr_can from = {.can_family = AF_CAN};
	size_t room = m->msg_iov->iov_len;

	from.can_addr.j1939.pgn = item->pgn;
	from.can_addr.j1939.addr = item->source;
	memcpy(m->msg_name, &from, sizeof(from));
	m->msg_controllen = 0;
	m->msg_flags = item->len > room ? MSG_TRUNC : 0;
	to->msg_len = (unsigned)(item->len > room ? room : item->len);
	memcpy(m->msg_iov->iov_base, item->data, to->msg_len);
	if (item->destination != 0xFF)
		put(m, SOL_CAN_J1939, SCM_J1939_DEST_ADDR, &item->destination, 1);
	if (item->has_overflow)
		put(m, SOL_SOCKET, SO_RXQ_OVFL, &item->overflow, sizeof(item->overflow));
}

static int fake_receive(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	unsigned done = 0;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(flags, 0); /* eventfd has no error: the error queue is not read */
	for (; done < n && kernel.next < kernel.n; done++) {
		const struct item *item = &kernel.items[kernel.next];

		if (item->error && done > 0)
			break;
		kernel.next++;
		if (item->error)
			return -item->error;
		put_message(&m[done], item);
	}
	return done > 0 ? (int)done : -EAGAIN;
}

static const struct j1939_kernel fake_kernel = {
	.probe = fake_probe,
	.open = fake_open,
	.filter = fake_filter,
	.bind = fake_bind,
	.send = fake_send,
	.receive = fake_receive,
	.raw_open = fake_raw_open,
	.raw_send = fake_raw_send,
	.find = fake_find,
};

static int can_open(int ifindex, const char *interface, const struct can_filters *filters,
		    bool hardware, enum can_times *ret_times)
{
	(void)ifindex;
	(void)interface;
	(void)filters;
	(void)hardware;
	(void)ret_times;
	kernel.can_opens++;
	return -ENOBUFS;
}

static int no_link(const char *interface, struct can_link_state *ret)
{
	(void)interface;
	(void)ret;
	return -EAFNOSUPPORT;
}

static int no_traffic(const char *interface, struct can_traffic *ret)
{
	(void)interface;
	(void)ret;
	return -EAFNOSUPPORT;
}

static const struct socketcan_kernel can_kernel = {
	.open = can_open,
	.find = fake_find,
	.health = {.link = no_link, .traffic = no_traffic},
};

/* ---- the agent ---- */

static int on_payload(void *ctx, const struct payload *p)
{
	(void)ctx;
	if (got.busy)
		return SOURCE_BUSY;
	ck_assert_uint_lt(got.n, GOT_MAX);
	memcpy(got.data[got.n], p->data, p->len);
	got.payloads[got.n++] = *p;
	return 0;
}

static int on_frame(void *ctx, const struct frame *f)
{
	(void)ctx;
	if (got.busy)
		return SOURCE_BUSY;
	ck_assert_uint_lt(got.n_frames, GOT_MAX);
	got.frames[got.n_frames++] = *f;
	return 0;
}

static size_t on_matches(void *ctx, uint16_t bus, struct frame_match *out, size_t max)
{
	(void)ctx;
	ck_assert_uint_eq(bus, 0);
	for (size_t i = 0; i < got.n_matches && i < max; i++)
		out[i] = got.matches[i];
	return got.n_matches;
}

static void on_ended(void *ctx, struct source *s)
{
	(void)ctx;
	(void)s;
	ck_abort_msg("a CAN source never ends");
}

static void setup(void)
{
	static const char *const names[] = {"A", "a", "b", "B", "c"};

	log_set_level(LOG_LEVEL_ERROR);
	memset(&kernel, 0, sizeof(kernel));
	memset(&got, 0, sizeof(got));
	memset(&counters, 0, sizeof(counters));
	got.matches[got.n_matches++] = (struct frame_match){0x0FEE500, 0x3FFFF00, true};
	cat = two_messages(names);
	timebase_fake_init(&fake, 50 * NS_PER_S, 1700000000 * NS_PER_S);
	ck_assert_int_eq(loop_new(&loop, &fake.tb), 0);
	env = (struct source_env){.loop = loop,
				  .tb = &fake.tb,
				  .cat = cat,
				  .counters = &counters,
				  .frame = on_frame,
				  .payload = on_payload,
				  .matches = on_matches,
				  .ended = on_ended};
}

static void teardown(void)
{
	source = source_free(source);
	loop = loop_free(loop);
	cat = catalog_free(cat);
}

static int make(struct j1939_options opt, struct error *err)
{
	if (!opt.can.bus)
		opt.can.bus = "can0";
	opt.can.interface = "can7";
	opt.can.status_period_ns = NS_PER_S;
	opt.can.kernel = &can_kernel;
	opt.kernel = &fake_kernel;
	return j1939_new(&source, &env, "j", &opt, err);
}

static void pass(int64_t ms)
{
	timebase_fake_advance(&fake, ms * NS_PER_MS);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(loop_turn(loop, 0), 0);
}

static void start(struct j1939_options opt)
{
	struct error err = {0};

	ck_assert_msg(make(opt, &err) == 0, "%s", err.text);
	pass(0);
}

static struct item *add(uint32_t pgn, uint8_t from, uint8_t to, size_t len)
{
	struct item *i = &kernel.items[kernel.n];

	ck_assert_uint_lt(kernel.n++, ITEMS_MAX);
	*i = (struct item){.pgn = pgn, .source = from, .destination = to, .len = len};
	for (size_t k = 0; k < sizeof(i->data); k++)
		i->data[k] = (uint8_t)(k + 1);
	return i;
}

static const struct j1939_options listener = {.address = J1939_ADDRESS_NONE};

/* ---- hearing ---- */

START_TEST(payloads)
{
	add(0xFEE5, 0x21, 0xFF, 8);
	add(0xFECA, 0x21, 0xFF, 40);
	add(0xEF00, 0x21, 0x22, 1785);
	start(listener);
	ck_assert_uint_eq(got.n_frames, 1);
	ck_assert_uint_eq(got.frames[0].id, 0x18FEE521);
	ck_assert_uint_eq(got.frames[0].len, 8);
	ck_assert_int_eq(got.frames[0].t_ns, 50 * NS_PER_S);
	ck_assert_uint_eq(got.n, 2);
	ck_assert_uint_eq(got.payloads[0].id, 0x18FECA21);
	ck_assert_int_eq(got.payloads[0].t_ns, 50 * NS_PER_S);
	ck_assert_uint_eq(got.payloads[0].len, 40);
	ck_assert_uint_eq(got.payloads[1].id, 0x18EF2221);
	ck_assert_uint_eq(got.payloads[1].len, 1785);
	ck_assert_uint_eq(got.data[1][1784], 1785 & 0xFF);
	ck_assert_uint_eq(counter_get(&counters.j1939_messages), 2);
	ck_assert_uint_eq(counter_get(&counters.j1939_errors), 0);
	ck_assert_uint_eq(kernel.n_sent, 0);
}
END_TEST

/* Sessions of other nodes, which the kernel leaves alone, go the way of frames. */
START_TEST(sessions_of_others)
{
	add(0xEC00, 0x21, 0x22, 8);
	add(0xEB00, 0x21, 0x22, 8);
	start(listener);
	ck_assert_uint_eq(got.n, 0);
	ck_assert_uint_eq(got.n_frames, 2);
	ck_assert_uint_eq(got.frames[0].id, 0x18EC2221);
	ck_assert_uint_eq(got.frames[1].id, 0x18EB2221);
	ck_assert_uint_eq(got.frames[1].len, 8);
	ck_assert_uint_eq(got.frames[1].data[7], 8);
}
END_TEST

START_TEST(refused_and_lost)
{
	struct item *i;

	add(0xFECA, 0x21, 0xFF, 1786);
	add(0xFECA, 0xFF, 0xFF, 8);
	i = add(0xFEE5, 0x21, 0xFF, 8);
	i->has_overflow = true;
	i->overflow = 5;
	start(listener);
	ck_assert_uint_eq(got.n_frames, 1);
	ck_assert_uint_eq(counter_get(&counters.j1939_errors), 1);
	ck_assert_uint_eq(counter_get(&counters.frames_bad), 1);
	ck_assert_uint_eq(counter_get(&counters.frames_dropped_socket), 5);
	got.busy = true;
	add(0xFECA, 0x21, 0xFF, 40);
	i = add(0xFEE5, 0x21, 0xFF, 8);
	i->has_overflow = true;
	i->overflow = 7;
	pass(1);
	ck_assert_uint_eq(got.n_frames, 1);
	ck_assert_uint_eq(counter_get(&counters.frames_dropped_busy), 2);
	ck_assert_uint_eq(counter_get(&counters.frames_dropped_socket), 7);
	ck_assert_uint_eq(counter_get(&counters.frames_dropped), 9);
}
END_TEST

/* The bus has a status as that of a socketcan source has. */
START_TEST(tells_the_status_of_the_bus)
{
	struct catalog *with = NULL;
	size_t before;

	ck_assert_int_eq(bus_status_add(&with, cat, NULL), 0);
	catalog_free(cat);
	env.cat = cat = with;
	start(listener);
	pass(1000);
	before = got.n;
	pass(1000);
	pass(1000);
	ck_assert_uint_eq(got.n, before + 2);
	ck_assert_int_eq(got.payloads[got.n - 1].kind, PAYLOAD_STATUS);
}
END_TEST

START_TEST(opens_again)
{
	kernel.find_error = ENETDOWN;
	start(listener);
	ck_assert_uint_eq(kernel.opens, 0);
	ck_assert_uint_eq(counter_get(&counters.sources_failed), 1);
	kernel.find_error = 0;
	kernel.open_error = EPROTONOSUPPORT;
	pass(3000);
	kernel.open_error = 0;
	pass(3000);
	ck_assert_uint_eq(kernel.opens, 1);
	add(0, 0, 0, 0)->error = ENETDOWN;
	add(0xFEE5, 0x21, 0xFF, 8);
	add(0, 0, 0, 0)->error = ENODEV;
	add(0xFEE5, 0x21, 0xFF, 8);
	kernel.find_error = ENETDOWN;
	pass(1);
	ck_assert_uint_eq(got.n_frames, 2); /* what it still held, behind each error */
	kernel.find_error = 0;
	pass(3000);
	ck_assert_uint_eq(kernel.opens, 2);
	ck_assert_uint_eq(got.n_frames, 2);
	ck_assert_uint_eq(counter_get(&counters.sources_failed), 4);
	/* Gone and back already: no wait. */
	add(0, 0, 0, 0)->error = ENETDOWN;
	pass(1);
	ck_assert_uint_eq(kernel.opens, 3);
}
END_TEST

START_TEST(filters)
{
	start(listener);
	ck_assert_uint_eq(kernel.n_filters, 1);
	ck_assert_uint_eq(kernel.filters[0].pgn, 0xFEE5);
	source_matches_changed(source); /* the same: nothing to do */
	ck_assert_uint_eq(kernel.filter_calls, 0);
	got.matches[got.n_matches++] = (struct frame_match){0x0FECA00, 0x3FFFF00, true};
	source_matches_changed(source);
	ck_assert_uint_eq(kernel.filter_calls, 1);
	ck_assert_uint_eq(kernel.n_filters, 2);
	/* With an own address all passes. */
	source = source_free(source);
	start((struct j1939_options){.address = OWN});
	ck_assert_uint_eq(kernel.n_filters, 0);
	ck_assert_uint_eq(kernel.address, OWN);
}
END_TEST

/* ---- asking ---- */

static const struct j1939_request requests[] = {
	{.pgn = 0xFEE5, .destination = 0xFF, .period_ns = NS_PER_S},
	{.pgn = 0xFEDA, .destination = 0x21, .period_ns = NS_PER_S},
};
static const struct j1939_options asker = {
	.address = OWN, .requests = requests, .n_requests = array_len(requests)};

START_TEST(asks_for_what_is_wanted)
{
	start(asker);
	pass(999);
	ck_assert_uint_eq(kernel.n_sent, 1);
	ck_assert_uint_eq(kernel.sent[0].pgn, 0xEA00);
	ck_assert_uint_eq(kernel.sent[0].destination, 0xFF);
	ck_assert_uint_eq(kernel.sent[0].len, 3);
	ck_assert_mem_eq(kernel.sent[0].data, "\xE5\xFE\x00", 3);
	for (int i = 0; i < 10; i++)
		pass(1000);
	ck_assert_uint_eq(kernel.n_sent, 11);
	ck_assert_uint_eq(counter_get(&counters.j1939_requests), 11);
	/* A rule for the other one comes, then none is left. */
	got.matches[got.n_matches++] = (struct frame_match){0x0FEDA00, 0x3FFFF00, true};
	source_matches_changed(source);
	kernel.n_sent = 0;
	for (int i = 0; i < 10; i++)
		pass(500);
	ck_assert_uint_ge(kernel.n_sent, 9);
	ck_assert_uint_le(kernel.n_sent, 11);
	ck_assert(kernel.sent[0].destination != kernel.sent[1].destination);
	got.n_matches = 0;
	source_matches_changed(source);
	kernel.n_sent = 0;
	pass(5000);
	ck_assert_uint_eq(kernel.n_sent, 0);
}
END_TEST

START_TEST(asking_fails)
{
	kernel.send_error = ENOBUFS;
	start(asker);
	pass(1000);
	ck_assert_uint_eq(counter_get(&counters.j1939_requests), 0);
	kernel.send_error = 0;
	pass(1000);
	ck_assert_uint_eq(counter_get(&counters.j1939_requests), 1);
	/* Nothing is sent while it is closed. */
	add(0, 0, 0, 0)->error = ENETDOWN;
	kernel.find_error = ENETDOWN;
	pass(1);
	pass(2500);
	ck_assert_uint_eq(kernel.n_sent, 1);
	kernel.find_error = 0;
	pass(3000);
	pass(1000);
	ck_assert_uint_gt(kernel.n_sent, 1);
}
END_TEST

/* Where the log goes from here on. */
static int keep_log(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	log_set_level(LOG_LEVEL_WARN);
	return fd;
}

static unsigned times_said(int fd, const char *what)
{
	char text[4096];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	unsigned times = 0;

	ck_assert_int_ge(n, 0);
	text[n] = 0;
	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		times++;
	return times;
}

static void add_answer(uint8_t control, uint8_t to, uint32_t pgn)
{
	struct item *i = add(J1939_PGN_ACK, 0x21, 0xFF, 8);

	i->data[0] = control;
	i->data[4] = to;
	j1939_put_pgn(i->data + 5, pgn);
	pass(1);
}

/* Refusals to us are told once a PGN; what others were refused is not ours. */
START_TEST(refusals)
{
	int log = keep_log();

	start(asker);
	add_answer(0, OWN, 0xFEE5); /* not a refusal */
	add_answer(1, 0x33, 0xFEE5);
	add_answer(1, OWN, 0xFEE6);
	ck_assert_uint_eq(times_said(log, "j1939_refused"), 0);
	add_answer(1, OWN, 0xFEE5);
	add_answer(1, OWN, 0xFEE5);
	ck_assert_uint_eq(times_said(log, "j1939_refused"), 1);
	ck_assert_uint_eq(times_said(log, "pgn=65253 from=33 code=1"), 1);
	add_answer(3, 0xFF, 0xFEDA);
	ck_assert_uint_eq(times_said(log, "j1939_refused"), 2);
	ck_assert_uint_eq(got.n_frames, 6); /* and go on like any message */
}
END_TEST

/* ---- the address ---- */

static struct j1939_options claimer(void)
{
	struct j1939_options opt = asker;

	opt.name = 0x0102030405060708;
	return opt;
}

static void add_claim(uint64_t name)
{
	struct item *i = add(J1939_PGN_ADDRESS_CLAIMED, OWN, 0xFF, 8);

	j1939_put_name(i->data, name);
}

START_TEST(claims)
{
	start(claimer());
	ck_assert_uint_eq(kernel.name, 0x0102030405060708);
	ck_assert_uint_eq(kernel.n_sent, 1);
	ck_assert_uint_eq(kernel.sent[0].pgn, 0xEE00);
	ck_assert_uint_eq(kernel.sent[0].destination, 0xFF);
	ck_assert_mem_eq(kernel.sent[0].data, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
	pass(299);
	ck_assert_uint_eq(kernel.n_sent, 1); /* nothing is asked before the wait is over */
	pass(1);
	pass(1);
	ck_assert_uint_eq(kernel.n_sent, 2);
	ck_assert_uint_eq(kernel.sent[1].pgn, 0xEA00);
	/* Somebody asks who is there: all, us, another. */
	for (unsigned i = 0; i < 3; i++) {
		static const uint8_t to[] = {0xFF, OWN, 0x21};

		j1939_put_pgn(add(J1939_PGN_REQUEST, 0x21, to[i], 3)->data, 0xEE00);
	}
	j1939_put_pgn(add(J1939_PGN_REQUEST, 0x21, 0xFF, 3)->data, 0xFEDA);
	add_claim(0x0102030405060709); /* a higher NAME wants our address */
	pass(1);
	ck_assert_uint_eq(kernel.n_sent, 5);
	for (unsigned i = 2; i < 5; i++)
		ck_assert_uint_eq(kernel.sent[i].pgn, 0xEE00);
	ck_assert_uint_eq(kernel.binds, 0);
}
END_TEST

/* Another node has our address: told once, claims of a node with a NAME are another matter. */
START_TEST(address_doubled)
{
	int log = keep_log();

	start(asker);
	add(0xFEE5, 0x21, 0xFF, 8);
	pass(1);
	ck_assert_uint_eq(times_said(log, "j1939_address_doubled"), 0);
	for (int i = 0; i < 3; i++)
		add(J1939_PGN_ADDRESS_CLAIMED, OWN, 0xFF, 8);
	pass(1);
	ck_assert_uint_eq(times_said(log, "j1939_address_doubled"), 1);
	ck_assert_uint_eq(times_said(log, "address=128 pgn=60928"), 1);
	source = source_free(source);
	start(claimer());
	pass(300);
	add_claim(0x0102030405060709);
	pass(1);
	ck_assert_uint_eq(times_said(log, "j1939_address_doubled"), 1);
	add(0xFEE5, OWN, 0xFF, 8);
	pass(1);
	ck_assert_uint_eq(times_said(log, "j1939_address_doubled"), 2);
}
END_TEST

/* After a defence the kernel sends nothing for a while: nothing is asked meanwhile. */
START_TEST(defends_before_it_asks)
{
	start(claimer());
	for (int i = 0; i < 30; i++)
		pass(100);
	kernel.n_sent = 0;
	for (int i = 0; i < 15; i++) {
		add_claim(0x0102030405060709);
		pass(100);
	}
	ck_assert_uint_eq(kernel.n_sent, 15);
	for (unsigned i = 0; i < 15; i++)
		ck_assert_uint_eq(kernel.sent[i].pgn, 0xEE00);
	for (int i = 0; i < 15; i++)
		pass(100);
	ck_assert_uint_gt(kernel.n_sent, 15);
	ck_assert_uint_eq(kernel.sent[15].pgn, 0xEA00);
}
END_TEST

/* A claim that could not be sent is sent again, and so is one that the kernel never saw on the bus;
 * nothing is asked before. */
START_TEST(claims_again)
{
	kernel.send_error = ENOBUFS;
	start(claimer());
	pass(5000);
	ck_assert_uint_eq(kernel.n_sent, 0);
	kernel.send_error = 0;
	pass(1000);
	ck_assert_uint_eq(kernel.n_sent, 1);
	ck_assert_uint_eq(kernel.sent[0].pgn, 0xEE00);
	pass(300);
	ck_assert_uint_eq(kernel.n_sent, 2);
	ck_assert_uint_eq(kernel.sent[1].pgn, 0xEA00);
	kernel.send_error = EADDRNOTAVAIL;
	pass(1000);
	kernel.send_error = 0;
	kernel.n_sent = 0;
	pass(1000);
	ck_assert_uint_eq(kernel.n_sent, 1);
	ck_assert_uint_eq(kernel.sent[0].pgn, 0xEE00);
	pass(300);
	ck_assert_uint_eq(kernel.n_sent, 2);
	ck_assert_uint_eq(kernel.sent[1].pgn, 0xEA00);
}
END_TEST

START_TEST(loses_the_address)
{
	start(claimer());
	pass(300);
	kernel.n_sent = 0;
	add_claim(1);
	pass(1);
	pass(J1939_CLAIM_YIELD_MS);
	ck_assert_uint_eq(kernel.binds, 1);
	ck_assert_uint_eq(kernel.address, 254);
	ck_assert_uint_eq(kernel.sent[kernel.n_sent - 1].pgn, 0xEE00);
	kernel.n_sent = 0;
	pass(5000);
	ck_assert_uint_eq(kernel.n_sent, 0); /* and asks no more */
	/* Who asks for the address means its new owner; who asks all, also us, and often. */
	j1939_put_pgn(add(J1939_PGN_REQUEST, 0x21, OWN, 3)->data, 0xEE00);
	pass(J1939_CLAIM_YIELD_MS);
	ck_assert_uint_eq(kernel.n_sent, 0);
	for (int i = 0; i < 4; i++) {
		j1939_put_pgn(add(J1939_PGN_REQUEST, 0x21, 0xFF, 3)->data, 0xEE00);
		pass(J1939_CLAIM_YIELD_MS / 3 + 1);
	}
	ck_assert_uint_ge(kernel.n_sent, 1);
	ck_assert_uint_eq(kernel.sent[0].pgn, 0xEE00);
	add(0xFEE5, 0x21, 0xFF, 8);
	pass(1);
	ck_assert_uint_eq(got.frames[got.n_frames - 1].id, 0x18FEE521); /* but listens */
}
END_TEST

/* ---- without the kernel's J1939 ---- */

START_TEST(falls_back)
{
	kernel.probe_error = EPROTONOSUPPORT;
	start(asker);
	ck_assert_uint_eq(kernel.opens, 0);
	ck_assert_uint_eq(kernel.can_opens, 1);
	ck_assert_uint_eq(kernel.raw_opens, 1);
	pass(1000);
	ck_assert_uint_eq(kernel.n_sent, 2);
	ck_assert_uint_eq(kernel.sent[0].id, 0x18EAFF80);
	ck_assert_mem_eq(kernel.sent[0].data, "\xE5\xFE\x00", 3);
	ck_assert_uint_eq(counter_get(&counters.j1939_requests), 2);
	source_matches_changed(source);
}
END_TEST

START_TEST(protocol_is_chosen)
{
	struct j1939_options opt = listener;

	opt.protocol = J1939_RAW;
	start(opt);
	ck_assert_uint_eq(kernel.can_opens, 1);
	ck_assert_uint_eq(kernel.raw_opens, 0); /* nothing to send */
	source = source_free(source);
	kernel.probe_error = EPROTONOSUPPORT;
	opt.protocol = J1939_KERNEL;
	start(opt);
	ck_assert_uint_eq(kernel.can_opens, 1);
	ck_assert_uint_eq(kernel.opens, 1);
	/* Without the kernel an address is not claimed, so nothing is asked from it. */
	source = source_free(source);
	start(claimer());
	pass(3000);
	ck_assert_uint_eq(kernel.raw_opens, 0);
	ck_assert_uint_eq(kernel.n_sent, 0);
}
END_TEST

START_TEST(refuses_options)
{
	struct j1939_options opt = asker;
	struct error err;

	opt.address = J1939_ADDRESS_NONE;
	ck_assert_int_eq(make(opt, &err), -EINVAL);
	ck_assert_str_eq(err.text, "requests need an own address");
	opt = asker;
	opt.n_requests = J1939_REQUESTS_MAX + 1;
	ck_assert_int_eq(make(opt, &err), -EINVAL);
	opt = listener;
	opt.can.bus = "can9";
	ck_assert_int_eq(make(opt, &err), -EINVAL);
	ck_assert_str_eq(err.text, "bus 'can9' is not in the catalog");
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("j1939");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, payloads);
	tcase_add_test(tc, sessions_of_others);
	tcase_add_test(tc, refused_and_lost);
	tcase_add_test(tc, tells_the_status_of_the_bus);
	tcase_add_test(tc, opens_again);
	tcase_add_test(tc, filters);
	tcase_add_test(tc, asks_for_what_is_wanted);
	tcase_add_test(tc, asking_fails);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, claims);
	tcase_add_test(tc, address_doubled);
	tcase_add_test(tc, defends_before_it_asks);
	tcase_add_test(tc, claims_again);
	tcase_add_test(tc, loses_the_address);
	tcase_add_test(tc, falls_back);
	tcase_add_test(tc, protocol_is_chosen);
	tcase_add_test(tc, refuses_options);
	return suite_run("j1939", &tc, 1);
}
