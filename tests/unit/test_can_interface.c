#include "agent/can/can_interface.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

static const struct {
	const char *name;
	int result;
} no_interfaces[] = {
	{"", -ENODEV},
	{"can-not-here", -ENODEV},
	{"much too long for a name of an interface", -ENODEV},
	{"lo", -EMEDIUMTYPE}, /* every Linux has it */
};

START_TEST(none_of_can)
{
	struct can_interface found = {.index = -7, .takes_fd = true};

	ck_assert_int_eq(can_interface_find(no_interfaces[_i].name, &found),
			 no_interfaces[_i].result);
	ck_assert_int_eq(found.index, -7); /* untouched */
	ck_assert(found.takes_fd);
}
END_TEST

static const struct {
	int error;
	const char *says;
} reasons[] = {
	{EAFNOSUPPORT, "this kernel has no SocketCAN with CAN_RAW"},
	{EPROTONOSUPPORT, "this kernel has no SocketCAN with CAN_RAW"},
	{ENODEV, "there is no such interface"},
	{ENXIO, "there is no such interface"},
	{EMEDIUMTYPE, "the interface is not CAN"},
	{ENETDOWN, "the interface is down (ip link set can7 up)"},
	{EPERM, "Operation not permitted"},
};

START_TEST(explained)
{
	char text[96], small[8];

	ck_assert_str_eq(
		can_interface_explain(reasons[_i].error, "can7", "CAN_RAW", text, sizeof(text)),
		reasons[_i].says);
	can_interface_explain(reasons[_i].error, "can7", "CAN_RAW", small, sizeof(small));
	ck_assert_uint_eq(strlen(small), sizeof(small) - 1);
	ck_assert_int_eq(strncmp(small, reasons[_i].says, sizeof(small) - 1), 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("interface");
	TCase *cases[] = {tc};

	tcase_add_loop_test(tc, none_of_can, 0, array_len(no_interfaces));
	tcase_add_loop_test(tc, explained, 0, array_len(reasons));
	return suite_run("can_interface", cases, array_len(cases));
}
