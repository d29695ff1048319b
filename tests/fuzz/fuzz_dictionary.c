/* Any bytes as a dictionary: refused, or one with which batches are written and read back. With the
 * first byte's bit 0, what follows is put behind the head of one, so that the fuzzer need not find
 * the catalog's id. FUZZ_DICTIONARY_SEED=FILE writes a valid one. */
#include "proto/batch.h"

#include <stdio.h>
#include <string.h>

enum { MESSAGES = 3, EACH = 3, SIGNALS = MESSAGES * EACH };

static struct catalog *cat;

static void make_catalog(void)
{
	static const char *const BUSES[] = {"can0"};
	static const char *const NAMES[] = {"a", "b", "c"};
	static const uint16_t WIDTHS[] = {1, 8, 16, 64, 12};
	struct catalog_message messages[MESSAGES] = {0};
	struct catalog_signal signals[SIGNALS] = {0};
	struct catalog from = {.buses = BUSES,
			       .n_buses = 1,
			       .messages = messages,
			       .n_messages = MESSAGES,
			       .signals = signals,
			       .n_signals = SIGNALS};

	for (uint32_t i = 0; i < SIGNALS; i++) {
		messages[i / EACH] = (struct catalog_message){.name = NAMES[i / EACH],
							      .bytes = 64,
							      .first_signal = i / EACH * EACH,
							      .n_signals = EACH};
		signals[i] = (struct catalog_signal){.name = NAMES[i % EACH],
						     .message = i / EACH,
						     .bits = WIDTHS[i % 5],
						     .factor = 1,
						     .mux = CATALOG_NONE};
	}
	if (catalog_build(&cat, &from, NULL) < 0)
		abort();
}

static uint64_t raw_of(uint32_t signal, uint32_t row)
{
	uint64_t v = signal * 1000003u + row * (signal % 2 ? 1 : 77777777u);
	unsigned int bits = cat->signals[signal].bits;

	return bits < 64 ? v & ((1ull << bits) - 1) : v;
}

static void fill(struct batch_builder *b)
{
	for (uint32_t row = 0; row < 40; row++) {
		uint32_t m = row % MESSAGES;
		struct sample s[EACH];
		size_t n = 0;

		for (uint32_t k = m * EACH; k < (m + 1) * EACH; k++)
			if ((row + k) % 7)
				s[n++] = (struct sample){k, raw_of(k, row)};
		if (batch_builder_add(b, m, row * 10000000ll, s, n) != 0)
			abort();
	}
}

struct check {
	size_t n;
};

static int check_column(void *ctx, const struct batch_column *col)
{
	struct check *c = ctx;

	for (size_t i = 0; i < col->n; i++)
		if (col->raw[i] !=
		    raw_of(col->signal, (uint32_t)((col->wall_ns[i] - col->wall_ns[0]) / 10000000) +
						(uint32_t)(col->wall_ns[0] / 10000000)))
			abort();
	c->n += col->n;
	return 0;
}

/* What is written with it is read with it. */
static void write_and_read(const struct dictionary *d)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = {.catalog_id = cat->id};
	struct batch_builder *b;
	struct check c = {0};
	struct batch *back;
	struct error err;
	uint32_t encoding;

	if (batch_builder_new(&b, cat, 256, 1000000) < 0 || batch_builder_use(b, d) < 0)
		abort();
	fill(b);
	if (batch_builder_encode(b, &h, &body, &encoding) < 0)
		abort();
	if (batch_read(&back, &(struct envelope){.seq = 1, .body = body.data, .body_len = body.len},
		       &err) < 0)
		abort();
	batch_use(back, d);
	if (batch_columns(back, cat, CATALOG_NONE, check_column, &c, &err) < 0 ||
	    c.n != batch_builder_count(b))
		abort();
	batch_free(back);
	batch_builder_free(b);
}

static void load(const uint8_t *data, size_t size)
{
	struct dictionary *d, *again;
	struct error err;

	if (dictionary_load(&d, cat, data, size, &err) < 0)
		return;
	write_and_read(d);
	if (dictionary_build(&again, cat, d, &err) < 0)
		abort();
	dictionary_free(again);
	dictionary_free(d);
}

static void write_seed(const char *path)
{
	struct dictionary_message messages[2] = {
		{.message = 0, .leader = CATALOG_NONE, .rows = 13, .times = {.period = 30}},
		{.message = 2,
		 .first_entry = EACH,
		 .leader = 0,
		 .rows = 13,
		 .times = {.period = 30}}};
	struct column_prior signals[2 * EACH] = {{.used = 3, .kind = 2, .slot = 1},
						 {.used = 2, .ref = 1, .slope = 65536, .slot = 2},
						 {.used = 1},
						 {.used = 3, .ref = 2, .slope = -5, .base_ref = 9},
						 {.used = 3, .base = 1000},
						 {.used = 3, .kind = 3}};
	static struct dictionary from;
	struct dictionary *d;
	FILE *f = fopen(path, "wb");

	from = (struct dictionary){.messages = messages, .n_messages = 2, .signals = signals};
	section_models_init(&from.models);
	from.models.led = (struct bit){.p = 60000, .seen = 9};
	if (dictionary_build(&d, cat, &from, NULL) < 0 || !f || fputc(0, f) != 0 ||
	    fwrite(d->bytes, 1, d->len, f) != d->len || fclose(f) != 0)
		abort();
	dictionary_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *seed = getenv("FUZZ_DICTIONARY_SEED");
	struct buf whole cleanup(buf_free) = BUF_INIT(1 << 20);

	if (!cat) {
		make_catalog();
		if (seed)
			write_seed(seed);
	}
	if (size < 1)
		return 0;
	if (data[0] & 1) {
		buf_put_varint(&whole, DICTIONARY_FORMAT);
		buf_put_fixed64(&whole, cat->id);
	}
	buf_put(&whole, data + 1, size - 1);
	if (!whole.failed)
		load(whole.data, whole.len);
	return 0;
}
