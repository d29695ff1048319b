/* tools/drive/messages_can0.c: powertrain and chassis. */
#include "tools/drive/messages_def.h"

/* clang-format off */
static const struct drive_choice gears[] = {{0, "P"}, {1, "R"}, {2, "N"}, {3, "D"}, {0, NULL}};
static const struct drive_choice states[] = {
	{0, "Off"}, {1, "Accessory"}, {2, "Ready"}, {3, "Driving"}, {4, "Charging"}, {0, NULL}};
static const struct drive_choice contactor_states[] = {
	{0, "Open"}, {1, "Precharge"}, {2, "Closed"}, {0, NULL}};
static const struct drive_choice valve_states[] = {
	{0, "Separate"}, {1, "HeatBattery"}, {2, "ChillBattery"}, {0, NULL}};
static const struct drive_choice charge_states[] = {
	{0, "Idle"}, {1, "Handshake"}, {2, "Charging"}, {3, "Finished"}, {0, NULL}};

static const struct drive_signal mcu_torque[] = {
	CRC(0), COUNTER(8),
	ENUM("VehicleState", 12, 3, session.vehicle_state, states),
	LS("TorqueRequest", 16, 16, 0.1, 0, "Nm", motor.torque_request_nm),
	LS("TorqueActual", 32, 16, 0.1, 0, "Nm", motor.torque_nm),
	LS("MotorSpeed", 48, 16, 1, 0, "rpm", motor.speed_rpm),
};
static const struct drive_signal mcu_electrical[] = {
	LU("DcVoltage", 0, 16, 0.02, 0, "V", battery.voltage_v),
	LS("DcCurrent", 16, 16, 0.05, 0, "A", motor.dc_current_a),
	LU("PhaseCurrent", 32, 16, 0.05, 0, "A", motor.phase_current_a),
	LU("Modulation", 48, 8, 0.5, 0, "%", motor.modulation_pct),
	LU("Efficiency", 56, 8, 0.5, 0, "%", motor.efficiency_pct),
};
static const struct drive_signal esp_wheel_speeds[] = {
	BU("WheelSpeedFL", 7, 16, 0.01, 0, "km/h", motion.wheel_kmh[0]),
	BU("WheelSpeedFR", 23, 16, 0.01, 0, "km/h", motion.wheel_kmh[1]),
	BU("WheelSpeedRL", 39, 16, 0.01, 0, "km/h", motion.wheel_kmh[2]),
	BU("WheelSpeedRR", 55, 16, 0.01, 0, "km/h", motion.wheel_kmh[3]),
};
static const struct drive_signal esp_inertial[] = {
	BS("YawRate", 7, 16, 0.01, 0, "deg/s", motion.yaw_rate_dps),
	BS("LateralAccel", 23, 16, 0.001, 0, "m/s^2", motion.lateral_ms2),
	BS("LongitudinalAccel", 39, 16, 0.001, 0, "m/s^2", motion.accel_body_ms2),
	COUNTER(48), CRC(56),
};
static const struct drive_signal eps_steering[] = {
	CRC(0), COUNTER(8),
	LS("SteeringAngle", 16, 16, 0.1, 0, "deg", motion.steering_deg),
	LS("SteeringRate", 32, 16, 0.1, 0, "deg/s", motion.steering_rate_dps),
	LS("SteeringTorque", 48, 12, 0.01, 0, "Nm", motion.steering_torque_nm),
};
static const struct drive_signal vcu_pedals[] = {
	CRC(0), COUNTER(8),
	BIT("BrakeSwitch", 12, driver.brake_switch),
	LU("AcceleratorPedal", 16, 10, 0.1, 0, "%", driver.accel_pct),
	LU("BrakePedal", 26, 10, 0.1, 0, "%", driver.brake_pct),
	ENUM("GearLever", 36, 2, driver.gear, gears),
	LS("ForceDemand", 40, 16, 1, 0, "N", motion.demand_n),
};
static const struct drive_signal ibs_brake[] = {
	CRC(0), COUNTER(8),
	LU("BrakePressure", 16, 16, 1, 0, "kPa", motion.brake_kpa),
	LU("RegenTorque", 32, 12, 1, 0, "Nm", motion.regen_nm),
	LU("FrictionTorque", 44, 14, 1, 0, "Nm", motion.friction_nm),
	BIT("AbsActive", 58, motion.abs_active),
	BIT("EscActive", 59, motion.esc_active),
	BIT("TcsActive", 60, motion.tcs_active),
};
static const struct drive_signal vcu_torque_limits[] = {
	LU("TorqueMax", 0, 12, 0.1, 0, "Nm", motor.torque_max_nm),
	LS("TorqueMin", 12, 12, 0.2, 0, "Nm", motor.torque_min_nm),
	LU("Derating", 24, 8, 0.5, 0, "%", motor.derating_pct),
	LU("MotorLoss", 32, 16, 1, 0, "W", motor.loss_w),
	LU("InverterLoss", 48, 16, 1, 0, "W", motor.inverter_loss_w),
};
static const struct drive_signal esp_vehicle[] = {
	CRC(0), COUNTER(8),
	BIT("Standstill", 12, motion.standstill),
	BIT("BrakeHold", 13, motion.hold),
	LU("VehicleSpeed", 16, 16, 0.01, 0, "km/h", motion.v_kmh),
	LS("RoadSlope", 32, 12, 0.02, 0, "%", motion.slope_pct),
	LS("RoadLoad", 44, 16, 1, 0, "N", motion.road_load_n),
};
static const struct drive_signal bms_pack[] = {
	LU("PackVoltage", 0, 16, 0.01, 0, "V", battery.voltage_v),
	LS("PackCurrent", 16, 16, 0.05, 0, "A", battery.current_a),
	LS("PackPower", 32, 24, 1, 0, "W", battery.power_w),
	ENUM("Contactors", 56, 2, battery.contactors, contactor_states),
	BIT("Balancing", 58, battery.balancing),
	COUNTER(60),
};
static const struct drive_signal vcu_state[] = {
	CRC(0), COUNTER(8),
	ENUM("VehicleState", 16, 3, session.vehicle_state, states),
	ENUM("Gear", 19, 2, driver.gear, gears),
	BIT("ParkingBrake", 22, motion.parking_brake),
	LU("TargetSpeed", 24, 16, 0.01, 0, "km/h", session.target_kmh),
	LU("DriveNumber", 40, 16, 1, 0, "", session.number),
};
static const struct drive_signal mcu_power[] = {
	FLOAT("MechanicalPower", 0, "W", motor.power_w),
	FLOAT("InverterPower", 32, "W", motor.dc_power_w),
};
static const struct drive_signal esp_wheel_pulses[] = {
	LU("WheelPulsesFL", 0, 16, 1, 0, "", motion.wheel_pulses[0]),
	LU("WheelPulsesFR", 16, 16, 1, 0, "", motion.wheel_pulses[1]),
	LU("WheelPulsesRL", 32, 16, 1, 0, "", motion.wheel_pulses[2]),
	LU("WheelPulsesRR", 48, 16, 1, 0, "", motion.wheel_pulses[3]),
};
static const struct drive_signal bms_dynamic[] = {
	LU("OpenCircuitVoltage", 0, 16, 0.01, 0, "V", battery.ocv_v),
	LS("Polarisation", 16, 16, 0.001, 0, "V", battery.polarisation_v),
	LU("BatteryHeat", 32, 16, 1, 0, "W", battery.heat_w),
};
static const struct drive_signal bms_limits[] = {
	LU("DischargeLimit", 0, 12, 0.1, 0, "kW", battery.discharge_limit_kw),
	LU("ChargeLimit", 12, 12, 0.1, 0, "kW", battery.charge_limit_kw),
};
static const struct drive_signal bms_cell_extremes[] = {
	LU("CellVoltageMin", 0, 13, 0.001, 0, "V", battery.cell_min_v),
	LU("CellVoltageMinNo", 13, 7, 1, 0, "", battery.cell_min_no),
	LU("CellVoltageMax", 20, 13, 0.001, 0, "V", battery.cell_max_v),
	LU("CellVoltageMaxNo", 33, 7, 1, 0, "", battery.cell_max_no),
	LU("CellTempMin", 40, 8, 0.5, -40, "degC", battery.temp_min_c),
	LU("CellTempMax", 48, 8, 0.5, -40, "degC", battery.temp_max_c),
};
static const struct drive_signal dcdc_status[] = {
	LU("DcdcVoltage", 0, 12, 0.01, 0, "V", lv.volts),
	LU("DcdcCurrent", 12, 12, 0.1, 0, "A", lv.dcdc_a),
	LU("DcdcInputCurrent", 24, 12, 0.01, 0, "A", lv.dcdc_in_a),
	LU("DcdcInputPower", 36, 12, 1, 0, "W", lv.dcdc_in_w),
	LU("DcdcTemp", 48, 8, 1, -40, "degC", thermal.dcdc_c),
};
static const struct drive_signal hvac_high_voltage[] = {
	LU("CompressorPower", 0, 13, 1, 0, "W", thermal.compressor_w),
	LU("CompressorSpeed", 13, 13, 1, 0, "rpm", thermal.compressor_rpm),
	LU("HeaterPower", 26, 13, 1, 0, "W", thermal.heater_w),
};
static const struct drive_signal vcu_energy[] = {
	FLOAT("DriveEnergy", 0, "kWh", meters.drive_kwh),
	FLOAT("RegenEnergy", 32, "kWh", meters.regen_kwh),
};
static const struct drive_signal bms_state[] = {
	LU("StateOfCharge", 0, 10, 0.1, 0, "%", battery.soc_pct),
	LU("StateOfHealth", 10, 10, 0.1, 0, "%", battery.soh_pct),
	LU("EnergyLeft", 20, 12, 0.02, 0, "kWh", battery.energy_kwh),
	LU("Insulation", 32, 14, 1, 0, "kOhm", battery.insulation_kohm),
	LU("BatteryTemp", 48, 8, 0.5, -40, "degC", battery.temp_c),
	COUNTER(60),
};
static const struct drive_signal mcu_temps[] = {
	LU("MotorTemp", 0, 8, 1, -40, "degC", thermal.motor_c),
	LU("RotorTemp", 8, 8, 1, -40, "degC", thermal.rotor_c),
	LU("InverterTemp", 16, 8, 1, -40, "degC", thermal.inverter_c),
	LU("CoolantTempMotor", 24, 8, 0.5, -40, "degC", thermal.coolant_motor_c),
	LU("CoolantTempBattery", 32, 8, 0.5, -40, "degC", thermal.coolant_battery_c),
};
static const struct drive_signal tms_pumps[] = {
	LU("PumpMotor", 0, 8, 0.5, 0, "%", thermal.pump_motor_pct),
	LU("PumpBattery", 8, 8, 0.5, 0, "%", thermal.pump_battery_pct),
	LU("RadiatorFan", 16, 8, 0.5, 0, "%", thermal.fan_pct),
	LU("FlowMotor", 24, 8, 0.1, 0, "l/min", thermal.flow_motor_lpm),
	LU("FlowBattery", 32, 8, 0.1, 0, "l/min", thermal.flow_battery_lpm),
	ENUM("CoolantValve", 40, 2, thermal.valve, valve_states),
};
static const struct drive_signal ibs_disc_temps[] = {
	LU("DiscTempFL", 0, 12, 0.25, -40, "degC", thermal.brake_c[0]),
	LU("DiscTempFR", 12, 12, 0.25, -40, "degC", thermal.brake_c[1]),
	LU("DiscTempRL", 24, 12, 0.25, -40, "degC", thermal.brake_c[2]),
	LU("DiscTempRR", 36, 12, 0.25, -40, "degC", thermal.brake_c[3]),
};
static const struct drive_signal bms_counters[] = {
	LU("Throughput", 0, 32, 0.01, 0, "kWh", battery.throughput_kwh),
	LU("EquivalentCycles", 32, 16, 0.1, 0, "", battery.cycles),
};
static const struct drive_signal charger_output[] = {
	BU("ChargerVoltage", 7, 16, 0.1, 0, "V", charger.volts),
	BU("ChargerCurrent", 23, 16, 0.1, 0, "A", charger.amps),
	ENUM("ChargerState", 32, 2, charger.state, charge_states),
	BIT("ChargerConnected", 34, charger.connected),
	BU("ChargedEnergy", 47, 16, 0.01, 0, "kWh", charger.energy_kwh),
};
static const struct drive_signal charger_request[] = {
	BU("RequestVoltage", 7, 16, 0.1, 0, "V", charger.request_v),
	BU("RequestCurrent", 23, 16, 0.1, 0, "A", charger.request_a),
	LU("MinutesLeft", 32, 8, 1, 0, "min", charger.minutes_left),
	BIT("InletLatched", 40, charger.latch),
	BS("ChargerTemp", 55, 16, 0.1, 0, "degC", thermal.charger_c),
};

/* 24 cells a group; number n is 1 to 96. */
#define CELL(g, n) \
	GROUP(g, "CellVoltage" #n, 16 + ((n) - 1) % 24 * 16, 16, 0.0001, 0, "V", battery.cell_v[(n) - 1])
#define CELLS4(g, a, b, c, d)	       CELL(g, a), CELL(g, b), CELL(g, c), CELL(g, d)
#define GROUP_VOLTAGE(g)                                                                          \
	GROUP(g, "GroupVoltage" #g, 400, 16, 0.01, 0, "V", battery.group_v[g])

static const struct drive_signal bms_cell_voltages[] = {
	MUX("CellGroup", 0, 4, NULL), COUNTER(4),
	LU("CellPackVoltage", 416, 16, 0.01, 0, "V", battery.voltage_v),
	LS("CellPackCurrent", 432, 16, 0.05, 0, "A", battery.current_a),
	GROUP_VOLTAGE(0), GROUP_VOLTAGE(1), GROUP_VOLTAGE(2), GROUP_VOLTAGE(3),
	CELLS4(0, 1, 2, 3, 4), CELLS4(0, 5, 6, 7, 8), CELLS4(0, 9, 10, 11, 12),
	CELLS4(0, 13, 14, 15, 16), CELLS4(0, 17, 18, 19, 20), CELLS4(0, 21, 22, 23, 24),
	CELLS4(1, 25, 26, 27, 28), CELLS4(1, 29, 30, 31, 32), CELLS4(1, 33, 34, 35, 36),
	CELLS4(1, 37, 38, 39, 40), CELLS4(1, 41, 42, 43, 44), CELLS4(1, 45, 46, 47, 48),
	CELLS4(2, 49, 50, 51, 52), CELLS4(2, 53, 54, 55, 56), CELLS4(2, 57, 58, 59, 60),
	CELLS4(2, 61, 62, 63, 64), CELLS4(2, 65, 66, 67, 68), CELLS4(2, 69, 70, 71, 72),
	CELLS4(3, 73, 74, 75, 76), CELLS4(3, 77, 78, 79, 80), CELLS4(3, 81, 82, 83, 84),
	CELLS4(3, 85, 86, 87, 88), CELLS4(3, 89, 90, 91, 92), CELLS4(3, 93, 94, 95, 96),
};

#define TEMP(g, n)                                                                                \
	GROUP(g, "CellTemp" #n, 8 + ((n) - 1) % 4 * 12, 12, 0.05, -40, "degC",                     \
	      battery.sensor_c[(n) - 1])
#define TEMPS4(g, a, b, c, d) TEMP(g, a), TEMP(g, b), TEMP(g, c), TEMP(g, d)

static const struct drive_signal bms_cell_temps[] = {
	MUX("TempGroup", 0, 4, NULL),
	TEMPS4(0, 1, 2, 3, 4), TEMPS4(1, 5, 6, 7, 8), TEMPS4(2, 9, 10, 11, 12),
	TEMPS4(3, 13, 14, 15, 16), TEMPS4(4, 17, 18, 19, 20), TEMPS4(5, 21, 22, 23, 24),
};

static const struct drive_message messages[] = {
	MSG("MCU_Torque", "MCU", 0x0a0, 10, 8, 0, 0, mcu_torque, "Motor torque and speed"),
	MSG("MCU_Electrical", "MCU", 0x0a5, 10, 8, 0, 0, mcu_electrical, "Inverter, DC and phase side"),
	MSG("ESP_WheelSpeeds", "ESP", 0x0b0, 10, 8, 0, 0, esp_wheel_speeds, "Wheel speeds"),
	MSG("ESP_Inertial", "ESP", 0x0b5, 10, 8, 0, 0, esp_inertial, "Inertial sensor; left turns are positive"),
	MSG("EPS_Steering", "EPS", 0x0c0, 10, 8, 0, 0, eps_steering, "Steering; left is positive"),
	MSG("VCU_Pedals", "VCU", 0x0c5, 10, 8, 0, 0, vcu_pedals, "What the driver asks for"),
	MSG("IBS_Brake", "IBS", 0x0d0, 10, 8, 0, 0, ibs_brake, "Brake blending, torques at the wheels"),
	MSG("VCU_TorqueLimits", "VCU", 0x0d5, 10, 8, 0, 0, vcu_torque_limits, "What the motor may do now"),
	MSG("ESP_Vehicle", "ESP", 0x150, 20, 8, 0, 0, esp_vehicle, "Vehicle speed"),
	MSG("BMS_Pack", "BMS", 0x155, 20, 8, 0, 0, bms_pack, "High-voltage battery; discharge is positive"),
	MSG("VCU_State", "VCU", 0x15a, 20, 8, 0, 0, vcu_state, "State of the vehicle"),
	MSG("MCU_Power", "MCU", 0x160, 20, 8, 0, 0, mcu_power, "Powers as floats"),
	MSG("ESP_WheelPulses", "ESP", 0x165, 20, 8, 0, 0, esp_wheel_pulses, "96 pulses a turn, rolling over"),
	MSG("BMS_Dynamic", "BMS", 0x16a, 20, 8, 0, 0, bms_dynamic, "State of the battery model"),
	MSG("BMS_Limits", "BMS", 0x200, 50, 4, 0, 0, bms_limits, "What the battery allows"),
	MSG("BMS_CellExtremes", "BMS", 0x205, 50, 8, 0, 0, bms_cell_extremes, "Lowest and highest cells"),
	MSG("DCDC_Status", "DCDC", 0x20a, 50, 8, 0, 0, dcdc_status, "Converter to 12 V"),
	MSG("HVAC_HighVoltage", "HVAC", 0x210, 50, 5, 0, 0, hvac_high_voltage, "High-voltage consumers of the climate control"),
	MSG("VCU_Energy", "VCU", 0x215, 50, 8, 0, 0, vcu_energy, "Energies of this drive, at the inverter"),
	MSG("BMS_CellVoltages", "BMS", 0x320, 50, 64, MSG_FD, 4, bms_cell_voltages, "24 cells at a time"),
	MSG("BMS_State", "BMS", 0x300, 100, 8, 0, 0, bms_state, "State of charge and health"),
	MSG("MCU_Temps", "MCU", 0x305, 100, 5, 0, 0, mcu_temps, "Drive temperatures"),
	MSG("TMS_Pumps", "TMS", 0x30a, 100, 6, 0, 0, tms_pumps, "Cooling circuits"),
	MSG("IBS_DiscTemps", "IBS", 0x30f, 100, 6, 0, 0, ibs_disc_temps, "Brake disc temperatures (model)"),
	MSG("BMS_CellTemps", "BMS", 0x324, 100, 8, 0, 6, bms_cell_temps, "4 sensors at a time"),
	MSG("EVC_Output", "EVC", 0x18ff50e5, 100, 8, MSG_EXTENDED, 0, charger_output, "Charging post"),
	MSG("BMS_ChargeRequest", "BMS", 0x1806e5f4, 100, 8, MSG_EXTENDED, 0, charger_request, "To the charging post"),
	MSG("BMS_Counters", "BMS", 0x350, 1000, 6, 0, 0, bms_counters, "Wear of the battery"),
};
/* clang-format on */

const struct drive_bus drive_can0 = {
	.name = "can0",
	.messages = messages,
	.n_messages = array_len(messages),
	.bit_ns = 2000,
	.comment = "Simulated electric car: powertrain and chassis, 500 kbit/s",
};
