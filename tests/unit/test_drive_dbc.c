/* The simulator's DBC files say what its encoder does: printed from the same tables, read by the
 * project's parser, decoded by the agent's plan. */
#include "agent/decode/plan.h"
#include "tests/unit/suite.h"
#include "tools/dbc/dbc.h"
#include "tools/drive/car.h"
#include "tools/drive/encode.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static char *committed(const struct drive_bus *bus, size_t *ret_len)
{
	char path[512];
	snprintf(path, sizeof(path), TEST_DATA "/../../tools/drive/drive_%s.dbc", bus->name);
	FILE *f = fopen(path, "re");
	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	char *text = NULL;
	size_t size = 0;
	ssize_t n = getdelim(&text, &size, '\0', f);
	ck_assert_msg(n > 0, "%s: empty", path);
	fclose(f);
	*ret_len = (size_t)n;
	return text;
}

START_TEST(committed_file_is_what_prints)
{
	const struct drive_bus *bus = drive_bus((size_t)_i);
	size_t len, printed_len = 0;
	char *text = committed(bus, &len), *printed = NULL;
	FILE *out = open_memstream(&printed, &printed_len);
	drive_print_dbc(bus, out);
	ck_assert_int_eq(fflush(out), 0);
	fclose(out);
	ck_assert_msg(printed_len == len && memcmp(text, printed, len) == 0,
		      "drive_%s.dbc is stale: towline-drive --print-dbc %s", bus->name, bus->name);
	free(printed);
	free(text);
}
END_TEST

static void report(void *ctx, const struct dbc_diag *d)
{
	(void)ctx;
	ck_abort_msg("%s:%u: %s", d->file, d->line, d->text);
}

/* Both committed files, parsed without a complaint. */
static struct catalog *load(void)
{
	const struct dbc_sink sink = {.report = report};
	struct dbc *dbc[DRIVE_BUSES];
	struct dbc_bus buses[DRIVE_BUSES];
	struct catalog *cat = NULL;
	struct error err;
	for (size_t i = 0; i < DRIVE_BUSES; i++) {
		size_t len;
		char *text = committed(drive_bus(i), &len);
		ck_assert_msg(dbc_parse(&dbc[i], drive_bus(i)->name, text, len, &sink, &err) == 0,
			      "%s", err.text);
		buses[i] = (struct dbc_bus){drive_bus(i)->name, dbc[i]};
		free(text);
	}
	ck_assert_msg(dbc_catalog(&cat, buses, DRIVE_BUSES, &sink, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < DRIVE_BUSES; i++)
		dbc_free(dbc[i]);
	return cat;
}

static enum signal_kind kind_of(const struct drive_signal *s)
{
	return s->flags & SIG_FLOAT    ? SIGNAL_FLOAT32
	       : s->flags & SIG_SIGNED ? SIGNAL_SIGNED
				       : SIGNAL_UNSIGNED;
}

static void check_choices(const struct drive_signal *s, const struct catalog_signal *have)
{
	size_t n = 0;
	for (const struct drive_choice *c = s->choices; c && c->text; c++, n++) {
		const char *text = catalog_choice(have, (uint64_t)c->raw);
		ck_assert_ptr_nonnull(text);
		ck_assert_str_eq(text, c->text);
	}
	ck_assert_uint_eq(have->n_choices, n);
}

static void check_mux(const struct catalog *cat, const struct drive_signal *s,
		      const struct catalog_signal *have)
{
	ck_assert_int_eq(have->is_mux, (s->flags & SIG_MUX) != 0);
	if (s->group == SIG_ALWAYS) {
		ck_assert_uint_eq(have->mux, CATALOG_NONE);
		return;
	}
	ck_assert(have->mux < cat->n_signals && cat->signals[have->mux].is_mux);
	ck_assert_uint_eq(have->n_mux_ranges, 1);
	ck_assert_uint_eq(have->mux_ranges[0].from, (uint64_t)s->group);
	ck_assert_uint_eq(have->mux_ranges[0].to, (uint64_t)s->group);
}

static const struct catalog_signal *signal_named(const struct catalog *cat,
						 const struct drive_bus *bus,
						 const struct drive_message *m,
						 const struct drive_signal *s)
{
	char path[256];
	uint32_t number;
	snprintf(path, sizeof(path), "%s.%s.%s", bus->name, m->name, s->name);
	ck_assert_msg(catalog_find(cat, path, &number) == 0, "no %s", path);
	return &cat->signals[number];
}

static void check_signal(const struct catalog *cat, const struct drive_signal *s,
			 const struct catalog_signal *have)
{
	ck_assert_uint_eq(have->start_bit, s->start);
	ck_assert_uint_eq(have->bits, s->bits);
	ck_assert_int_eq(have->big_endian, (s->flags & SIG_BIG_ENDIAN) != 0);
	ck_assert_int_eq(have->kind, kind_of(s));
	ck_assert_double_eq(have->factor, s->factor);
	ck_assert_double_eq(have->offset, s->offset);
	ck_assert_str_eq(have->unit, s->unit);
	check_mux(cat, s, have);
	check_choices(s, have);
}

static void check_message(const struct catalog *cat, uint16_t bus_no, const struct drive_message *m)
{
	const struct drive_bus *bus = drive_bus(bus_no);
	for (size_t i = 0; i < m->n_signals; i++) {
		const struct drive_signal *s = &m->signals[i];
		const struct catalog_signal *have = signal_named(cat, bus, m, s);
		const struct catalog_message *owner = &cat->messages[have->message];
		ck_assert_str_eq(cat->buses[owner->bus], bus->name);
		ck_assert_uint_eq(owner->id, m->id);
		ck_assert_int_eq(owner->extended, (m->flags & MSG_EXTENDED) != 0);
		ck_assert_uint_eq(owner->bytes, m->bytes);
		ck_assert_uint_eq(owner->n_signals, m->n_signals);
		check_signal(cat, s, have);
	}
}

START_TEST(parser_reads_the_tables)
{
	struct catalog *cat = load();
	size_t messages = 0, signals = 0;
	for (uint16_t b = 0; b < DRIVE_BUSES; b++) {
		for (size_t i = 0; i < drive_bus(b)->n_messages; i++) {
			check_message(cat, b, &drive_bus(b)->messages[i]);
			messages++;
			signals += drive_bus(b)->messages[i].n_signals;
		}
	}
	ck_assert_uint_eq(cat->n_messages, messages);
	ck_assert_uint_eq(cat->n_signals, signals);
	catalog_free(cat);
}
END_TEST

static double field(const struct car *c, const struct drive_signal *s)
{
	double value;
	memcpy(&value, (const char *)c + s->field, sizeof(value));
	return value;
}

/* Whether the decoder's value of a signal is the car's, to half a step. */
static bool agrees(const struct catalog_signal *have, uint64_t raw, double want)
{
	double got = catalog_value(have, raw);
	if (have->kind == SIGNAL_FLOAT32)
		return fabs(got - want) <= fabs(want) * 1e-6;
	return fabs(got - want) <= have->factor * 0.5000001;
}

/* Decodes one frame and returns how many of its samples are right; n must all be. */
static size_t compare(const struct catalog *cat, const struct plan *plan, struct sample *out,
		      const struct car *c, uint16_t bus, const struct drive_message *m,
		      unsigned group)
{
	uint8_t data[ENCODE_BYTES];
	encode_message(m, c, group, 9, data);
	uint32_t number = plan_message(plan, bus, m->id, m->flags & MSG_EXTENDED);
	ck_assert_uint_ne(number, CATALOG_NONE);
	size_t n = plan_decode(plan, number, data, m->bytes, out), k = 0;
	for (size_t i = 0; i < m->n_signals; i++) {
		const struct drive_signal *s = &m->signals[i];
		if (s->group != SIG_ALWAYS && (unsigned)s->group != group)
			continue;
		if (k == n)
			ck_abort_msg("%s: %s not decoded", m->name, s->name);
		const struct catalog_signal *have = &cat->signals[out[k].signal];
		double want = s->flags & SIG_MUX       ? group
			      : s->flags & SIG_COUNTER ? 9
			      : s->flags & SIG_CRC     ? data[s->start / 8]
						       : field(c, s);
		if (strcmp(have->name, s->name) != 0 || !agrees(have, out[k].raw, want))
			ck_abort_msg("%s.%s: %g, want %s %g", m->name, have->name,
				     catalog_value(have, out[k].raw), s->name, want);
		k++;
	}
	ck_assert_uint_eq(k, n);
	return n;
}

static size_t compare_all(const struct catalog *cat, const struct plan *plan, struct sample *out,
			  const struct car *c)
{
	size_t n = 0;
	for (uint16_t b = 0; b < DRIVE_BUSES; b++) {
		for (size_t i = 0; i < drive_bus(b)->n_messages; i++) {
			const struct drive_message *m = &drive_bus(b)->messages[i];
			unsigned groups = m->groups ? m->groups : 1;
			for (unsigned g = 0; g < groups; g++)
				n += compare(cat, plan, out, c, b, m, g);
		}
	}
	return n;
}

START_TEST(decoder_sees_the_car)
{
	struct catalog *cat = load();
	struct plan *plan = NULL;
	struct car *c = NULL;
	struct car_options opt = {.seed = 21, .charge = CAR_CHARGE_ALWAYS};
	ck_assert_int_eq(plan_new(&plan, cat, NULL), 0);
	ck_assert_int_eq(car_new(&c, &opt, 1.8e9), 0);
	struct sample *out = calloc(plan_samples_max(plan), sizeof(*out));
	ck_assert_ptr_nonnull(out);
	for (size_t step = 0; step < 100 * 2200; step++) {
		car_step(c);
		if (step % 2999 == 0)
			ck_assert_uint_ge(compare_all(cat, plan, out, c), cat->n_signals);
	}
	free(out);
	car_free(c);
	plan_free(plan);
	catalog_free(cat);
}
END_TEST

/* Values outside their range stay at its ends, and touch no neighbour. */
START_TEST(encoder_saturates)
{
	struct catalog *cat = load();
	struct car_options opt = {.seed = 1};
	struct car *c = NULL;
	struct plan *plan = NULL;
	struct sample out[128];
	uint8_t data[ENCODE_BYTES];
	ck_assert_int_eq(car_new(&c, &opt, 1.8e9), 0);
	ck_assert_int_eq(plan_new(&plan, cat, NULL), 0);
	ck_assert_uint_le(plan_samples_max(plan), array_len(out));
	c->motion.yaw_rate_dps = -1e9;
	c->motion.lateral_ms2 = 1e9;
	c->motion.accel_body_ms2 = -1;
	const struct drive_message *m = &drive_can0.messages[3];
	ck_assert_str_eq(m->name, "ESP_Inertial");
	encode_message(m, c, 0, 5, data);
	size_t n = plan_decode(plan, plan_message(plan, 0, m->id, false), data, m->bytes, out);
	ck_assert_uint_eq(n, 5);
	ck_assert_int_eq((int64_t)out[0].raw, INT16_MIN);
	ck_assert_int_eq((int64_t)out[1].raw, INT16_MAX);
	ck_assert_int_eq((int64_t)out[2].raw, -1000);
	ck_assert_uint_eq(out[3].raw, 5);
	car_free(c);
	plan_free(plan);
	catalog_free(cat);
}
END_TEST

static void count_kinds(const struct drive_message *m, size_t kinds[static 6])
{
	kinds[0] += (m->flags & MSG_FD) && m->bytes == 64;
	kinds[1] += (m->flags & MSG_EXTENDED) != 0;
	kinds[2] += m->groups > 0;
	for (size_t k = 0; k < m->n_signals; k++) {
		const struct drive_signal *s = &m->signals[k];
		kinds[3] += (s->flags & SIG_BIG_ENDIAN) && (s->flags & SIG_SIGNED);
		kinds[4] += (s->flags & SIG_FLOAT) != 0;
		kinds[5] += s->choices != NULL;
	}
}

/* The buses hold every kind of thing that the decoder must master. */
START_TEST(buses_are_varied)
{
	size_t kinds[6] = {0};
	for (size_t b = 0; b < DRIVE_BUSES; b++)
		for (size_t i = 0; i < drive_bus(b)->n_messages; i++)
			count_kinds(&drive_bus(b)->messages[i], kinds);
	for (size_t i = 0; i < array_len(kinds); i++)
		ck_assert_msg(kinds[i] > 0, "kind %zu is missing", i);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("dbc");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, committed_file_is_what_prints, 0, DRIVE_BUSES);
	tcase_add_test(tc, parser_reads_the_tables);
	tcase_add_test(tc, decoder_sees_the_car);
	tcase_add_test(tc, encoder_saturates);
	tcase_add_test(tc, buses_are_varied);
	return suite_run("drive_dbc", &tc, 1);
}
