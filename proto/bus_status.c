#include "proto/bus_status.h"

#include <stdio.h>
#include <string.h>

enum {
	KNOWN_ERRORS = 1,
	KNOWN_BIT_RATE = 2,
	KNOWN_LOAD = 4,
	KNOWN_SHIFT = 1, /* above LinkUp */
	NAME_BYTES = 24,
	NAME_TRIES = 100,
};

static const char *const states[BUS_STATES] = {
	[BUS_ERROR_ACTIVE] = "error-active",
	[BUS_ERROR_WARNING] = "error-warning",
	[BUS_ERROR_PASSIVE] = "error-passive",
	[BUS_OFF] = "bus-off",
	[BUS_STOPPED] = "stopped",
	[BUS_SLEEPING] = "sleeping",
	[BUS_ABSENT] = "absent",
	[BUS_UNKNOWN] = "unknown",
};

const char *bus_state_name(enum bus_state state)
{
	return (unsigned)state < BUS_STATES ? states[state] : "?";
}

/* ---- the bytes ---- */

static uint8_t *put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	return put16(put16(p, (uint16_t)v), (uint16_t)(v >> 16));
}

static uint16_t get16(const uint8_t **p)
{
	uint16_t v = (uint16_t)((*p)[0] | (*p)[1] << 8);

	*p += 2;
	return v;
}

static uint32_t get32(const uint8_t **p)
{
	uint32_t low = get16(p);

	return low | (uint32_t)get16(p) << 16;
}

void bus_status_pack(const struct bus_status *s, uint8_t out[static BUS_STATUS_BYTES])
{
	const uint32_t counts[] = {
		s->frames,	s->frames_bad, s->frames_lost,	    s->error_frames,
		s->bus_errors,	s->ack_errors, s->arbitration_lost, s->controller_overflows,
		s->tx_timeouts, s->bus_offs,   s->restarts,	    s->link_downs,
	};
	unsigned known = (s->has_errors ? KNOWN_ERRORS : 0u) |
			 (s->has_bit_rate ? KNOWN_BIT_RATE : 0u) | (s->has_load ? KNOWN_LOAD : 0u);
	uint8_t *p = out;

	*p++ = (uint8_t)s->state;
	*p++ = (uint8_t)((s->link_up ? 1u : 0u) | known << KNOWN_SHIFT);
	for (size_t i = 0; i < array_len(counts); i++)
		p = put32(p, counts[i]);
	p = put16(p, s->has_errors ? s->tx_errors : 0);
	p = put16(p, s->has_errors ? s->rx_errors : 0);
	p = put32(p, s->has_bit_rate ? s->bit_rate : 0);
	p = put32(p, s->has_bit_rate ? s->data_bit_rate : 0);
	p = put16(p, s->has_load ? s->load : 0);
	assert(p == out + BUS_STATUS_BYTES);
}

static void unpack_counts(struct bus_status *s, const uint8_t **p)
{
	uint32_t *const counts[] = {
		&s->frames,	 &s->frames_bad, &s->frames_lost,      &s->error_frames,
		&s->bus_errors,	 &s->ack_errors, &s->arbitration_lost, &s->controller_overflows,
		&s->tx_timeouts, &s->bus_offs,	 &s->restarts,	       &s->link_downs,
	};

	for (size_t i = 0; i < array_len(counts); i++)
		*counts[i] = get32(p);
}

int bus_status_unpack(struct bus_status *ret, const uint8_t *data, size_t len)
{
	struct bus_status s = {0};
	const uint8_t *p;
	unsigned known;

	if (len < BUS_STATUS_BYTES || data[0] >= BUS_STATES)
		return -EBADMSG;
	s.state = (enum bus_state)data[0];
	s.link_up = data[1] & 1;
	known = data[1] >> KNOWN_SHIFT;
	s.has_errors = known & KNOWN_ERRORS;
	s.has_bit_rate = known & KNOWN_BIT_RATE;
	s.has_load = known & KNOWN_LOAD;
	p = data + 2;
	unpack_counts(&s, &p);
	s.tx_errors = get16(&p);
	s.rx_errors = get16(&p);
	s.bit_rate = get32(&p);
	s.data_bit_rate = get32(&p);
	s.load = get16(&p);
	*ret = s;
	return 0;
}

/* ---- the message ---- */

/* Values of Known that have the bit. */
static const struct catalog_range with_errors[] = {{1, 1}, {3, 3}, {5, 5}, {7, 7}};
static const struct catalog_range with_bit_rate[] = {{2, 3}, {6, 7}};
static const struct catalog_range with_load[] = {{4, 7}};
static const struct catalog_choice up_choices[] = {{0, "down"}, {1, "up"}};

struct layout {
	const char *name;
	uint16_t start_bit, bits;
	double factor, max; /* max 0: not declared */
	const char *unit, *comment;
	const struct catalog_range *ranges; /* of Known; NULL: always there */
	size_t n_ranges;
};

enum { SIGNAL_STATE, SIGNAL_LINK_UP, SIGNAL_KNOWN };

#define COUNT(name, byte, comment)                                                                 \
	{                                                                                          \
		name, byte * 8, 32, 1, 0, "", comment, NULL, 0                                     \
	}

static const struct layout layout[] = {
	[SIGNAL_STATE] = {"State", 0, 8, 1, 0, "", "State of the controller", NULL, 0},
	[SIGNAL_LINK_UP] = {"LinkUp", 8, 1, 1, 0, "", "Whether the interface is up", NULL, 0},
	[SIGNAL_KNOWN] = {"Known", 9, 3, 1, 7, "",
			  "1: error counters, 2: bit rates, 4: bus load are there", NULL, 0},
	COUNT("FramesReceived", 2, "Frames that passed the kernel's filters"),
	COUNT("FramesBad", 6, "Of these: refused, they contradict themselves"),
	COUNT("FramesLost", 10, "Lost in the socket: its buffer was full"),
	COUNT("ErrorFrames", 14, "Error frames of the controller"),
	COUNT("BusErrors", 18, "Protocol violations: bit, stuff, form, CRC"),
	COUNT("AckErrors", 22, "A frame was sent and nobody acknowledged it"),
	COUNT("ArbitrationLost", 26, "Times that another frame went first"),
	COUNT("ControllerOverflows", 30, "Frames lost in the controller or its driver"),
	COUNT("TxTimeouts", 34, "Frames that were not sent in time"),
	COUNT("BusOffs", 38, "Times that the controller went bus-off"),
	COUNT("Restarts", 42, "Times that it was started again after bus-off"),
	COUNT("LinkDowns", 46, "Times that the interface went down or away"),
	{"TxErrors", 400, 16, 1, 0, "", "Transmit error counter (ISO 11898-1)", with_errors,
	 array_len(with_errors)},
	{"RxErrors", 416, 16, 1, 0, "", "Receive error counter (ISO 11898-1)", with_errors,
	 array_len(with_errors)},
	{"BitRate", 432, 32, 1, 0, "bit/s", "Nominal bit rate", with_bit_rate,
	 array_len(with_bit_rate)},
	{"DataBitRate", 464, 32, 1, 0, "bit/s", "Bit rate of CAN FD's data phase; 0: no CAN FD",
	 with_bit_rate, array_len(with_bit_rate)},
	{"BusLoad", 496, 16, 0.1, 100, "%",
	 "Share of time that frames took, without stuff bits and error frames", with_load,
	 array_len(with_load)},
};

struct builder {
	struct catalog_message *messages;
	struct catalog_signal *signals;
	char (*names)[NAME_BYTES]; /* one a bus */
	struct catalog_choice states[BUS_STATES];
	size_t n_messages, n_signals;
};

static void builder_free(struct builder *b)
{
	free(b->messages);
	free(b->signals);
	free(b->names);
}

static void add_signal(struct builder *b, size_t i)
{
	const struct layout *l = &layout[i];
	struct catalog_signal *s = &b->signals[b->n_signals++];
	size_t first = b->n_signals - 1 - i;

	*s = (struct catalog_signal){
		.name = l->name,
		.message = (uint32_t)b->n_messages,
		.start_bit = l->start_bit,
		.bits = l->bits,
		.factor = l->factor,
		.max = l->max,
		.unit = l->unit,
		.comment = l->comment,
		.is_mux = i == SIGNAL_KNOWN,
		.mux = l->ranges ? (uint32_t)(first + SIGNAL_KNOWN) : CATALOG_NONE,
		.mux_ranges = l->ranges,
		.n_mux_ranges = l->n_ranges,
	};
	if (i == SIGNAL_STATE) {
		s->choices = b->states;
		s->n_choices = BUS_STATES;
	} else if (i == SIGNAL_LINK_UP) {
		s->choices = up_choices;
		s->n_choices = array_len(up_choices);
	}
}

static bool has_name(const struct catalog *cat, uint16_t bus, const char *name)
{
	for (size_t i = 0; i < cat->n_messages; i++)
		if (cat->messages[i].bus == bus && strcmp(cat->messages[i].name, name) == 0)
			return true;
	return false;
}

static int find_name(const struct catalog *cat, uint16_t bus, char out[static NAME_BYTES])
{
	(void)snprintf(out, NAME_BYTES, "%s", BUS_STATUS_NAME);
	for (int i = 2; i < NAME_TRIES; i++) {
		if (!has_name(cat, bus, out))
			return 0;
		(void)snprintf(out, NAME_BYTES, "%s_%d", BUS_STATUS_NAME, i);
	}
	return -EEXIST;
}

static int add_message(struct builder *b, const struct catalog *from, uint16_t bus,
		       struct error *err)
{
	struct catalog_message *m = &b->messages[b->n_messages];

	if (bus_status_find(from, bus) != CATALOG_NONE || find_name(from, bus, b->names[bus]) < 0) {
		error_set(err, "bus %s has a message of its status already", from->buses[bus]);
		return -EEXIST;
	}
	*m = (struct catalog_message){
		.name = b->names[bus],
		.comment = "What the agent says about the bus; no frame carries it",
		.bus = bus,
		.status = true,
		.bytes = BUS_STATUS_BYTES,
		.first_signal = (uint32_t)b->n_signals,
		.n_signals = array_len(layout),
	};
	for (size_t i = 0; i < array_len(layout); i++)
		add_signal(b, i);
	b->n_messages++;
	return 0;
}

static int start(struct builder *b, const struct catalog *from)
{
	b->messages = calloc(from->n_messages + from->n_buses + 1, sizeof(*b->messages));
	b->signals = calloc(from->n_signals + from->n_buses * array_len(layout) + 1,
			    sizeof(*b->signals));
	b->names = calloc(from->n_buses + 1, sizeof(*b->names));
	if (!b->messages || !b->signals || !b->names)
		return -ENOMEM;
	if (from->n_messages > 0)
		memcpy(b->messages, from->messages, from->n_messages * sizeof(*b->messages));
	if (from->n_signals > 0)
		memcpy(b->signals, from->signals, from->n_signals * sizeof(*b->signals));
	b->n_messages = from->n_messages;
	b->n_signals = from->n_signals;
	for (int i = 0; i < BUS_STATES; i++)
		b->states[i] = (struct catalog_choice){i, states[i]};
	return 0;
}

int bus_status_add(struct catalog **ret, const struct catalog *from, struct error *err)
{
	struct builder b cleanup(builder_free) = {0};
	int r = start(&b, from);

	for (size_t i = 0; r == 0 && i < from->n_buses; i++)
		r = add_message(&b, from, (uint16_t)i, err);
	if (r < 0) {
		if (r == -ENOMEM)
			error_set(err, "out of memory");
		return r;
	}
	return catalog_build(ret,
			     &(struct catalog){.buses = from->buses,
					       .n_buses = from->n_buses,
					       .messages = b.messages,
					       .n_messages = b.n_messages,
					       .signals = b.signals,
					       .n_signals = b.n_signals},
			     err);
}

uint32_t bus_status_find(const struct catalog *cat, uint16_t bus)
{
	for (uint32_t i = 0; i < cat->n_messages; i++)
		if (cat->messages[i].status && cat->messages[i].bus == bus)
			return i;
	return CATALOG_NONE;
}
