/* tools/drive/battery.c: 96 cells in series: open-circuit voltage by charge, resistance by
 * temperature, one RC pair, coulomb counting. */
#include "tools/drive/car.h"

#include <math.h>

#define CELL_OHM    0.00085 /* at 25 degC, both ways */
#define RC_SHARE    0.55    /* of the RC pair, relative to CELL_OHM */
#define RC_TAU_S    28.0
#define GROUP_CELLS 24

/* NMC cell at rest, by 5 % of charge. */
static const float ocv_table[] = {
	3.000f, 3.290f, 3.412f, 3.470f, 3.512f, 3.545f, 3.573f, 3.597f, 3.619f, 3.642f, 3.668f,
	3.700f, 3.742f, 3.790f, 3.838f, 3.886f, 3.935f, 3.987f, 4.042f, 4.102f, 4.180f,
};

double battery_ocv(double soc)
{
	double x = clamp(soc, 0, 0.99999) * (double)(array_len(ocv_table) - 1);
	size_t i = (size_t)x;
	double f = x - (double)i;
	return (double)ocv_table[i] * (1 - f) + (double)ocv_table[i + 1] * f;
}

/* Cold cells resist more: doubles about every 22 K below 25 degC. */
static double cell_ohm(const struct car *c)
{
	return CELL_OHM * (0.72 + 0.28 * exp2((25 - c->battery.temp_c) / 11)) /
	       fmax(c->p.health, 0.5);
}

static double capacity_ah(const struct car *c)
{
	return c->p.capacity_ah * c->p.health;
}

static void limits(struct car *c)
{
	struct car_battery *b = &c->battery;
	double soc = b->soc_true_pct;
	double warm = clamp((b->temp_c + 15) / 35, 0.1, 1) * clamp((60 - b->temp_c) / 12, 0, 1);
	b->discharge_limit_kw = 185 * warm * clamp(soc / 12, 0.05, 1);
	b->charge_limit_kw = 120 * warm * clamp((100 - soc) / 45, 0.02, 1);
}

static void cells(struct car *c)
{
	struct car_battery *b = &c->battery;
	double r = cell_ohm(c), polarisation = b->polarisation_v / CAR_CELLS;
	size_t lo = 0, hi = 0;
	for (size_t g = 0; g < 4; g++)
		b->group_v[g] = 0;
	for (size_t i = 0; i < CAR_CELLS; i++) {
		double v = battery_ocv(b->soc_true_pct / 100 + c->p.cell_soc[i]) - polarisation -
			   b->current_a * r * c->p.cell_r[i];
		b->cell_v[i] = v + 0.0004 * rng_normal(&c->rng);
		lo = b->cell_v[i] < b->cell_v[lo] ? i : lo;
		hi = b->cell_v[i] > b->cell_v[hi] ? i : hi;
		b->group_v[i / GROUP_CELLS] += b->cell_v[i];
	}
	b->cell_min_v = b->cell_v[lo];
	b->cell_max_v = b->cell_v[hi];
	b->cell_min_no = (double)lo + 1;
	b->cell_max_no = (double)hi + 1;
	b->balancing = b->cell_max_v - b->cell_min_v > 0.012 && c->session.phase == CAR_CHARGE;
}

static void counters(struct car *c)
{
	struct car_battery *b = &c->battery;
	double mean_v = battery_ocv(b->soc_true_pct / 200) * CAR_CELLS; /* on the way down */
	b->energy_kwh = b->soc_true_pct / 100 * capacity_ah(c) * mean_v / 1000;
	b->cycles = b->throughput_kwh / (2 * 0.35 * c->p.capacity_ah);
}

void battery_init(struct car *c)
{
	struct car_battery *b = &c->battery;
	b->soc_true_pct = rng_range(&c->rng, 58, 92);
	b->soc_pct = b->soc_true_pct;
	b->soh_pct = 100 * c->p.health;
	b->temp_c = c->p.ambient_c + rng_range(&c->rng, 0, 6);
	b->throughput_kwh = rng_range(&c->rng, 800, 16000);
	b->voltage_v = CAR_CELLS * battery_ocv(b->soc_true_pct / 100);
	b->insulation_kohm = rng_range(&c->rng, 2500, 6000);
	for (size_t i = 0; i < CAR_CELLS; i++)
		b->cell_v[i] = b->voltage_v / CAR_CELLS;
	for (size_t i = 0; i < CAR_TEMP_SENSORS; i++)
		b->sensor_c[i] = b->temp_c;
	b->temp_min_c = b->temp_c;
	b->temp_max_c = b->temp_c;
	limits(c);
	cells(c);
	counters(c);
}

static void contactors(struct car *c)
{
	struct car_battery *b = &c->battery;
	bool want = c->session.vehicle_state >= 2 || c->charger.state == 2;
	if (!want)
		b->contactors = 0;
	else if (b->contactors < 2)
		b->contactors = fmin(2, b->contactors + (b->contactors < 1 ? 1 : CAR_STEP_S / 0.4));
}

/* Current at which the battery gives `watts`: the smaller root of R I^2 - E I + P = 0. */
static double current_for(const struct car *c, double emf, double ohm, double watts)
{
	if (c->battery.contactors < 2)
		return 0;
	double d = emf * emf - 4 * ohm * watts;
	return d > 0 ? (emf - sqrt(d)) / (2 * ohm) : emf / (2 * ohm);
}

void battery_step(struct car *c)
{
	struct car_battery *b = &c->battery;
	contactors(c);
	limits(c);
	double ohm = CAR_CELLS * cell_ohm(c);
	b->ocv_v = CAR_CELLS * battery_ocv(b->soc_true_pct / 100);
	double emf = b->ocv_v - b->polarisation_v;
	double want = c->motor.dc_power_w + car_aux_power_w(c) - c->charger.power_w;
	double amps = current_for(c, emf, ohm, want);
	b->polarisation_v += (amps * ohm * RC_SHARE - b->polarisation_v) * CAR_STEP_S / RC_TAU_S;
	b->voltage_v = emf - amps * ohm;
	b->current_a = amps;
	b->power_w = b->voltage_v * amps;
	b->heat_w = amps * amps * ohm + fabs(amps * b->polarisation_v);
	b->soc_true_pct -= 100 * amps * CAR_STEP_S / (3600 * capacity_ah(c));
	b->soc_true_pct = clamp(b->soc_true_pct, 0, 100);
	b->soc_pct = lag(b->soc_pct, b->soc_true_pct, 8, CAR_STEP_S);
	b->throughput_kwh += fabs(b->power_w) * CAR_STEP_S / 3.6e6;
	if (c->step % 10 == 3) {
		counters(c);
		b->insulation_kohm =
			clamp(b->insulation_kohm + 4 * rng_normal(&c->rng), 1500, 8000);
		cells(c);
	}
}

/* A DC charging post: current follows the battery's request; the post ramps at 20 A/s. */
void charger_step(struct car *c)
{
	struct car_charger *g = &c->charger;
	bool here = c->session.phase == CAR_CHARGE;
	double t = c->session.t;
	g->connected = here && t > 2;
	g->latch = g->connected;
	bool full = c->battery.soc_true_pct >= 80;
	g->state = g->connected == 0 ? 0 : full ? 3 : t < 8 ? 1 : 2;
	g->request_v = 420;
	double most =
		fmin(110, c->battery.charge_limit_kw) * 1000 / fmax(c->battery.voltage_v, 200);
	g->request_a = g->state == 2 ? fmin(most, 300) : 0;
	double step = clamp(g->request_a - g->amps, -200 * CAR_STEP_S, 20 * CAR_STEP_S);
	g->amps = g->state == 2 ? g->amps + step : 0;
	g->volts = g->state == 2 ? c->battery.voltage_v + 0.01 * g->amps : 0;
	g->power_w = g->state == 2 && c->battery.contactors >= 2 ? g->volts * g->amps : 0;
	if (!here)
		g->energy_kwh = 0;
	g->energy_kwh += g->power_w * CAR_STEP_S / 3.6e6;
	double missing = fmax(0, 80 - c->battery.soc_true_pct) / 100 * capacity_ah(c) * 0.36;
	g->minutes_left = g->power_w > 1000 ? clamp(60 * missing / (g->power_w / 1000), 0, 250) : 0;
}
