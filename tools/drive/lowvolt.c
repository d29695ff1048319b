/* tools/drive/lowvolt.c: the 12 V side: what it uses, DC/DC converter, lead battery. */
#include "tools/drive/car.h"

#include <math.h>

void lowvolt_init(struct car *c)
{
	c->lv.volts = 12.5;
	c->lv.battery_c = c->p.ambient_c;
	c->lv.soc_pct = rng_range(&c->rng, 78, 94);
}

static double load_w(const struct car *c)
{
	const struct car_body *b = &c->body;
	const struct car_thermal *t = &c->thermal;
	double awake = c->session.vehicle_state >= 2 ? 235 : c->session.vehicle_state > 0 ? 90 : 25;
	double light = 70 * b->low_beam + 60 * b->high_beam + 18 * b->position_light +
		       24 * b->brake_light + 22 * (b->indicator_left + b->indicator_right) +
		       16 * b->daytime_light + 8 * b->interior_light;
	double air = 2.4 * t->blower_pct + 3.2 * t->fan_pct;
	double pumps = 0.6 * (t->pump_motor_pct + t->pump_battery_pct);
	double steering = 2.5 * fabs(c->motion.steering_rate_dps) * (c->motion.v_ms > 0 ? 1 : 0);
	double wiper = b->wiper_mode > 1 ? 65 : b->wiper_deg > 0 ? 60 : 0;
	return awake + light + air + pumps + fmin(steering, 350) + wiper + 45 * b->seat_heat;
}

void lowvolt_step(struct car *c)
{
	struct car_lowvolt *l = &c->lv;
	l->load_w = load_w(c);
	double rest = 11.9 + 0.009 * l->soc_pct;
	bool on = c->battery.contactors >= 2;
	double set = on ? 14.3 - 0.012 * (l->battery_c - 25) : rest - l->load_w * 0.0012;
	l->volts = lag(l->volts, set - (on ? l->load_w * 8e-5 : 0), 0.3, CAR_STEP_S);
	double accept = on ? 0.25 * (101 - l->soc_pct) : 0;
	l->battery_a = on ? accept : -l->load_w / fmax(l->volts, 9);
	l->soc_pct = clamp(l->soc_pct + l->battery_a * CAR_STEP_S / 36 / 60, 10, 100); /* 60 Ah */
	double out = on ? l->load_w + accept * l->volts : 0;
	l->dcdc_a = out / fmax(l->volts, 9);
	l->dcdc_in_w = on ? out / 0.93 + 12 : 0;
	l->dcdc_in_a = l->dcdc_in_w / fmax(c->battery.voltage_v, 200);
	l->battery_c = lag(l->battery_c, c->thermal.ambient_c + 6, 1800, CAR_STEP_S);
}

double car_aux_power_w(const struct car *c)
{
	return c->lv.dcdc_in_w + c->thermal.hv_w;
}
