/* tools/drive/car.h: the simulated electric car: everything that a signal can show.
 *
 * One struct, stepped every CAR_STEP_S by its parts in the order of the physics: session (what the
 * car is doing), driver (pedals), drivetrain (torque, speed), route (where), battery, thermal,
 * lowvolt, body. Each part writes only its own sub-struct. Quantities that leave on the bus are
 * doubles, so that the message tables can name them by offset. The state is a pure function of
 * (seed, options, number of steps). Not thread safe. */
#pragma once

#include "tools/drive/rng.h"
#include "tools/drive/route.h"

#define CAR_STEP_S 0.01

enum {
	CAR_CELLS = 96, /* in series */
	CAR_TEMP_SENSORS = 24,
	CAR_DOORS = 4,	/* front left, front right, rear left, rear right */
	CAR_WHEELS = 4, /* the same order */
};

enum car_phase {
	CAR_PREPARE, /* unlock, get in, belt, ready */
	CAR_DRIVE,   /* the speed trace */
	CAR_LEAVE,   /* park, get out, lock */
	CAR_CHARGE,  /* DC fast charge */
};

enum car_charge {
	CAR_CHARGE_AUTO,   /* after a drive that left less than 30 % */
	CAR_CHARGE_ALWAYS, /* after every drive */
};

enum car_gear { CAR_GEAR_P, CAR_GEAR_R, CAR_GEAR_N, CAR_GEAR_D };

struct car_options {
	uint64_t seed;
	enum car_charge charge;
};

/* What differs from one vehicle to another, fixed at start. */
struct car_params {
	double mass_kg;			   /* with driver */
	double cda_m2;			   /* drag area */
	double rolling;			   /* coefficient at low speed */
	double capacity_ah;		   /* usable, new */
	double health;			   /* state of health, 0 to 1 */
	double cell_soc[CAR_CELLS];	   /* deviation from the mean state of charge */
	double cell_r[CAR_CELLS];	   /* resistance relative to the mean */
	double sensor_k[CAR_TEMP_SENSORS]; /* deviation of the sensor's place, per kelvin of heating
					    */
	double tyre_cold_kpa[CAR_WHEELS];
	double ambient_c; /* mean of the day */
	double cabin_set_c;
	double latency_s; /* driver's preview */
};

struct car_session {
	double phase;  /* enum car_phase */
	double t;      /* s in this phase */
	double number; /* drives since start */
	double uptime_s;
	double soc_at_start; /* of the drive */
	double target_kmh, target_next_kmh;
	double vehicle_state; /* 0 off, 1 accessory, 2 ready, 3 driving, 4 charging */
};

struct car_driver {
	double accel_pct, brake_pct; /* pedals */
	double brake_switch;
	double gear; /* enum car_gear */
	double integral;
	double wobble; /* slow noise of a human foot */
	double turn_left, turn_right;
};

struct car_motor {
	double torque_request_nm, torque_nm;
	double speed_rpm;
	double power_w;	   /* mechanical at the shaft; negative when braking */
	double dc_power_w; /* at the inverter's DC side */
	double dc_current_a;
	double phase_current_a;
	double loss_w, inverter_loss_w;
	double efficiency_pct;
	double torque_max_nm, torque_min_nm; /* what is available now */
	double derating_pct;
	double modulation_pct;
};

struct car_motion {
	double v_ms, v_kmh;
	double accel_ms2, accel_body_ms2; /* of the wheels; as a sensor feels it, with gravity */
	double lateral_ms2;
	double yaw_rate_dps;
	double steering_deg, steering_rate_dps, steering_torque_nm;
	double demand_n;    /* wanted force at the wheels */
	double road_load_n; /* rolling, drag and slope */
	double friction_n;  /* friction brakes, >= 0 */
	double brake_kpa;
	double regen_nm, friction_nm; /* at the wheels */
	double wheel_kmh[CAR_WHEELS];
	double wheel_pulses[CAR_WHEELS]; /* counts, 0 to 65535 */
	double wheel_turned[CAR_WHEELS]; /* pulses, not wrapped */
	double standstill;
	double hold; /* brake hold applied */
	double abs_active, esc_active, tcs_active;
	double slope_pct;
	double odometer_m;
	double trip_m;
	double parking_brake;
};

struct car_battery {
	double soc_pct, soc_true_pct; /* as shown (filtered), as it is */
	double soh_pct;
	double voltage_v, current_a; /* current > 0: discharge */
	double power_w;
	double ocv_v;
	double polarisation_v; /* of the RC pair, of the pack */
	double discharge_limit_kw, charge_limit_kw;
	double energy_kwh; /* left */
	double cell_v[CAR_CELLS];
	double cell_min_v, cell_max_v, cell_min_no, cell_max_no;
	double temp_c; /* bulk */
	double sensor_c[CAR_TEMP_SENSORS];
	double temp_min_c, temp_max_c;
	double insulation_kohm;
	double contactors; /* 0 open, 1 precharge, 2 closed */
	double cycles, throughput_kwh;
	double balancing;
	double group_v[4]; /* sum of each group of 24 cells */
	double heat_w;
};

struct car_thermal {
	double ambient_c, shown_ambient_c;
	double motor_c, rotor_c, inverter_c, dcdc_c, charger_c;
	double coolant_motor_c, coolant_battery_c;
	double pump_motor_pct, pump_battery_pct, fan_pct;
	double flow_motor_lpm, flow_battery_lpm;
	double valve; /* 0 separate, 1 battery heated by the motor loop, 2 chiller */
	double cabin_c, cabin_set_c, vent_c, humidity_pct;
	double blower_pct, compressor_rpm, compressor_w, heater_w;
	double recirculation, ac_on;
	double solar_wm2;
	double refrigerant_kpa;
	double tyre_c[CAR_WHEELS];
	double tyre_kpa[CAR_WHEELS];
	double brake_c[CAR_WHEELS];
	double hv_w; /* heater and compressor on the high voltage */
	double cabin_integral;
};

struct car_lowvolt {
	double volts, battery_a, load_w;
	double dcdc_a, dcdc_in_w, dcdc_in_a;
	double battery_c;
	double soc_pct;
};

struct car_charger {
	double connected, state; /* 0 idle, 1 handshake, 2 charging, 3 finished */
	double volts, amps, power_w;
	double request_v, request_a;
	double energy_kwh, minutes_left;
	double latch;
};

struct car_body {
	double door_open[CAR_DOORS], door_locked[CAR_DOORS];
	double tailgate, bonnet, charge_flap;
	double belt[CAR_DOORS + 1], occupied[CAR_DOORS + 1];
	double window_pct[CAR_DOORS], window_target[CAR_DOORS];
	double position_light, low_beam, high_beam, fog_rear, brake_light, reverse_light;
	double indicator_left, indicator_right, hazard;
	double daytime_light, interior_light;
	double wiper_mode, wiper_deg, wiper_clock, rain_pct, washer;
	double light_lux;
	double horn;
	double key;
	double seat_heat;
	double indicator_clock;
	double brightness_pct;
};

struct car_meters {
	double drive_kwh, regen_kwh, aux_kwh; /* of this drive */
	double net_kwh;
	double consumption_kwh100; /* filtered, for the display */
	double range_km;
	double avg_kmh, drive_s;
	double power_kw;
	double shown_kmh;
	double odometer_km, trip_km;
};

struct car_gps {
	double lat_deg, lon_deg, alt_m;
	double course_deg, speed_kmh;
	double hdop, satellites, fix;
	double noise_e, noise_n, noise_u;
};

struct car_clock {
	double year, month, day, hour, minute, second; /* UTC */
	double unix_s;
};

struct car {
	struct car_params p;
	struct car_options opt;
	struct rng rng;
	struct route route;
	uint64_t step;
	struct car_session session;
	struct car_driver driver;
	struct car_motor motor;
	struct car_motion motion;
	struct car_battery battery;
	struct car_thermal thermal;
	struct car_lowvolt lv;
	struct car_charger charger;
	struct car_body body;
	struct car_meters meters;
	struct route_point where;
	struct car_gps gps;
	struct car_clock clock;
	double zero; /* for reserved signals */
};

/* start_unix_s is the time of step 0, used for the clock and the daylight. Returns 0 or -ENOMEM. */
int car_new(struct car **ret, const struct car_options *opt, double start_unix_s) must_check;
struct car *car_free(struct car *c); /* NULL is fine; always returns NULL */
/* Goes on by CAR_STEP_S. */
void car_step(struct car *c);

static inline double clamp(double x, double lo, double hi)
{
	return x < lo ? lo : x > hi ? hi : x;
}

/* Moves x toward target with time constant tau (s) over dt. */
static inline double lag(double x, double target, double tau, double dt)
{
	return x + (target - x) * (dt < tau ? dt / tau : 1);
}

/* The parts, in the order in which car_step calls them. init draws from c->rng. */
void session_init(struct car *c);
void session_step(struct car *c);
void driver_init(struct car *c);
void driver_step(struct car *c);
void drivetrain_init(struct car *c);
void drivetrain_step(struct car *c);
void chassis_step(struct car *c);
void gps_init(struct car *c, uint64_t seed);
void gps_step(struct car *c);
void battery_init(struct car *c);
void battery_step(struct car *c);
void charger_step(struct car *c);
void thermal_init(struct car *c);
void thermal_step(struct car *c);
void lowvolt_init(struct car *c);
void lowvolt_step(struct car *c);
void body_init(struct car *c);
void body_step(struct car *c);
void meters_init(struct car *c); /* after battery_init */
void meters_reset(struct car *c);
void clock_set(struct car *c); /* from unix_s */
void meters_step(struct car *c);

/* Force at the wheels, N, that an accelerator pedal of 0 to 1 asks for at this speed; at 0 it is
 * the lift-off recuperation (negative). */
double drivetrain_pedal_force(const struct car *c, double pedal);
/* The pedal that asks for a force, and what is left for the brakes (N, >= 0). */
double drivetrain_force_pedal(const struct car *c, double force, double *ret_brake_n);
/* Cell's open-circuit voltage at a state of charge of 0 to 1. */
double battery_ocv(double soc);
/* Watts from the battery other than the motor's: what heating, DC/DC take. */
double car_aux_power_w(const struct car *c);
