/* tests/unit/diag_fixture.h: a diagnostic source with all it stands on: a scripted ECU on a socket
 * pair, the catalogs that are shipped, the agent's decoder, and loop_fixture's clock. */
#pragma once

#include "agent/decode/decode.h"
#include "agent/diag/diag.h"
#include "tests/fakes/ecu.h"

enum { DIAG_SEEN_MAX = 4096, DIAG_ASKED_MAX = 256 };

/* The other side of its sockets, and how opening them fails (errno). */
struct diag_fake {
	struct ecu ecu;
	int server, functional, listened; /* -1: not open */
	int open_error, find_error;
};

/* What the ECU was asked, and what the agent was handed. */
struct diag_got {
	char asked[DIAG_ASKED_MAX][64]; /* requests, as hex */
	size_t n_asked;
	struct sample seen[DIAG_SEEN_MAX];
	size_t n_seen, n_payloads;
	bool busy;
	const char *unwanted; /* message.signal that no rule collects; "*": all */
	uint32_t claimed;
};

extern struct diag_fake diag_fake;
extern struct diag_got diag_got;
extern struct catalog *diag_cat;
extern struct counters diag_counters;
extern struct source_env diag_env;
extern struct source *diag_source;

void diag_setup(void); /* both, for tcase_add_checked_fixture */
void diag_teardown(void);

/* Polls of the engine's controller at 7E0; OBD-II. */
struct diag_options diag_obd_options(const struct diag_poll *polls, size_t n);
void diag_start(const struct diag_options *opt);
/* One poll, of the engine's controller (OBD-II) or of the other one (UDS); each second, six a
 * request, if it does not say otherwise. */
void diag_start_poll(struct diag_poll poll);

void diag_serve(int fd);  /* the ECU answers what is there */
void diag_run_ms(int ms); /* in steps of 10 ms; the ECU answers at once */
/* Unasked, when it is the test that says it. */
void diag_ecu_send(struct ecu *e, const uint8_t *data, size_t len);

const struct sample *diag_sample_of(const char *path); /* the last one; NULL: none */
void diag_expect_value(const char *path, double value);
