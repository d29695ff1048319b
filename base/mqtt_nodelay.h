/* base/mqtt_nodelay.h: no Nagle's algorithm (RFC 896) on the sockets of Paho, which has no option
 * for it. Private to base/mqtt*.c.
 *
 * A PUBLISH behind a PUBACK would wait until the broker acknowledges the latter, which it puts off
 * by 40 ms, for it has nothing to say to it. */
#pragma once

#include "base/base.h"

/* Sets TCP_NODELAY on every TCP connection of this process to that port: Paho does not say which
 * socket is its own. Another one to the same port is another MQTT connection, as a rule, and no
 * other is harmed. Returns how many there were. Any thread. */
unsigned mqtt_nodelay(int port);
