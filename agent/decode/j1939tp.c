#include "agent/decode/j1939tp.h"

#include "agent/j1939/j1939_id.h"

#include <string.h>

/* TP.CM's first byte, §5.10.3. */
enum control {
	CONTROL_RTS = 16,
	CONTROL_CTS = 17,
	CONTROL_END = 19, /* end of message acknowledgement */
	CONTROL_BAM = 32,
	CONTROL_ABORT = 255,
};

enum { BROADCAST = 255, PACKET = 7, PACKETS_MAX = 255 };

enum state {
	STATE_FREE,
	STATE_ACTIVE,
	STATE_DONE, /* complete: packets that the receiver asks for again are not looked at */
};

struct session {
	uint32_t key;
	enum state state;
	int64_t last_ns; /* time of its last frame, either way */
	int64_t wait_ns; /* longest until the next */
	uint32_t number, id;
	uint32_t pgn; /* as in TP.CM */
	uint16_t size;
	uint8_t packets;
	uint8_t next;	   /* packet number that comes next */
	uint8_t until;	   /* last packet that the receiver has asked for; 0: not known */
	uint8_t missing;   /* packets not there yet */
	uint32_t there[8]; /* by packet number, a bit each */
	uint8_t data[PACKETS_MAX * PACKET];
};

struct j1939tp {
	struct j1939tp_config config;
	struct j1939tp_counters count;
	struct session *sessions;
};

int j1939tp_new(struct j1939tp **ret, const struct j1939tp_config *config)
{
	struct j1939tp *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->config = *config;
	if (!t->config.sessions)
		t->config.sessions = J1939TP_SESSIONS;
	t->sessions = calloc(t->config.sessions, sizeof(*t->sessions));
	if (!t->sessions) {
		j1939tp_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

struct j1939tp *j1939tp_free(struct j1939tp *t)
{
	if (t)
		free(t->sessions);
	free(t);
	return NULL;
}

const struct j1939tp_counters *j1939tp_counters(const struct j1939tp *t)
{
	return &t->count;
}

uint64_t j1939tp_errors(const struct j1939tp_counters *c)
{
	return c->timeouts + c->sequence + c->incomplete + c->interrupted + c->aborted +
	       c->evicted + c->malformed;
}

/* ---- sessions ---- */

static uint32_t key_of(uint16_t bus, uint8_t source, uint8_t destination)
{
	return (uint32_t)bus << 16 | (uint32_t)source << 8 | destination;
}

static struct session *find_session(struct j1939tp *t, uint32_t key)
{
	for (size_t i = 0; i < t->config.sessions; i++)
		if (t->sessions[i].state != STATE_FREE && t->sessions[i].key == key)
			return &t->sessions[i];
	return NULL;
}

static void end(struct session *s, uint64_t *counter)
{
	if (s->state == STATE_ACTIVE)
		(*counter)++;
	s->state = STATE_FREE;
}

static bool has_timed_out(const struct session *s, int64_t now_ns)
{
	int64_t passed;

	if (__builtin_sub_overflow(now_ns, s->last_ns, &passed))
		return true;
	return passed > s->wait_ns || passed < -s->wait_ns;
}

/* The session of a key that is still going on at this time. */
static struct session *live_session(struct j1939tp *t, uint32_t key, int64_t now_ns)
{
	struct session *s = find_session(t, key);

	if (s && has_timed_out(s, now_ns)) {
		end(s, &t->count.timeouts);
		return NULL;
	}
	return s;
}

static void touch(struct session *s, int64_t now_ns, int64_t wait_ms)
{
	s->last_ns = now_ns;
	s->wait_ns = wait_ms * NS_PER_MS;
}

/* What would be lost with a session: nothing; an announcement; packets. So announcements alone,
 * however many, do not push out what is being sent. */
static unsigned worth(const struct session *s)
{
	if (s->state == STATE_DONE)
		return 0;
	return s->missing == s->packets ? 1 : 2;
}

static bool goes_before(const struct session *a, const struct session *b)
{
	unsigned worth_a = worth(a), worth_b = worth(b);

	return worth_a == worth_b ? a->last_ns < b->last_ns : worth_a < worth_b;
}

/* A free slot, made by ending what has timed out, or what is worth the least and has been silent
 * the longest. */
static struct session *take_slot(struct j1939tp *t, int64_t now_ns)
{
	struct session *best = NULL, *s;

	for (size_t i = 0; i < t->config.sessions; i++) {
		s = &t->sessions[i];
		if (s->state != STATE_FREE && has_timed_out(s, now_ns))
			end(s, &t->count.timeouts);
		if (s->state == STATE_FREE)
			best = s;
	}
	if (best)
		return best;
	best = &t->sessions[0];
	for (size_t i = 1; i < t->config.sessions; i++)
		if (goes_before(&t->sessions[i], best))
			best = &t->sessions[i];
	end(best, &t->count.evicted);
	return best;
}

static void report(const struct session *s, struct j1939tp_message *ret)
{
	*ret = (struct j1939tp_message){.number = s->number, .id = s->id};
}

/* ---- TP.CM ---- */

static uint32_t pgn_of(const struct frame *f)
{
	return f->data[5] | (uint32_t)f->data[6] << 8 | (uint32_t)f->data[7] << 16;
}

static uint8_t source_of(const struct frame *f)
{
	return (uint8_t)f->id;
}

static uint8_t destination_of(const struct frame *f)
{
	return (uint8_t)(f->id >> 8);
}

static int malformed(struct j1939tp *t)
{
	t->count.malformed++;
	return 0;
}

static uint32_t key_sent(const struct frame *f)
{
	return key_of(f->bus, source_of(f), destination_of(f));
}

/* Of the other direction: the frame comes from the receiver. */
static uint32_t key_answered(const struct frame *f)
{
	return key_of(f->bus, destination_of(f), source_of(f));
}

/* An originator that got no answer asks again (§5.10.2.4): not another session. */
static bool is_same_request(const struct session *s, const struct frame *f)
{
	return s->state == STATE_ACTIVE && s->missing == s->packets && s->pgn == pgn_of(f) &&
	       s->size == (f->data[1] | f->data[2] << 8);
}

static void begin(struct session *s, const struct frame *f, uint32_t number, uint32_t id)
{
	s->key = key_sent(f);
	s->state = STATE_ACTIVE;
	s->number = number;
	s->id = id;
	s->pgn = pgn_of(f);
	s->size = (uint16_t)(f->data[1] | f->data[2] << 8);
	s->packets = f->data[3];
	s->missing = s->packets;
	s->next = 1;
	s->until = 0;
	memset(s->there, 0, sizeof(s->there));
	touch(s, f->t_ns, destination_of(f) == BROADCAST ? J1939TP_T1_MS : J1939TP_T2_MS);
}

static bool announces_well(const struct frame *f)
{
	unsigned size = f->data[1] | (unsigned)f->data[2] << 8;

	return size >= J1939TP_BYTES_MIN && size <= J1939TP_BYTES_MAX &&
	       f->data[3] == (size + PACKET - 1) / PACKET && pgn_of(f) <= 0x3FFFF &&
	       (f->data[0] == CONTROL_BAM) == (destination_of(f) == BROADCAST);
}

/* RTS or BAM. */
static int take_announcement(struct j1939tp *t, const struct frame *f, struct j1939tp_message *ret)
{
	struct session *s = live_session(t, key_sent(f), f->t_ns);
	uint32_t id = j1939_id(f->id >> 26 & 7, pgn_of(f), source_of(f), destination_of(f));
	uint32_t number;

	if (s && !is_same_request(s, f))
		end(s, &t->count.interrupted);
	if (!announces_well(f))
		return malformed(t);
	number = t->config.find(t->config.ctx, f->bus, id);
	if (number == J1939TP_NONE)
		return 0;
	if (!s || s->state == STATE_FREE)
		s = take_slot(t, f->t_ns);
	begin(s, f, number, id);
	report(s, ret);
	return J1939TP_TAKEN;
}

/* The receiver asks for packets, from any number on (§5.10.3.2), or for patience (none). More than
 * there are means all that are left: nodes live with it, and who only listens is no stricter. */
static int take_cts(struct j1939tp *t, const struct frame *f, struct j1939tp_message *ret)
{
	struct session *s = live_session(t, key_answered(f), f->t_ns);
	unsigned n = f->data[1], first = f->data[2];

	if (!s)
		return 0;
	if (s->pgn != pgn_of(f)) { /* of a session whose RTS was not seen */
		end(s, &t->count.interrupted);
		return 0;
	}
	report(s, ret);
	touch(s, f->t_ns, J1939TP_T2_MS);
	if (s->state == STATE_DONE || n == 0)
		return J1939TP_TAKEN;
	if (first == 0 || first > s->packets) {
		end(s, &t->count.malformed);
		return 0;
	}
	s->next = (uint8_t)first;
	s->until = (uint8_t)(first + n - 1 < s->packets ? first + n - 1 : s->packets);
	return J1939TP_TAKEN;
}

static int take_end(struct j1939tp *t, const struct frame *f, struct j1939tp_message *ret)
{
	struct session *s = live_session(t, key_answered(f), f->t_ns);

	if (!s)
		return 0;
	report(s, ret);
	end(s, &t->count.incomplete);
	return J1939TP_TAKEN;
}

static int take_abort(struct j1939tp *t, const struct frame *f, struct j1939tp_message *ret)
{
	const uint32_t keys[] = {key_sent(f), key_answered(f)};
	int r = 0;

	for (size_t i = 0; i < array_len(keys); i++) {
		struct session *s = live_session(t, keys[i], f->t_ns);

		if (!s || s->pgn != pgn_of(f))
			continue;
		report(s, ret);
		end(s, &t->count.aborted);
		r = J1939TP_TAKEN;
	}
	return r;
}

static int take_management(struct j1939tp *t, const struct frame *f, struct j1939tp_message *ret)
{
	if (f->len != 8)
		return malformed(t);
	switch (f->data[0]) {
	case CONTROL_RTS:
	case CONTROL_BAM:
		return take_announcement(t, f, ret);
	case CONTROL_CTS:
		return take_cts(t, f, ret);
	case CONTROL_END:
		return take_end(t, f, ret);
	case CONTROL_ABORT:
		return take_abort(t, f, ret);
	default:
		return malformed(t);
	}
}

/* ---- TP.DT ---- */

static bool is_there(const struct session *s, unsigned packet)
{
	return s->there[packet / 32] >> packet % 32 & 1;
}

/* Bytes of the payload in a packet: 7, and what is left in the last. */
static size_t bytes_in(const struct session *s, unsigned packet)
{
	return packet < s->packets ? PACKET : s->size - (size_t)(s->packets - 1) * PACKET;
}

/* A controller may deliver a frame twice (ISO 11898-1: an error in the last bit of EOF). */
static bool is_repeated(const struct session *s, const struct frame *f, unsigned packet)
{
	return is_there(s, packet) &&
	       memcmp(s->data + (packet - 1) * PACKET, f->data + 1, bytes_in(s, packet)) == 0;
}

static void store(struct session *s, const struct frame *f, unsigned packet)
{
	memcpy(s->data + (packet - 1) * PACKET, f->data + 1, bytes_in(s, packet));
	if (is_there(s, packet))
		return;
	s->there[packet / 32] |= (uint32_t)1 << packet % 32;
	s->missing--;
}

/* A packet of the session that cannot be what was announced. */
static int give_up(struct session *s, uint64_t *counter)
{
	end(s, counter);
	return 0;
}

/* After the last packet that was asked for the receiver has its say. */
static int64_t wait_after(const struct session *s, unsigned packet)
{
	bool last = packet == s->packets || packet == s->until;

	if ((s->key & 0xFF) == BROADCAST || (s->until && !last))
		return J1939TP_T1_MS;
	return J1939TP_T2_MS;
}

static int take_packet(struct j1939tp *t, struct session *s, const struct frame *f,
		       struct j1939tp_message *ret)
{
	unsigned packet = f->data[0];

	if (packet == 0 || packet > s->packets || f->len < 1 + bytes_in(s, packet))
		return give_up(s, &t->count.malformed);
	report(s, ret);
	touch(s, f->t_ns, wait_after(s, packet));
	if (packet != s->next && is_repeated(s, f, packet)) {
		t->count.repeated++;
		return J1939TP_TAKEN;
	}
	/* A broadcast comes in order and once; in a session the receiver may ask again. */
	if (packet != s->next && (s->key & 0xFF) == BROADCAST)
		return give_up(s, &t->count.sequence);
	t->count.repeated += is_there(s, packet);
	store(s, f, packet);
	s->next = (uint8_t)(packet + 1);
	if (s->missing)
		return J1939TP_TAKEN;
	s->state = STATE_DONE;
	t->count.payloads++;
	ret->data = s->data;
	ret->len = s->size;
	return J1939TP_DONE;
}

static int take_data(struct j1939tp *t, const struct frame *f, struct j1939tp_message *ret)
{
	struct session *s = f->len ? live_session(t, key_sent(f), f->t_ns) : NULL;

	if (!s) {
		t->count.stray++;
		return 0;
	}
	if (s->state == STATE_ACTIVE)
		return take_packet(t, s, f, ret);
	t->count.repeated++;
	touch(s, f->t_ns, J1939TP_T2_MS);
	report(s, ret);
	return J1939TP_TAKEN;
}

int j1939tp_frame(struct j1939tp *t, const struct frame *f, struct j1939tp_message *ret)
{
	if (f->flags & (FRAME_REMOTE | FRAME_ERROR | FRAME_FD) || source_of(f) == BROADCAST)
		return 0;
	if (f->len > 8)
		return malformed(t);
	return (f->id >> 16 & 0xFF) == 0xEC ? take_management(t, f, ret) : take_data(t, f, ret);
}
