/* tools/drive/driver.c: a person who follows the speed trace: sees a little ahead, presses pedals.
 */
#include "tools/drive/car.h"
#include "tools/drive/wltc.h"

#include <math.h>

#define GRAVITY	     9.81
#define BRAKE_FULL_G 0.8 /* deceleration, g, of a brake pedal at 100 % */

void driver_init(struct car *c)
{
	c->driver.gear = CAR_GEAR_P;
	c->driver.brake_pct = 30;
}

static double target_ms(const struct car *c, double ahead_s)
{
	if (c->session.phase != CAR_DRIVE)
		return 0;
	return wltc_kmh(c->session.t + ahead_s) / 3.6;
}

/* The force that the driver wants at the wheels: what the trace's own acceleration takes, corrected
 * by a PI controller on the speed. */
static double wanted_force(struct car *c)
{
	struct car_driver *d = &c->driver;
	double ahead = c->p.latency_s;
	double accel = target_ms(c, ahead + 0.4) - target_ms(c, ahead - 0.4);
	double error = target_ms(c, 0.1) - c->motion.v_ms;
	d->integral = clamp(d->integral + 0.15 * error * CAR_STEP_S, -0.4, 0.4);
	accel = accel / 0.8 + 1.1 * error + d->integral;
	return c->p.mass_kg * 1.04 * accel + c->motion.road_load_n;
}

static bool wants_stop(const struct car *c)
{
	return target_ms(c, 0) < 0.1 && target_ms(c, 0.6) < 0.1 && c->motion.v_ms < 1.2;
}

/* Feet take time, and are never quite still. */
static void press(struct car *c, double accel_pct, double brake_pct)
{
	struct car_driver *d = &c->driver;
	d->wobble += (rng_normal(&c->rng) * 0.12 - d->wobble * 0.02);
	if (accel_pct > 1)
		accel_pct += clamp(d->wobble, -1, 1);
	d->accel_pct = clamp(lag(d->accel_pct, accel_pct, 0.09, CAR_STEP_S), 0, 100);
	d->brake_pct = clamp(lag(d->brake_pct, brake_pct, 0.08, CAR_STEP_S), 0, 100);
	if (d->accel_pct < 0.05)
		d->accel_pct = 0;
	if (d->brake_pct < 0.05)
		d->brake_pct = 0;
	d->brake_switch = d->brake_pct > 0.8;
}

static void indicate(struct car *c)
{
	struct route_point p;
	double reach = clamp(c->motion.v_ms * 4, 15, 60);
	double most = c->where.curvature_1pm;
	for (double ahead = 5; ahead < reach; ahead += 5) {
		route_at(&c->route, ahead, &p);
		if (fabs(p.curvature_1pm) > fabs(most))
			most = p.curvature_1pm;
	}
	bool driving = c->session.phase == CAR_DRIVE;
	c->driver.turn_left = driving && most > 0.012;
	c->driver.turn_right = driving && most < -0.012;
}

void driver_step(struct car *c)
{
	if (c->step % 20 == 0)
		indicate(c);
	if (c->session.phase != CAR_DRIVE) {
		c->driver.integral = 0;
		press(c, 0, c->session.vehicle_state >= 2 ? 32 : 0);
		return;
	}
	if (wants_stop(c)) {
		c->driver.integral = 0;
		press(c, 0, 24);
		return;
	}
	double brake_n, pedal = drivetrain_force_pedal(c, wanted_force(c), &brake_n);
	press(c, 100 * pedal, 100 * brake_n / (c->p.mass_kg * GRAVITY * BRAKE_FULL_G));
}
