#include "tests/bench/common.h"
#include "tools/dbc/dbc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 16 };

void bench_frames_add(struct bench_frames *f, const struct frame *frame)
{
	if (f->n == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 4096;
		f->frames = bench_must(reallocarray(f->frames, f->cap, sizeof(*f->frames)));
	}
	f->frames[f->n++] = *frame;
}

void bench_frames_free(struct bench_frames *f)
{
	free(f->frames);
	*f = (struct bench_frames){0};
}

struct catalog *bench_log_catalog(const struct bench_log *log)
{
	struct error err = {0};
	struct catalog *cat;

	if (dbc_load_catalog(&cat, log->dbcs, log->n_dbcs, NULL, NULL, &err) < 0)
		bench_die("%s: %s", log->name, err.text);
	return cat;
}

uint16_t bench_bus(const struct catalog *cat, const char *name)
{
	for (size_t i = 0; i < cat->n_buses; i++)
		if (strcmp(cat->buses[i], name) == 0)
			return (uint16_t)i;
	return FRAME_BUS_NONE;
}

void bench_log_read(const struct bench_log *log, const struct catalog *cat,
		    bool (*each)(void *ctx, const struct candump_line *line), void *ctx)
{
	struct candump_line line = {0};
	struct candump_reader *r = NULL;
	struct error err = {0};
	int got;

	if (candump_open(&r, log->path, &err) < 0)
		bench_die("%s: %s", log->name, err.text);
	while ((got = candump_next(r, &line, &err)) != 0) {
		if (got == -EINVAL)
			continue;
		if (got < 0)
			bench_die("%s: %s", log->name, err.text);
		line.frame.bus = bench_bus(cat, line.bus);
		if (!each(ctx, &line))
			break;
	}
	candump_close(r);
}

uint64_t bench_rnd(void)
{
	static uint64_t state = 0x2545F4914F6CDD1D;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

struct catalog *bench_catalog(const struct bench_shape *shape)
{
	static const char *const buses[] = {"can0"};
	uint32_t n = shape->messages * shape->signals;
	struct catalog_message *messages = bench_must(calloc(shape->messages, sizeof(*messages)));
	struct catalog_signal *signals = bench_must(calloc(n, sizeof(*signals)));
	char(*names)[NAME_BYTES] = bench_must(calloc(n, sizeof(*names)));
	struct catalog from = {.buses = buses,
			       .n_buses = 1,
			       .messages = messages,
			       .n_messages = shape->messages,
			       .signals = signals,
			       .n_signals = n};
	struct error err = {0};
	struct catalog *cat;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t m = i / shape->signals, place = i % shape->signals;

		snprintf(names[i], NAME_BYTES, "s%u", i);
		signals[i] = (struct catalog_signal){.name = names[i],
						     .message = m,
						     .start_bit = (uint16_t)(place * 16),
						     .bits = 16,
						     .factor = 1,
						     .unit = "",
						     .comment = "",
						     .mux = CATALOG_NONE};
		if (shape->change)
			shape->change(&signals[i], i);
		/* A message is named as its first signal: names are apart by kind. */
		messages[m] = (struct catalog_message){.name = names[m * shape->signals],
						       .comment = "",
						       .id = shape->id + m * shape->id_step,
						       .bytes = shape->bytes,
						       .first_signal = m * shape->signals,
						       .n_signals = shape->signals};
	}
	if (catalog_build(&cat, &from, &err) < 0)
		bench_die("synthetic catalog: %s", err.text);
	free(messages);
	free(signals);
	free(names);
	return cat;
}
