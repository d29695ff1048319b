/* proto/catalog.h: what the raw integers of a batch mean: buses, messages, signals.
 *
 * Immutable, compiled from DBC files, serialised as catalog.proto, named by the SHA-256 of those
 * bytes. A signal's number is its place in catalog->signals: batches carry these numbers, so
 * vehicle and relay must hold the same catalog, and a batch says which (catalog id: the first 8
 * bytes of the SHA-256, as a little-endian integer). */
#pragma once

#include "base/bytes.h"

enum { CATALOG_NONE = UINT32_MAX };

enum signal_kind {
	SIGNAL_UNSIGNED, /* raw: zero-extended to 64 bits */
	SIGNAL_SIGNED,	 /* raw: two's complement, sign-extended to 64 bits */
	SIGNAL_FLOAT32,	 /* raw: IEEE 754 bits in the low half */
	SIGNAL_FLOAT64,	 /* raw: IEEE 754 bits */
};

struct catalog_range {
	uint64_t from, to; /* inclusive; raw values of the multiplexor */
};

struct catalog_choice {
	int64_t raw;
	const char *text;
};

struct catalog_signal {
	const char *name;
	uint32_t message;   /* index into catalog->messages */
	uint16_t start_bit; /* DBC numbering: LSB for little endian, MSB for big endian */
	uint16_t bits;	    /* 1 to 64 */
	bool big_endian;
	enum signal_kind kind;
	double factor, offset; /* value = raw * factor + offset */
	double min, max;       /* as declared; both 0: not declared */
	const char *unit;      /* "" where none */
	const char *comment;   /* "" where none */
	bool is_mux;	       /* other signals of the message depend on this one */
	uint32_t mux;	       /* signal number of the multiplexor that decides, or CATALOG_NONE */
	const struct catalog_range
		*mux_ranges; /* present while the multiplexor is in one of them */
	size_t n_mux_ranges;
	const struct catalog_choice *choices; /* sorted by raw */
	size_t n_choices;
};

struct catalog_message {
	const char *name;
	const char *comment;
	uint16_t bus;	/* index into catalog->buses */
	uint32_t id;	/* 11 or 29 bits, without flags */
	bool extended;	/* 29-bit identifier */
	bool j1939;	/* matches any frame of its PGN (SAE J1939-21), whatever priority and SA */
	bool status;	/* told by the agent about the bus (proto/bus_status.h); id is 0 */
	uint16_t bytes; /* as declared; above 64 (8 on classic CAN): an ISO-TP payload */
	uint32_t first_signal, n_signals; /* signals of a message are consecutive */
};

struct catalog {
	const char *const *buses; /* "can0" */
	size_t n_buses;
	const struct catalog_message *messages;
	size_t n_messages;
	const struct catalog_signal *signals;
	size_t n_signals;
	uint8_t sha256[32];
	uint64_t id;
	const uint8_t *bytes; /* the serialised form that sha256 names */
	size_t len;
};

enum {
	CATALOG_BYTES_MAX = 16 << 20,
	CATALOG_SIGNALS_MAX = 1 << 20,
	CATALOG_MESSAGE_SIGNALS_MAX = UINT16_MAX,
	CATALOG_MESSAGE_BYTES_MAX = 4095, /* ISO 15765-2 without escape sequence */
};

/* Parses and checks everything: indices, bit positions inside the message, no circles among
 * multiplexors (nested at most 16 deep), UTF-8, finite factors, choices ascending; names without
 * dots, blanks and controls, and each bus.message.signal only once. Returns 0; -EBADMSG with err
 * naming the field; -ENOMEM. */
int catalog_load(struct catalog **ret, const void *bytes, size_t len, struct error *err) must_check;
int catalog_load_file(struct catalog **ret, const char *path, struct error *err) must_check;
struct catalog *catalog_free(struct catalog *c); /* NULL is fine; always returns NULL */

/* Serialises what the caller describes (sha256, id, bytes, len of `from` are ignored) and loads the
 * result, so that what is built obeys what is loaded. */
int catalog_build(struct catalog **ret, const struct catalog *from, struct error *err) must_check;

/* Number of "bus.message.signal", or of "message.signal" where only one bus has it.
 * Returns 0; -ENOENT; -EEXIST where it is ambiguous. */
int catalog_find(const struct catalog *c, const char *path, uint32_t *ret) must_check;
/* Writes "bus.message.signal"; returns the length it needs, like snprintf. */
size_t catalog_path(const struct catalog *c, uint32_t signal, char *out, size_t size);

/* raw * factor + offset, by kind. */
double catalog_value(const struct catalog_signal *s, uint64_t raw);
/* The choice of that raw value, or NULL. */
const char *catalog_choice(const struct catalog_signal *s, uint64_t raw);
