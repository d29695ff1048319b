/* tools/drive/chassis.c: what the bends do: steering, yaw, lateral acceleration, wheel speeds. */
#include "tools/drive/car.h"

#include <math.h>

#define WHEELBASE_M	2.77
#define TRACK_M		1.58
#define STEERING_RATIO	15.2
#define UNDERSTEER	0.0021 /* rad of road wheel for 1 m/s^2 */
#define PULSES_PER_TURN 96.0
#define WHEEL_M		0.335
#define DEG		(180 / M_PI)

static void steer(struct car *c)
{
	struct car_motion *x = &c->motion;
	double k = c->where.curvature_1pm;
	double speed_share =
		clamp(x->v_ms / 2, 0, 1); /* nobody turns the wheel of a standing car */
	double road = (atan(WHEELBASE_M * k) + UNDERSTEER * x->lateral_ms2) * DEG;
	double weave = 0.9 * sin(c->session.uptime_s * 0.7) * sin(c->session.uptime_s * 0.23);
	double want = road * STEERING_RATIO + weave;
	double before = x->steering_deg;
	x->steering_deg = lag(before, want, 0.15 + (1 - speed_share) * 50, CAR_STEP_S);
	double rate = (x->steering_deg - before) / CAR_STEP_S;
	x->steering_rate_dps = lag(x->steering_rate_dps, rate, 0.05, CAR_STEP_S);
	x->steering_torque_nm =
		lag(x->steering_torque_nm, 0.55 * x->lateral_ms2 + 0.012 * x->steering_rate_dps,
		    0.1, CAR_STEP_S);
}

static void turn(struct car *c)
{
	struct car_motion *x = &c->motion;
	double k = c->where.curvature_1pm;
	double noise = x->v_ms > 0 ? 1 : 0.3;
	double yaw = x->v_ms * k;
	x->yaw_rate_dps = yaw * DEG + noise * 0.05 * rng_normal(&c->rng);
	x->lateral_ms2 = x->v_ms * yaw + noise * 0.02 * rng_normal(&c->rng);
	x->accel_body_ms2 =
		x->accel_ms2 + 9.81 * c->where.slope + noise * 0.02 * rng_normal(&c->rng);
	x->slope_pct = 100 * c->where.slope;
}

static void wheels(struct car *c)
{
	struct car_motion *x = &c->motion;
	double half = x->v_ms * c->where.curvature_1pm * TRACK_M / 2;
	double front = 1 / cos(atan(WHEELBASE_M * c->where.curvature_1pm));
	double slip = c->motor.torque_nm * 1.1e-5; /* rear axle drives */
	for (size_t i = 0; i < CAR_WHEELS; i++) {
		/* An under-inflated tyre is a smaller wheel: how indirect monitors find it. */
		double size = 1 + (c->thermal.tyre_kpa[i] - 250) * 4e-6;
		double v = x->v_ms + (i % 2 ? half : -half);
		v *= (i < 2 ? front : 1 + slip) / size;
		double noise = x->v_ms > 0.5 ? 0.03 * rng_normal(&c->rng) : 0;
		x->wheel_kmh[i] = fmax(0, v * 3.6 + noise);
		double turns = v * CAR_STEP_S / (2 * M_PI * WHEEL_M);
		x->wheel_turned[i] = fmod(x->wheel_turned[i] + turns * PULSES_PER_TURN, 65536);
		x->wheel_pulses[i] = floor(x->wheel_turned[i]);
	}
}

void chassis_step(struct car *c)
{
	route_at(&c->route, 0, &c->where);
	turn(c);
	steer(c);
	wheels(c);
	double hard = c->motion.friction_n / (c->p.mass_kg * 9.81);
	c->motion.abs_active = hard > 0.75;
	c->motion.esc_active = fabs(c->motion.lateral_ms2) > 6.5;
	c->motion.tcs_active = c->motor.torque_nm > 290 && c->motion.v_kmh < 15;
}
