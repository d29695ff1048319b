/* The bytes of today stay the bytes of tomorrow: tests/data/golden holds a catalog, a dictionary,
 * and batches of what rows.txt has: of format 0, which is no more written, and of format 1 without
 * and with the dictionary. `test_golden --write` writes all but the first batch anew, for a new
 * format. tests/integration/test_wire.py reads the same files by proto/README.md alone. */
#include "proto/batch.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GOLDEN TEST_DATA "/golden/"

enum { MESSAGES = 9, SIGNALS_MAX = 32, SAMPLES_MAX = 4096, ROW_MAX = 8 };

static const struct {
	uint32_t message;
	uint16_t bits;
	enum signal_kind kind;
} SHAPES[] = {
	{0, 4, SIGNAL_UNSIGNED},  {0, 16, SIGNAL_UNSIGNED}, {0, 12, SIGNAL_SIGNED},
	{0, 1, SIGNAL_UNSIGNED},  {1, 8, SIGNAL_UNSIGNED},  {1, 16, SIGNAL_SIGNED},
	{2, 2, SIGNAL_UNSIGNED},  {2, 8, SIGNAL_UNSIGNED},  {2, 8, SIGNAL_UNSIGNED},
	{2, 10, SIGNAL_UNSIGNED}, {3, 64, SIGNAL_UNSIGNED}, {3, 64, SIGNAL_SIGNED},
	{3, 33, SIGNAL_UNSIGNED}, {3, 32, SIGNAL_FLOAT32},  {3, 64, SIGNAL_FLOAT64},
	{4, 8, SIGNAL_UNSIGNED},  {4, 8, SIGNAL_SIGNED},    {5, 8, SIGNAL_UNSIGNED},
	{6, 16, SIGNAL_UNSIGNED}, {6, 16, SIGNAL_UNSIGNED}, {7, 8, SIGNAL_UNSIGNED},
	{8, 2, SIGNAL_UNSIGNED},
};

static struct catalog *make_catalog(void)
{
	static const char *const BUSES[] = {"can0"};
	static struct catalog_message messages[MESSAGES];
	static struct catalog_signal signals[array_len(SHAPES)];
	static char names[SIGNALS_MAX][16], message_names[MESSAGES][16];
	struct catalog from = {.buses = BUSES,
			       .n_buses = 1,
			       .messages = messages,
			       .n_messages = MESSAGES,
			       .signals = signals,
			       .n_signals = array_len(SHAPES)};
	struct error err;
	struct catalog *c;

	memset(messages, 0, sizeof(messages));
	for (uint32_t i = 0; i < array_len(SHAPES); i++) {
		struct catalog_message *m = &messages[SHAPES[i].message];

		snprintf(names[i], sizeof(names[i]), "S%" PRIu32, i);
		signals[i] = (struct catalog_signal){.name = names[i],
						     .message = SHAPES[i].message,
						     .bits = SHAPES[i].bits,
						     .kind = SHAPES[i].kind,
						     .factor = 0.5,
						     .mux = CATALOG_NONE};
		if (m->n_signals++ == 0)
			m->first_signal = i;
		snprintf(message_names[SHAPES[i].message], 16, "M%" PRIu32, SHAPES[i].message);
		m->name = message_names[SHAPES[i].message];
		m->id = SHAPES[i].message;
		m->bytes = 64;
	}
	ck_assert_msg(catalog_build(&c, &from, &err) == 0, "%s", err.text);
	return c;
}

static const struct batch_header HEADER = {.epoch = 0x1122334455667788,
					   .seq = 300,
					   .boot_id = 0xb007b007b007b007,
					   .wall_base_ns = 1700000000ll * 1000000000,
					   .mono_base_ns = 5000000000,
					   .clock_quality = CLOCK_FREE_RUNNING,
					   .campaign = 7,
					   .consent_epoch = 3};

/* Signal n of message m is expected from the one before it. */
static struct column_prior make_prior(uint32_t signal, uint16_t *slots)
{
	bool first = signal == 0 || SHAPES[signal - 1].message != SHAPES[signal].message;
	struct column_prior p = {
		.used = (uint8_t)(signal % 3 == 2 ? USED_AT_TIMES : USED_ALWAYS),
		.kind = (uint8_t)(signal % 4),
		.class = (uint8_t)(signal % WIDTH_CLASSES),
		.length = (uint8_t)(signal % 9),
		.base = (int64_t)signal * 1000 - 3000,
		.shape = (uint8_t)(signal % FIRST_SHAPES),
	};

	if (signal == 6)
		return (struct column_prior){.used = USED_NEVER, .class = 1};
	if (!first && *slots > 0) {
		p.ref = *slots;
		p.slope = signal % 2 ? -70000 : 32768;
		p.base_ref = 77 - (int64_t)signal;
		p.shape_ref = (uint8_t)(FIRST_SHAPES - 1 - p.shape);
	}
	p.slot = (uint16_t)(signal % 5 != 4 ? ++*slots : 0);
	return p;
}

/* Knows all messages but some in between and the last ones; every third state is not as at the
 * beginning. */
static struct dictionary *make_dictionary(const struct catalog *c)
{
	static struct dictionary_message messages[MESSAGES];
	static struct column_prior signals[array_len(SHAPES)];
	static struct dictionary from;
	struct bit *states = (struct bit *)&from.models;
	struct dictionary *d;
	uint16_t slots = 0;
	struct error err;

	from = (struct dictionary){.messages = messages, .signals = signals};
	for (uint32_t m = 0; m < MESSAGES - 2; m++) {
		if (m == 4)
			continue;
		messages[from.n_messages++] = (struct dictionary_message){
			.message = m,
			.first_entry = (uint32_t)from.n_signals,
			.leader = m > 1 ? m - 1 - m % 2 : CATALOG_NONE,
			.presence = (uint8_t)(m % 3),
			.rows = 90 * m,
			.times = {.period = 10 * m,
				  .time = 3 - (int64_t)m,
				  .time_led = m,
				  .shape = (uint8_t)(m % TIME_SHAPES),
				  .shape_led = (uint8_t)(TIME_SHAPES - 1 - m % TIME_SHAPES),
				  .length = (uint8_t)m}};
		for (uint32_t i = 0; i < c->messages[m].n_signals; i++)
			signals[from.n_signals++] =
				make_prior(c->messages[m].first_signal + i, &slots);
	}
	section_models_init(&from.models);
	for (uint32_t i = 0; i < sizeof(from.models) / sizeof(*states); i += 3)
		states[i] = (struct bit){.p = (uint16_t)(20000 + i * 2654435761u % 30000),
					 .seen = (uint16_t)(1 + i % RANGE_SEEN_MAX)};
	ck_assert_msg(dictionary_build(&d, c, &from, &err) == 0, "%s", err.text);
	return d;
}

/* ---- rows.txt ---- */

struct known {
	uint32_t signal;
	int64_t wall_ns;
	uint64_t raw;
	size_t order;
};

static struct known known[SAMPLES_MAX];
static size_t n_known;

static void add_row(struct batch_builder *b, uint32_t message, int64_t mono_ns,
		    const struct sample *s, size_t n)
{
	ck_assert_int_eq(batch_builder_add(b, message, mono_ns, s, n), 0);
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_lt(n_known, SAMPLES_MAX);
		known[n_known] = (struct known){
			.signal = s[i].signal,
			.wall_ns = HEADER.wall_base_ns + mono_ns - HEADER.mono_base_ns,
			.raw = s[i].raw,
			.order = n_known,
		};
		n_known++;
	}
}

/* "mono_ms message signal=raw ..." */
static void add_line(struct batch_builder *b, const struct catalog *c, char *line)
{
	struct sample s[ROW_MAX];
	char *p = line;
	int64_t ms = strtoll(p, &p, 10);
	uint32_t message = (uint32_t)strtoul(p, &p, 10);
	size_t n = 0;

	ck_assert_uint_lt(message, MESSAGES);
	while (*p == ' ') {
		uint32_t signal = (uint32_t)strtoul(p, &p, 10);
		bool negative = p[1] == '-';

		ck_assert_uint_lt(n, ROW_MAX);
		ck_assert_int_eq(*p, '=');
		s[n++] = (struct sample){.signal = c->messages[message].first_signal + signal,
					 .raw = negative ? (uint64_t)strtoll(p + 1, &p, 10)
							 : strtoull(p + 1, &p, 10)};
	}
	ck_assert_int_eq(*p, '\n');
	add_row(b, message, ms * 1000000, s, n);
}

static int by_signal_and_time(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	if (x->signal != y->signal)
		return x->signal < y->signal ? -1 : 1;
	if (x->wall_ns != y->wall_ns)
		return x->wall_ns < y->wall_ns ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

/* Reads rows.txt into `known`, sorted, and returns the Envelope of it. */
static void write_batch(const struct catalog *c, const struct dictionary *d, struct buf *out)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct batch_header h = HEADER;
	struct batch_builder *b;
	uint32_t encoding;
	char line[512];
	FILE *f = fopen(GOLDEN "rows.txt", "r");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(batch_builder_new(&b, c, SAMPLES_MAX, 1000000), 0);
	ck_assert_int_eq(batch_builder_use(b, d), 0);
	n_known = 0;
	while (fgets(line, sizeof(line), f))
		if (line[0] != '#')
			add_line(b, c, line);
	fclose(f);
	qsort(known, n_known, sizeof(*known), by_signal_and_time);
	h.catalog_id = c->id;
	ck_assert_int_eq(batch_builder_encode(b, &h, &body, &encoding), 0);
	ck_assert_int_eq(envelope_encode(&(struct envelope){.epoch = h.epoch,
							    .seq = h.seq,
							    .encoding = encoding,
							    .body = body.data,
							    .body_len = body.len},
					 out),
			 0);
	batch_builder_free(b);
}

/* ---- the files ---- */

static void read_golden(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	uint8_t block[4096];
	size_t n;

	ck_assert_msg(f != NULL, "%s", path);
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		ck_assert_int_eq(buf_put(out, block, n), 0);
	fclose(f);
}

static void write_golden(const char *path, const void *bytes, size_t len)
{
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(write_all)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct catalog *c = make_catalog();
	struct dictionary *d = make_dictionary(c);

	write_golden(GOLDEN "catalog.bin", c->bytes, c->len);
	write_golden(GOLDEN "dictionary.bin", d->bytes, d->len);
	write_batch(c, NULL, &bytes);
	write_golden(GOLDEN "batch1.bin", bytes.data, bytes.len);
	printf("%zu samples: a catalog of %zu bytes, a dictionary of %zu, a batch of %zu", n_known,
	       c->len, d->len, bytes.len);
	buf_clear(&bytes);
	write_batch(c, d, &bytes);
	write_golden(GOLDEN "batch1_dictionary.bin", bytes.data, bytes.len);
	printf(", with the dictionary of %zu\n", bytes.len);
	dictionary_free(d);
	catalog_free(c);
}
END_TEST

START_TEST(the_catalog_is_written_as_it_was)
{
	struct buf golden cleanup(buf_free) = BUF_INIT(1 << 20);
	struct catalog *c = make_catalog();

	read_golden(GOLDEN "catalog.bin", &golden);
	ck_assert_uint_eq(c->len, golden.len);
	ck_assert_mem_eq(c->bytes, golden.data, golden.len);
	catalog_free(c);
}
END_TEST

START_TEST(the_dictionary_is_written_as_it_was)
{
	struct buf golden cleanup(buf_free) = BUF_INIT(1 << 20);
	struct catalog *c = make_catalog();
	struct dictionary *d = make_dictionary(c);

	read_golden(GOLDEN "dictionary.bin", &golden);
	ck_assert_uint_eq(d->len, golden.len);
	ck_assert_mem_eq(d->bytes, golden.data, golden.len);
	dictionary_free(d);
	catalog_free(c);
}
END_TEST

/* The batches: with what they were written, and whether they still are. */
static const struct {
	const char *path;
	bool dictionary, written;
} BATCHES[] = {
	{GOLDEN "batch.bin", false, false},
	{GOLDEN "batch1.bin", false, true},
	{GOLDEN "batch1_dictionary.bin", true, true},
};

START_TEST(the_batch_is_written_as_it_was)
{
	struct buf golden cleanup(buf_free) = BUF_INIT(1 << 20);
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct catalog *c = make_catalog();
	struct dictionary *d = BATCHES[_i].dictionary ? make_dictionary(c) : NULL;

	if (BATCHES[_i].written) {
		read_golden(BATCHES[_i].path, &golden);
		write_batch(c, d, &bytes);
		ck_assert_uint_eq(bytes.len, golden.len);
		ck_assert_mem_eq(bytes.data, golden.data, golden.len);
	}
	dictionary_free(d);
	catalog_free(c);
}
END_TEST

static size_t n_read;

static int check_column(void *ctx, const struct batch_column *col)
{
	(void)ctx;
	for (size_t i = 0; i < col->n; i++, n_read++) {
		ck_assert_uint_lt(n_read, n_known);
		ck_assert_uint_eq(col->signal, known[n_read].signal);
		ck_assert_int_eq(col->wall_ns[i], known[n_read].wall_ns);
		ck_assert_uint_eq(col->raw[i], known[n_read].raw);
	}
	return 0;
}

START_TEST(the_batch_is_read_as_it_was)
{
	struct buf golden cleanup(buf_free) = BUF_INIT(1 << 20);
	struct buf bytes cleanup(buf_free) = BUF_INIT(1 << 20);
	struct dictionary *d = NULL;
	struct catalog *c;
	struct error err;
	struct envelope e;
	struct batch *b;

	ck_assert_int_eq(catalog_load_file(&c, GOLDEN "catalog.bin", &err), 0);
	if (BATCHES[_i].dictionary)
		ck_assert_int_eq(dictionary_load_file(&d, c, GOLDEN "dictionary.bin", &err), 0);
	write_batch(c, NULL, &bytes); /* for `known` */
	read_golden(BATCHES[_i].path, &golden);
	ck_assert_int_eq(envelope_decode(&e, golden.data, golden.len, &err), 0);
	ck_assert_uint_eq(e.epoch, HEADER.epoch);
	ck_assert_uint_eq(e.seq, HEADER.seq);
	ck_assert_int_eq(batch_read(&b, &e, &err), 0);
	ck_assert_uint_eq(batch_get_header(b)->boot_id, HEADER.boot_id);
	ck_assert_int_eq(batch_get_header(b)->clock_quality, HEADER.clock_quality);
	ck_assert_uint_eq(batch_get_header(b)->dictionary_id, d ? d->id : 0);
	batch_use(b, d);
	n_read = 0;
	ck_assert_msg(batch_columns(b, c, CATALOG_NONE, check_column, NULL, &err) == 0, "%s",
		      err.text);
	ck_assert_uint_eq(n_read, n_known);
	ck_assert_uint_gt(n_known, 1000);
	batch_free(b);
	dictionary_free(d);
	catalog_free(c);
}
END_TEST

int main(int argc, char **argv)
{
	TCase *t = tcase_create("golden");

	if (argc == 2 && strcmp(argv[1], "--write") == 0)
		tcase_add_test(t, write_all);
	tcase_add_test(t, the_catalog_is_written_as_it_was);
	tcase_add_test(t, the_dictionary_is_written_as_it_was);
	tcase_add_loop_test(t, the_batch_is_written_as_it_was, 0, array_len(BATCHES));
	tcase_add_loop_test(t, the_batch_is_read_as_it_was, 0, array_len(BATCHES));
	return suite_run("golden", &t, 1);
}
