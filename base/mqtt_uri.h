/* base/mqtt_uri.h: where a broker is. Private to base/mqtt*.c. */
#pragma once

#include "base/base.h"

enum { MQTT_HOST_BYTES = 256 };

struct mqtt_uri {
	bool tls;
	char host[MQTT_HOST_BYTES];	  /* an IPv6 address without its brackets */
	char place[MQTT_HOST_BYTES + 16]; /* host:port, as Paho wants it and texts show it */
};

/* "mqtt://host[:1883]" (or "tcp://...") and "mqtts://host[:8883]"; [host] when it is an IPv6
 * address, which mqtts refuses: Paho 1.3.12 compares it with its brackets, which no certificate
 * has. Returns 0 or -EINVAL. */
int mqtt_uri_parse(const char *uri, struct mqtt_uri *ret) must_check;
/* Whether what goes there stays on this machine. Names other than localhost are not resolved. */
bool mqtt_uri_is_loopback(const struct mqtt_uri *u);
