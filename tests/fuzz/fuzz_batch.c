/* Any bytes as an envelope; or, when the first byte is odd, as the section of a batch whose header
 * is right, so that the fuzzer need not find a catalog's id to reach the columns: of format 0, or,
 * with bit 1, of format 1, or, with bit 2, of that with a dictionary. With no bytes at
 * all the corpus can be seeded: FUZZ_BATCH_SEED=FILE writes a valid envelope (see README.md). */
#include "proto/batch.h"
#include "proto/batch.pb-c.h"

#include <stdio.h>
#include <string.h>

enum { MESSAGES = 3, EACH = 4 };

enum { SECTION = 1, FORMAT_1 = 2, DICTIONARY = 4 };

static struct catalog *cat;
static struct dictionary *dict;

static void make_catalog(void)
{
	static const char *const BUSES[] = {"can0"};
	static const uint16_t WIDTHS[] = {1, 8, 12, 64, 16, 2, 33, 32};
	static const char *const NAMES[] = {"a", "b", "c", "d"};
	struct catalog_message messages[MESSAGES] = {0};
	struct catalog_signal signals[MESSAGES * EACH] = {0};
	struct catalog from = {.buses = BUSES,
			       .n_buses = 1,
			       .messages = messages,
			       .n_messages = MESSAGES,
			       .signals = signals,
			       .n_signals = MESSAGES * EACH};

	for (uint32_t i = 0; i < MESSAGES * EACH; i++) {
		messages[i / EACH] = (struct catalog_message){.name = NAMES[i / EACH],
							      .bytes = 8,
							      .first_signal = i / EACH * EACH,
							      .n_signals = EACH};
		signals[i] = (struct catalog_signal){.name = NAMES[i % EACH],
						     .message = i / EACH,
						     .bits = WIDTHS[i % 8],
						     .kind = i % 3 == 1 ? SIGNAL_SIGNED
									: SIGNAL_UNSIGNED,
						     .factor = 1,
						     .mux = CATALOG_NONE};
	}
	if (catalog_build(&cat, &from, NULL) < 0)
		abort();
}

/* Of all but the last message, with references, leaders and states that are set. */
static void make_dictionary(void)
{
	struct dictionary_message messages[MESSAGES - 1] = {0};
	struct column_prior signals[(MESSAGES - 1) * EACH] = {0};
	static struct dictionary from;
	struct bit *states = (struct bit *)&from.models;

	from.messages = messages;
	from.n_messages = MESSAGES - 1;
	from.signals = signals;
	for (uint32_t m = 0; m < MESSAGES - 1; m++)
		messages[m] = (struct dictionary_message){.message = m,
							  .first_entry = m * EACH,
							  .leader = m ? m - 1 : CATALOG_NONE,
							  .presence = (uint8_t)m,
							  .rows = 10,
							  .times = {.period = 30,
								    .time = -5,
								    .time_led = 7,
								    .shape_led = 3,
								    .length = 2}};
	for (uint32_t i = 0; i < (MESSAGES - 1) * EACH; i++)
		signals[i] = (struct column_prior){.used = (uint8_t)(1 + i % 3),
						   .kind = (uint8_t)(i % 4),
						   .class = (uint8_t)(i % WIDTH_CLASSES)};
	signals[1].slot = 1;
	signals[2].ref = 1;
	signals[2].slope = -99999;
	signals[5].ref = 1;
	signals[5].slope = INT32_MAX;
	signals[5].base_ref = INT64_MIN;
	section_models_init(&from.models);
	for (size_t i = 0; i < sizeof(from.models) / sizeof(*states); i += 5)
		states[i] = (struct bit){.p = (uint16_t)(1000 + i * 37 % 60000), .seen = 8};
	if (dictionary_build(&dict, cat, &from, NULL) < 0)
		abort();
}

static int count(void *ctx, const struct batch_column *col)
{
	size_t *n = ctx;

	for (size_t i = 1; i < col->n; i++)
		if (col->wall_ns[i] < col->wall_ns[i - 1])
			abort();
	*n += col->n;
	return 0;
}

static void read_envelope(const uint8_t *data, size_t size)
{
	struct envelope e;
	struct batch *b;
	struct error err;
	size_t n = 0;
	int r;

	if (envelope_decode(&e, data, size, &err) < 0 || batch_read(&b, &e, &err) < 0)
		return;
	if (batch_get_header(b)->dictionary_id == dict->id)
		batch_use(b, dict);
	r = batch_columns(b, cat, CATALOG_NONE, count, &n, &err);
	if (r < 0 ? n != 0 : n != batch_sample_count(b))
		abort();
	for (uint32_t s = 0; s < cat->n_signals; s += 5)
		(void)!batch_columns(b, cat, s, count, &n, &err);
	batch_free(b);
}

/* Claims few samples, so that a run is fast. */
static void read_section(unsigned int how, uint8_t *data, size_t size)
{
	Towline__V1__Batch wire = TOWLINE__V1__BATCH__INIT;
	ProtobufCBinaryData sections[2] = {{size / 2, data}, {size - size / 2, data + size / 2}};
	uint32_t first = 1;
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 20);
	uint8_t *body;

	wire.format = how & (FORMAT_1 | DICTIONARY) ? 1 : 0;
	wire.dictionary = how & DICTIONARY ? dict->id : 0;
	wire.catalog = cat->id;
	wire.samples = 16 + (uint32_t)size;
	wire.span = 10000;
	wire.sections = sections;
	wire.n_sections = size % 2 ? 2 : 1;
	sections[0].len = size % 2 ? size / 2 : size;
	wire.section_messages = &first;
	wire.n_section_messages = wire.n_sections - 1;
	body = malloc(towline__v1__batch__get_packed_size(&wire));
	if (body &&
	    envelope_encode(&(struct envelope){.epoch = 1,
					       .seq = 1,
					       .encoding = 0,
					       .body = body,
					       .body_len = towline__v1__batch__pack(&wire, body)},
			    &out) == 0)
		read_envelope(out.data, out.len);
	free(body);
}

static void write_seed(const char *path)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = {.boot_id = 1, .catalog_id = cat->id};
	struct batch_builder *b;
	uint32_t encoding;
	FILE *f;

	if (batch_builder_new(&b, cat, 4096, 1000000) < 0)
		abort();
	for (uint32_t i = 0; i < 300; i++) {
		uint32_t m = i % MESSAGES;
		struct sample s[2] = {{m * EACH + i % 2, i}, {m * EACH + 3, i * i}};

		if (batch_builder_add(b, m, i * 10000000ll, s, 1 + i % 2) != 0)
			abort();
	}
	if (batch_builder_encode(b, &h, &body, &encoding) < 0 || buf_put_u8(&out, 0) < 0 ||
	    envelope_encode(&(struct envelope){.epoch = 1,
					       .seq = 1,
					       .encoding = encoding,
					       .body = body.data,
					       .body_len = body.len},
			    &out) < 0)
		abort();
	batch_builder_free(b);
	f = fopen(path, "wb");
	if (!f || fwrite(out.data, 1, out.len, f) != out.len || fclose(f) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *seed = getenv("FUZZ_BATCH_SEED");
	uint8_t *copy;

	if (!cat) {
		make_catalog();
		make_dictionary();
		if (seed)
			write_seed(seed);
	}
	if (size < 1)
		return 0;
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data + 1, size - 1);
	if (data[0] & SECTION)
		read_section(data[0], copy, size - 1);
	else
		read_envelope(copy, size - 1);
	free(copy);
	return 0;
}
