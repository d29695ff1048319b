/* A device on USB, simulated: serves a driver of the kernel through USB/IP within one machine
 * (vhci_hcd). One configuration with one interface; descriptors as USB 2.0 §9.6. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct usb_simulation {
	const char *name;
	const uint8_t *device; /* descriptor, 18 bytes */
	const uint8_t *configuration;
	size_t configuration_len;
	/* Vendor requests: what is asked for, NULL: there is no such thing; and what is set. NULL:
	 * the device has none. */
	const void *(*get)(uint8_t request, size_t *ret_len);
	void (*set)(uint8_t request, const uint8_t *data);
	/* What the driver sent to an endpoint. */
	void (*sent)(unsigned endpoint, const uint8_t *data, size_t len);
	/* A line of the control FIFO. */
	void (*told)(const char *text);
};

/* What the driver reads from an endpoint next. */
void usb_receive(unsigned endpoint, const void *data, size_t len);

/* The program of the device; its argument is the path of the control FIFO. Plugs it in, ends with
 * it. Returns main's status when it was called otherwise. */
int usb_simulate(const struct usb_simulation *s, int argc, char **argv);
