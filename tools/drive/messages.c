/* tools/drive/messages.c: the tables as a DBC file, and as a list. */
#include "tools/drive/messages.h"

#include <inttypes.h>
#include <string.h>

enum { NODES_MAX = 32 };

static const struct drive_bus *const buses[DRIVE_BUSES] = {&drive_can0, &drive_can1};

const struct drive_bus *drive_bus(size_t i)
{
	assert(i < DRIVE_BUSES);
	return buses[i];
}

const struct drive_bus *drive_bus_named(const char *name)
{
	for (size_t i = 0; i < DRIVE_BUSES; i++)
		if (strcmp(buses[i]->name, name) == 0)
			return buses[i];
	return NULL;
}

/* A DBC marks 29-bit identifiers by bit 31. */
static uint32_t dbc_id(const struct drive_message *m)
{
	return m->id | (m->flags & MSG_EXTENDED ? UINT32_C(0x80000000) : 0);
}

static bool is_listed(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

static void print_nodes(const struct drive_bus *b, FILE *out)
{
	const char *seen[NODES_MAX];
	size_t n = 0;
	fputs("BU_:", out);
	for (size_t i = 0; i < b->n_messages && n < NODES_MAX; i++) {
		const char *node = b->messages[i].node;
		if (is_listed(seen, n, node))
			continue;
		seen[n++] = node;
		fprintf(out, " %s", node);
	}
	fputs("\n\n", out);
}

static void print_signal(const struct drive_signal *s, FILE *out)
{
	double lo = 0, hi = 0;
	if (!(s->flags & SIG_FLOAT)) {
		lo = (double)drive_raw_min(s) * s->factor + s->offset;
		hi = (double)drive_raw_max(s) * s->factor + s->offset;
	}
	char mux[16] = "";
	if (s->flags & SIG_MUX)
		snprintf(mux, sizeof(mux), "M ");
	else if (s->group != SIG_ALWAYS)
		snprintf(mux, sizeof(mux), "m%d ", s->group);
	bool is_signed = s->flags & (SIG_SIGNED | SIG_FLOAT);
	fprintf(out, " SG_ %s %s: %u|%u@%c%c (%.10g,%.10g) [%.10g|%.10g] \"%s\" Vector__XXX\n",
		s->name, mux, s->start, s->bits, s->flags & SIG_BIG_ENDIAN ? '0' : '1',
		is_signed ? '-' : '+', s->factor, s->offset, lo, hi, s->unit);
}

static void print_messages(const struct drive_bus *b, FILE *out)
{
	for (size_t i = 0; i < b->n_messages; i++) {
		const struct drive_message *m = &b->messages[i];
		fprintf(out, "BO_ %" PRIu32 " %s: %u %s\n", dbc_id(m), m->name, m->bytes, m->node);
		for (size_t k = 0; k < m->n_signals; k++)
			print_signal(&m->signals[k], out);
		fputc('\n', out);
	}
}

static void print_attributes(const struct drive_bus *b, FILE *out)
{
	fprintf(out, "CM_ \"%s\";\n", b->comment);
	for (size_t i = 0; i < b->n_messages; i++)
		fprintf(out, "CM_ BO_ %" PRIu32 " \"%s\";\n", dbc_id(&b->messages[i]),
			b->messages[i].comment);
	fputs("BA_DEF_ \"BusType\" STRING ;\n"
	      "BA_DEF_ BO_ \"GenMsgCycleTime\" INT 0 65535;\n"
	      "BA_DEF_ BO_ \"VFrameFormat\" ENUM \"StandardCAN\",\"ExtendedCAN\",\"reserved\","
	      "\"J1939PG\",\"reserved\",\"reserved\",\"reserved\",\"reserved\",\"reserved\","
	      "\"reserved\",\"reserved\",\"reserved\",\"reserved\",\"reserved\","
	      "\"StandardCAN_FD\",\"ExtendedCAN_FD\";\n"
	      "BA_DEF_DEF_ \"BusType\" \"CAN\";\n"
	      "BA_DEF_DEF_ \"GenMsgCycleTime\" 0;\n"
	      "BA_DEF_DEF_ \"VFrameFormat\" \"StandardCAN\";\n"
	      "BA_ \"BusType\" \"CAN FD\";\n",
	      out);
	for (size_t i = 0; i < b->n_messages; i++) {
		const struct drive_message *m = &b->messages[i];
		int format = (m->flags & MSG_EXTENDED ? 1 : 0) + (m->flags & MSG_FD ? 14 : 0);
		fprintf(out, "BA_ \"GenMsgCycleTime\" BO_ %" PRIu32 " %u;\n", dbc_id(m),
			m->period_ms);
		if (format)
			fprintf(out, "BA_ \"VFrameFormat\" BO_ %" PRIu32 " %d;\n", dbc_id(m),
				format);
	}
}

static void print_values(const struct drive_message *m, const struct drive_signal *s, FILE *out)
{
	if (s->flags & SIG_FLOAT)
		fprintf(out, "SIG_VALTYPE_ %" PRIu32 " %s : 1;\n", dbc_id(m), s->name);
	if (!s->choices)
		return;
	fprintf(out, "VAL_ %" PRIu32 " %s", dbc_id(m), s->name);
	for (const struct drive_choice *v = s->choices; v->text; v++)
		fprintf(out, " %d \"%s\"", v->raw, v->text);
	fputs(" ;\n", out);
}

void drive_print_dbc(const struct drive_bus *b, FILE *out)
{
	fputs("VERSION \"1\"\n\nNS_ :\n\nBS_:\n\n", out);
	print_nodes(b, out);
	print_messages(b, out);
	print_attributes(b, out);
	for (size_t i = 0; i < b->n_messages; i++)
		for (size_t k = 0; k < b->messages[i].n_signals; k++)
			print_values(&b->messages[i], &b->messages[i].signals[k], out);
}

void drive_print_list(FILE *out)
{
	size_t signals = 0;
	double rate = 0;
	fprintf(out, "%-5s %-9s %6s %5s %7s  %s\n", "bus", "id", "ms", "bytes", "signals", "name");
	for (size_t i = 0; i < DRIVE_BUSES; i++) {
		for (size_t k = 0; k < buses[i]->n_messages; k++) {
			const struct drive_message *m = &buses[i]->messages[k];
			char id[16];
			snprintf(id, sizeof(id), "%0*" PRIX32, m->flags & MSG_EXTENDED ? 8 : 3,
				 m->id);
			fprintf(out, "%-5s %-9s %6u %5u %7zu  %s\n", buses[i]->name, id,
				m->period_ms, m->bytes, m->n_signals, m->name);
			signals += m->n_signals;
			rate += 1000.0 / m->period_ms;
		}
	}
	fprintf(out, "%zu signals, %.0f frames/s and those on change\n", signals, rate);
}
