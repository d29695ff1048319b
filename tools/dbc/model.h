/* tools/dbc/model.h: what a DBC file says, between parsing and the catalog. */
#pragma once

#include "tools/dbc/memory.h"
#include "tools/dbc/report.h"

/* A message's identifier as the file writes it, repaired: 11 or 29 bits, and bit 31 for 29. */
enum { DBC_NO_KEY = UINT32_MAX };
#define DBC_EXTENDED 0x80000000u

struct dbc_signal {
	const char *ident; /* as the file's other statements call it */
	const char *name;  /* for the catalog: repaired, long, unique in the message */
	unsigned line;
	uint32_t message;
	uint32_t start_bit;
	uint32_t bits;
	bool big_endian;
	bool skipped; /* said so; kept so that what refers to it is not reported again */
	enum signal_kind kind;
	double factor, offset, min, max;
	const char *unit, *comment; /* comment: NULL until there is one */
	bool marked_mux;	    /* M */
	bool marked_muxed;	    /* m<mux_value> */
	uint64_t mux_value;
	bool is_mux;
	uint32_t mux; /* index into signals, or CATALOG_NONE */
	struct catalog_range *ranges;
	size_t n_ranges;
	const struct catalog_choice *choices; /* NULL until there are some */
	size_t n_choices;
};

struct dbc_message {
	const char *ident, *name;
	const char *comment; /* NULL until there is one */
	unsigned line;
	uint32_t key;
	uint32_t bytes;
	bool j1939;
	bool format_given; /* VFrameFormat of this message, not the default */
	uint32_t first_signal, n_signals;
};

enum dbc_note_kind {
	NOTE_COMMENT,
	NOTE_CHOICES,
	NOTE_TABLE,	/* choices by name of a VAL_TABLE_ */
	NOTE_VALTYPE,	/* number: 0 integer, 1 float, 2 double */
	NOTE_MUX,	/* text: the multiplexor's name */
	NOTE_ATTRIBUTE, /* attr; text or number */
};

/* A statement about a message or signal, applied when all messages are known: files do not always
 * keep the order of the format. */
struct dbc_note {
	enum dbc_note_kind kind;
	unsigned line;
	uint32_t key;	    /* DBC_NO_KEY: about the file */
	const char *signal; /* NULL: about the message */
	const char *attr;
	const char *text;
	double number;
	struct catalog_choice *choices;
	struct catalog_range *ranges;
	size_t n; /* of choices or ranges */
};

struct dbc_table {
	const char *name;
	struct catalog_choice *choices;
	size_t n;
};

struct dbc {
	const char *file;
	struct dbc_arena arena;
	struct dbc_message *messages;
	size_t n_messages, cap_messages;
	struct dbc_signal *signals; /* those of a message are consecutive */
	size_t n_signals, cap_signals;
	struct dbc_note *notes;
	size_t n_notes, cap_notes;
	struct dbc_table *tables;
	size_t n_tables, cap_tables;
	const char **frame_formats; /* names of the values of VFrameFormat; NULL: as Vector's */
	size_t n_frame_formats;
	const char *frame_format_default; /* NULL: none */
	bool j1939_protocol;		  /* ProtocolType is J1939 */
	struct dbc_map by_key;
	struct dbc_map by_signal;
	struct dbc_map by_table;
};

uint64_t dbc_key_hash(uint32_t key);
/* Index, or CATALOG_NONE. */
uint32_t dbc_find_message(const struct dbc *d, uint32_t key);
uint32_t dbc_find_signal(const struct dbc *d, uint32_t message, const char *ident);
const struct dbc_table *dbc_find_table(const struct dbc *d, const char *name);
/* Name of a value of VFrameFormat; "" for one that is unknown. */
const char *dbc_frame_format(const struct dbc *d, double number);
/* "0x1A0", or "0x18FEF1FE" with all digits for 29 bits, for diagnostics. */
struct dbc_id_text {
	char s[16];
};
struct dbc_id_text dbc_id_text(uint32_t key);

/* Sorts and joins in place; returns how many are left. */
size_t dbc_sort_ranges(struct catalog_range *r, size_t n);

/* After parsing, in this order. */
void dbc_apply_notes(struct dbc *d, const struct dbc_report *r);
void dbc_fit_messages(struct dbc *d, const struct dbc_report *r);
int dbc_resolve_muxes(struct dbc *d, const struct dbc_report *r) must_check; /* 0 or -ENOMEM */
int dbc_unique_names(struct dbc *d, const struct dbc_report *r) must_check;  /* 0 or -ENOMEM */
