#include "tests/unit/j1939_fixture.h"

#include <check.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

struct j1939_fake j1939_fake;
struct j1939_got j1939_got;

static const struct j1939_request requests[] = {
	{.pgn = 0xFEE5, .destination = 0xFF, .period_ns = NS_PER_S},
	{.pgn = 0xFEDA, .destination = 0x21, .period_ns = NS_PER_S},
};
const struct j1939_options j1939_listener = {.address = J1939_ADDRESS_NONE};
const struct j1939_options j1939_asker = {
	.address = J1939_OWN, .requests = requests, .n_requests = array_len(requests)};
const struct j1939_options j1939_claimer = {.address = J1939_OWN,
					    .name = 0x0102030405060708,
					    .requests = requests,
					    .n_requests = array_len(requests)};

/* ---- the kernel ---- */

static int fake_probe(void)
{
	return -j1939_fake.probe_error;
}

static void keep_filters(const struct j1939_filter *filters, size_t n)
{
	ck_assert_uint_le(n, J1939_FILTERS_MAX);
	memcpy(j1939_fake.filters, filters, n * sizeof(*filters));
	j1939_fake.n_filters = n;
}

static int fake_open(int ifindex, const struct j1939_socket_options *opt)
{
	ck_assert_int_eq(ifindex, 3);
	if (j1939_fake.open_error)
		return -j1939_fake.open_error;
	j1939_fake.opens++;
	j1939_fake.address = opt->address;
	j1939_fake.name = opt->name;
	keep_filters(opt->filters, opt->n_filters);
	return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* always readable */
}

static int fake_filter(int fd, const struct j1939_filter *filters, size_t n)
{
	ck_assert_int_ge(fd, 0);
	j1939_fake.filter_calls++;
	keep_filters(filters, n);
	return 0;
}

static int fake_bind(int fd, int ifindex, uint64_t name, uint8_t address)
{
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ifindex, 3);
	ck_assert_uint_eq(name, j1939_fake.name);
	j1939_fake.binds++;
	j1939_fake.address = address;
	return 0;
}

static int keep_sent(uint32_t pgn, uint32_t id, uint8_t destination, const uint8_t *data,
		     size_t len)
{
	struct j1939_sent *s = &j1939_fake.sent[j1939_fake.n_sent];

	if (j1939_fake.send_error)
		return -j1939_fake.send_error;
	ck_assert_uint_lt(j1939_fake.n_sent++, J1939_SENT_MAX);
	ck_assert_uint_le(len, sizeof(s->data));
	*s = (struct j1939_sent){.pgn = pgn, .id = id, .destination = destination, .len = len};
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
	j1939_fake.raw_opens++;
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static int fake_raw_send(int fd, uint32_t id, const uint8_t *data, size_t len)
{
	ck_assert_int_ge(fd, 0);
	return keep_sent(0, id, 0, data, len);
}

static void put_message(struct mmsghdr *to, const struct j1939_item *item)
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
		can_put_control(m, SOL_CAN_J1939, SCM_J1939_DEST_ADDR, &item->destination, 1);
	if (item->has_overflow)
		can_put_control(m, SOL_SOCKET, SO_RXQ_OVFL, &item->overflow,
				sizeof(item->overflow));
}

static int fake_receive(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	unsigned done = 0;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(flags, 0); /* eventfd has no error: the error queue is not read */
	for (; done < n && j1939_fake.next < j1939_fake.n; done++) {
		const struct j1939_item *item = &j1939_fake.items[j1939_fake.next];

		if (item->error && done > 0)
			break;
		j1939_fake.next++;
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
	.find = can_fake_find,
};

/* ---- the agent ---- */

static int on_payload(void *ctx, const struct payload *p)
{
	(void)ctx;
	if (can_got.busy)
		return SOURCE_BUSY;
	if (p->kind == PAYLOAD_STATUS) {
		j1939_got.n_statuses++;
		return 0;
	}
	ck_assert_uint_lt(j1939_got.n, J1939_GOT_MAX);
	ck_assert_uint_le(p->len, J1939_PAYLOAD_MAX);
	memcpy(j1939_got.data[j1939_got.n], p->data, p->len);
	j1939_got.payloads[j1939_got.n++] = *p;
	return 0;
}

void j1939_setup(void)
{
	can_setup();
	memset(&j1939_fake, 0, sizeof(j1939_fake));
	memset(&j1939_got, 0, sizeof(j1939_got));
	can_got.matches[0] = (struct frame_match){0x0FEE500, 0x3FFFF00, true};
	can_env.payload = on_payload;
}

int j1939_make(struct j1939_options opt, struct error *err)
{
	if (!opt.can.bus)
		opt.can.bus = "can0";
	opt.can.interface = "can7";
	opt.can.status_period_ns = NS_PER_S;
	opt.can.kernel = &can_fake_kernel;
	opt.kernel = &fake_kernel;
	return j1939_new(&can_source, &can_env, "j", &opt, err);
}

void j1939_pass(int64_t ms)
{
	timebase_fake_advance(&can_clock, ms * NS_PER_MS);
	can_turn(3);
}

void j1939_start(struct j1939_options opt)
{
	struct error err = {0};

	ck_assert_msg(j1939_make(opt, &err) == 0, "%s", err.text);
	j1939_pass(0);
}

struct j1939_item *j1939_add(uint32_t pgn, uint8_t from, uint8_t to, size_t len)
{
	struct j1939_item *i = &j1939_fake.items[j1939_fake.n];

	ck_assert_uint_lt(j1939_fake.n++, J1939_ITEMS_MAX);
	*i = (struct j1939_item){.pgn = pgn, .source = from, .destination = to, .len = len};
	for (size_t k = 0; k < sizeof(i->data); k++)
		i->data[k] = (uint8_t)(k + 1);
	return i;
}
