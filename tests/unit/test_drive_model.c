/* The simulated car: its speed table is the regulation's, and what it does is physically sound. */
#include "tests/unit/suite.h"
#include "tools/drive/car.h"
#include "tools/drive/messages.h"
#include "tools/drive/wltc.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double start = 1.8e9;

static struct car *new_car(uint64_t seed, enum car_charge charge)
{
	struct car_options opt = {.seed = seed, .charge = charge};
	struct car *c = NULL;
	ck_assert_int_eq(car_new(&c, &opt, start), 0);
	return c;
}

static void until(struct car *c, enum car_phase phase)
{
	for (size_t i = 0; i < 3600 * 100 * 3 && c->session.phase != phase; i++)
		car_step(c);
	ck_assert(c->session.phase == phase);
}

/* UN GTR 15, Annex 1: duration, distance, top speed, standing time (speed 0, by our count with the
 * start's second), and the sum of the speeds that the regulation gives to check a table by. */
struct want {
	size_t seconds;
	double length_m, top_kmh;
	size_t standing;
	double sum;
};

static const struct want phases[WLTC_PHASES] = {
	{589, 3095, 56.5, 150, 11140.3},
	{433, 4756, 76.6, 48, 17121.2},
	{455, 7162, 97.4, 30, 25782.2},
	{323, 8254, 131.3, 7, 29714.9},
};

START_TEST(wltc_is_the_regulations)
{
	const struct want *w = &phases[_i];
	const struct wltc_phase *p = wltc_phase((size_t)_i);
	double sum = 0, top = 0;
	size_t standing = 0;
	for (size_t t = p->first; t <= p->last; t++) {
		double v = wltc_table_kmh(t);
		sum += v;
		top = fmax(top, v);
		standing += v == 0;
	}
	ck_assert_uint_eq(p->last - p->first + (_i > 0), w->seconds);
	ck_assert_double_eq_tol(sum, w->sum, 1e-6);
	ck_assert_double_eq_tol(sum / 3.6, w->length_m, 1);
	ck_assert_double_eq_tol(top, w->top_kmh, 1e-9);
	ck_assert_uint_eq(standing, w->standing);
}
END_TEST

START_TEST(wltc_as_a_whole)
{
	double hardest = 0, softest = 0;
	for (size_t t = 1; t <= WLTC_SECONDS; t++) {
		double a = (wltc_table_kmh(t) - wltc_table_kmh(t - 1)) / 3.6;
		hardest = fmin(hardest, a);
		softest = fmax(softest, a);
	}
	ck_assert_double_eq_tol(wltc_length_m(), 23266, 1);
	ck_assert_double_ge(hardest, -1.51);
	ck_assert_double_le(softest, 1.667);
	ck_assert_double_eq(wltc_kmh(0), 0);
	ck_assert_double_eq(wltc_kmh(WLTC_SECONDS), 0);
	ck_assert_double_eq_tol(wltc_kmh(13.5), (1.7 + 5.4) / 2, 1e-9);
	ck_assert_double_eq(wltc_table_kmh(WLTC_SECONDS + 1), 0);
}
END_TEST

/* Within 2 km/h of the trace at some time within 1 s: the regulation's own tolerance. */
static bool follows(const struct car *c)
{
	double lo = 1e9, hi = 0;
	for (int k = -10; k <= 10; k++) {
		double v = wltc_kmh(c->session.t + k * 0.1);
		lo = fmin(lo, v);
		hi = fmax(hi, v);
	}
	return c->motion.v_kmh >= lo - 2 && c->motion.v_kmh <= hi + 2;
}

/* A whole drive: speed, energy, forces, and back at the start. */
START_TEST(drive_is_sound)
{
	struct car *c = new_car((uint64_t)_i + 1, CAR_CHARGE_AUTO);
	size_t n = 0, off = 0;
	double sideways = 0, joule = 0, mechanical = 0, amp_s = 0, worst = 0;
	until(c, CAR_DRIVE);
	double odometer = c->motion.odometer_m, soc = c->battery.soc_true_pct;
	for (; c->session.phase == CAR_DRIVE; n++) {
		car_step(c);
		off += !follows(c);
		sideways = fmax(sideways, fabs(c->motion.lateral_ms2));
		joule += c->battery.power_w * CAR_STEP_S;
		amp_s += c->battery.current_a * CAR_STEP_S;
		mechanical += (c->motor.dc_power_w - c->motor.power_w) * CAR_STEP_S;
		double gap = c->battery.voltage_v * c->battery.current_a - c->battery.power_w;
		worst = fmax(worst, fabs(gap));
	}
	double km = (c->motion.odometer_m - odometer) / 1000;
	double used = joule / 3.6e6, per_100 = 100 * used / km;
	double capacity = c->p.capacity_ah * c->p.health;
	ck_assert_uint_ge(n, 179990);
	ck_assert_msg(off <= n / 50, "off the trace for %zu of %zu steps", off, n);
	ck_assert_double_eq_tol(km, wltc_length_m() / 1000, 0.15);
	ck_assert_msg(per_100 > 12 && per_100 < 22, "%.2f kWh/100 km", per_100);
	ck_assert_double_eq_tol(used, c->meters.net_kwh, 0.01);
	ck_assert_double_eq_tol(soc - c->battery.soc_true_pct, amp_s / 36 / capacity, 0.01);
	ck_assert_double_gt(c->meters.regen_kwh, 0.1 * c->meters.drive_kwh);
	ck_assert_double_lt(c->meters.regen_kwh, 0.5 * c->meters.drive_kwh);
	ck_assert_double_gt(mechanical, 0);
	ck_assert_double_lt(worst, 1e-6);
	ck_assert_double_gt(sideways, 1);
	ck_assert_double_lt(sideways, 4);
	double round = fmin(c->route.pos_m, c->route.length_m - c->route.pos_m);
	ck_assert_double_lt(round, 30);
	car_free(c);
}
END_TEST

static double field(const struct car *c, const struct drive_signal *s)
{
	double value;
	memcpy(&value, (const char *)c + s->field, sizeof(value));
	return value;
}

/* Nothing is cut off by the width of its signal, and nothing is not a number. */
static void check_ranges(const struct car *c)
{
	for (size_t b = 0; b < DRIVE_BUSES; b++) {
		const struct drive_bus *bus = drive_bus(b);
		for (size_t i = 0; i < bus->n_messages; i++) {
			for (size_t k = 0; k < bus->messages[i].n_signals; k++) {
				const struct drive_signal *s = &bus->messages[i].signals[k];
				double v = field(c, s), raw = rint((v - s->offset) / s->factor);
				bool fits =
					s->flags & SIG_FLOAT || (raw >= (double)drive_raw_min(s) &&
								 raw <= (double)drive_raw_max(s));
				if (!isfinite(v) || !fits)
					ck_abort_msg("%s.%s = %g at %.2f s", bus->messages[i].name,
						     s->name, v, c->session.uptime_s);
			}
		}
	}
}

START_TEST(every_value_fits_its_signal)
{
	struct car *c = new_car((uint64_t)_i, CAR_CHARGE_ALWAYS);
	check_ranges(c);
	for (size_t i = 0; i < 100 * 4500; i++) {
		car_step(c);
		if (i % 37 == 0 || i < 200)
			check_ranges(c);
	}
	car_free(c);
}
END_TEST

START_TEST(charges_after_the_drive)
{
	struct car *c = new_car(3, CAR_CHARGE_ALWAYS);
	c->battery.soc_true_pct = 60;
	until(c, CAR_CHARGE);
	double soc = c->battery.soc_true_pct;
	ck_assert_double_lt(soc, 58);
	double kwh = 0, most = 0;
	bool moved = false;
	while (c->session.phase == CAR_CHARGE && c->session.t < 3600) {
		car_step(c);
		kwh -= c->battery.power_w * CAR_STEP_S / 3.6e6;
		most = fmax(most, c->charger.power_w);
		moved |= c->motion.v_ms != 0;
	}
	ck_assert(!moved);
	ck_assert(c->session.phase == CAR_PREPARE);
	ck_assert_double_ge(c->battery.soc_true_pct, 79.9);
	ck_assert_double_gt(most, 40e3);
	ck_assert_double_le(most, 125e3);
	double stored = (c->battery.soc_true_pct - soc) / 100 * c->p.capacity_ah * c->p.health *
			0.36; /* kWh at 360 V */
	ck_assert_double_gt(kwh, 0.9 * stored);
	ck_assert_double_lt(kwh, 1.25 * stored);
	car_free(c);
}
END_TEST

START_TEST(auto_charges_only_below_30)
{
	struct car *c = new_car(3, CAR_CHARGE_AUTO);
	c->battery.soc_true_pct = 80;
	until(c, CAR_LEAVE);
	while (c->session.phase == CAR_LEAVE)
		car_step(c);
	ck_assert(c->session.phase == CAR_PREPARE);
	c->battery.soc_true_pct = 33;
	until(c, CAR_CHARGE);
	ck_assert_double_lt(c->battery.soc_true_pct, 30);
	car_free(c);
}
END_TEST

START_TEST(people_and_doors)
{
	struct car *c = new_car(1, CAR_CHARGE_AUTO);
	bool opened = false, open_while_moving = false, unbelted = false, lit = false;
	bool unlocked = false;
	size_t blinks = 0;
	while (c->session.phase != CAR_CHARGE && c->session.number < 2) {
		bool before = c->body.indicator_left != 0 || c->body.indicator_right != 0;
		car_step(c);
		bool open = c->body.door_open[0] != 0;
		opened |= open;
		open_while_moving |= open && c->motion.v_ms > 0;
		unbelted |= c->motion.v_ms > 0 && c->body.belt[0] == 0;
		lit |= c->body.brake_light != 0;
		blinks += !before && (c->body.indicator_left != 0 || c->body.indicator_right != 0);
		unlocked |= c->motion.v_kmh > 20 && c->body.door_locked[0] == 0;
	}
	ck_assert(opened && lit);
	ck_assert(!open_while_moving && !unbelted && !unlocked);
	ck_assert_uint_gt(blinks, 10);
	car_free(c);
}
END_TEST

START_TEST(vehicles_differ_and_repeat)
{
	struct car *a = new_car(11, CAR_CHARGE_AUTO), *b = new_car(11, CAR_CHARGE_AUTO);
	struct car *other = new_car(12, CAR_CHARGE_AUTO);
	ck_assert_double_ne(a->p.mass_kg, other->p.mass_kg);
	ck_assert_double_ne(a->battery.soc_true_pct, other->battery.soc_true_pct);
	ck_assert_double_ne(a->route.origin_lat_deg, other->route.origin_lat_deg);
	for (size_t i = 0; i < 20000; i++) {
		car_step(a);
		car_step(b);
	}
	free(a->route.nodes);
	free(b->route.nodes);
	a->route.nodes = b->route.nodes = NULL;
	ck_assert_mem_eq(a, b, sizeof(*a));
	car_free(a);
	car_free(b);
	car_free(other);
}
END_TEST

/* The way is unbroken, its heading fits its points, its bends their curvature. */
START_TEST(route_is_smooth)
{
	struct route r;
	struct route_point before, p;
	ck_assert_int_eq(route_init(&r, 5), 0);
	ck_assert_double_eq_tol(r.length_m, wltc_length_m(), 30);
	route_at(&r, 0, &before);
	double turned = 0;
	for (double s = 2; s < r.length_m + 2; s += 2) {
		route_at(&r, s, &p);
		double step = hypot(p.east_m - before.east_m, p.north_m - before.north_m);
		double dh = remainder(p.heading_deg - before.heading_deg, 360);
		if (step < 1.8 || step > 2.2 || fabs(dh) > 9 || fabs(p.slope) > 0.07 ||
		    fabs(p.alt_m - before.alt_m) > 0.2)
			ck_abort_msg("at %.0f m: %.2f m on, %.1f deg, slope %.3f", s, step, dh,
				     p.slope);
		turned -= p.curvature_1pm * 2 * 180 / M_PI;
		before = p;
	}
	ck_assert_double_eq_tol(fabs(turned), 360, 4);
	route_free(&r);
}
END_TEST

START_TEST(cell_voltage_rises_with_charge)
{
	for (double soc = 0; soc < 1; soc += 0.01)
		ck_assert_double_gt(battery_ocv(soc + 0.01), battery_ocv(soc));
	ck_assert_double_eq_tol(battery_ocv(-1), 3.0, 1e-6);
	ck_assert_double_eq_tol(battery_ocv(2), 4.18, 1e-3);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("model");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, wltc_is_the_regulations, 0, WLTC_PHASES);
	tcase_add_test(tc, wltc_as_a_whole);
	tcase_add_loop_test(tc, drive_is_sound, 0, 4);
	tcase_add_loop_test(tc, every_value_fits_its_signal, 0, 2);
	tcase_add_test(tc, charges_after_the_drive);
	tcase_add_test(tc, auto_charges_only_below_30);
	tcase_add_test(tc, people_and_doors);
	tcase_add_test(tc, vehicles_differ_and_repeat);
	tcase_add_test(tc, route_is_smooth);
	tcase_add_test(tc, cell_voltage_rises_with_charge);
	return suite_run("drive_model", &tc, 1);
}
