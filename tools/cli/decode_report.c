#include "tools/cli/decode_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	BAD_LINES_SHOWN = 20,
	BUSES_MAX = 64,		  /* different names of buses in a log that are told apart */
	IDS_BITS = 14,		  /* unknown identifiers are counted up to half of 2^IDS_BITS */
	PROGRESS_EVERY = 1 << 13, /* frames between looks at the clock */
};

#define PROGRESS_NS (100 * NS_PER_MS)

struct bus_seen {
	char name[CANDUMP_BUS_MAX + 1];
	uint16_t bus;
	uint64_t frames;
};

struct message_count {
	uint64_t frames, samples;
};

struct decode_report {
	const struct catalog *cat;
	const char *path;
	bool quiet, progress, drawn;
	uint64_t frames, decoded, samples, bad_lines;
	uint64_t unknown;     /* frames of buses that we know and identifiers that we don't */
	uint64_t other_buses; /* frames of buses beyond BUSES_MAX */
	struct message_count *messages;
	struct bus_seen buses[BUSES_MAX];
	size_t n_buses, last_bus;
	uint64_t ids[1 << IDS_BITS]; /* unknown (bus, id) plus 1; open addressing */
	size_t n_ids;
	int64_t started_ns, drawn_ns;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

int decode_report_new(struct decode_report **ret, const struct catalog *cat, const char *path,
		      bool quiet, bool progress)
{
	struct decode_report *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->messages = calloc(cat->n_messages + 1, sizeof(*r->messages));
	if (!r->messages) {
		free(r);
		return -ENOMEM;
	}
	r->cat = cat;
	r->path = path;
	r->quiet = quiet;
	r->progress = progress;
	r->started_ns = now_ns();
	*ret = r;
	return 0;
}

struct decode_report *decode_report_free(struct decode_report *r)
{
	if (!r)
		return NULL;
	free(r->messages);
	free(r);
	return NULL;
}

static void wipe_progress(struct decode_report *r)
{
	if (r->drawn)
		fputs("\r\033[K", stderr);
	r->drawn = false;
}

void decode_report_bad_line(struct decode_report *r, const struct error *err)
{
	r->bad_lines++;
	if (r->quiet || r->bad_lines > BAD_LINES_SHOWN)
		return;
	wipe_progress(r);
	fprintf(stderr, "%s\n", err->text);
	if (r->bad_lines == BAD_LINES_SHOWN)
		fputs("further bad lines are only counted\n", stderr);
}

static uint16_t bus_number(const struct catalog *cat, const char *name)
{
	for (size_t i = 0; i < cat->n_buses; i++)
		if (strcmp(cat->buses[i], name) == 0)
			return (uint16_t)i;
	return FRAME_BUS_NONE;
}

static struct bus_seen *find_bus(struct decode_report *r, const char *name)
{
	struct bus_seen *b;

	for (size_t i = 0; i < r->n_buses; i++) {
		if (strcmp(r->buses[i].name, name) == 0) {
			r->last_bus = i;
			return &r->buses[i];
		}
	}
	if (r->n_buses == BUSES_MAX)
		return NULL;
	r->last_bus = r->n_buses;
	b = &r->buses[r->n_buses++];
	memcpy(b->name, name, strlen(name) + 1);
	b->bus = bus_number(r->cat, name);
	return b;
}

uint16_t decode_report_bus(struct decode_report *r, const char *bus)
{
	struct bus_seen *b = &r->buses[r->last_bus];

	if (strcmp(b->name, bus) != 0)
		b = find_bus(r, bus);
	if (!b) {
		r->other_buses++;
		return bus_number(r->cat, bus);
	}
	b->frames++;
	return b->bus;
}

static void note_unknown(struct decode_report *r, const struct frame *f)
{
	uint64_t kind = f->flags & (FRAME_EXTENDED | FRAME_FD);
	uint64_t key = 1 + ((uint64_t)f->bus << 33 | kind << 30 | f->id);
	size_t mask = array_len(r->ids) - 1;
	size_t i = (size_t)(key * 0x9E3779B97F4A7C15u >> (64 - IDS_BITS));

	r->unknown++;
	while (r->ids[i] && r->ids[i] != key)
		i = (i + 1) & mask;
	if (r->ids[i] || r->n_ids >= array_len(r->ids) / 2)
		return;
	r->ids[i] = key;
	r->n_ids++;
}

void decode_report_frame(struct decode_report *r, const struct frame *f, uint32_t message,
			 size_t samples)
{
	r->frames++;
	if (message != CATALOG_NONE) {
		r->messages[message].frames++;
		r->messages[message].samples += samples;
		r->samples += samples;
		r->decoded++;
	} else if (f->bus != FRAME_BUS_NONE && !(f->flags & (FRAME_REMOTE | FRAME_ERROR))) {
		note_unknown(r, f);
	}
}

uint64_t decode_report_frames(const struct decode_report *r)
{
	return r->frames;
}

bool decode_report_no_log(const struct decode_report *r)
{
	return r->bad_lines > 0 && r->frames == 0;
}

void decode_report_progress(struct decode_report *r, const struct candump_reader *log)
{
	uint64_t read, size;
	int64_t now;
	double rate;

	if (!r->progress || r->frames % PROGRESS_EVERY != 0)
		return;
	now = now_ns();
	if (now - r->drawn_ns < PROGRESS_NS)
		return;
	r->drawn_ns = now;
	r->drawn = true;
	candump_progress(log, &read, &size);
	rate = (double)r->frames / ((double)(now - r->started_ns + 1) / 1e9);
	fputs("\r\033[K", stderr);
	if (size > 0)
		fprintf(stderr, "%3.0f %%  ", 100.0 * (double)read / (double)size);
	fprintf(stderr, "%" PRIu64 " frames, %.0f frames/s", r->frames, rate);
}

static void print_unknown(const struct decode_report *r)
{
	if (r->bad_lines)
		fprintf(stderr, "skipped %" PRIu64 " bad line%s\n", r->bad_lines,
			r->bad_lines == 1 ? "" : "s");
	for (size_t i = 0; i < r->n_buses; i++)
		if (r->buses[i].bus == FRAME_BUS_NONE)
			fprintf(stderr, "bus %s: not in the catalog, %" PRIu64 " frames\n",
				r->buses[i].name, r->buses[i].frames);
	if (r->other_buses)
		fprintf(stderr, "further buses: %" PRIu64 " frames\n", r->other_buses);
	if (r->unknown)
		fprintf(stderr, "not in the catalog: %" PRIu64 " frames of %zu%s identifiers\n",
			r->unknown, r->n_ids, r->n_ids >= array_len(r->ids) / 2 ? " or more" : "");
}

static void print_isotp(const struct isotp_counters *c)
{
	uint64_t failures =
		c->timeouts + c->sequence + c->interrupted + c->too_long + c->stray + c->malformed;

	if (!c->payloads && !failures)
		return;
	fprintf(stderr, "ISO-TP: %" PRIu64 " payloads", c->payloads);
	if (failures)
		fprintf(stderr,
			"; timeouts %" PRIu64 ", sequence errors %" PRIu64 ", interrupted %" PRIu64
			", too long %" PRIu64 ", stray frames %" PRIu64 ", malformed %" PRIu64,
			c->timeouts, c->sequence, c->interrupted, c->too_long, c->stray,
			c->malformed);
	fputc('\n', stderr);
}

static void print_messages(const struct decode_report *r)
{
	fprintf(stderr, "%-8s %8s %-32s %10s %12s\n", "bus", "id", "message", "frames", "samples");
	for (size_t i = 0; i < r->cat->n_messages; i++) {
		const struct catalog_message *m = &r->cat->messages[i];
		const struct message_count *c = &r->messages[i];

		if (c->frames)
			fprintf(stderr, "%-8s %*s%0*" PRIX32 " %-32s %10" PRIu64 " %12" PRIu64 "\n",
				r->cat->buses[m->bus], m->extended ? 0 : 5, "", m->extended ? 8 : 3,
				m->id, m->name, c->frames, c->samples);
	}
}

static void print_j1939(const struct j1939tp_counters *c)
{
	if (!c || (!c->payloads && !j1939tp_errors(c)))
		return;
	fprintf(stderr, "J1939 transport: %" PRIu64 " payloads", c->payloads);
	if (j1939tp_errors(c))
		fprintf(stderr,
			"; timeouts %" PRIu64 ", sequence errors %" PRIu64 ", incomplete %" PRIu64
			", interrupted %" PRIu64 ", aborted %" PRIu64 ", too many %" PRIu64
			", malformed %" PRIu64,
			c->timeouts, c->sequence, c->incomplete, c->interrupted, c->aborted,
			c->evicted, c->malformed);
	fprintf(stderr, "\n");
}

void decode_report_end(struct decode_report *r, const struct decoder *d, bool per_message)
{
	wipe_progress(r);
	if (per_message)
		print_messages(r);
	if (r->quiet)
		return;
	print_unknown(r);
	print_isotp(decoder_isotp(d));
	print_j1939(decoder_j1939(d));
	fprintf(stderr, "%s: %" PRIu64 " frames, %" PRIu64 " in the catalog, %" PRIu64 " samples\n",
		r->path, r->frames, r->decoded, r->samples);
}
