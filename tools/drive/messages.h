/* tools/drive/messages.h: the messages of the simulated car, and where their values come from.
 *
 * These tables are the only place that says how a signal lies in a frame: the encoder packs by
 * them, and drive_can0.dbc, drive_can1.dbc are printed from them (towline-drive --print-dbc). */
#pragma once

#include "base/base.h"

#include <stdio.h>

enum {
	SIG_SIGNED = 1,
	SIG_BIG_ENDIAN = 2,
	SIG_FLOAT = 4,	  /* IEEE 754 single */
	SIG_MUX = 8,	  /* counts the groups of the message */
	SIG_COUNTER = 16, /* goes up by one each time, rolls over */
	SIG_CRC = 32,	  /* see encode.h */
};

enum {
	MSG_EXTENDED = 1,
	MSG_FD = 2,
	MSG_ON_CHANGE = 4, /* is also sent, within 50 ms, when its payload changes */
};

enum { DRIVE_BUSES = 2, SIG_ALWAYS = -1 };

struct drive_choice {
	int raw;
	const char *text; /* NULL ends the list */
};

struct drive_signal {
	const char *name;
	uint16_t start; /* as in a DBC: least significant bit, for big endian the most */
	uint8_t bits;	/* 1 to 32 */
	uint8_t flags;
	int8_t group; /* value of the multiplexor with which it is present, or SIG_ALWAYS */
	double factor, offset;
	const char *unit;
	size_t field; /* of a double in struct car */
	const struct drive_choice *choices;
};

struct drive_message {
	const char *name, *node;
	const char *comment;
	uint32_t id;
	uint16_t period_ms;
	uint8_t flags;
	uint8_t bytes;
	uint8_t groups; /* of a multiplexed message, sent in turn; 0: not multiplexed */
	const struct drive_signal *signals;
	size_t n_signals;
};

struct drive_bus {
	const char *name;
	const struct drive_message *messages;
	size_t n_messages;
	int64_t bit_ns; /* nominal bit time: 2 us at 500 kbit/s */
	const char *comment;
};

extern const struct drive_bus drive_can0, drive_can1;

/* 0: can0, 1: can1. */
const struct drive_bus *drive_bus(size_t i);
/* NULL: no bus of that name. */
const struct drive_bus *drive_bus_named(const char *name);
/* Smallest and largest raw value. Not for floats. */
int64_t drive_raw_min(const struct drive_signal *s);
int64_t drive_raw_max(const struct drive_signal *s);

/* Writes the bus as a DBC file. The caller looks for errors of the stream. */
void drive_print_dbc(const struct drive_bus *bus, FILE *out);
/* A table of messages for a person. */
void drive_print_list(FILE *out);
