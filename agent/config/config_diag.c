#include "agent/config/config.h"

#include "agent/diag/diag.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum {
	SOURCE_TYPE_DIAG = 2, /* place among the choices of [source] type */
	SERVICE_PGN = 7, /* among those of [poll] service; those before are enum diag_service */
	STANDARD_MAX = 0x7FF,
	EXTENDED_MAX = 0x1FFFFFFF,
	EXTENDED_DIGITS = 8,
	FUNCTIONAL = 0x7DF,	      /* ISO 15765-4: to all ECUs */
	FUNCTIONAL_EXTENDED = 0x18DB, /* the same: the upper 13 bits of 29 */
	RECORD_BYTES_MAX = 4092,      /* what is left of 4095 beside service and DID */
	WHAT_BYTES = 160,
};

/* Decimal, or hexadecimal after 0x; digits alone. Stops at `end`, which must be there. */
static bool parse_number(const char *text, char end, uint32_t max, uint32_t *ret,
			 const char **ret_end)
{
	int base = text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10;
	const char *digits = base == 16 ? text + 2 : text;
	char *stop;
	unsigned long long v;

	if (!isxdigit((unsigned char)*digits) || (digits[1] | 0x20) == 'x') /* 0x0x1 */
		return false;
	v = strtoull(digits, &stop, base);
	if (stop == digits || *stop != end || v > max)
		return false;
	*ret = (uint32_t)v;
	if (ret_end)
		*ret_end = stop;
	return true;
}

/* ---- identifiers of the source ---- */

struct can_id {
	uint32_t id;
	bool extended;
};

static bool parse_can_id(const char *text, struct can_id *ret)
{
	size_t digits = strlen(text) > 2 ? strlen(text) - 2 : 0;

	if (!parse_number(text, '\0', EXTENDED_MAX, &ret->id, NULL))
		return false;
	ret->extended =
		ret->id > STANDARD_MAX || ((text[1] | 0x20) == 'x' && digits == EXTENDED_DIGITS);
	return true;
}

static int check_can_id(const struct conf *c, const char *path, const char *label, const char *key,
			struct can_id *ret, struct error *err)
{
	if (parse_can_id(conf_string(c, "source", label, key), ret))
		return 0;
	return config_fail(err, c, path, "source", label, key,
			   "an identifier of 11 or 29 bits: 0x7E0, 0x18DA10F1");
}

static bool parse_padding(const char *text, bool *ret_pads, uint32_t *ret)
{
	*ret = 0;
	*ret_pads = strcmp(text, "none") != 0;
	return !*ret_pads || parse_number(text, '\0', 0xFF, ret, NULL);
}

/* A request of several frames, and flow control, are for one ECU. */
static bool is_for_all(const struct can_id *id)
{
	return id->extended ? id->id >> 16 == FUNCTIONAL_EXTENDED : id->id == FUNCTIONAL;
}

/* The diag sources of the same interface that stand before label, from *i on; NULL: no more. */
static const char *next_before(const struct conf *c, const char *label, size_t *i)
{
	const char *interface = conf_string(c, "source", label, "interface"), *other;

	while ((other = conf_label(c, "source", *i)) != NULL && strcmp(other, label) != 0) {
		++*i;
		if (conf_enum(c, "source", other, "type") == SOURCE_TYPE_DIAG &&
		    strcmp(conf_string(c, "source", other, "interface"), interface) == 0)
			return other;
	}
	return NULL;
}

/* Responses to the one's requests would be strays to the other. */
static bool is_asked_by_another(const struct conf *c, const char *label)
{
	const char *other;

	for (size_t i = 0; (other = next_before(c, label, &i)) != NULL;)
		if (*conf_string(c, "source", other, "functional"))
			return true;
	return false;
}

static int check_functional(const struct conf *c, const char *path, const char *label,
			    const struct can_id *response, struct error *err)
{
	struct can_id functional;
	int r;

	if (!*conf_string(c, "source", label, "functional"))
		return 0;
	r = check_can_id(c, path, label, "functional", &functional, err);
	if (r < 0)
		return r;
	if (functional.extended != response->extended)
		return config_fail(err, c, path, "source", label, "functional",
				   "11 bits like the request, or both 29");
	if (functional.id == response->id)
		return config_fail(err, c, path, "source", label, "functional",
				   "the same as the response");
	if (is_asked_by_another(c, label))
		return config_fail(err, c, path, "source", label, "functional",
				   "another source of this interface asks all ECUs already");
	return 0;
}

static int check_may_send(const struct conf *c, const char *path, const char *label,
			  struct error *err)
{
	const char *interface = conf_string(c, "source", label, "interface"), *can;

	for (size_t i = 0; (can = conf_label(c, "can", i)) != NULL; i++)
		if (strcmp(can, interface) == 0 && conf_bool(c, "can", can, "listen_only"))
			return config_fail(err, c, path, "source", label, "interface",
					   "its [can] section says listen_only: nothing could be "
					   "asked");
	return 0;
}

/* Two sources of one ECU would take each other's responses. */
static int check_only_one(const struct conf *c, const char *path, const char *label,
			  const struct can_id *response, struct error *err)
{
	const char *other;
	struct can_id id;

	for (size_t i = 0; (other = next_before(c, label, &i)) != NULL;)
		if (parse_can_id(conf_string(c, "source", other, "response"), &id) &&
		    id.id == response->id && id.extended == response->extended)
			return config_fail(err, c, path, "source", label, "response",
					   "another source of this interface has it");
	return 0;
}

int config_check_diag(const struct conf *c, const char *path, const char *label, struct error *err)
{
	struct can_id request, response;
	uint32_t padding;
	bool pads;
	int r = check_can_id(c, path, label, "request", &request, err);

	if (r == 0)
		r = check_can_id(c, path, label, "response", &response, err);
	if (r < 0)
		return r;
	if (is_for_all(&request))
		return config_fail(err, c, path, "source", label, "request",
				   "this asks all ECUs: it is for functional; here the ECU's own "
				   "is needed, such as 0x7E0");
	if (request.extended != response.extended)
		return config_fail(err, c, path, "source", label, "response",
				   "11 bits like the request, or both 29");
	if (request.id == response.id)
		return config_fail(err, c, path, "source", label, "response",
				   "the same as the request");
	if (!parse_padding(conf_string(c, "source", label, "padding"), &pads, &padding))
		return config_fail(err, c, path, "source", label, "padding",
				   "a byte, 0x00 to 0xFF, or none");
	r = check_only_one(c, path, label, &response, err);
	if (r == 0)
		r = check_functional(c, path, label, &response, err);
	return r == 0 ? check_may_send(c, path, label, err) : r;
}

/* ---- [poll] ---- */

static bool is_auto(const char *item)
{
	return strcmp(item, "auto") == 0;
}

static bool parse_id(const char *text, enum diag_service service, struct diag_id *ret)
{
	uint32_t max = diag_id_bytes(service) == 2 ? 0xFFFF : 0xFF, id, bytes = 0;
	const char *rest;

	if (!parse_number(text, strchr(text, '/') ? '/' : '\0', max, &id, &rest))
		return false;
	if (*rest == '/' &&
	    (!parse_number(rest + 1, '\0', RECORD_BYTES_MAX, &bytes, NULL) || bytes == 0))
		return false;
	*ret = (struct diag_id){(uint16_t)id, (uint16_t)bytes};
	return true;
}

static bool is_repeated(const struct conf *c, const char *label, enum diag_service service,
			size_t n, const struct diag_id *id)
{
	struct diag_id before;

	for (size_t i = 0; i < n; i++)
		if (parse_id(conf_list(c, "poll", label, "ids", i), service, &before) &&
		    before.id == id->id)
			return true;
	return false;
}

static int check_ids(const struct conf *c, const char *path, const char *label,
		     enum diag_service service, struct error *err)
{
	char what[WHAT_BYTES];
	struct diag_id id;
	const char *item;

	for (size_t i = 0; (item = conf_list(c, "poll", label, "ids", i)) != NULL; i++) {
		if (is_auto(item) && diag_service_is_obd(service) && i == 0 &&
		    !conf_list(c, "poll", label, "ids", 1))
			continue;
		if (is_auto(item))
			return config_fail(
				err, c, path, "poll", label, "ids",
				"auto stands alone, and is for obd_current and obd_info");
		if (!parse_id(item, service, &id)) {
			(void)snprintf(what, sizeof(what),
				       "'%.40s': 0x00 to 0x%s, with /BYTES from 1 to %d if need be",
				       item, diag_id_bytes(service) == 2 ? "FFFF" : "FF",
				       RECORD_BYTES_MAX);
			return config_fail(err, c, path, "poll", label, "ids", what);
		}
		if (is_repeated(c, label, service, i, &id)) {
			(void)snprintf(what, sizeof(what), "'%.40s' is there twice", item);
			return config_fail(err, c, path, "poll", label, "ids", what);
		}
	}
	return 0;
}

static bool is_diag_source(const struct conf *c, const char *name)
{
	const char *label;

	for (size_t i = 0; (label = conf_label(c, "source", i)) != NULL; i++)
		if (strcmp(label, name) == 0)
			return conf_enum(c, "source", label, "type") == SOURCE_TYPE_DIAG;
	return false;
}

static int check_poll(const struct conf *c, const char *path, const char *label, struct error *err)
{
	enum diag_service service = (enum diag_service)conf_enum(c, "poll", label, "service");
	bool has_ids = conf_list(c, "poll", label, "ids", 0) != NULL;
	bool takes_ids = diag_id_bytes(service) > 0;
	uint32_t mask;

	if (conf_enum(c, "poll", label, "service") == SERVICE_PGN)
		return config_check_pgns(c, path, label, err);
	if (!is_diag_source(c, conf_string(c, "poll", label, "source")))
		return config_fail(err, c, path, "poll", label, "source",
				   "no [source] of type diag has this name");
	if (takes_ids != has_ids)
		return config_fail(err, c, path, "poll", label, has_ids ? "ids" : "service",
				   has_ids ? "this service has none" : "it needs ids");
	if (!parse_number(conf_string(c, "poll", label, "status_mask"), '\0', 0xFF, &mask, NULL) ||
	    mask == 0)
		return config_fail(err, c, path, "poll", label, "status_mask", "0x01 to 0xFF");
	return check_ids(c, path, label, service, err);
}

static size_t count_polls(const struct conf *c, const char *source)
{
	const char *label;
	size_t n = 0;

	for (size_t i = 0; (label = conf_label(c, "poll", i)) != NULL; i++)
		n += strcmp(conf_string(c, "poll", label, "source"), source) == 0;
	return n;
}

int config_check_polls(const struct conf *c, const char *path, struct error *err)
{
	const char *label;

	for (size_t i = 0; (label = conf_label(c, "poll", i)) != NULL; i++) {
		int r = check_poll(c, path, label, err);

		if (r < 0)
			return r;
		if (count_polls(c, conf_string(c, "poll", label, "source")) > DIAG_POLLS_MAX)
			return config_fail(err, c, path, "poll", label, "source",
					   "more than 16 [poll] sections of one source");
	}
	return 0;
}

/* ---- making ---- */

struct polls {
	struct diag_poll polls[DIAG_POLLS_MAX];
	size_t n;
};

static void polls_free(struct polls *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->polls[i].ids);
}

static size_t count_ids(const struct conf *c, const char *label)
{
	size_t n = 0;

	while (conf_list(c, "poll", label, "ids", n))
		n++;
	return n;
}

/* Everything has been checked before. */
static int add_poll(struct polls *p, const struct conf *c, const char *label)
{
	struct diag_poll *to = &p->polls[p->n];
	size_t n = count_ids(c, label);
	uint32_t mask = 0;

	to->ids = calloc(n + 1, sizeof(*to->ids));
	if (!to->ids)
		return -ENOMEM;
	p->n++;
	(void)snprintf(to->name, sizeof(to->name), "%s", label);
	to->service = (enum diag_service)conf_enum(c, "poll", label, "service");
	to->period_ns = conf_int(c, "poll", label, "period_ms") * NS_PER_MS;
	to->group = (size_t)conf_int(c, "poll", label, "group");
	if (!parse_number(conf_string(c, "poll", label, "status_mask"), '\0', 0xFF, &mask, NULL))
		return -EINVAL;
	to->status_mask = (uint8_t)mask;
	to->any = n == 1 && is_auto(conf_list(c, "poll", label, "ids", 0));
	for (size_t i = 0; !to->any && i < n; i++)
		if (!parse_id(conf_list(c, "poll", label, "ids", i), to->service,
			      &to->ids[to->n_ids++]))
			return -EINVAL;
	return 0;
}

static int add_polls(struct polls *p, const struct conf *c, const char *source)
{
	const char *label;
	int r = 0;

	for (size_t i = 0; r == 0 && (label = conf_label(c, "poll", i)) != NULL; i++)
		if (strcmp(conf_string(c, "poll", label, "source"), source) == 0)
			r = add_poll(p, c, label);
	return r;
}

static void set_socket(struct isotp_socket_options *to, const struct conf *c, const char *label)
{
	struct can_id request = {0}, response = {0};
	uint32_t padding;

	if (!parse_can_id(conf_string(c, "source", label, "request"), &request) ||
	    !parse_can_id(conf_string(c, "source", label, "response"), &response) ||
	    !parse_padding(conf_string(c, "source", label, "padding"), &to->pads, &padding))
		return; /* config_check_diag has seen to it */
	to->request = request.id;
	to->response = response.id;
	to->extended = request.extended;
	to->padding = (uint8_t)padding;
	to->fd = conf_bool(c, "source", label, "fd");
	to->block_size = (uint8_t)conf_int(c, "source", label, "block_size");
	to->st_min = (uint8_t)conf_int(c, "source", label, "st_min_ms");
}

int config_make_diag(struct source **ret, const struct conf *c, const char *label,
		     const struct source_env *env, struct error *err)
{
	struct polls polls cleanup(polls_free) = {.n = 0};
	struct can_id functional = {0};
	struct diag_options opt = {
		.interface = conf_string(c, "source", label, "interface"),
		.bus = config_bus(c, label),
		.p2_ns = conf_int(c, "source", label, "p2_ms") * NS_PER_MS,
		.p2_star_ns = conf_int(c, "source", label, "p2_star_ms") * NS_PER_MS,
		.silent_ns = conf_int(c, "source", label, "silent_s") * NS_PER_S,
	};
	int r = add_polls(&polls, c, label);

	if (r < 0)
		return r;
	set_socket(&opt.socket, c, label);
	opt.has_functional =
		parse_can_id(conf_string(c, "source", label, "functional"), &functional);
	opt.functional = functional.id;
	opt.polls = polls.polls;
	opt.n_polls = polls.n;
	return diag_new(ret, env, label, &opt, err);
}
