#include "agent/j1939/j1939_wire.h"

#include "agent/j1939/j1939_id.h"

#include <linux/errqueue.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { PRIORITY = 6 };
enum { ATTRIBUTE = sizeof(struct nlattr) }; /* its data follows, then padding to 4 bytes */

/* ---- received ---- */

static void read_socket_control(const struct cmsghdr *h, struct j1939_received *ret)
{
	struct timespec ts;

	if (h->cmsg_type == SO_TIMESTAMPNS && h->cmsg_len >= CMSG_LEN(sizeof(ts))) {
		memcpy(&ts, CMSG_DATA(h), sizeof(ts));
		ret->stamps.wall_ns = (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
	} else if (h->cmsg_type == SO_RXQ_OVFL && h->cmsg_len >= CMSG_LEN(sizeof(uint32_t))) {
		memcpy(&ret->overflow, CMSG_DATA(h), sizeof(uint32_t));
		ret->has_overflow = true;
	}
}

/* A message to all has no destination of its own. */
static void read_control(struct msghdr *m, struct j1939_received *ret)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level == SOL_SOCKET)
			read_socket_control(h, ret);
		if (h->cmsg_level != SOL_CAN_J1939 || h->cmsg_len < CMSG_LEN(1))
			continue;
		if (h->cmsg_type == SCM_J1939_DEST_ADDR)
			ret->destination = *CMSG_DATA(h);
		else if (h->cmsg_type == SCM_J1939_PRIO)
			ret->priority = *CMSG_DATA(h) & 7;
	}
}

int j1939_read(struct msghdr *m, size_t len, struct j1939_received *ret)
{
	struct j1939_received r = {.destination = J1939_ADDRESS_ALL, .priority = PRIORITY};
	struct sockaddr_can from;

	read_control(m, &r);
	ret->has_overflow = r.has_overflow;
	ret->overflow = r.overflow;
	if (m->msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	if (!m->msg_name || m->msg_namelen < sizeof(from)) /* all of it, or not this family */
		return -EBADMSG;
	memcpy(&from, m->msg_name, sizeof(from));
	if (from.can_family != AF_CAN || from.can_addr.j1939.pgn > J1939_PGN_MAX ||
	    from.can_addr.j1939.addr == J1939_ADDRESS_ALL)
		return -EBADMSG;
	r.pgn = from.can_addr.j1939.pgn;
	r.source = from.can_addr.j1939.addr;
	r.data = m->msg_iov[0].iov_base;
	r.len = len;
	*ret = r;
	return 0;
}

static uint32_t id_of(const struct j1939_received *m)
{
	return j1939_id(m->priority, m->pgn, m->source, m->destination);
}

struct payload j1939_payload(const struct j1939_received *m, uint16_t bus, int64_t t_ns)
{
	return (struct payload){
		.t_ns = t_ns,
		.id = id_of(m),
		.bus = bus,
		.extended = true,
		.kind = PAYLOAD_J1939,
		.data = m->data,
		.len = m->len,
	};
}

struct frame j1939_frame(const struct j1939_received *m, uint16_t bus, int64_t t_ns)
{
	struct frame f = {
		.t_ns = t_ns, .id = id_of(m), .bus = bus, .flags = FRAME_EXTENDED, .len = 8};

	if (m->len < f.len)
		f.len = (uint8_t)m->len;
	memcpy(f.data, m->data, f.len);
	return f;
}

/* ---- notices ---- */

/* Attributes of netlink's form, each at 4 bytes. */
static void read_attributes(const uint8_t *p, size_t len, struct j1939_notice *ret)
{
	struct nlattr a;

	while (len >= ATTRIBUTE) {
		size_t step;

		memcpy(&a, p, sizeof(a));
		if (a.nla_len < ATTRIBUTE || a.nla_len > len)
			return;
		if (a.nla_type == J1939_NLA_PGN && a.nla_len >= ATTRIBUTE + sizeof(ret->pgn)) {
			memcpy(&ret->pgn, p + ATTRIBUTE, sizeof(ret->pgn));
			ret->has_pgn = true;
		} else if (a.nla_type == J1939_NLA_SRC_ADDR && a.nla_len > ATTRIBUTE) {
			ret->source = p[ATTRIBUTE];
		}
		step = ((size_t)a.nla_len + 3) & ~(size_t)3;
		if (step > len)
			return;
		p += step;
		len -= step;
	}
}

int j1939_notice_read(struct msghdr *m, struct j1939_notice *ret)
{
	struct j1939_notice f = {.source = J1939_ADDRESS_ALL};
	struct sock_extended_err e;
	bool found = false;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level == SOL_CAN_J1939 && h->cmsg_type == SCM_J1939_ERRQUEUE &&
		    h->cmsg_len >= CMSG_LEN(sizeof(e))) {
			memcpy(&e, CMSG_DATA(h), sizeof(e));
			f.info = e.ee_info;
			f.error = (int)e.ee_errno;
			f.key = e.ee_data;
			found = true;
		} else if (h->cmsg_level == SOL_SOCKET &&
			   h->cmsg_type == SCM_TIMESTAMPING_OPT_STATS) {
			read_attributes(CMSG_DATA(h), h->cmsg_len - CMSG_LEN(0), &f);
		}
	}
	if (!found)
		return -EBADMSG;
	*ret = f;
	return 0;
}

/* The errnos that the kernel has for the reasons of SAE J1939-21 §5.10.3.4. */
const char *j1939_failure_text(int error)
{
	switch (error) {
	case EHOSTUNREACH:
	case ETIME:
		return "the other node did not go on in time";
	case EALREADY:
		return "the other node is busy with another session";
	case EMSGSIZE:
		return "no resources for it";
	case EILSEQ:
		return "a packet is missing";
	case ENOTCONN:
		return "packets that nobody had asked for";
	default:
		return strerror(error);
	}
}

/* ---- filters ---- */

static struct j1939_filter filter_of(const struct frame_match *m)
{
	uint32_t mask = (m->mask & j1939_id_mask(m->id)) >> 8;
	struct j1939_filter f = {.addr_mask = (uint8_t)m->mask};

	f.pgn = m->id >> 8 & mask;
	f.pgn_mask = mask;
	f.addr = (uint8_t)m->id & f.addr_mask;
	return f;
}

static bool is_among(const struct j1939_filter *all, size_t n, const struct j1939_filter *f)
{
	for (size_t i = 0; i < n; i++)
		if (all[i].pgn == f->pgn && all[i].pgn_mask == f->pgn_mask &&
		    all[i].addr == f->addr && all[i].addr_mask == f->addr_mask)
			return true;
	return false;
}

size_t j1939_filters(const struct frame_match *matches, size_t n, struct j1939_filter *out)
{
	size_t written = 0;

	for (size_t i = 0; i < n; i++) {
		struct j1939_filter f = filter_of(&matches[i]);

		if (!matches[i].extended || is_among(out, written, &f))
			continue;
		if (written == J1939_FILTERS_MAX)
			return 0;
		out[written++] = f;
	}
	if (written > 0)
		return written;
	out[0] = (struct j1939_filter){.addr = J1939_ADDRESS_ALL, .addr_mask = 0xFF};
	return 1; /* no message comes from all */
}

/* ---- sent ---- */

void j1939_put_pgn(uint8_t *out, uint32_t pgn)
{
	for (unsigned i = 0; i < J1939_REQUEST_BYTES; i++)
		out[i] = (uint8_t)(pgn >> 8 * i);
}

uint32_t j1939_get_pgn(const uint8_t *in)
{
	return in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16;
}

void j1939_put_name(uint8_t *out, uint64_t name)
{
	for (unsigned i = 0; i < J1939_NAME_BYTES; i++)
		out[i] = (uint8_t)(name >> 8 * i);
}

uint64_t j1939_get_name(const uint8_t *in)
{
	uint64_t name = 0;

	for (unsigned i = 0; i < J1939_NAME_BYTES; i++)
		name |= (uint64_t)in[i] << 8 * i;
	return name;
}
