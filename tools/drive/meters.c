/* tools/drive/meters.c: what the dashboard works out, the clock, and satellite positioning. */
#include "tools/drive/car.h"

#include <math.h>
#include <time.h>

/* What counts from the start of a drive. */
void meters_reset(struct car *c)
{
	struct car_meters *m = &c->meters;
	m->drive_kwh = 0;
	m->regen_kwh = 0;
	m->aux_kwh = 0;
	m->net_kwh = 0;
	m->drive_s = 0;
	c->motion.trip_m = 0;
}

static void energy(struct car *c)
{
	struct car_meters *m = &c->meters;
	double kwh = CAR_STEP_S / 3.6e6;
	if (c->session.phase == CAR_DRIVE) {
		m->drive_kwh += fmax(0, c->motor.dc_power_w) * kwh;
		m->regen_kwh += fmax(0, -c->motor.dc_power_w) * kwh;
		m->aux_kwh += car_aux_power_w(c) * kwh;
		m->net_kwh += c->battery.power_w * kwh;
		m->drive_s += CAR_STEP_S;
	}
	m->power_kw = lag(m->power_kw, c->battery.power_w / 1000, 0.25, CAR_STEP_S);
	/* Speedometers show a little more than is driven, never less (UN R39). */
	m->shown_kmh = lag(m->shown_kmh, c->motion.v_kmh * 1.02 + (c->motion.v_kmh > 3 ? 1 : 0),
			   0.12, CAR_STEP_S);
}

static void range(struct car *c)
{
	struct car_meters *m = &c->meters;
	double km = c->motion.trip_m / 1000;
	double now = km > 0.5 ? clamp(100 * m->net_kwh / km, 8, 40) : m->consumption_kwh100;
	if (c->motion.v_kmh > 1)
		m->consumption_kwh100 = lag(m->consumption_kwh100, now, 400, 1);
	m->range_km = 100 * c->battery.energy_kwh / m->consumption_kwh100;
	m->avg_kmh = m->drive_s > 1 ? 3600 * km / m->drive_s : 0;
}

void meters_init(struct car *c)
{
	c->meters.consumption_kwh100 = 16.5;
	range(c);
}

void clock_set(struct car *c)
{
	struct car_clock *k = &c->clock;
	time_t t = (time_t)k->unix_s;
	struct tm tm = {0};
	if (!gmtime_r(&t, &tm))
		return;
	k->year = tm.tm_year + 1900;
	k->month = tm.tm_mon + 1;
	k->day = tm.tm_mday;
	k->hour = tm.tm_hour;
	k->minute = tm.tm_min;
	k->second = tm.tm_sec;
}

void meters_step(struct car *c)
{
	c->clock.unix_s += CAR_STEP_S;
	energy(c);
	c->meters.odometer_km = c->motion.odometer_m / 1000;
	c->meters.trip_km = c->motion.trip_m / 1000;
	if (c->step % 100 == 1) {
		clock_set(c);
		range(c);
	}
}

void gps_init(struct car *c, uint64_t seed)
{
	struct rng r = {seed ^ UINT64_C(0x677073)};
	c->gps.noise_e = rng_range(&r, -1, 1);
	c->gps.noise_n = rng_range(&r, -1, 1);
	c->gps.fix = 3;
	c->gps.satellites = 11;
	c->gps.hdop = 0.9;
}

/* Errors of a receiver wander over a minute; a little is new each time. */
static double wander(struct car *c, double x, double metres)
{
	return x * (1 - 0.1 / 60) + metres * 0.058 * rng_normal(&c->rng);
}

void gps_step(struct car *c)
{
	if (c->step % 10 != 5)
		return;
	struct car_gps *g = &c->gps;
	g->noise_e = wander(c, g->noise_e, 1.2);
	g->noise_n = wander(c, g->noise_n, 1.3);
	g->noise_u = wander(c, g->noise_u, 2.2);
	double north = c->where.north_m + g->noise_n, east = c->where.east_m + g->noise_e;
	double lat = c->route.origin_lat_deg;
	g->lat_deg = lat + north / 111200;
	g->lon_deg = c->route.origin_lon_deg + east / (111320 * cos(lat * M_PI / 180));
	g->alt_m = c->where.alt_m + g->noise_u;
	g->speed_kmh = fmax(0, c->motion.v_kmh + 0.12 * rng_normal(&c->rng));
	/* A standing receiver keeps its last course. */
	if (c->motion.v_kmh > 2) {
		double course = c->where.heading_deg + 30 / c->motion.v_kmh * rng_normal(&c->rng);
		g->course_deg = fmod(course + 360, 360);
	}
	uint64_t draw = rng_next(&c->rng);
	if (draw % 50 == 0)
		g->satellites = clamp(g->satellites + (draw >> 32 & 1 ? 1 : -1), 6, 17);
	g->hdop = clamp(0.4 + 6 / g->satellites, 0.6, 2.5);
}
