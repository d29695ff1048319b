/* tools/drive/messages_can1.c: body, comfort, position. */
#include "tools/drive/messages_def.h"

/* clang-format off */
static const struct drive_choice wiper_modes[] = {
	{0, "Off"}, {1, "Interval"}, {2, "Slow"}, {3, "Fast"}, {0, NULL}};
static const struct drive_choice wheels[] = {
	{0, "FrontLeft"}, {1, "FrontRight"}, {2, "RearLeft"}, {3, "RearRight"}, {0, NULL}};
static const struct drive_choice fixes[] = {{0, "None"}, {2, "Fix2D"}, {3, "Fix3D"}, {0, NULL}};
static const struct drive_choice phases[] = {
	{0, "Prepare"}, {1, "Drive"}, {2, "Leave"}, {3, "Charge"}, {0, NULL}};
static const struct drive_choice heats[] = {{0, "Off"}, {1, "Low"}, {2, "Medium"}, {3, "High"}, {0, NULL}};
static const struct drive_choice open_closed[] = {{0, "Closed"}, {1, "Open"}, {0, NULL}};
static const struct drive_choice states[] = {
	{0, "Off"}, {1, "Accessory"}, {2, "Ready"}, {3, "Driving"}, {4, "Charging"}, {0, NULL}};

static const struct drive_signal ic_speed[] = {
	LU("ShownSpeed", 0, 12, 0.1, 0, "km/h", meters.shown_kmh),
	LS("ShownPower", 12, 12, 0.1, 0, "kW", meters.power_kw),
};
static const struct drive_signal gw_chassis[] = {
	BU("GwVehicleSpeed", 7, 16, 0.01, 0, "km/h", motion.v_kmh),
	BS("GwSteeringAngle", 23, 14, 0.1, 0, "deg", motion.steering_deg),
	BIT("GwStandstill", 40, motion.standstill),
	COUNTER(44), CRC(48),
};
static const struct drive_signal bcm_lights[] = {
	BIT("PositionLight", 0, body.position_light), BIT("LowBeam", 1, body.low_beam),
	BIT("HighBeam", 2, body.high_beam), BIT("RearFog", 3, body.fog_rear),
	BIT("BrakeLight", 4, body.brake_light), BIT("ReverseLight", 5, body.reverse_light),
	BIT("IndicatorLeft", 6, body.indicator_left), BIT("IndicatorRight", 7, body.indicator_right),
	BIT("Hazard", 8, body.hazard), BIT("DaytimeLight", 9, body.daytime_light),
	BIT("InteriorLight", 10, body.interior_light),
};
static const struct drive_signal bcm_doors[] = {
	ENUM("DoorFL", 0, 1, body.door_open[0], open_closed),
	ENUM("DoorFR", 1, 1, body.door_open[1], open_closed),
	ENUM("DoorRL", 2, 1, body.door_open[2], open_closed),
	ENUM("DoorRR", 3, 1, body.door_open[3], open_closed),
	ENUM("Tailgate", 4, 1, body.tailgate, open_closed),
	ENUM("Bonnet", 5, 1, body.bonnet, open_closed),
	ENUM("ChargeFlap", 6, 1, body.charge_flap, open_closed),
	BIT("LockedFL", 8, body.door_locked[0]), BIT("LockedFR", 9, body.door_locked[1]),
	BIT("LockedRL", 10, body.door_locked[2]), BIT("LockedRR", 11, body.door_locked[3]),
	BIT("KeyInside", 12, body.key),
};
static const struct drive_signal srs_belts[] = {
	BIT("OccupiedFL", 0, body.occupied[0]), BIT("OccupiedFR", 1, body.occupied[1]),
	BIT("OccupiedRL", 2, body.occupied[2]), BIT("OccupiedRR", 3, body.occupied[3]),
	BIT("OccupiedRM", 4, body.occupied[4]),
	BIT("BeltFL", 8, body.belt[0]), BIT("BeltFR", 9, body.belt[1]),
	BIT("BeltRL", 10, body.belt[2]), BIT("BeltRR", 11, body.belt[3]),
	BIT("BeltRM", 12, body.belt[4]),
};
static const struct drive_signal bcm_wipers[] = {
	ENUM("WiperMode", 0, 2, body.wiper_mode, wiper_modes),
	BIT("Washer", 2, body.washer),
	LU("WiperAngle", 8, 8, 0.5, 0, "deg", body.wiper_deg),
	LU("RainIntensity", 16, 8, 0.5, 0, "%", body.rain_pct),
};
static const struct drive_signal bcm_windows[] = {
	LU("WindowFL", 0, 8, 0.5, 0, "%", body.window_pct[0]),
	LU("WindowFR", 8, 8, 0.5, 0, "%", body.window_pct[1]),
	LU("WindowRL", 16, 8, 0.5, 0, "%", body.window_pct[2]),
	LU("WindowRR", 24, 8, 0.5, 0, "%", body.window_pct[3]),
};
static const struct drive_signal hvac_status[] = {
	LU("CabinSetTemp", 0, 7, 0.5, 0, "degC", thermal.cabin_set_c),
	BIT("AirConditioning", 7, thermal.ac_on),
	LU("Blower", 8, 8, 0.5, 0, "%", thermal.blower_pct),
	BIT("Recirculation", 16, thermal.recirculation),
	ENUM("SeatHeating", 17, 2, body.seat_heat, heats),
};
static const struct drive_signal hvac_temps[] = {
	LU("CabinTemp", 0, 10, 0.1, -40, "degC", thermal.cabin_c),
	LU("VentTemp", 10, 10, 0.1, -40, "degC", thermal.vent_c),
	LU("AmbientTemp", 20, 10, 0.1, -40, "degC", thermal.shown_ambient_c),
	LU("Humidity", 30, 8, 0.5, 0, "%", thermal.humidity_pct),
	LU("RefrigerantPressure", 38, 12, 1, 0, "kPa", thermal.refrigerant_kpa),
	LU("SolarLoad", 50, 11, 1, 0, "W/m^2", thermal.solar_wm2),
};
static const struct drive_signal ic_range[] = {
	LU("Range", 0, 10, 1, 0, "km", meters.range_km),
	LU("Consumption", 10, 10, 0.1, 0, "kWh/100km", meters.consumption_kwh100),
	LU("TripDistance", 20, 20, 0.01, 0, "km", meters.trip_km),
	LU("TripAverageSpeed", 40, 12, 0.1, 0, "km/h", meters.avg_kmh),
};
static const struct drive_signal ic_odometer[] = {
	LU("Odometer", 0, 24, 0.1, 0, "km", meters.odometer_km),
	LU("TripTime", 24, 20, 1, 0, "s", meters.drive_s),
};
static const struct drive_signal gnss_position[] = {
	LS("Latitude", 0, 32, 1e-7, 0, "deg", gps.lat_deg),
	LS("Longitude", 32, 32, 1e-7, 0, "deg", gps.lon_deg),
};
static const struct drive_signal gnss_motion[] = {
	BU("GnssSpeed", 7, 16, 0.01, 0, "km/h", gps.speed_kmh),
	BU("GnssCourse", 23, 16, 0.01, 0, "deg", gps.course_deg),
	BS("GnssAltitude", 39, 16, 0.1, 0, "m", gps.alt_m),
};
static const struct drive_signal gnss_quality[] = {
	ENUM("GnssFix", 0, 2, gps.fix, fixes),
	LU("GnssSatellites", 2, 6, 1, 0, "", gps.satellites),
	LU("GnssHdop", 8, 8, 0.1, 0, "", gps.hdop),
};
static const struct drive_signal ibs_battery[] = {
	LU("BoardVoltage", 0, 12, 0.01, 0, "V", lv.volts),
	LS("BoardBatteryCurrent", 12, 16, 0.02, 0, "A", lv.battery_a),
	LU("BoardBatteryTemp", 28, 8, 1, -40, "degC", lv.battery_c),
	LU("BoardBatteryCharge", 36, 8, 0.5, 0, "%", lv.soc_pct),
	LU("BoardLoad", 44, 12, 1, 0, "W", lv.load_w),
};
static const struct drive_signal bcm_environment[] = {
	LU("Illuminance", 0, 20, 0.1, 0, "lx", body.light_lux),
	LU("DisplayBrightness", 24, 8, 0.5, 0, "%", body.brightness_pct),
};
static const struct drive_signal tpms_wheel[] = {
	MUX("TyrePlace", 0, 3, wheels),
	GROUP(0, "TyrePressureFL", 8, 12, 0.1, 0, "kPa", thermal.tyre_kpa[0]),
	GROUP(0, "TyreTempFL", 24, 8, 1, -40, "degC", thermal.tyre_c[0]),
	GROUP(1, "TyrePressureFR", 8, 12, 0.1, 0, "kPa", thermal.tyre_kpa[1]),
	GROUP(1, "TyreTempFR", 24, 8, 1, -40, "degC", thermal.tyre_c[1]),
	GROUP(2, "TyrePressureRL", 8, 12, 0.1, 0, "kPa", thermal.tyre_kpa[2]),
	GROUP(2, "TyreTempRL", 24, 8, 1, -40, "degC", thermal.tyre_c[2]),
	GROUP(3, "TyrePressureRR", 8, 12, 0.1, 0, "kPa", thermal.tyre_kpa[3]),
	GROUP(3, "TyreTempRR", 24, 8, 1, -40, "degC", thermal.tyre_c[3]),
};
static const struct drive_signal ic_clock[] = {
	LU("Year", 0, 12, 1, 0, "", clock.year),
	LU("Month", 12, 4, 1, 0, "", clock.month),
	LU("Day", 16, 5, 1, 0, "", clock.day),
	LU("Hour", 24, 5, 1, 0, "h", clock.hour),
	LU("Minute", 32, 6, 1, 0, "min", clock.minute),
	LU("Second", 40, 6, 1, 0, "s", clock.second),
};
static const struct drive_signal tcu_session[] = {
	ENUM("SessionPhase", 0, 2, session.phase, phases),
	LU("SessionTime", 8, 16, 1, 0, "s", session.t),
	LU("Uptime", 24, 32, 1, 0, "s", session.uptime_s),
};
static const struct drive_signal diag_dm1[] = {
	LU("MalfunctionLamp", 6, 2, 1, 0, "", zero),
	LU("StopLamp", 4, 2, 1, 0, "", zero),
	LU("WarningLamp", 2, 2, 1, 0, "", zero),
	LU("TroubleCodes", 40, 7, 1, 0, "", zero),
};
#define NM_SIGNALS(name)                                                                           \
	static const struct drive_signal nm_##name[] = {                                           \
		COUNTER(0), ENUM("NmState", 4, 3, session.vehicle_state, states)}
NM_SIGNALS(BCM);
NM_SIGNALS(IC);
NM_SIGNALS(HVAC);
NM_SIGNALS(TCU);

static const struct drive_message messages[] = {
	MSG("IC_Speed", "IC", 0x400, 50, 4, 0, 0, ic_speed, "What the instruments show"),
	MSG("GW_Chassis", "GW", 0x404, 50, 8, 0, 0, gw_chassis, "Passed on from the chassis bus"),
	MSG("BCM_Lights", "BCM", 0x410, 100, 2, MSG_ON_CHANGE, 0, bcm_lights, "Lamps, as lit"),
	MSG("BCM_Doors", "BCM", 0x414, 100, 2, MSG_ON_CHANGE, 0, bcm_doors, "Doors and locks"),
	MSG("BCM_Wipers", "BCM", 0x418, 100, 3, 0, 0, bcm_wipers, "Wipers and rain sensor"),
	MSG("BCM_Windows", "BCM", 0x41c, 100, 4, 0, 0, bcm_windows, "Windows; 100 % is open"),
	MSG("HVAC_Status", "HVAC", 0x420, 100, 3, MSG_ON_CHANGE, 0, hvac_status, "Climate control"),
	MSG("HVAC_Temps", "HVAC", 0x424, 100, 8, 0, 0, hvac_temps, "Climate sensors"),
	MSG("SRS_Belts", "SRS", 0x428, 100, 2, MSG_ON_CHANGE, 0, srs_belts, "Seats and belts"),
	MSG("IC_Range", "IC", 0x430, 100, 8, 0, 0, ic_range, "Range and trip"),
	MSG("GNSS_Position", "TCU", 0x434, 100, 8, 0, 0, gnss_position, "WGS 84"),
	MSG("GNSS_Motion", "TCU", 0x438, 100, 6, 0, 0, gnss_motion, "Course over ground"),
	MSG("IBS_Battery12V", "GW", 0x43c, 100, 8, 0, 0, ibs_battery, "Lead battery; charging is positive"),
	MSG("BCM_Environment", "BCM", 0x440, 100, 4, 0, 0, bcm_environment, "Daylight"),
	MSG("TPMS_Wheel", "BCM", 0x450, 200, 4, 0, 4, tpms_wheel, "Tyres, one at a time"),
	MSG("IC_Odometer", "IC", 0x460, 1000, 6, 0, 0, ic_odometer, "Odometer"),
	MSG("IC_Clock", "IC", 0x464, 1000, 6, 0, 0, ic_clock, "UTC"),
	MSG("GNSS_Quality", "TCU", 0x468, 1000, 2, 0, 0, gnss_quality, "Receiver"),
	MSG("TCU_Session", "TCU", 0x46c, 1000, 7, 0, 0, tcu_session, "Of the simulation"),
	MSG("NM_BCM", "BCM", 0x511, 200, 1, 0, 0, nm_BCM, "Network management"),
	MSG("NM_IC", "IC", 0x512, 200, 1, 0, 0, nm_IC, "Network management"),
	MSG("NM_HVAC", "HVAC", 0x513, 200, 1, 0, 0, nm_HVAC, "Network management"),
	MSG("NM_TCU", "TCU", 0x514, 200, 1, 0, 0, nm_TCU, "Network management"),
	MSG("DIAG_ActiveFaults", "GW", 0x18feca17, 1000, 8, MSG_EXTENDED, 0, diag_dm1, "As SAE J1939-73 DM1: none"),
};
/* clang-format on */

const struct drive_bus drive_can1 = {
	.name = "can1",
	.messages = messages,
	.n_messages = array_len(messages),
	.bit_ns = 2000,
	.comment = "Simulated electric car: body, comfort and position, 500 kbit/s",
};
