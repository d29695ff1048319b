/* base/mqtt_paho.h: one client of Eclipse Paho MQTTAsync, from create to destroy. Private to
 * base/mqtt*.c. All functions are for the worker's thread; any may block on Paho's global lock. */
#pragma once

#include "base/mqtt_link.h"

struct mqtt_paho {
	struct mqtt_link *link;
	void *client; /* MQTTAsync; NULL: none */

	/* Copies; see mqtt_paho_init. */
	struct mqtt_options opt;
	char *uri, *place, *client_id, *username, *password, *will_topic;
	void *will_payload;
	char *ca, *certificate, *key;
	struct mqtt_tls tls; /* of these; without ca: none */
};

int mqtt_paho_init(struct mqtt_paho *p, struct mqtt_link *link, const struct mqtt_options *opt,
		   const struct mqtt_uri *uri) must_check;
void mqtt_paho_deinit(struct mqtt_paho *p);

/* Creates a client and starts to connect; posts opened or ended. */
void mqtt_paho_open(struct mqtt_paho *p);
/* Sends DISCONNECT if there is a connection, and destroys the client. After it no callback comes.
 */
void mqtt_paho_close(struct mqtt_paho *p);

/* Both copy, and post published or subscribed: at once when Paho refuses. */
void mqtt_paho_publish(struct mqtt_paho *p, struct mqtt_slot *slot,
		       const struct mqtt_link_publish *pub);
void mqtt_paho_subscribe(struct mqtt_paho *p, struct mqtt_sub *sub);
