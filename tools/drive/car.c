/* tools/drive/car.c: what differs between vehicles, the order of a step, and the course of a day:
 * get in, drive the trace, get out, perhaps charge, again. */
#include "tools/drive/car.h"
#include "tools/drive/wltc.h"

#include <math.h>

#define PREPARE_S	 12.0
#define LEAVE_S		 14.0
#define CHARGE_BELOW_PCT 30.0
#define UNPLUG_S	 5.0

static void params_init(struct car *c)
{
	struct rng *r = &c->rng;
	struct car_params *p = &c->p;
	p->mass_kg = rng_range(r, 1720, 2050);
	p->cda_m2 = rng_range(r, 0.55, 0.66);
	p->rolling = rng_range(r, 0.0078, 0.0095);
	p->capacity_ah = 161;
	p->health = rng_range(r, 0.87, 0.995);
	p->ambient_c = rng_range(r, 8, 27);
	p->cabin_set_c = floor(rng_range(r, 40, 46)) / 2;
	p->latency_s = rng_range(r, 0.16, 0.26);
	for (size_t i = 0; i < CAR_CELLS; i++) {
		p->cell_soc[i] = 0.004 * rng_normal(r);
		p->cell_r[i] = 1 + 0.03 * rng_normal(r);
	}
	for (size_t i = 0; i < CAR_TEMP_SENSORS; i++)
		p->sensor_k[i] = 0.6 * rng_normal(r);
	for (size_t i = 0; i < CAR_WHEELS; i++)
		p->tyre_cold_kpa[i] = rng_range(r, 235, 262);
}

int car_new(struct car **ret, const struct car_options *opt, double start_unix_s)
{
	struct car *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->opt = *opt;
	c->rng.state = opt->seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	c->clock.unix_s = start_unix_s;
	int err = route_init(&c->route, opt->seed);
	if (err < 0) {
		car_free(c);
		return err;
	}
	params_init(c);
	clock_set(c);
	session_init(c);
	driver_init(c);
	drivetrain_init(c);
	battery_init(c);
	thermal_init(c);
	lowvolt_init(c);
	body_init(c);
	gps_init(c, opt->seed);
	meters_init(c);
	route_at(&c->route, 0, &c->where);
	*ret = c;
	return 0;
}

struct car *car_free(struct car *c)
{
	if (c)
		route_free(&c->route);
	free(c);
	return NULL;
}

static void enter(struct car *c, enum car_phase phase)
{
	struct car_session *s = &c->session;
	s->phase = phase;
	s->t = 0;
	if (phase == CAR_DRIVE) {
		s->number++;
		s->soc_at_start = c->battery.soc_true_pct;
		route_aim(&c->route, wltc_length_m());
		meters_reset(c);
	}
}

void session_init(struct car *c)
{
	enter(c, CAR_PREPARE);
}

static bool wants_charge(const struct car *c)
{
	return c->opt.charge == CAR_CHARGE_ALWAYS || c->battery.soc_true_pct < CHARGE_BELOW_PCT;
}

static void next_phase(struct car *c)
{
	struct car_session *s = &c->session;
	switch ((enum car_phase)s->phase) {
	case CAR_PREPARE:
		if (s->t >= PREPARE_S)
			enter(c, CAR_DRIVE);
		break;
	case CAR_DRIVE:
		if (s->t >= WLTC_SECONDS)
			enter(c, CAR_LEAVE);
		break;
	case CAR_LEAVE:
		if (s->t >= LEAVE_S)
			enter(c, wants_charge(c) ? CAR_CHARGE : CAR_PREPARE);
		break;
	case CAR_CHARGE:
		if (s->t > UNPLUG_S + 10 && c->charger.state == 3)
			enter(c, CAR_PREPARE);
		break;
	}
}

static double vehicle_state(const struct car *c)
{
	double t = c->session.t;
	switch ((enum car_phase)c->session.phase) {
	case CAR_PREPARE:
		return t > 7.5 ? 2 : t > 1 ? 1 : 0;
	case CAR_DRIVE:
		return c->driver.gear == CAR_GEAR_D ? 3 : 2;
	case CAR_LEAVE:
		return t < 2.5 ? 2 : t < 12 ? 1 : 0;
	case CAR_CHARGE:
		return 4;
	}
	return 0;
}

void session_step(struct car *c)
{
	struct car_session *s = &c->session;
	s->t += CAR_STEP_S;
	s->uptime_s = (double)c->step * CAR_STEP_S;
	next_phase(c);
	bool drive = s->phase == CAR_DRIVE && s->t > 3;
	bool still_in_d = s->phase == CAR_LEAVE && s->t < 1.5;
	c->driver.gear = drive || still_in_d ? CAR_GEAR_D : CAR_GEAR_P;
	s->vehicle_state = vehicle_state(c);
	s->target_kmh = s->phase == CAR_DRIVE ? wltc_kmh(s->t) : 0;
}

void car_step(struct car *c)
{
	c->step++;
	session_step(c);
	driver_step(c);
	drivetrain_step(c);
	chassis_step(c);
	charger_step(c);
	battery_step(c);
	thermal_step(c);
	lowvolt_step(c);
	body_step(c);
	meters_step(c);
	gps_step(c);
}
