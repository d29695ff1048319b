/* tools/drive/body.c: doors, locks, belts, windows, lights, wipers: what people do in a car. */
#include "tools/drive/car.h"

#include <math.h>

/* Who sits where is drawn for each drive: front left always, the rest by chance. */
static void seat(struct car *c, bool in)
{
	static const double chance[CAR_DOORS + 1] = {1, 0.4, 0.15, 0.15, 0.05};
	for (size_t i = 0; i <= CAR_DOORS; i++)
		c->body.occupied[i] = in && rng_unit(&c->rng) < chance[i];
}

/* Door i is open between two times of the phase, for whoever sits or will sit there. */
static void doors(struct car *c, double opens, double closes)
{
	double t = c->session.t;
	for (size_t i = 0; i < CAR_DOORS; i++) {
		bool used = c->body.occupied[i] != 0;
		c->body.door_open[i] =
			used && t > opens + 0.6 * (double)i && t < closes + (double)i;
	}
}

static void lock(struct car *c, bool locked)
{
	for (size_t i = 0; i < CAR_DOORS; i++)
		c->body.door_locked[i] = locked;
}

static void belts(struct car *c, double after)
{
	for (size_t i = 0; i <= CAR_DOORS; i++)
		c->body.belt[i] =
			c->body.occupied[i] != 0 && c->session.t > after + 0.4 * (double)i;
}

static void prepare(struct car *c)
{
	double t = c->session.t;
	if (t < CAR_STEP_S * 1.5)
		seat(c, true);
	lock(c, t < 1);
	doors(c, 1.8, 4.2);
	belts(c, 6);
	c->body.tailgate = 0;
	c->body.interior_light = t > 1 && t < 8;
}

static void leave(struct car *c)
{
	double t = c->session.t;
	for (size_t i = 0; i <= CAR_DOORS; i++)
		if (t > 3.5 + 0.3 * (double)i)
			c->body.belt[i] = 0;
	if (t < 10)
		doors(c, 4.5, 7);
	if (t > 10 && t < 10 + CAR_STEP_S * 1.5)
		seat(c, false);
	lock(c, t < 2 || t > 12);
	c->body.tailgate = t > 8 && t < 11 && fmod(c->session.number, 3) == 0;
	c->body.interior_light = t > 3 && t < 12;
	c->body.hazard = t > 12 && t < 12.9; /* the lock's flash */
}

/* Somebody moves a window now and then; motors take 4.5 s for the whole way. */
static void windows(struct car *c)
{
	static const double settings[] = {0, 0, 0, 15, 30, 60, 100};
	struct car_body *b = &c->body;
	for (size_t i = 0; i < CAR_DOORS; i++) {
		uint64_t draw = rng_next(&c->rng);
		if (b->occupied[i] != 0 && draw % 2500 == 0)
			b->window_target[i] = settings[(draw >> 32) % array_len(settings)];
		if (b->rain_pct > 8 || c->session.phase == CAR_LEAVE)
			b->window_target[i] = 0;
		b->window_pct[i] += clamp(b->window_target[i] - b->window_pct[i], -1.1, 1.1);
	}
}

static void rain(struct car *c)
{
	struct car_body *b = &c->body;
	/* Showers: a slow random walk that a dry sky pulls down. */
	b->rain_pct += 0.22 * rng_normal(&c->rng) - 0.0012 * (b->rain_pct + 8);
	b->rain_pct = clamp(b->rain_pct, 0, 100);
	bool driving = c->session.phase == CAR_DRIVE;
	double mode = b->rain_pct > 45 ? 3 : b->rain_pct > 22 ? 2 : b->rain_pct > 6 ? 1 : 0;
	b->wiper_mode = driving ? mode : 0;
	b->washer = driving && b->wiper_mode == 0 && rng_next(&c->rng) % 12000 == 0;
}

static void wipe(struct car *c)
{
	static const double period_s[] = {0, 4.0, 1.3, 0.8};
	struct car_body *b = &c->body;
	size_t mode = (size_t)b->wiper_mode;
	double stroke = mode == 3 ? 0.8 : 1.2;
	if (mode == 0 && b->wiper_clock == 0)
		return;
	b->wiper_clock += CAR_STEP_S;
	if (b->wiper_clock >= fmax(period_s[mode], stroke))
		b->wiper_clock = 0;
	double x = fmin(b->wiper_clock / stroke, 1);
	b->wiper_deg = 55 * (1 - cos(2 * M_PI * x));
}

static void daylight(struct car *c)
{
	struct car_body *b = &c->body;
	double hour = c->clock.hour + c->clock.minute / 60;
	double sun = sin((hour - 6) / 12 * M_PI);
	double lux = sun > 0 ? 60000 * sun : 0;
	lux *= 1 - 0.75 * b->rain_pct / 100;
	b->light_lux = fmax(2, lux * (1 + 0.03 * rng_normal(&c->rng)));
	bool on = c->session.vehicle_state >= 2;
	bool dark = b->low_beam != 0 ? b->light_lux < 2500 : b->light_lux < 1200;
	b->low_beam = on && (dark || b->wiper_mode >= 2);
	b->position_light = b->low_beam;
	b->daytime_light = on && !dark;
	b->high_beam = b->low_beam != 0 && b->light_lux < 50 && c->motion.v_kmh > 65;
	b->fog_rear = on && b->rain_pct > 85 && c->motion.v_kmh < 50;
	b->brightness_pct = clamp(15 + 28 * log10(b->light_lux / 10), 15, 100);
	b->seat_heat = on && c->thermal.cabin_c < 15 ? 3 : on && c->thermal.cabin_c < 18 ? 1 : 0;
}

void body_init(struct car *c)
{
	struct car_body *b = &c->body;
	*b = (struct car_body){.key = 1, .brightness_pct = 80};
	for (size_t i = 0; i < CAR_DOORS; i++)
		b->door_locked[i] = 1;
	if (rng_unit(&c->rng) < 0.3)
		b->rain_pct = rng_range(&c->rng, 5, 60);
	daylight(c);
}

static void indicators(struct car *c)
{
	struct car_body *b = &c->body;
	bool any = c->driver.turn_left != 0 || c->driver.turn_right != 0 || b->hazard != 0;
	b->indicator_clock = any ? fmod(b->indicator_clock + CAR_STEP_S, 0.7) : 0;
	bool lit = any && b->indicator_clock < 0.36;
	b->indicator_left = lit && (c->driver.turn_left != 0 || b->hazard != 0);
	b->indicator_right = lit && (c->driver.turn_right != 0 || b->hazard != 0);
	b->brake_light = c->driver.brake_switch != 0 ||
			 (c->motion.accel_ms2 < -0.9 && c->motor.torque_nm < 0);
	b->reverse_light = c->driver.gear == CAR_GEAR_R;
}

void body_step(struct car *c)
{
	if (c->session.phase == CAR_PREPARE)
		prepare(c);
	else if (c->session.phase == CAR_LEAVE)
		leave(c);
	else if (c->session.phase == CAR_DRIVE && c->motion.v_kmh > 15)
		lock(c, true);
	c->body.charge_flap = c->session.phase == CAR_CHARGE;
	indicators(c);
	wipe(c);
	if (c->step % 5 == 1)
		windows(c);
	if (c->step % 50 == 9) {
		rain(c);
		daylight(c);
	}
}
