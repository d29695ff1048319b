#include "agent/can/can_link_msg.h"

#include <libmnl/libmnl.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

/* ---- made ---- */

static struct ifinfomsg *put_header(void *buf, uint16_t type, uint16_t flags, uint32_t seq)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = seq;
	return mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
}

size_t can_link_msg_get(void *buf, uint32_t seq, const char *interface)
{
	struct nlmsghdr *h = buf;

	(void)put_header(buf, RTM_GETLINK, 0, seq);
	mnl_attr_put_strz(h, IFLA_IFNAME, interface);
	return h->nlmsg_len;
}

size_t can_link_msg_down(void *buf, uint32_t seq, int ifindex)
{
	struct ifinfomsg *i = put_header(buf, RTM_NEWLINK, NLM_F_ACK, seq);

	i->ifi_index = ifindex;
	i->ifi_change = IFF_UP;
	return ((struct nlmsghdr *)buf)->nlmsg_len;
}

uint32_t can_link_modes(const struct can_link_settings *s)
{
	uint32_t modes = 0;

	if (s->fd)
		modes |= CAN_CTRLMODE_FD;
	if (s->listen_only)
		modes |= CAN_CTRLMODE_LISTENONLY;
	if (s->loopback)
		modes |= CAN_CTRLMODE_LOOPBACK;
	if (s->berr_reporting)
		modes |= CAN_CTRLMODE_BERR_REPORTING;
	return modes;
}

static void put_settings(struct nlmsghdr *h, const struct can_link_settings *s, bool restart)
{
	const struct can_bittiming bt = {
		.bitrate = s->bitrate, .sample_point = s->sample_point, .sjw = s->sjw};
	const struct can_bittiming dbt = {
		.bitrate = s->dbitrate, .sample_point = s->dsample_point, .sjw = s->dsjw};
	const struct can_ctrlmode modes = {.mask = CAN_LINK_MODES, .flags = can_link_modes(s)};

	mnl_attr_put(h, IFLA_CAN_BITTIMING, sizeof(bt), &bt);
	mnl_attr_put(h, IFLA_CAN_CTRLMODE, sizeof(modes), &modes);
	if (s->fd)
		mnl_attr_put(h, IFLA_CAN_DATA_BITTIMING, sizeof(dbt), &dbt);
	if (restart)
		mnl_attr_put_u32(h, IFLA_CAN_RESTART_MS, s->restart_ms);
}

size_t can_link_msg_set(void *buf, uint32_t seq, int ifindex, const struct can_link_settings *s,
			bool restart)
{
	struct ifinfomsg *i = put_header(buf, RTM_NEWLINK, NLM_F_ACK, seq);
	struct nlmsghdr *h = buf;
	struct nlattr *info, *data;

	i->ifi_index = ifindex;
	i->ifi_change = IFF_UP;
	i->ifi_flags = IFF_UP;
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "can");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	put_settings(h, s, restart);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	assert(h->nlmsg_len <= CAN_LINK_REQUEST_MAX);
	return h->nlmsg_len;
}

/* ---- read ---- */

/* A later kernel may append to a structure; one that is too short is no such structure. */
static bool take(const struct nlattr *a, void *out, size_t size)
{
	if (mnl_attr_get_payload_len(a) < size)
		return false;
	memcpy(out, mnl_attr_get_payload(a), size);
	return true;
}

/* Texts end at a zero byte, or with the attribute. */
static void take_text(const struct nlattr *a, char *out, size_t size)
{
	size_t n = strnlen(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));

	if (n >= size)
		n = size - 1;
	memcpy(out, mnl_attr_get_payload(a), n);
	out[n] = '\0';
}

static size_t take_rates(const struct nlattr *a, uint32_t *out)
{
	size_t n = mnl_attr_get_payload_len(a) / sizeof(*out);

	if (n > CAN_LINK_RATES_MAX)
		n = CAN_LINK_RATES_MAX;
	memcpy(out, mnl_attr_get_payload(a), n * sizeof(*out));
	return n;
}

static int take_modes_supported(const struct nlattr *a, void *state)
{
	struct can_link_state *s = state;

	if (mnl_attr_get_type(a) == IFLA_CAN_CTRLMODE_SUPPORTED)
		s->has_ctrlmode_supported =
			take(a, &s->ctrlmode_supported, sizeof(s->ctrlmode_supported));
	return MNL_CB_OK;
}

static void take_bittiming_const(const struct nlattr *a, struct can_bittiming_const *out, bool *has)
{
	*has = take(a, out, sizeof(*out));
	out->name[sizeof(out->name) - 1] = '\0';
}

static void take_timing(const struct nlattr *a, struct can_link_state *s)
{
	switch (mnl_attr_get_type(a)) {
	case IFLA_CAN_BITTIMING:
		(void)take(a, &s->bittiming, sizeof(s->bittiming));
		break;
	case IFLA_CAN_DATA_BITTIMING:
		(void)take(a, &s->data_bittiming, sizeof(s->data_bittiming));
		break;
	case IFLA_CAN_BITTIMING_CONST:
		take_bittiming_const(a, &s->bittiming_const, &s->has_bittiming_const);
		break;
	case IFLA_CAN_DATA_BITTIMING_CONST:
		take_bittiming_const(a, &s->data_bittiming_const, &s->has_data_bittiming_const);
		break;
	case IFLA_CAN_CLOCK:
		(void)take(a, &s->clock_hz, sizeof(s->clock_hz));
		break;
	case IFLA_CAN_BITRATE_CONST:
		s->n_rates = take_rates(a, s->rates);
		break;
	case IFLA_CAN_DATA_BITRATE_CONST:
		s->n_data_rates = take_rates(a, s->data_rates);
		break;
	case IFLA_CAN_BITRATE_MAX:
		(void)take(a, &s->bitrate_max, sizeof(s->bitrate_max));
		break;
	default:
		break;
	}
}

static int take_can_attribute(const struct nlattr *a, void *state)
{
	struct can_link_state *s = state;
	struct can_ctrlmode modes;
	uint32_t u;

	switch (mnl_attr_get_type(a)) {
	case IFLA_CAN_STATE:
		if (take(a, &u, sizeof(u)))
			s->can_state = u < CAN_STATE_MAX ? (int)u : CAN_LINK_STATE_NONE;
		break;
	case IFLA_CAN_CTRLMODE:
		if (take(a, &modes, sizeof(modes)))
			s->ctrlmode = modes.flags;
		break;
	case IFLA_CAN_CTRLMODE_EXT:
		(void)mnl_attr_parse_nested(a, take_modes_supported, s);
		break;
	case IFLA_CAN_RESTART_MS:
		(void)take(a, &s->restart_ms, sizeof(s->restart_ms));
		break;
	case IFLA_CAN_BERR_COUNTER:
		s->has_berr = take(a, &s->berr, sizeof(s->berr));
		break;
	default:
		take_timing(a, s);
	}
	return MNL_CB_OK;
}

struct link_info {
	struct can_link_state *state;
	const struct nlattr *data, *xstats;
};

static int take_info_attribute(const struct nlattr *a, void *info)
{
	struct link_info *i = info;

	if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
		take_text(a, i->state->kind, sizeof(i->state->kind));
	else if (mnl_attr_get_type(a) == IFLA_INFO_DATA)
		i->data = a;
	else if (mnl_attr_get_type(a) == IFLA_INFO_XSTATS)
		i->xstats = a;
	return MNL_CB_OK;
}

static void take_link_info(const struct nlattr *info, struct can_link_state *s)
{
	struct link_info i = {.state = s};

	(void)mnl_attr_parse_nested(info, take_info_attribute, &i);
	if (strcmp(s->kind, "can") != 0) /* what the rest means depends on the kind */
		return;
	if (i.data)
		(void)mnl_attr_parse_nested(i.data, take_can_attribute, s);
	if (i.xstats)
		s->has_stats = take(i.xstats, &s->stats, sizeof(s->stats));
}

static int take_link_attribute(const struct nlattr *a, void *state)
{
	struct can_link_state *s = state;

	if (mnl_attr_get_type(a) == IFLA_IFNAME)
		take_text(a, s->interface, sizeof(s->interface));
	else if (mnl_attr_get_type(a) == IFLA_LINKINFO)
		take_link_info(a, s);
	return MNL_CB_OK;
}

static void take_link(const struct nlmsghdr *h, struct can_link_msg *m)
{
	struct can_link_state *s = &m->state;
	struct ifinfomsg i;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(i))
		return;
	memcpy(&i, mnl_nlmsg_get_payload(h), sizeof(i));
	if (i.ifi_family != AF_UNSPEC) /* a bridge speaks of its ports in the same words */
		return;
	s->ifindex = i.ifi_index;
	s->up = i.ifi_flags & IFF_UP;
	s->can_state = CAN_LINK_STATE_NONE;
	(void)mnl_attr_parse(h, sizeof(i), take_link_attribute, s);
	if (!*s->interface)
		return;
	m->is_can = i.ifi_type == ARPHRD_CAN;
	m->type = h->nlmsg_type == RTM_NEWLINK ? CAN_LINK_MSG_LINK : CAN_LINK_MSG_GONE;
}

static int take_answer_attribute(const struct nlattr *a, void *msg)
{
	struct can_link_msg *m = msg;

	if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG)
		take_text(a, m->text, sizeof(m->text));
	return MNL_CB_OK;
}

/* The kernel's words come after the error and what it repeats of the request. */
static void take_answer(const struct nlmsghdr *h, struct can_link_msg *m)
{
	struct nlmsgerr e;
	size_t offset = sizeof(e);

	if (mnl_nlmsg_get_payload_len(h) < sizeof(e))
		return;
	memcpy(&e, mnl_nlmsg_get_payload(h), sizeof(e));
	m->type = CAN_LINK_MSG_ANSWER;
	m->error = e.error > 0 ? -EIO : e.error;
	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(h->nlmsg_flags & NLM_F_CAPPED)) {
		if (e.msg.nlmsg_len < sizeof(e.msg))
			return;
		offset += e.msg.nlmsg_len - sizeof(e.msg);
	}
	if (offset > mnl_nlmsg_get_payload_len(h))
		return;
	(void)mnl_attr_parse(h, (unsigned)offset, take_answer_attribute, m);
}

size_t can_link_msg_take(const void *data, size_t len, struct can_link_msg *ret)
{
	const struct nlmsghdr *h = data;
	size_t whole; /* with its padding: libmnl reads up to there */

	*ret = (struct can_link_msg){.type = CAN_LINK_MSG_OTHER};
	if (len < sizeof(*h) || h->nlmsg_len < sizeof(*h))
		return 0;
	whole = ((size_t)h->nlmsg_len + NLMSG_ALIGNTO - 1) / NLMSG_ALIGNTO * NLMSG_ALIGNTO;
	if (whole > len)
		return 0;
	ret->seq = h->nlmsg_seq;
	if (h->nlmsg_type == RTM_NEWLINK || h->nlmsg_type == RTM_DELLINK)
		take_link(h, ret);
	else if (h->nlmsg_type == NLMSG_ERROR)
		take_answer(h, ret);
	return whole;
}
