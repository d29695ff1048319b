/* base/mqtt_packet.h: sizes of MQTT 5 packets, and what a topic may be (OASIS MQTT 5.0). */
#pragma once

#include "base/base.h"

/* Largest packet: a fixed header of 5 bytes and a Remaining Length of 268,435,455 (2.1.4). */
#define MQTT_PACKET_MAX UINT32_C(268435460)

struct mqtt_packet_publish {
	size_t topic_len; /* 0: only the alias is sent */
	size_t payload_len;
	int qos;
	bool has_alias;	 /* property 0x23, 3 bytes */
	bool has_expiry; /* property 0x02, 5 bytes */
};

/* Bytes on the wire of a PUBLISH, fixed header included (3.3). */
size_t mqtt_packet_publish_size(const struct mqtt_packet_publish *p);

/* Names that may be published to: UTF-8 of 1 to 65535 bytes, no wildcard (4.7.1, 1.5.4). */
bool mqtt_packet_topic_valid(const char *topic);
