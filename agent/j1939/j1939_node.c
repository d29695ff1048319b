#include "agent/j1939/j1939_node.h"

#include "agent/j1939/j1939_id.h"
#include "base/log.h"

#include <string.h>

enum { ACK_BYTES = 8, ACK_ADDRESS_AT = 4, ACK_PGN_AT = 5 };

enum {
	/* The kernel counts the wait for objections from when the claim was on the bus, and sends
	 * nothing else before its end; a defence counts as a claim. */
	HOLD_MS = J1939_CLAIM_WAIT_MS + 50,
	CLAIM_AGAIN_MS = 1000, /* a claim that could not be sent, or never was on the bus */
};

static void claim(struct j1939_node *n, unsigned wait_ms);

static void say_unsent(struct j1939_node *n, uint32_t pgn, int error)
{
	if (limit_pass(&n->unsent, "j1939_unsent", loop_now(n->env->loop)))
		log_warn("j1939_unsent", "source=%s pgn=%u what=%s", n->name, pgn,
			 error == EADDRNOTAVAIL ? "the address is not ours yet, or no longer"
						: strerror(error));
}

/* ---- requests ---- */

static bool is_wanted(const struct frame_match *m, size_t n, uint32_t pgn)
{
	uint32_t bits = j1939_id_mask(pgn << 8);

	for (size_t i = 0; i < n; i++)
		if (m[i].extended && ((pgn << 8 ^ m[i].id) & m[i].mask & bits) == 0)
			return true;
	return !m;
}

static void start_requests(struct j1939_node *n)
{
	if (n->claim.state == J1939_CLAIM_HELD && n->poll.n > 0)
		poll_start(&n->poll);
}

void j1939_node_choose(struct j1939_node *n, const struct frame_match *matches, size_t n_matches)
{
	bool changed = false;
	size_t k = 0;

	for (size_t i = 0; i < n->n_requests; i++) {
		if (!is_wanted(matches, n_matches, n->requests[i].pgn))
			continue;
		changed = changed || k >= n->poll.n || n->asked[k] != i;
		n->asked[k++] = i;
	}
	if (!changed && k == n->poll.n)
		return;
	poll_clear(&n->poll);
	for (size_t i = 0; i < k; i++) {
		int r = poll_add(&n->poll, n->requests[n->asked[i]].period_ns);

		assert(r == 0); /* there is room for all of them */
	}
	log_info("j1939_asks", "source=%s pgns=%zu unused=%zu", n->name, k, n->n_requests - k);
	start_requests(n);
}

static void ask(struct poll *p, size_t item)
{
	struct j1939_node *n = p->ctx;
	const struct j1939_request *q = &n->requests[n->asked[item]];
	uint8_t data[J1939_REQUEST_BYTES];
	int r;

	j1939_put_pgn(data, q->pgn);
	r = n->send(n->ctx, J1939_PGN_REQUEST, q->destination, data, sizeof(data));
	if (r < 0)
		say_unsent(n, q->pgn, -r);
	else
		counter_add(&n->env->counters->j1939_requests, 1);
	if (r == -EADDRNOTAVAIL && n->claim.name) {
		poll_stop(&n->poll);
		claim(n, CLAIM_AGAIN_MS);
	}
	poll_done(p);
}

/* Acknowledgements go to all and say to whom; those of old nodes do not (255). */
static bool is_ours(const struct j1939_node *n, const struct j1939_received *m)
{
	return m->data[ACK_ADDRESS_AT] == n->claim.address ||
	       m->data[ACK_ADDRESS_AT] == J1939_ADDRESS_ALL;
}

/* A node says that it does not have what was asked for: said once a request. */
static void hear_refusal(struct j1939_node *n, const struct j1939_received *m)
{
	uint32_t pgn;

	if (m->len < ACK_BYTES || m->data[0] == 0 || !is_ours(n, m))
		return;
	pgn = j1939_get_pgn(m->data + ACK_PGN_AT);
	for (size_t i = 0; i < n->n_requests; i++) {
		if (n->requests[i].pgn != pgn || n->refused[i])
			continue;
		n->refused[i] = true;
		log_warn("j1939_refused", "source=%s pgn=%u from=%u code=%u", n->name, pgn,
			 m->source, m->data[0]);
		return;
	}
}

/* ---- the address ---- */

static int send_name(struct j1939_node *n)
{
	uint8_t data[J1939_NAME_BYTES];
	int r;

	j1939_put_name(data, n->claim.name);
	r = n->send(n->ctx, J1939_PGN_ADDRESS_CLAIMED, J1939_ADDRESS_ALL, data, sizeof(data));
	if (r < 0)
		say_unsent(n, J1939_PGN_ADDRESS_CLAIMED, -r);
	return r;
}

static void set_timer(struct j1939_node *n, unsigned ms)
{
	loop_timer_in(n->env->loop, &n->timer, ms * NS_PER_MS);
}

static void claim(struct j1939_node *n, unsigned wait_ms)
{
	if (j1939_claim_open(&n->claim) != J1939_CLAIM_ACT_CLAIM)
		return;
	n->sent = send_name(n) == 0;
	set_timer(n, n->sent ? wait_ms : CLAIM_AGAIN_MS);
}

static void defend(struct j1939_node *n)
{
	(void)send_name(n);
	poll_hold(&n->poll, HOLD_MS * NS_PER_MS);
}

static void act(struct j1939_node *n, enum j1939_claim_act what)
{
	switch (what) {
	case J1939_CLAIM_ACT_CLAIM:
		defend(n);
		break;
	case J1939_CLAIM_ACT_YIELD:
		if (!n->yielding)
			set_timer(n, j1939_claim_yield_ms(&n->claim));
		n->yielding = true;
		break;
	case J1939_CLAIM_ACT_NOTHING:
		break;
	}
}

/* "Cannot claim": our NAME from the address that is nobody's. */
static void yield(struct j1939_node *n)
{
	int r = n->yield(n->ctx);

	n->yielding = false;
	if (r < 0)
		say_unsent(n, J1939_PGN_ADDRESS_CLAIMED, -r);
	else
		(void)send_name(n);
}

static void on_timer(struct loop_timer *t)
{
	struct j1939_node *n = t->ctx;

	if (n->claim.state == J1939_CLAIM_LOST) {
		yield(n);
		return;
	}
	if (!n->sent) {
		claim(n, HOLD_MS);
		return;
	}
	j1939_claim_waited(&n->claim);
	log_info("j1939_claimed", "source=%s address=%u", n->name, n->claim.address);
	start_requests(n);
}

static void hear_claim(struct j1939_node *n, const struct j1939_received *m)
{
	enum j1939_claim_act what;

	if (m->len != J1939_NAME_BYTES)
		return;
	what = j1939_claim_heard(&n->claim, m->source, j1939_get_name(m->data));
	if (what == J1939_CLAIM_ACT_YIELD) {
		poll_stop(&n->poll);
		log_error("j1939_address_lost",
			  "source=%s address=%u what=a node with a lower NAME has it", n->name,
			  n->claim.address);
	}
	act(n, what);
}

static bool is_for_us(const struct j1939_node *n, const struct j1939_received *m)
{
	return m->destination == J1939_ADDRESS_ALL ||
	       (n->claim.state != J1939_CLAIM_LOST && m->destination == n->claim.address);
}

/* What we send ourselves is not heard. The kernel answers sessions in the other node's place, too:
 * somebody has to know. */
static void hear_ourselves(struct j1939_node *n, const struct j1939_received *m)
{
	bool is_claim = n->claim.name && m->pgn == J1939_PGN_ADDRESS_CLAIMED;

	if (n->doubled || is_claim || n->claim.state != J1939_CLAIM_HELD ||
	    m->source != n->claim.address)
		return;
	n->doubled = true;
	log_error("j1939_address_doubled",
		  "source=%s address=%u pgn=%u what=another node sends from our address", n->name,
		  n->claim.address, m->pgn);
}

void j1939_node_hear(struct j1939_node *n, const struct j1939_received *m)
{
	if (n->claim.state == J1939_CLAIM_NONE)
		return;
	hear_ourselves(n, m);
	if (m->pgn == J1939_PGN_ADDRESS_CLAIMED)
		hear_claim(n, m);
	else if (m->pgn == J1939_PGN_ACK)
		hear_refusal(n, m);
	else if (m->pgn == J1939_PGN_REQUEST && is_for_us(n, m) && m->len >= J1939_REQUEST_BYTES &&
		 j1939_get_pgn(m->data) == J1939_PGN_ADDRESS_CLAIMED)
		act(n, j1939_claim_asked(&n->claim));
}

/* ---- its life ---- */

void j1939_node_open(struct j1939_node *n)
{
	memset(n->refused, 0, n->n_requests * sizeof(*n->refused));
	n->yielding = n->doubled = false;
	claim(n, HOLD_MS);
	start_requests(n);
}

void j1939_node_close(struct j1939_node *n)
{
	loop_timer_cancel(&n->timer);
	poll_stop(&n->poll);
	n->claim.state = J1939_CLAIM_NONE;
}

int j1939_node_init(struct j1939_node *n, const struct j1939_request *requests, size_t n_requests,
		    struct error *err)
{
	if (n_requests > 0 && n->claim.address >= J1939_ADDRESS_NONE) {
		error_set(err, "requests need an own address");
		return -EINVAL;
	}
	if (n_requests > J1939_REQUESTS_MAX) {
		error_set(err, "%zu PGNs to ask for, at most %d", n_requests, J1939_REQUESTS_MAX);
		return -EINVAL;
	}
	n->timer = (struct loop_timer){.cb = on_timer, .ctx = n};
	n->poll.loop = n->env->loop;
	n->poll.ask = ask;
	n->poll.gap_ns = J1939_REQUEST_GAP_MS * NS_PER_MS;
	n->poll.ctx = n;
	n->requests = calloc(n_requests + 1, sizeof(*n->requests));
	n->asked = calloc(n_requests + 1, sizeof(*n->asked));
	n->refused = calloc(n_requests + 1, sizeof(*n->refused));
	if (!n->requests || !n->asked || !n->refused)
		return -ENOMEM;
	if (n_requests > 0)
		memcpy(n->requests, requests, n_requests * sizeof(*n->requests));
	n->n_requests = n_requests;
	return poll_init(&n->poll, n_requests);
}

void j1939_node_free(struct j1939_node *n)
{
	poll_free(&n->poll);
	free(n->requests);
	free(n->asked);
	free(n->refused);
}
