/* Error frames of SocketCAN: each class, the state that it tells, and frames that are odd. */
#include "agent/source/can_error.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <linux/can.h>
#include <linux/can/error.h>
#include <linux/can/netlink.h>
#include <string.h>

enum { NONE = CAN_ERROR_NO_STATE };

static const struct {
	uint32_t id;
	uint8_t data[8];
	unsigned classes;
	int state;
	bool tx, rx;
	const char *text;
} CASES[] = {
	{CAN_ERR_TX_TIMEOUT, {0}, CAN_ERROR_TX_TIMEOUT, NONE, false, false, "tx-timeout"},
	{CAN_ERR_LOSTARB, {17}, CAN_ERROR_ARBITRATION_LOST, NONE, false, false, "arbitration-lost"},
	{CAN_ERR_CRTL,
	 {0, CAN_ERR_CRTL_RX_OVERFLOW},
	 CAN_ERROR_OVERFLOW,
	 NONE,
	 false,
	 true,
	 "overflow"},
	{CAN_ERR_CRTL,
	 {0, CAN_ERR_CRTL_TX_OVERFLOW},
	 CAN_ERROR_OVERFLOW,
	 NONE,
	 true,
	 false,
	 "overflow"},
	{CAN_ERR_CRTL,
	 {0, CAN_ERR_CRTL_RX_WARNING},
	 CAN_ERROR_WARNING,
	 CAN_STATE_ERROR_WARNING,
	 false,
	 true,
	 "error-warning"},
	{CAN_ERR_CRTL,
	 {0, CAN_ERR_CRTL_TX_WARNING},
	 CAN_ERROR_WARNING,
	 CAN_STATE_ERROR_WARNING,
	 true,
	 false,
	 "error-warning"},
	{CAN_ERR_CRTL,
	 {0, CAN_ERR_CRTL_RX_PASSIVE},
	 CAN_ERROR_PASSIVE,
	 CAN_STATE_ERROR_PASSIVE,
	 false,
	 true,
	 "error-passive"},
	{CAN_ERR_CRTL,
	 {0, CAN_ERR_CRTL_TX_PASSIVE},
	 CAN_ERROR_PASSIVE,
	 CAN_STATE_ERROR_PASSIVE,
	 true,
	 false,
	 "error-passive"},
	{CAN_ERR_CRTL,
	 {0, CAN_ERR_CRTL_TX_PASSIVE | CAN_ERR_CRTL_RX_WARNING},
	 CAN_ERROR_PASSIVE | CAN_ERROR_WARNING,
	 CAN_STATE_ERROR_PASSIVE,
	 true,
	 true,
	 "error-passive,error-warning"},
	{CAN_ERR_CRTL,
	 {0, CAN_ERR_CRTL_ACTIVE},
	 CAN_ERROR_ACTIVE,
	 CAN_STATE_ERROR_ACTIVE,
	 false,
	 false,
	 "error-active"},
	{CAN_ERR_CRTL, {0, CAN_ERR_CRTL_UNSPEC}, 0, NONE, false, false, "unknown"},
	{CAN_ERR_PROT,
	 {0, 0, CAN_ERR_PROT_STUFF, CAN_ERR_PROT_LOC_DATA},
	 CAN_ERROR_PROTOCOL,
	 NONE,
	 false,
	 false,
	 "protocol"},
	{CAN_ERR_PROT | CAN_ERR_BUSERROR,
	 {0, 0, CAN_ERR_PROT_BIT1 | CAN_ERR_PROT_TX},
	 CAN_ERROR_PROTOCOL | CAN_ERROR_BUS,
	 NONE,
	 true,
	 false,
	 "protocol,bus-error"},
	{CAN_ERR_TRX,
	 {0, 0, 0, 0, CAN_ERR_TRX_CANH_NO_WIRE},
	 CAN_ERROR_TRANSCEIVER,
	 NONE,
	 false,
	 false,
	 "transceiver"},
	{CAN_ERR_ACK, {0}, CAN_ERROR_NO_ACK, NONE, false, false, "no-ack"},
	{CAN_ERR_BUSOFF, {0}, CAN_ERROR_BUS_OFF, CAN_STATE_BUS_OFF, false, false, "bus-off"},
	{CAN_ERR_BUSERROR, {0}, CAN_ERROR_BUS, NONE, false, false, "bus-error"},
	{CAN_ERR_RESTARTED,
	 {0},
	 CAN_ERROR_RESTARTED,
	 CAN_STATE_ERROR_ACTIVE,
	 false,
	 false,
	 "restarted"},
	/* of two that contradict each other, the worst */
	{CAN_ERR_BUSOFF | CAN_ERR_RESTARTED,
	 {0},
	 CAN_ERROR_BUS_OFF | CAN_ERROR_RESTARTED,
	 CAN_STATE_BUS_OFF,
	 false,
	 false,
	 "bus-off,restarted"},
	/* data without its bit in the identifier says nothing */
	{CAN_ERR_ACK, {9, 0xFF, 0xFF}, CAN_ERROR_NO_ACK, NONE, false, false, "no-ack"},
	{0, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 1}, 0, NONE, false, false, "unknown"},
	/* bits of the future */
	{0x1FFFF000, {0}, 0, NONE, false, false, "unknown"},
};

START_TEST(classes)
{
	char text[CAN_ERROR_TEXT];
	struct can_error e;

	ck_assert_int_eq(can_error_parse(&e, CASES[_i].id | CAN_ERR_FLAG, CASES[_i].data, 8), 0);
	ck_assert_uint_eq(e.classes, CASES[_i].classes);
	ck_assert_int_eq(can_error_state(&e), CASES[_i].state);
	ck_assert(e.tx == CASES[_i].tx && e.rx == CASES[_i].rx);
	ck_assert(!e.has_counters);
	ck_assert_str_eq(can_error_text(&e, text), CASES[_i].text);
}
END_TEST

START_TEST(counters)
{
	uint8_t data[8] = {0, CAN_ERR_CRTL_TX_PASSIVE, 0, 0, 0, 0, 136, 7};
	struct can_error e;

	ck_assert_int_eq(can_error_parse(&e, CAN_ERR_FLAG | CAN_ERR_CNT, data, 8), 0);
	ck_assert(e.has_counters);
	ck_assert_uint_eq(e.tx_errors, 136);
	ck_assert_uint_eq(e.rx_errors, 7);
	/* Older kernels: no flag, but the controller's state. */
	ck_assert_int_eq(can_error_parse(&e, CAN_ERR_FLAG | CAN_ERR_CRTL, data, 8), 0);
	ck_assert(e.has_counters);
	ck_assert_int_eq(can_error_parse(&e, CAN_ERR_FLAG | CAN_ERR_ACK, data, 8), 0);
	ck_assert(!e.has_counters);
	data[6] = data[7] = 0;
	ck_assert_int_eq(can_error_parse(&e, CAN_ERR_FLAG | CAN_ERR_CRTL, data, 8), 0);
	ck_assert(!e.has_counters);
	ck_assert_int_eq(can_error_parse(&e, CAN_ERR_FLAG | CAN_ERR_CNT, data, 8), 0);
	ck_assert(e.has_counters && e.tx_errors == 0 && e.rx_errors == 0);
}
END_TEST

/* Exactly so many bytes are read: the sanitizers watch. */
START_TEST(short_frames_tell_their_classes_alone)
{
	for (size_t len = 0; len < 8; len++) {
		uint8_t *data = malloc(len + (len == 0));
		struct can_error e;

		ck_assert_ptr_nonnull(data);
		memset(data, 0xFF, len);
		ck_assert_int_eq(
			can_error_parse(&e,
					CAN_ERR_FLAG | CAN_ERR_CRTL | CAN_ERR_BUSOFF | CAN_ERR_CNT,
					data, len),
			0);
		ck_assert_uint_eq(e.classes, CAN_ERROR_BUS_OFF);
		ck_assert(!e.has_counters);
		free(data);
	}
}
END_TEST

START_TEST(all_at_once)
{
	uint8_t data[8];
	char text[CAN_ERROR_TEXT];
	struct can_error e;

	memset(data, 0xFF, sizeof(data));
	ck_assert_int_eq(can_error_parse(&e, UINT32_MAX, data, sizeof(data)), 0);
	ck_assert_uint_eq(e.classes, 4095);
	ck_assert_int_eq(can_error_state(&e), CAN_STATE_BUS_OFF);
	can_error_text(&e, text);
	ck_assert_uint_lt(strlen(text), sizeof(text) - 1);
	ck_assert_ptr_nonnull(strstr(text, ",bus-error"));
}
END_TEST

START_TEST(a_frame_of_the_bus_is_none)
{
	struct can_error e = {.classes = 77};
	uint8_t data[8] = {0};

	ck_assert_int_eq(can_error_parse(&e, 0x123, data, 8), -EINVAL);
	ck_assert_uint_eq(e.classes, 77);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("can_error");

	tcase_add_loop_test(t, classes, 0, (int)array_len(CASES));
	tcase_add_test(t, counters);
	tcase_add_test(t, short_frames_tell_their_classes_alone);
	tcase_add_test(t, all_at_once);
	tcase_add_test(t, a_frame_of_the_bus_is_none);
	return suite_run("can_error", &t, 1);
}
