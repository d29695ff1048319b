/* A CAN adapter on USB whose driver can restart its controller, simulated: serves the kernel's
 * usb_8dev driver.
 *
 * usb_8dev_adapter CONTROL: prints what the driver orders, a line each:
 *   open BITRATE
 *   close
 *   frame ID DLC        that was sent
 * A line read from the FIFO CONTROL: "bus-off". It is over when the driver opens again, which it
 * says then, as a real one does. Ends with its input. */
#include "usb/usbip.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
	DATA_IN = 1,
	COMMAND_IN = 3,
	COMMAND_OUT = 4,
	/* Commands, 16 bytes */
	OPEN = 2,
	CLOSE = 3,
	COMMAND_BYTES = 16,
	/* States, in what it says of errors */
	WELL = 0,
	BUS_OFF = 4,
	CLOCK_HZ = 32000000,
};

static const uint8_t device_descriptor[] = {
	18, 1, 0x00, 0x02, 0, 0, 0, 64, 0x83, 0x04, 0x34, 0x12, 0, 0, 0, 0, 0, 1,
};

static const uint8_t configuration[] = {
	9, 2, 46,   0, 1,    1,	   0,	 0x80, 50, /* one interface */
	9, 4, 0,    0, 4,    0xff, 0xff, 0xff, 0,  /* four endpoints, bulk */
	7, 5, 0x81, 2, 0x00, 0x02, 0,		   /* frames in */
	7, 5, 0x02, 2, 0x00, 0x02, 0,		   /* frames out */
	7, 5, 0x83, 2, 0x00, 0x02, 0,		   /* answers */
	7, 5, 0x04, 2, 0x00, 0x02, 0,		   /* commands */
};

static bool off;

static void say_state(uint8_t state)
{
	const uint8_t error[] = {0x55, 3, 4, 0, 0, 0, 0, 8, state, 0,	0,
				 0,    0, 0, 0, 0, 0, 0, 0, 0,	   0xaa};

	usb_receive(DATA_IN, error, sizeof(error));
}

static void on_command(const uint8_t *command)
{
	uint8_t answer[COMMAND_BYTES] = {0x11, 0, command[2], 0};
	uint16_t divider;

	if (command[2] == OPEN) {
		memcpy(&divider, command + 8, sizeof(divider));
		printf("open %u\n", CLOCK_HZ / (ntohs(divider) * (1u + command[5] + command[6])));
	} else if (command[2] == CLOSE) {
		printf("close\n");
	}
	answer[COMMAND_BYTES - 1] = 0x22;
	usb_receive(COMMAND_IN, answer, sizeof(answer));
	if (command[2] == OPEN && off) {
		off = false;
		say_state(WELL);
	}
}

static void on_sent(unsigned endpoint, const uint8_t *data, size_t len)
{
	uint32_t id;

	if (len < COMMAND_BYTES)
		return;
	if (endpoint == COMMAND_OUT) {
		on_command(data);
		return;
	}
	memcpy(&id, data + 2, sizeof(id));
	printf("frame %X %u\n", ntohl(id), data[6]);
}

static void on_told(const char *text)
{
	if (strncmp(text, "bus-off", 7) != 0)
		return;
	off = true;
	say_state(BUS_OFF);
}

int main(int argc, char **argv)
{
	const struct usb_simulation s = {
		.name = "usb_8dev_adapter",
		.device = device_descriptor,
		.configuration = configuration,
		.configuration_len = sizeof(configuration),
		.sent = on_sent,
		.told = on_told,
	};

	return usb_simulate(&s, argc, argv);
}
