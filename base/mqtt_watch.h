/* base/mqtt_watch.h: notices when the files of a TLS connection change, or what they hold is no
 * longer valid. Private to base/mqtt*.c. */
#pragma once

#include "base/loop.h"
#include "base/mqtt.h"
#include "base/mqtt_tls.h"

enum { MQTT_WATCH_PERIOD_S = 2 };

struct mqtt_watch {
	struct loop *loop;
	struct loop_timer timer;
	const struct mqtt_tls *tls; /* borrowed */
	void (*cb)(void *ctx, enum mqtt_certificate what, const char *text);
	void *ctx;

	struct mqtt_tls_stamp stamp; /* as of the last look */
	bool changing;		     /* they were others in the look before */
	bool started, dates_told;
	int64_t until; /* of struct mqtt_tls_result, as of the last check */
};

/* Looks every MQTT_WATCH_PERIOD_S, first in the loop's next turn. What changes is looked at when it
 * has not changed for a period: a certificate and its key come one after the other. */
void mqtt_watch_start(struct mqtt_watch *w, struct loop *l, const struct mqtt_tls *tls,
		      void (*cb)(void *ctx, enum mqtt_certificate what, const char *text),
		      void *ctx);
/* Fine when it was not started. */
void mqtt_watch_stop(struct mqtt_watch *w);
