/* tools/drive/thermal.c: temperatures as lumped masses, the pumps and the air conditioning that
 * hold them, tyres and brake discs. Runs at 10 Hz. */
#include "tools/drive/car.h"

#include <math.h>

#define DT	     0.1
#define BATTERY_J_K  340e3
#define MOTOR_J_K    32e3
#define ROTOR_J_K    6e3
#define INVERTER_J_K 3.5e3
#define COOLANT_J_K  18e3
#define CABIN_J_K    75e3
#define DISC_J_K     5.5e3

void thermal_init(struct car *c)
{
	struct car_thermal *t = &c->thermal;
	double a = c->p.ambient_c;
	*t = (struct car_thermal){
		.ambient_c = a,
		.shown_ambient_c = a,
		.motor_c = a + 1,
		.rotor_c = a + 1,
		.inverter_c = a + 1,
		.dcdc_c = a + 1,
		.charger_c = a,
		.coolant_motor_c = a,
		.coolant_battery_c = a,
		.cabin_c = a + 2,
		.cabin_set_c = c->p.cabin_set_c,
		.vent_c = a,
		.humidity_pct = 48,
		.refrigerant_kpa = 620,
	};
	for (size_t i = 0; i < CAR_WHEELS; i++) {
		t->tyre_c[i] = a;
		t->brake_c[i] = a;
		t->tyre_kpa[i] = c->p.tyre_cold_kpa[i];
	}
}

/* Moves a temperature by a heat flow over one step. */
static void heat(double *temp_c, double joule_per_k, double watts)
{
	*temp_c += watts * DT / joule_per_k;
}

static void weather(struct car *c)
{
	struct car_thermal *t = &c->thermal;
	double hour = c->clock.hour + c->clock.minute / 60;
	double sun = sin((hour - 6) / 12 * M_PI);
	t->ambient_c = c->p.ambient_c + 3.5 * sin((hour - 9) / 12 * M_PI) -
		       0.0065 * (c->where.alt_m - 520) + 0.3 * sin(c->session.uptime_s / 300);
	t->solar_wm2 = sun > 0 ? 700 * sun * (1 - 0.8 * c->body.rain_pct / 100) : 0;
	/* The sensor sits in the bumper: standing heat rises around it. */
	double seen = t->ambient_c + (c->motion.v_kmh < 5 ? 1.5 : 0);
	t->shown_ambient_c = lag(t->shown_ambient_c, seen, 60, DT);
}

static void motor_loop(struct car *c)
{
	struct car_thermal *t = &c->thermal;
	bool on = c->session.vehicle_state >= 2;
	double hottest = fmax(t->inverter_c - 12, t->motor_c - 30);
	t->pump_motor_pct = on ? clamp(25 + 3 * (hottest - 30), 25, 100) : 0;
	t->fan_pct = on ? clamp(5 * (t->coolant_motor_c - 50), 0, 100) : 0;
	double flow = t->pump_motor_pct / 100;
	t->flow_motor_lpm = lag(t->flow_motor_lpm, 14 * flow, 0.6, DT);
	double from_motor = 95 * flow * (t->motor_c - t->coolant_motor_c);
	double from_inverter = 140 * flow * (t->inverter_c - t->coolant_motor_c);
	double rotor = 25 * (t->rotor_c - t->motor_c);
	heat(&t->rotor_c, ROTOR_J_K, 0.3 * c->motor.loss_w - rotor);
	heat(&t->motor_c, MOTOR_J_K,
	     0.7 * c->motor.loss_w + rotor - from_motor - 6 * (t->motor_c - t->ambient_c));
	heat(&t->inverter_c, INVERTER_J_K,
	     c->motor.inverter_loss_w - from_inverter - 2 * (t->inverter_c - t->ambient_c));
	double radiator = 25 + 14 * c->motion.v_ms + 3 * t->fan_pct;
	heat(&t->coolant_motor_c, COOLANT_J_K,
	     from_motor + from_inverter - radiator * flow * (t->coolant_motor_c - t->ambient_c));
	double dcdc_w = 0.08 * c->lv.dcdc_in_w;
	t->dcdc_c = lag(t->dcdc_c, t->coolant_motor_c + dcdc_w * 0.12, 90, DT);
	double post = c->charger.power_w * 1e-4;
	t->charger_c = lag(t->charger_c, t->ambient_c + post * 2, 120, DT);
}

static void battery_loop(struct car *c)
{
	struct car_thermal *t = &c->thermal;
	struct car_battery *b = &c->battery;
	bool on = c->session.vehicle_state >= 2;
	t->valve = b->temp_c > 33 ? 2 : b->temp_c < 14 && t->coolant_motor_c > 20 ? 1 : 0;
	t->pump_battery_pct = !on ? 0 : t->valve > 0 ? 80 : 30;
	double flow = t->pump_battery_pct / 100;
	t->flow_battery_lpm = lag(t->flow_battery_lpm, 18 * flow, 0.6, DT);
	double to_coolant = 180 * flow * (b->temp_c - t->coolant_battery_c);
	heat(&b->temp_c, BATTERY_J_K, b->heat_w - to_coolant - 9 * (b->temp_c - t->ambient_c));
	double target = t->valve == 2	? 18
			: t->valve == 1 ? t->coolant_motor_c
					: t->coolant_battery_c;
	heat(&t->coolant_battery_c, COOLANT_J_K,
	     to_coolant + 160 * (target - t->coolant_battery_c) -
		     6 * (t->coolant_battery_c - t->ambient_c));
	b->temp_min_c = 1e3;
	b->temp_max_c = -1e3;
	for (size_t i = 0; i < CAR_TEMP_SENSORS; i++) {
		double over = b->temp_c - t->coolant_battery_c;
		double want = b->temp_c + c->p.sensor_k[i] * (0.6 + 0.15 * over);
		b->sensor_c[i] = lag(b->sensor_c[i], want, 20, DT) + 0.01 * rng_normal(&c->rng);
		b->temp_min_c = fmin(b->temp_min_c, b->sensor_c[i]);
		b->temp_max_c = fmax(b->temp_max_c, b->sensor_c[i]);
	}
}

/* Heat that the cabin gets, W: a PI controller over heat pump and chiller. */
static double climate(struct car *c)
{
	struct car_thermal *t = &c->thermal;
	bool on = c->session.phase == CAR_DRIVE;
	double error = t->cabin_set_c - t->cabin_c;
	t->cabin_integral = on ? clamp(t->cabin_integral + error * 1.2 * DT, -2500, 2500) : 0;
	double watts = on ? clamp(420 * error + t->cabin_integral, -4200, 4500) : 0;
	t->ac_on = watts < -80;
	t->blower_pct = on ? clamp(22 + fabs(watts) / 55, 0, 100) : 0;
	double pump_heat = clamp(watts, 0, 2800);
	double cop = clamp(2.2 + 0.045 * t->ambient_c, 1.3, 3.4);
	double chiller_w = t->valve == 2 ? 700 : 0;
	double want = (watts > 0 ? pump_heat / cop : -watts / 2.7) + chiller_w;
	t->compressor_w = lag(t->compressor_w, want, 4, DT);
	t->heater_w = lag(t->heater_w, fmax(0, watts - pump_heat), 1.5, DT);
	t->compressor_rpm = t->compressor_w > 30 ? clamp(900 + 2.6 * t->compressor_w, 0, 8000) : 0;
	t->refrigerant_kpa =
		lag(t->refrigerant_kpa, 520 + 9 * t->ambient_c + t->compressor_w * 0.55, 6, DT);
	t->hv_w = t->compressor_w + t->heater_w;
	t->recirculation = t->ambient_c > 27 && error < -2;
	double vent = t->cabin_c + watts / (8 + 1.1 * t->blower_pct);
	t->vent_c = lag(t->vent_c, clamp(vent, 3, 62), 5, DT);
	return watts;
}

static void cabin(struct car *c)
{
	struct car_thermal *t = &c->thermal;
	double watts = climate(c);
	double fresh = (t->recirculation != 0 ? 8 : 22) * t->blower_pct / 40;
	double open = 0;
	for (size_t i = 0; i < CAR_DOORS; i++)
		open += 2 * c->body.window_pct[i] + 150 * c->body.door_open[i];
	double lost = (55 + fresh + open) * (t->cabin_c - t->ambient_c);
	double people = 0;
	for (size_t i = 0; i <= CAR_DOORS; i++)
		people += 90 * c->body.occupied[i];
	heat(&t->cabin_c, CABIN_J_K, watts + people + 0.7 * t->solar_wm2 - lost);
	double damp = 45 + 20 * c->body.rain_pct / 100 + people / 20 - (t->ac_on != 0 ? 8 : 0);
	t->humidity_pct = lag(t->humidity_pct, damp, 240, DT);
}

/* Tyres: constant volume, so absolute pressure goes with absolute temperature. */
static void wheels(struct car *c)
{
	struct car_thermal *t = &c->thermal;
	double v = c->motion.v_ms, brake_w = c->motion.friction_n * v;
	for (size_t i = 0; i < CAR_WHEELS; i++) {
		double share = i < 2 ? 0.35 : 0.15;
		heat(&t->brake_c[i], DISC_J_K,
		     share * brake_w - (4 + 0.9 * v) * (t->brake_c[i] - t->ambient_c));
		double flex = 0.16 * c->motion.v_kmh * sqrt(250 / c->p.tyre_cold_kpa[i]);
		double sun = i % 2 ? 1.5 : 0;
		t->tyre_c[i] = lag(t->tyre_c[i], t->ambient_c + flex + sun, 700, DT);
		double cold_abs = c->p.tyre_cold_kpa[i] + 101.3;
		t->tyre_kpa[i] = cold_abs * (t->tyre_c[i] + 273.15) / 293.15 - 101.3;
	}
}

void thermal_step(struct car *c)
{
	if (c->step % 10 != 7)
		return;
	weather(c);
	motor_loop(c);
	battery_loop(c);
	cabin(c);
	wheels(c);
}
