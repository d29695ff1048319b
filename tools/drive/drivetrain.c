/* tools/drive/drivetrain.c: pedals to torque, recuperation and friction brakes, and longitudinal
 * dynamics.
 *
 * One permanent-magnet motor on the rear axle, single speed. Losses are copper (torque squared),
 * iron (speed), windage (speed cubed) and a constant; inverter losses a constant and a share. */
#include "tools/drive/car.h"

#include <math.h>

#define GRAVITY	      9.81
#define GEAR	      9.6
#define GEAR_EFF      0.975
#define WHEEL_M	      0.335 /* dynamic radius */
#define TORQUE_NM     310.0
#define POWER_W	      150e3
#define REGEN_NM      240.0
#define REGEN_W	      85e3
#define ROTATING      1.04 /* share of rotating masses in the inertia */
#define LIFT_OFF_MS2  0.75 /* deceleration of a released accelerator */
#define BRAKE_FULL_G  0.8
#define BRAKE_BAR_PCT 1.1 /* bar of master cylinder pressure for 1 % of pedal */
#define RAD_S_TO_RPM  (60 / (2 * M_PI))

void drivetrain_init(struct car *c)
{
	c->motion.hold = 1;
	c->motion.standstill = 1;
	c->motion.parking_brake = 1;
	c->motion.odometer_m = 1000 * rng_range(&c->rng, 2000, 90000);
	for (size_t i = 0; i < CAR_WHEELS; i++)
		c->motion.wheel_turned[i] = rng_range(&c->rng, 0, 65535);
}

static double motor_speed(const struct car *c)
{
	return c->motion.v_ms / WHEEL_M * GEAR; /* rad/s */
}

static double force_max(const struct car *c)
{
	double v = fmax(c->motion.v_ms, 1);
	return fmin(TORQUE_NM * GEAR / WHEEL_M, POWER_W / v) * GEAR_EFF;
}

static double force_lift_off(const struct car *c)
{
	return -LIFT_OFF_MS2 * c->p.mass_kg * clamp(c->motion.v_ms / 4, 0, 1);
}

double drivetrain_pedal_force(const struct car *c, double pedal)
{
	double lo = force_lift_off(c);
	return lo + pow(pedal, 1.4) * (force_max(c) - lo);
}

double drivetrain_force_pedal(const struct car *c, double force, double *ret_brake_n)
{
	double lo = force_lift_off(c), hi = force_max(c);
	*ret_brake_n = fmax(0, lo - force);
	if (force <= lo)
		return 0;
	return force >= hi ? 1 : pow((force - lo) / (hi - lo), 1 / 1.4);
}

/* What the motor may do now: its curve, the battery's limits, its temperature. */
static void torque_limits(struct car *c)
{
	struct car_motor *m = &c->motor;
	double w = fmax(motor_speed(c), 10);
	double hot = fmax((c->thermal.motor_c - 140) / 40, (c->thermal.inverter_c - 85) / 20);
	m->derating_pct = 100 * clamp(hot, 0, 0.8);
	double cool = 1 - m->derating_pct / 100;
	double drive_w = fmin(POWER_W, 940 * c->battery.discharge_limit_kw) * cool;
	double regen_w = fmin(REGEN_W, 1060 * c->battery.charge_limit_kw) * cool;
	double fade = clamp((c->motion.v_ms - 0.8) / 1.6, 0, 1); /* none at walking pace */
	m->torque_max_nm = fmin(TORQUE_NM, drive_w / w);
	m->torque_min_nm = -fmin(REGEN_NM, regen_w / w) * fade;
}

static void power(struct car *c)
{
	struct car_motor *m = &c->motor;
	double w = motor_speed(c), t = m->torque_nm;
	bool on = c->session.vehicle_state >= 2 && c->session.phase != CAR_CHARGE;
	m->speed_rpm = w * RAD_S_TO_RPM;
	m->power_w = t * w;
	m->loss_w = on ? 0.06 * t * t + 1.2 * w + 3e-7 * w * w * w + 60 : 0;
	m->inverter_loss_w = on ? 70 + 0.013 * fabs(m->power_w) + 2.5 * fabs(t) : 0;
	m->dc_power_w = m->power_w + m->loss_w + m->inverter_loss_w;
	m->dc_current_a = m->dc_power_w / fmax(c->battery.voltage_v, 1);
	m->phase_current_a = hypot(fabs(t) * 1.25, w * 0.06);
	m->modulation_pct = clamp(w * 0.1, 0, 98);
	double in = fmax(fabs(m->dc_power_w), 1), out = fabs(m->power_w);
	m->efficiency_pct = on ? clamp(100 * fmin(in, out) / fmax(in, out), 0, 99) : 0;
}

/* Splits the wish between motor and friction brakes. */
static void blend(struct car *c)
{
	struct car_motor *m = &c->motor;
	struct car_motion *x = &c->motion;
	bool drive = c->driver.gear == CAR_GEAR_D && c->session.vehicle_state >= 2;
	double brake_n = c->driver.brake_pct / 100 * BRAKE_FULL_G * GRAVITY * c->p.mass_kg;
	double accel_n = drive ? drivetrain_pedal_force(c, c->driver.accel_pct / 100) : 0;
	x->demand_n = accel_n - brake_n;
	double t = x->demand_n * WHEEL_M / GEAR;
	t = t > 0 ? t / GEAR_EFF : t * GEAR_EFF;
	m->torque_request_nm = drive ? clamp(t, m->torque_min_nm, m->torque_max_nm) : 0;
	double step = clamp(m->torque_request_nm - m->torque_nm, -35, 35); /* 3500 Nm/s */
	m->torque_nm += step * 0.35;
	if (fabs(m->torque_nm) < 0.02 && m->torque_request_nm == 0)
		m->torque_nm = 0;
	double wheel_nm = m->torque_nm * GEAR;
	x->regen_nm = wheel_nm < 0 ? -wheel_nm / GEAR_EFF : 0;
	x->friction_n = fmax(0, -x->demand_n - x->regen_nm / WHEEL_M);
	if (brake_n <= 0)
		x->friction_n = 0;
	x->friction_nm = x->friction_n * WHEEL_M;
	x->brake_kpa =
		100 * BRAKE_BAR_PCT * x->friction_n / (c->p.mass_kg * GRAVITY * BRAKE_FULL_G) * 100;
}

static double road_load(const struct car *c)
{
	double v = c->motion.v_ms, m = c->p.mass_kg;
	double air =
		101325 * exp(-c->where.alt_m / 8400) / (287.05 * (273.15 + c->thermal.ambient_c));
	double rolling = c->p.rolling * (1 + v * v * 1.2e-4) * m * GRAVITY;
	/* Tyres that are low on pressure roll harder. */
	rolling *= sqrt(250 / fmax(c->thermal.tyre_kpa[0], 150));
	return rolling * clamp(v / 0.3, 0, 1) + 0.5 * air * c->p.cda_m2 * v * v +
	       m * GRAVITY * c->where.slope / sqrt(1 + c->where.slope * c->where.slope);
}

static void move(struct car *c)
{
	struct car_motion *x = &c->motion;
	double wheel_n = c->motor.torque_nm * GEAR / WHEEL_M;
	double drive_n = wheel_n > 0 ? wheel_n * GEAR_EFF : wheel_n / GEAR_EFF;
	x->road_load_n = road_load(c);
	double push = drive_n - x->road_load_n;
	double v = x->v_ms + (push - x->friction_n) / (c->p.mass_kg * ROTATING) * CAR_STEP_S;
	/* Brakes and, in P, the pawl hold a standing car. */
	bool held = c->driver.gear == CAR_GEAR_P ||
		    (x->v_ms < 0.3 && c->driver.brake_pct > 5 && push < x->friction_n) ||
		    (x->v_ms == 0 && drive_n < fabs(x->road_load_n) + 40);
	if (held && v < 0.05)
		v = 0;
	v = fmax(v, 0);
	x->accel_ms2 = lag(x->accel_ms2, (v - x->v_ms) / CAR_STEP_S, 0.03, CAR_STEP_S);
	double moved = (x->v_ms + v) / 2 * CAR_STEP_S;
	x->v_ms = v;
	x->v_kmh = v * 3.6;
	x->hold = held && v == 0;
	x->standstill = v < 0.03;
	x->odometer_m += moved;
	x->trip_m += moved;
	route_advance(&c->route, moved);
}

void drivetrain_step(struct car *c)
{
	torque_limits(c);
	blend(c);
	move(c);
	power(c);
	c->motion.parking_brake = c->driver.gear == CAR_GEAR_P;
}
