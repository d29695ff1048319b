#include "agent/config/config.h"

#include "agent/j1939/j1939.h"
#include "agent/j1939/j1939_id.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static_assert(J1939_REQUESTS_MAX == 256, "a message says so");

enum {
	SOURCE_TYPE_J1939 = 3,	   /* place among the choices of [source] type */
	SOURCE_TYPE_SOCKETCAN = 1, /* likewise */
	NAME_DIGITS = 16,
	WHAT_BYTES = 160,
};

/* ---- the source ---- */

/* 16 hexadecimal digits, not all 0; with or without 0x. */
static bool parse_name(const char *text, uint64_t *ret)
{
	if (text[0] == '0' && (text[1] | 0x20) == 'x')
		text += 2;
	for (size_t i = 0; i < NAME_DIGITS; i++)
		if (!isxdigit((unsigned char)text[i]))
			return false;
	if (text[NAME_DIGITS])
		return false;
	*ret = strtoull(text, NULL, 16);
	return *ret != 0;
}

static int check_name(const struct conf *c, const char *path, const char *label, struct error *err)
{
	const char *text = conf_string(c, "source", label, "name");
	uint64_t name;

	if (!*text)
		return 0;
	if (!parse_name(text, &name))
		return config_fail(err, c, path, "source", label, "name",
				   "a NAME of SAE J1939-81, not 0: 16 hexadecimal digits");
	if (conf_int(c, "source", label, "address") >= J1939_ADDRESS_NONE)
		return config_fail(err, c, path, "source", label, "name",
				   "needs the address that is claimed with it");
	if (conf_enum(c, "source", label, "protocol") == J1939_RAW)
		return config_fail(err, c, path, "source", label, "name",
				   "only the kernel's J1939 can claim an address");
	return 0;
}

static bool reads_bus(const struct conf *c, const char *label)
{
	int type = conf_enum(c, "source", label, "type");

	return type == SOURCE_TYPE_SOCKETCAN || type == SOURCE_TYPE_J1939;
}

static bool is_same_bus(const struct conf *c, const char *a, const char *b)
{
	return strcmp(conf_string(c, "source", a, "interface"),
		      conf_string(c, "source", b, "interface")) == 0 &&
	       strcmp(config_bus(c, a), config_bus(c, b)) == 0;
}

int config_check_read_once(const struct conf *c, const char *path, const char *label,
			   struct error *err)
{
	char what[WHAT_BYTES];
	const char *other;

	if (!reads_bus(c, label))
		return 0;
	for (size_t i = 0; (other = conf_label(c, "source", i)) != NULL; i++) {
		if (strcmp(other, label) == 0)
			return 0; /* those after it look back */
		if (!reads_bus(c, other) || !is_same_bus(c, other, label))
			continue;
		(void)snprintf(what, sizeof(what),
			       "[source %s] reads this interface as the same bus: every sample "
			       "would come twice",
			       other);
		return config_fail(err, c, path, "source", label, "interface", what);
	}
	return 0;
}

int config_check_j1939(const struct conf *c, const char *path, const char *label, struct error *err)
{
	return check_name(c, path, label, err);
}

/* ---- [poll] of service pgn ---- */

/* Decimal or 0x; 18 bits, the low byte 0 in PDU1, where it is the destination. */
static bool parse_pgn(const char *text, uint32_t *ret)
{
	int base = text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10;
	const char *digits = base == 16 ? text + 2 : text;
	size_t n = strspn(digits, base == 16 ? "0123456789abcdefABCDEF" : "0123456789");
	unsigned long long v = strtoull(digits, NULL, base);

	if (n == 0 || digits[n] || v > J1939_PGN_MAX)
		return false;
	*ret = (uint32_t)v;
	return !j1939_is_pdu1(*ret) || (v & 0xFF) == 0;
}

static bool has_address(const struct conf *c, const char *source)
{
	const char *label;

	for (size_t i = 0; (label = conf_label(c, "source", i)) != NULL; i++)
		if (strcmp(label, source) == 0)
			return conf_enum(c, "source", label, "type") == SOURCE_TYPE_J1939 &&
			       conf_int(c, "source", label, "address") < J1939_ADDRESS_NONE;
	return false;
}

static size_t count_pgns(const struct conf *c, const char *source)
{
	const char *label;
	size_t n = 0;

	for (size_t i = 0; (label = conf_label(c, "poll", i)) != NULL; i++)
		if (strcmp(conf_string(c, "poll", label, "source"), source) == 0)
			for (size_t k = 0; conf_list(c, "poll", label, "ids", k); k++)
				n++;
	return n;
}

static int check_destination(const struct conf *c, const char *path, const char *label,
			     struct error *err)
{
	const char *source = conf_string(c, "poll", label, "source");
	int64_t destination = conf_int(c, "poll", label, "destination");

	if (destination == J1939_ADDRESS_NONE)
		return config_fail(err, c, path, "poll", label, "destination",
				   "254 is the address of nobody");
	if (destination == conf_int(c, "source", source, "address"))
		return config_fail(err, c, path, "poll", label, "destination",
				   "this is the source's own address");
	return 0;
}

int config_check_pgns(const struct conf *c, const char *path, const char *label, struct error *err)
{
	char what[WHAT_BYTES];
	const char *item;
	uint32_t pgn;

	if (!has_address(c, conf_string(c, "poll", label, "source")))
		return config_fail(err, c, path, "poll", label, "source",
				   "no [source] of type j1939 with an address has this name");
	if (!conf_list(c, "poll", label, "ids", 0))
		return config_fail(err, c, path, "poll", label, "service", "it needs ids");
	for (size_t i = 0; (item = conf_list(c, "poll", label, "ids", i)) != NULL; i++) {
		if (parse_pgn(item, &pgn))
			continue;
		(void)snprintf(what, sizeof(what),
			       "'%.40s': a PGN up to 262143 (0x3FFFF), below PF 240 with 00 at its "
			       "end",
			       item);
		return config_fail(err, c, path, "poll", label, "ids", what);
	}
	if (count_pgns(c, conf_string(c, "poll", label, "source")) > J1939_REQUESTS_MAX)
		return config_fail(err, c, path, "poll", label, "ids",
				   "more than 256 PGNs are asked for by one source");
	return check_destination(c, path, label, err);
}

/* ---- making ---- */

struct requests {
	struct j1939_request all[J1939_REQUESTS_MAX];
	size_t n;
};

static void add_poll(struct requests *r, const struct conf *c, const char *label)
{
	struct j1939_request q = {
		.destination = (uint8_t)conf_int(c, "poll", label, "destination"),
		.period_ns = conf_int(c, "poll", label, "period_ms") * NS_PER_MS,
	};
	const char *item;

	for (size_t i = 0; (item = conf_list(c, "poll", label, "ids", i)) != NULL; i++)
		if (r->n < array_len(r->all) && parse_pgn(item, &q.pgn))
			r->all[r->n++] = q;
}

/* Everything has been checked before. */
int config_make_j1939(struct source **ret, const struct conf *c, const char *label,
		      const struct socketcan_options *can, const struct source_env *env,
		      struct error *err)
{
	struct requests requests = {.n = 0};
	struct j1939_options opt = {
		.can = *can,
		.protocol = (enum j1939_protocol)conf_enum(c, "source", label, "protocol"),
		.address = (uint8_t)conf_int(c, "source", label, "address"),
		.requests = requests.all,
	};
	const char *poll;

	(void)parse_name(conf_string(c, "source", label, "name"), &opt.name);
	for (size_t i = 0; (poll = conf_label(c, "poll", i)) != NULL; i++)
		if (strcmp(conf_string(c, "poll", poll, "source"), label) == 0)
			add_poll(&requests, c, poll);
	opt.n_requests = requests.n;
	return j1939_new(ret, env, label, &opt, err);
}
