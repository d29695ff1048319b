#include "tests/unit/diag_fixture.h"

#include "agent/can/can_interface.h"
#include "base/log.h"
#include "tests/unit/loop_fixture.h"
#include "tools/dbc/dbc.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct diag_fake diag_fake;
struct diag_got diag_got;
struct catalog *diag_cat;
struct counters diag_counters;
struct source_env diag_env;
struct source *diag_source;
static struct decoder *decoder;

static int on_payload(void *ctx, const struct payload *p)
{
	static struct sample out[1024];
	uint32_t message;
	size_t n;

	(void)ctx;
	if (diag_got.busy)
		return SOURCE_BUSY;
	ck_assert_uint_le(decoder_samples_max(decoder), array_len(out));
	n = decoder_payload(decoder, p, &message, out);
	ck_assert_uint_ne(message, CATALOG_NONE);
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_lt(diag_got.n_seen, DIAG_SEEN_MAX);
		diag_got.seen[diag_got.n_seen++] = out[i];
	}
	diag_got.n_payloads++;
	return 0;
}

static int on_claim(void *ctx, uint16_t bus, uint32_t id, bool extended)
{
	(void)ctx;
	ck_assert_uint_eq(bus, 0);
	ck_assert(!extended);
	diag_got.claimed = id;
	return 0;
}

static bool on_wants(void *ctx, uint32_t signal)
{
	uint32_t not_this;

	(void)ctx;
	if (!diag_got.unwanted)
		return true;
	if (strcmp(diag_got.unwanted, "*") == 0)
		return false;
	ck_assert_int_eq(catalog_find(diag_cat, diag_got.unwanted, &not_this), 0);
	return signal != not_this;
}

static void on_ended(void *ctx, struct source *s)
{
	(void)ctx;
	(void)s;
	ck_abort_msg("a diagnostic source never ends");
}

static int on_find(const char *interface, struct can_interface *ret)
{
	ck_assert_str_eq(interface, "can0");
	if (diag_fake.find_error)
		return -diag_fake.find_error;
	*ret = (struct can_interface){.index = 1};
	return 0;
}

static int on_open(enum diag_fd which)
{
	int *const servers[] = {[DIAG_FD_MAIN] = &diag_fake.server,
				[DIAG_FD_FUNCTIONAL] = &diag_fake.functional,
				[DIAG_FD_LISTENER] = &diag_fake.listened};
	int pair[2], *mine = servers[which];

	if (diag_fake.open_error)
		return -diag_fake.open_error;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	if (*mine >= 0)
		close(*mine);
	*mine = pair[1];
	return pair[0];
}

void diag_ecu_send(struct ecu *e, const uint8_t *data, size_t len)
{
	(void)e;
	ck_assert_int_eq(send(diag_fake.server, data, len, 0), (ssize_t)len);
}

static void load_catalog(void)
{
	const char *specs[] = {"can0=" TEST_DATA "/../../agent/diag/obd2.dbc",
			       "can0=" TEST_DATA "/../../agent/diag/uds_example.dbc"};
	struct dbc_counts counts;
	struct error err;

	ck_assert_msg(dbc_load_catalog(&diag_cat, specs, 2, stderr, &counts, &err) == 0, "%s",
		      err.text);
	ck_assert_uint_eq(counts.warnings + counts.errors, 0);
	ck_assert_int_eq(decoder_new(&decoder, diag_cat, NULL), 0);
}

void diag_setup(void)
{
	set_up();
	log_set_level(LOG_LEVEL_ERROR);
	load_catalog();
	memset(&diag_counters, 0, sizeof(diag_counters));
	diag_env = (struct source_env){.loop = l,
				       .tb = &fake.tb,
				       .cat = diag_cat,
				       .counters = &diag_counters,
				       .payload = on_payload,
				       .claim = on_claim,
				       .wants = on_wants,
				       .ended = on_ended};
	memset(&diag_got, 0, sizeof(diag_got));
	diag_fake = (struct diag_fake){
		.ecu = {.send = diag_ecu_send}, .server = -1, .functional = -1, .listened = -1};
}

void diag_teardown(void)
{
	diag_source = source_free(diag_source);
	if (diag_fake.server >= 0)
		close(diag_fake.server);
	if (diag_fake.listened >= 0)
		close(diag_fake.listened);
	if (diag_fake.functional >= 0)
		close(diag_fake.functional);
	decoder = decoder_free(decoder);
	diag_cat = catalog_free(diag_cat);
	tear_down();
}

struct diag_options diag_obd_options(const struct diag_poll *polls, size_t n)
{
	return (struct diag_options){.interface = "can0",
				     .bus = "can0",
				     .socket = {.request = 0x7E0, .response = 0x7E8},
				     .p2_ns = 100 * NS_PER_MS,
				     .p2_star_ns = 5 * NS_PER_S,
				     .silent_ns = 30 * NS_PER_S,
				     .polls = polls,
				     .n_polls = n,
				     .open = on_open,
				     .find = on_find};
}

void diag_start(const struct diag_options *opt)
{
	struct error err = {""};

	ck_assert_msg(diag_new(&diag_source, &diag_env, "ecm", opt, &err) == 0, "%s", err.text);
}

void diag_start_poll(struct diag_poll poll)
{
	struct diag_options opt = diag_obd_options(&poll, 1);

	if (poll.period_ns == 0)
		poll.period_ns = NS_PER_S;
	if (poll.group == 0)
		poll.group = 6;
	if (!diag_service_is_obd(poll.service)) {
		opt.socket.request = 0x7E1;
		opt.socket.response = 0x7E9;
	}
	diag_start(&opt);
}

void diag_serve(int fd)
{
	uint8_t request[64];
	ssize_t n;

	while (fd >= 0 && (n = recv(fd, request, sizeof(request), MSG_DONTWAIT)) > 0) {
		ck_assert_uint_lt(diag_got.n_asked, DIAG_ASKED_MAX);
		for (ssize_t i = 0; i < n && i < 31; i++)
			snprintf(diag_got.asked[diag_got.n_asked] + 2 * i, 3, "%02x", request[i]);
		diag_got.n_asked++;
		ecu_request(&diag_fake.ecu, request, (size_t)n);
	}
}

void diag_run_ms(int ms)
{
	for (int i = 0; i < ms; i += 10) {
		turn();
		diag_serve(diag_fake.server);
		diag_serve(diag_fake.functional);
		turn();
		timebase_fake_advance(&fake, 10 * NS_PER_MS);
	}
}

const struct sample *diag_sample_of(const char *path)
{
	uint32_t signal;

	ck_assert_msg(catalog_find(diag_cat, path, &signal) == 0, "no signal %s", path);
	for (size_t i = diag_got.n_seen; i > 0; i--)
		if (diag_got.seen[i - 1].signal == signal)
			return &diag_got.seen[i - 1];
	return NULL;
}

void diag_expect_value(const char *path, double value)
{
	const struct sample *s = diag_sample_of(path);

	ck_assert_msg(s != NULL, "%s: no sample", path);
	ck_assert_msg(fabs(catalog_value(&diag_cat->signals[s->signal], s->raw) - value) < 1e-6,
		      "%s: %f", path, catalog_value(&diag_cat->signals[s->signal], s->raw));
}
