/* proto/topic.h: the MQTT topics, built and parsed in one place.
 *
 *   tl/1/up/{part}/{vehicle}/{device}/{class}     batches, from the device
 *   tl/1/down/{vehicle}/{device}/receipt          receipts, from the relay
 *
 * Ids are 1 to 64 characters of [A-Za-z0-9._-]; a vehicle's is a UUID by convention, never a VIN.
 */
#pragma once

#include "base/base.h"

enum { ID_MAX = 64, TOPIC_MAX = 256 };

/* In order of urgency. The names are those in topics. */
enum uplink_class { CLASS_EVENT, CLASS_LIVE, CLASS_BULK, CLASS_LOG, CLASS_STATUS, CLASS_COUNT };

struct topic_up {
	uint16_t part;
	char vehicle[ID_MAX + 1];
	char device[ID_MAX + 1];
	enum uplink_class class;
};

bool id_is_valid(const char *id);
const char *class_name(enum uplink_class c);
int class_parse(const char *name, enum uplink_class *ret) must_check; /* 0 or -EINVAL */

/* Returns 0, or -EINVAL with err naming the topic and the field. */
int topic_parse_up(const char *topic, struct topic_up *ret, struct error *err) must_check;
void topic_format_up(const struct topic_up *t, char out[static TOPIC_MAX]);
void topic_format_receipt(const char *vehicle, const char *device, char out[static TOPIC_MAX]);
