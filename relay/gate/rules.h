/* relay/gate/rules.h: which topics a device and a service may use (proto/topic.h has them all).
 *
 * A device publishes on tl/1/up/{part}/{its vehicle}/{itself}/{class} and .../reply/{app}, and gets
 * tl/1/down/{its vehicle}/{itself}/{receipt,config,cmd} and tl/1/down/{its vehicle}/direct/{app}:
 * exact topics, no wildcard, no shared subscription. The relay gets tl/1/up/ and tl/1/presence/,
 * also by wildcards and shared, and publishes tl/1/down/{vehicle}/{device}/{receipt,config,cmd}. */
#pragma once

#include "relay/gate/table.h"

/* The class, up to GATE_REPLY, or -EACCES. */
int gate_device_publishes(const struct gate_device *d, const char *topic, bool retain) must_check;
/* Both for a filter that it subscribes to and for a message that it is to get. */
bool gate_device_gets(const struct gate_device *d, const char *topic);

bool gate_service_publishes(const struct gate_service *s, const char *topic, bool retain);
bool gate_service_gets(const struct gate_service *s, const char *topic);
