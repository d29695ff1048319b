/* A CAN FD adapter on USB, simulated: serves the kernel's gs_usb driver through USB/IP within one
 * machine (vhci_hcd).
 *
 * No controller that QEMU emulates has CAN FD with a driver in Debian's kernel. To the kernel this
 * one is a device like any other: bit timing of both phases goes through the same code.
 *
 * gs_usb_adapter CONTROL: prints what the driver sets, a line each:
 *   mode start|reset FLAGS              FLAGS of the mode in hex (0x100: CAN FD)
 *   bittiming BITRATE SAMPLE_POINT      of the arbitration phase, sample point per mille
 *   data_bittiming BITRATE SAMPLE_POINT
 *   frame ID DLC FLAGS                  that was sent; it is acknowledged
 * A line read from the FIFO CONTROL: "bus-off", an error frame that says so. Ends with its input.
 */
#include "usb/usbip.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
	/* Requests of gs_usb, little-endian */
	BITTIMING = 1,
	MODE = 2,
	BT_CONST = 4,
	DEVICE_CONFIG = 5,
	DATA_BITTIMING = 10,
	BT_CONST_EXT = 11,
	FEATURES = 1 << 0 /* listen-only */ | 1 << 8 /* CAN FD */ | 1 << 10 /* BT_CONST_EXT */,
	CLOCK_HZ = 80000000,
	HOST_FRAME = 20, /* of a classic frame */
	IN = 1,
};

static const uint8_t device_descriptor[] = {
	18, 1, 0x00, 0x02, 0, 0, 0, 64, 0x50, 0x1d, 0x6f, 0x60, 0, 0, 0, 0, 0, 1,
};

static const uint8_t configuration[] = {
	9, 2, 32,   0, 1,    1,	   0,	 0x80, 50, /* one interface */
	9, 4, 0,    0, 2,    0xff, 0xff, 0xff, 0,  /* two endpoints */
	7, 5, 0x81, 2, 0x00, 0x02, 0,		   /* bulk in */
	7, 5, 0x02, 2, 0x00, 0x02, 0,		   /* bulk out */
};

static const uint32_t device_config[] = {0, 2, 1}; /* one channel, versions */

static const uint32_t limits[] = {
	FEATURES, CLOCK_HZ, 1, 256, 1,	128, 128, 1, 512, 1, /* arbitration phase */
	1,	  32,	    1, 16,  16, 1,   32,  1,	     /* data phase */
};

static void print_timing(const char *what, const uint8_t *data)
{
	uint32_t t[5]; /* prop_seg, phase_seg1, phase_seg2, sjw, brp */
	uint32_t quanta, before;

	memcpy(t, data, sizeof(t));
	before = 1 + t[0] + t[1];
	quanta = before + t[2];
	printf("%s %u %u\n", what, CLOCK_HZ / (t[4] * quanta), before * 1000 / quanta);
}

static void on_set(uint8_t request, const uint8_t *data)
{
	uint32_t mode[2];

	if (request == BITTIMING)
		print_timing("bittiming", data);
	else if (request == DATA_BITTIMING)
		print_timing("data_bittiming", data);
	if (request != MODE)
		return;
	memcpy(mode, data, sizeof(mode));
	printf("mode %s 0x%x\n", mode[0] ? "start" : "reset", mode[1]);
}

static const void *on_get(uint8_t request, size_t *ret_len)
{
	bool config = request == DEVICE_CONFIG;

	if (!config && request != BT_CONST && request != BT_CONST_EXT)
		return NULL;
	*ret_len = config ? sizeof(device_config) : sizeof(limits);
	return config ? (const void *)device_config : limits;
}

static void on_sent(unsigned endpoint, const uint8_t *data, size_t len)
{
	uint32_t id;

	(void)endpoint;
	if (len < HOST_FRAME)
		return;
	memcpy(&id, data + 4, sizeof(id));
	printf("frame %X %u 0x%x\n", id, data[8], data[10]);
	usb_receive(IN, data, len); /* its echo says that it is on the bus */
}

static void on_told(const char *text)
{
	const uint32_t error[HOST_FRAME / 4] = {0xffffffff, 0x20000040, 8};

	if (strncmp(text, "bus-off", 7) == 0)
		usb_receive(IN, error, sizeof(error));
}

int main(int argc, char **argv)
{
	const struct usb_simulation s = {
		.name = "gs_usb_adapter",
		.device = device_descriptor,
		.configuration = configuration,
		.configuration_len = sizeof(configuration),
		.get = on_get,
		.set = on_set,
		.sent = on_sent,
		.told = on_told,
	};

	return usb_simulate(&s, argc, argv);
}
