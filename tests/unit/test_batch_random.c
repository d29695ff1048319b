/* Batches of random catalogs, dictionaries and samples: what goes in comes out, to the bit. With
 * TOWLINE_BATCH_CASES=FOLDER the small ones are left there, for a reader that is not ours
 * (tests/integration/test_wire.py). */
#include "proto/batch.h"
#include "proto/batch_private.h"
#include "proto/context.h"
#include "proto/dictionary_private.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	CASES = 60,
	EXPECTED_MAX = 70000,
	LEFT_MAX = 600, /* samples of a case that is left in the folder */
	BODY_MAX = 32 << 20,
	NAME_MAX = 16,
};

static uint64_t state;

static uint64_t rng(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dull;
}

static uint64_t below(uint64_t n)
{
	return rng() % n;
}

/* Of any magnitude, as likely small as large. */
static uint64_t any(void)
{
	return rng() >> below(64);
}

/* Either way, with less than `bits` bits. */
static int64_t any_signed(unsigned bits)
{
	int64_t v = (int64_t)(rng() >> (64 - bits + 1 + below(bits - 1)));

	return below(2) ? v : -v;
}

/* ---- a case ---- */

struct shape {
	size_t messages, signals; /* of each message at most */
	size_t rows;		  /* at most */
};

struct expected {
	uint32_t signal;
	int64_t mono;
	uint64_t raw;
	size_t order;
};

static struct world {
	struct shape shape;
	struct catalog *cat;
	struct dictionary *dict; /* or NULL */
	struct batch_builder *builder;
	struct batch_header header;
	uint32_t unit;
	int64_t first; /* mono of the earliest sample */
	struct expected expected[EXPECTED_MAX];
	size_t n, checked;
} w;

static void make_catalog(void)
{
	static const char *const BUSES[] = {"can0"};
	size_t max = w.shape.messages * w.shape.signals;
	struct catalog_message *messages = calloc(w.shape.messages, sizeof(*messages));
	struct catalog_signal *signals = calloc(max, sizeof(*signals));
	char(*names)[NAME_MAX] = calloc(max + w.shape.messages, sizeof(*names));
	struct catalog from = {.buses = BUSES,
			       .n_buses = 1,
			       .messages = messages,
			       .n_messages = w.shape.messages,
			       .signals = signals};
	struct error err = {0};

	for (uint32_t m = 0; m < w.shape.messages; m++) {
		(void)snprintf(names[max + m], NAME_MAX, "M%u", m);
		messages[m] =
			(struct catalog_message){.name = names[max + m],
						 .id = m,
						 .bytes = 8,
						 .first_signal = (uint32_t)from.n_signals,
						 .n_signals = (uint32_t)below(w.shape.signals + 1)};
		for (uint32_t i = 0; i < messages[m].n_signals; i++) {
			struct catalog_signal *s = &signals[from.n_signals];
			enum signal_kind kind = (enum signal_kind)below(4);

			(void)snprintf(names[from.n_signals++], NAME_MAX, "S%u", i);
			*s = (struct catalog_signal){.name = names[from.n_signals - 1],
						     .message = m,
						     .bits = (uint16_t)(kind == SIGNAL_FLOAT32 ? 32
									: kind == SIGNAL_FLOAT64
										? 64
										: 1 + below(64)),
						     .kind = kind,
						     .factor = 1,
						     .mux = CATALOG_NONE};
		}
	}
	ck_assert_msg(catalog_build(&w.cat, &from, &err) == 0, "%s", err.text);
	free(messages);
	free(signals);
	free(names);
}

/* ---- a dictionary that knows nothing, and says much ---- */

static void random_prior(struct column_prior *s, size_t *slots)
{
	*s = (struct column_prior){.used = (uint8_t)below(USES),
				   .kind = (uint8_t)below(4),
				   .class = (uint8_t)below(WIDTH_CLASSES)};
	if (s->used == USED_NEVER)
		return;
	s->length = (uint8_t)below(LENGTHS);
	s->base = (int64_t)any();
	s->shape = (uint8_t)below(FIRST_SHAPES);
	if (*slots > 0 && below(2)) {
		s->ref = (uint16_t)(1 + below(*slots));
		s->slope = (int32_t)any_signed(32);
		s->base_ref = (int64_t)any();
		s->shape_ref = (uint8_t)below(FIRST_SHAPES);
	}
	if (below(2))
		s->slot = (uint16_t)++ * slots;
}

static void random_states(struct section_models *models)
{
	struct bit *b = (struct bit *)models;

	section_models_init(models);
	for (size_t i = 0; i < dictionary_states(); i++)
		if (below(3))
			b[i] = (struct bit){.p = (uint16_t)(1 + below(65535)),
					    .seen = (uint16_t)below(RANGE_SEEN_MAX + 1)};
}

static void random_message(struct dictionary *d, uint32_t m)
{
	struct dictionary_message *known = &d->messages[d->n_messages++];

	*known = (struct dictionary_message){
		.message = m,
		.first_entry = (uint32_t)d->n_signals,
		.leader = m && below(2) ? (uint32_t)below(m) : CATALOG_NONE,
		.presence = (uint8_t)below(DICTIONARY_SURE + 1),
		.rows = below(2) ? (int64_t)below(100) : (int64_t)(any() >> 24),
		.times = {.period = below(2) ? (int64_t)below(100) : any_signed(40),
			  .time = below(2) ? (int64_t)below(100) : any_signed(40),
			  .time_led = below(2) ? (int64_t)below(100) : any_signed(40),
			  .shape = (uint8_t)below(TIME_SHAPES),
			  .shape_led = (uint8_t)below(TIME_SHAPES),
			  .length = (uint8_t)below(LENGTHS)}};
	for (uint32_t i = 0; i < w.cat->messages[m].n_signals; i++)
		random_prior(&d->signals[d->n_signals++], &d->n_slots);
}

static void make_dictionary(void)
{
	struct dictionary *from = calloc(1, sizeof(*from));
	struct error err = {0};

	from->messages = calloc(w.cat->n_messages, sizeof(*from->messages));
	from->signals = calloc(w.cat->n_signals + 1, sizeof(*from->signals));
	for (uint32_t m = 0; m < w.cat->n_messages; m++)
		if (below(4))
			random_message(from, m);
	random_states(&from->models);
	ck_assert_msg(dictionary_build(&w.dict, w.cat, from, &err) == 0, "%s", err.text);
	free(from->messages);
	free(from->signals);
	free(from);
}

/* ---- samples ---- */

/* Floats are bits: not-a-numbers of all kinds, infinities, both zeros, and what is not normal. */
static uint64_t extreme(void)
{
	static const uint64_t EXTREMES[] = {0,
					    1,
					    UINT64_MAX,
					    INT64_MAX,
					    (uint64_t)INT64_MIN,
					    0x7ff0000000000000,
					    0x7ff0000000000001,
					    0xfff8000000000000,
					    0x7f800001,
					    0x7fc00000,
					    0xff800000,
					    0x80000000};

	return EXTREMES[below(array_len(EXTREMES))];
}

/* What a signal of the catalog can have; one in 500 is beyond it. */
static uint64_t fit(uint64_t v, const struct catalog_signal *s)
{
	unsigned drop = 64u - s->bits;

	if (below(500) == 0)
		return v;
	if (s->kind != SIGNAL_SIGNED || !(v >> (s->bits - 1) & 1))
		return v << drop >> drop;
	return s->bits < 64 ? v | ~0ull << s->bits : v;
}

static uint64_t next_value(uint32_t signal, uint64_t last)
{
	const struct catalog_signal *s = &w.cat->signals[signal];

	switch (signal * 2654435761u >> 29) {
	case 0:
		break;
	case 1:
		last++;
		break;
	case 2:
		last -= 1000003;
		break;
	case 3:
		last += below(7) - 3;
		break;
	case 4:
		last = any();
		break;
	case 5:
		last = extreme();
		break;
	case 6:
		last = below(30) ? last : any();
		break;
	default:
		last = (uint64_t)any_signed(64);
		break;
	}
	return fit(last, s);
}

/* Mostly on, now and then at the same time, back, or far off. */
static int64_t next_time(int64_t mono)
{
	int64_t units = (int64_t)below(12);

	switch (below(40)) {
	case 0:
		units = -(int64_t)below(500);
		break;
	case 1:
		units = any_signed(28);
		break;
	case 2:
		units = 0;
		break;
	default:
		break;
	}
	return mono + units * w.unit;
}

static void expect(const struct sample *s, size_t n, int64_t mono)
{
	w.first = w.n == 0 || mono < w.first ? mono : w.first;
	for (size_t i = 0; i < n; i++, w.n++)
		w.expected[w.n] = (struct expected){s[i].signal, mono, s[i].raw, w.n};
}

static void add_row(uint32_t m, int64_t mono, uint64_t *values, uint64_t density)
{
	const struct catalog_message *message = &w.cat->messages[m];
	struct sample s[64];
	size_t n = 0;
	int r;

	ck_assert_uint_le(message->n_signals, array_len(s));
	for (uint32_t k = message->first_signal; k < message->first_signal + message->n_signals;
	     k++) {
		if (below(8) > density)
			continue;
		values[k] = next_value(k, values[k]);
		s[n++] = (struct sample){k, values[k]};
	}
	if (n == 0 || w.n + n > EXPECTED_MAX)
		return;
	r = batch_builder_add(w.builder, m, mono, s, n);
	ck_assert(r == 0 || r == BATCH_FULL);
	if (r == 0)
		expect(s, n, mono);
}

static void add_rows(void)
{
	uint64_t *values = calloc(w.cat->n_signals + 1, sizeof(*values));
	size_t rows = below(w.shape.rows + 1), busy = 1 + below(w.cat->n_messages);
	int64_t mono = w.header.mono_base_ns;

	for (size_t i = 0; i < rows; i++) {
		mono = next_time(mono);
		add_row((uint32_t)below(busy), mono, values, busy % 9);
	}
	free(values);
}

static int by_signal_and_time(const void *a, const void *b)
{
	const struct expected *x = a, *y = b;

	if (x->signal != y->signal)
		return x->signal < y->signal ? -1 : 1;
	if (x->mono != y->mono)
		return x->mono < y->mono ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static void world_make(unsigned seed, const struct shape *shape)
{
	static const uint32_t UNITS[] = {1000000, 1000, 1, 7, 100000000};

	state = 0x9e3779b97f4a7c15 + seed;
	for (int i = 0; i < 10; i++)
		(void)rng();
	w.shape = *shape;
	w.unit = UNITS[below(array_len(UNITS))];
	w.n = 0;
	make_catalog();
	if (seed % 3)
		make_dictionary();
	w.header = (struct batch_header){.epoch = rng(),
					 .seq = 1 + (rng() >> 16),
					 .boot_id = rng(),
					 .wall_base_ns = 1700000000000000 / w.unit * w.unit,
					 .mono_base_ns = 5000000000000 / w.unit * w.unit,
					 .clock_quality = (enum clock_quality)below(3),
					 .catalog_id = w.cat->id,
					 .campaign = (uint32_t)any(),
					 .consent_epoch = (uint32_t)any(),
					 .time_unit_ns = w.unit};
	ck_assert_int_eq(batch_builder_new(&w.builder, w.cat, EXPECTED_MAX, w.unit), 0);
	ck_assert_int_eq(batch_builder_use(w.builder, w.dict), 0);
	add_rows();
	qsort(w.expected, w.n, sizeof(*w.expected), by_signal_and_time);
}

static void teardown(void)
{
	w.builder = batch_builder_free(w.builder);
	w.dict = dictionary_free(w.dict);
	w.cat = catalog_free(w.cat);
}

/* ---- what comes out ---- */

static int64_t wall_of(const struct expected *e)
{
	return w.header.wall_base_ns + e->mono - w.header.mono_base_ns;
}

static int check_column(void *ctx, const struct batch_column *col)
{
	size_t *at = ctx;

	while (*at < w.n && w.expected[*at].signal < col->signal)
		++*at;
	for (size_t i = 0; i < col->n; i++, ++*at) {
		const struct expected *e = &w.expected[*at];

		ck_assert_uint_lt(*at, w.n);
		ck_assert_uint_eq(e->signal, col->signal);
		ck_assert_int_eq(wall_of(e), col->wall_ns[i]);
		ck_assert_uint_eq(e->raw, col->raw[i]);
		w.checked++;
	}
	ck_assert(*at == w.n || w.expected[*at].signal > col->signal);
	return 0;
}

static void check_header(const struct batch *b)
{
	const struct batch_header *h = batch_get_header(b);

	ck_assert_uint_eq(h->epoch, w.header.epoch);
	ck_assert_uint_eq(h->seq, w.header.seq);
	ck_assert_uint_eq(h->boot_id, w.header.boot_id);
	ck_assert_int_eq(h->clock_quality, w.header.clock_quality);
	ck_assert_uint_eq(h->campaign, w.header.campaign);
	ck_assert_uint_eq(h->consent_epoch, w.header.consent_epoch);
	ck_assert_uint_eq(h->time_unit_ns, w.unit);
	ck_assert_uint_eq(h->dictionary_id, w.dict ? w.dict->id : 0);
	if (w.n == 0)
		return;
	ck_assert_int_eq(h->mono_base_ns, w.first);
	ck_assert_int_eq(batch_first_wall_ns(b),
			 w.header.wall_base_ns + w.first - w.header.mono_base_ns);
	for (size_t i = 0; i < w.n; i++)
		ck_assert_int_le(wall_of(&w.expected[i]), batch_last_wall_ns(b));
}

static void check_batch(const struct envelope *e)
{
	struct error err = {0};
	struct batch *b;
	size_t at = 0;

	ck_assert_msg(batch_read(&b, e, &err) == 0, "%s", err.text);
	batch_use(b, w.dict);
	check_header(b);
	ck_assert_uint_eq(batch_sample_count(b), w.n);
	w.checked = 0;
	ck_assert_msg(batch_columns(b, w.cat, CATALOG_NONE, check_column, &at, &err) == 0, "%s",
		      err.text);
	ck_assert_uint_eq(w.checked, w.n);
	for (int i = 0; w.cat->n_signals > 0 && i < 20; i++) {
		at = 0;
		ck_assert_msg(batch_columns(b, w.cat, (uint32_t)below(w.cat->n_signals),
					    check_column, &at, &err) == 0,
			      "%s", err.text);
	}
	batch_free(b);
}

/* Short under a context that another batch's header could have made, and whole again. Returns
 * whether it could be short. */
static bool check_context(const struct envelope *e)
{
	struct buf brief cleanup(buf_free) = BUF_INIT(BODY_MAX);
	struct buf whole cleanup(buf_free) = BUF_INIT(BODY_MAX);
	struct envelope other = *e, back;
	struct error err = {0};
	struct context c;
	int r;

	other.seq = 1 + below(e->seq * 2);
	ck_assert_int_eq(context_make(&c, &other, any()), 0);
	r = context_compress(&c, e, &brief);
	ck_assert_int_ge(r, 0);
	if (r == 0)
		return false;
	ck_assert_msg(context_expand(&c, brief.data, brief.len, &whole, &back, &err) == 0, "%s",
		      err.text);
	ck_assert_uint_eq(back.epoch, e->epoch);
	ck_assert_uint_eq(back.seq, e->seq);
	ck_assert_uint_eq(back.body_len, e->body_len);
	ck_assert_mem_eq(back.body, e->body, e->body_len);
	return true;
}

/* ---- for another reader ---- */

static void leave_file(const char *folder, unsigned seed, const char *what, const void *bytes,
		       size_t len)
{
	char path[512];
	FILE *f;

	ck_assert_int_lt(snprintf(path, sizeof(path), "%s/%u.%s", folder, seed, what),
			 (int)sizeof(path));
	f = fopen(path, "wb");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

/* A line a sample: message, signal of the message, wall time in ns, raw. */
static void leave(const char *folder, unsigned seed, const struct envelope *e)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(BODY_MAX);
	struct buf rows cleanup(buf_free) = BUF_INIT(BODY_MAX);

	ck_assert_int_eq(envelope_encode(e, &bytes), 0);
	for (size_t i = 0; i < w.n; i++) {
		const struct expected *x = &w.expected[i];
		uint32_t m = w.cat->signals[x->signal].message;

		ck_assert_int_eq(buf_printf(&rows, "%u %u %" PRId64 " %" PRIu64 "\n", m,
					    x->signal - w.cat->messages[m].first_signal, wall_of(x),
					    x->raw),
				 0);
	}
	leave_file(folder, seed, "catalog", w.cat->bytes, w.cat->len);
	if (w.dict)
		leave_file(folder, seed, "dictionary", w.dict->bytes, w.dict->len);
	leave_file(folder, seed, "envelope", bytes.data, bytes.len);
	leave_file(folder, seed, "rows", rows.len ? rows.data : (const uint8_t *)"", rows.len);
}

/* ---- tests ---- */

/* Returns whether it could be short. */
static bool check_world(unsigned seed)
{
	struct buf body cleanup(buf_free) = BUF_INIT(BODY_MAX);
	struct buf again cleanup(buf_free) = BUF_INIT(BODY_MAX);
	const char *folder = getenv("TOWLINE_BATCH_CASES");
	struct envelope e = {.epoch = w.header.epoch, .seq = w.header.seq};

	ck_assert_int_eq(batch_builder_encode(w.builder, &w.header, &body, &e.encoding), 0);
	ck_assert_int_eq(batch_builder_encode(w.builder, &w.header, &again, &e.encoding), 0);
	ck_assert_uint_eq(body.len, again.len);
	ck_assert_mem_eq(body.data, again.data, body.len);
	e.body = body.data;
	e.body_len = body.len;
	check_batch(&e);
	if (folder && w.n <= LEFT_MAX)
		leave(folder, seed, &e);
	return check_context(&e);
}

START_TEST(random_batches_come_back)
{
	size_t samples = 0, brief = 0;

	for (unsigned seed = 0; seed < CASES; seed++) {
		struct shape shape = {1 + seed % 37, 1 + seed % 23, seed % 4 ? 60 : 1500};

		world_make(seed, &shape);
		brief += check_world(seed);
		samples += w.n;
		teardown();
	}
	ck_assert_uint_gt(samples, 20000);
	ck_assert_uint_gt(brief, CASES / 2);
}
END_TEST

START_TEST(a_catalog_of_20000_signals)
{
	static const struct shape LARGE = {1000, 40, 4000};

	world_make((unsigned)_i, &LARGE);
	ck_assert_uint_gt(w.cat->n_signals, 18000);
	(void)check_world(CASES + (unsigned)_i);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("random");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, random_batches_come_back);
	tcase_add_loop_test(t, a_catalog_of_20000_signals, 0, 3);
	return suite_run("batch_random", &t, 1);
}
