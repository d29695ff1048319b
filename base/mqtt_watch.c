#include "base/mqtt_watch.h"

#include <time.h>

/* Here, and not with the rest of base/mqtt.h, for who stands in for that in a test. */
const char *mqtt_certificate_event(enum mqtt_certificate what)
{
	static const char *const names[] = {
		[MQTT_CERTIFICATE_CHANGED] = "certificate_changed",
		[MQTT_CERTIFICATE_DATES] = "certificate_dates",
		[MQTT_CERTIFICATE_UNUSABLE] = "certificate_unusable",
	};

	return names[what];
}

/* The clock that OpenSSL holds certificates against, too. */
static int64_t now_s(void)
{
	return (int64_t)time(NULL);
}

/* changed: they are new; else what is wrong is told, and nothing when nothing is. The callback
 * comes last, for it may free w. */
static void check(struct mqtt_watch *w, bool changed)
{
	struct mqtt_tls_result res;
	int r = mqtt_tls_check(w->tls, now_s(), &res);

	w->until = res.until;
	w->dates_told = r == MQTT_TLS_DATES;
	if (r < 0)
		w->cb(w->ctx, MQTT_CERTIFICATE_UNUSABLE, res.why.text);
	else if (r == MQTT_TLS_DATES)
		w->cb(w->ctx, MQTT_CERTIFICATE_DATES, res.why.text);
	else if (changed)
		w->cb(w->ctx, MQTT_CERTIFICATE_CHANGED, "used from the next connection on");
}

static void look(struct mqtt_watch *w)
{
	struct mqtt_tls_stamp stamp;

	mqtt_tls_stamp(w->tls, &stamp);
	if (!w->started) {
		w->started = true;
		w->stamp = stamp;
		check(w, false);
	} else if (!mqtt_tls_stamp_same(&stamp, &w->stamp)) {
		w->changing = true;
		w->stamp = stamp;
	} else if (w->changing) {
		w->changing = false;
		check(w, true);
	} else if (w->until > 0 && now_s() > w->until && !w->dates_told) {
		check(w, false);
	}
}

static void on_timer(struct loop_timer *t)
{
	struct mqtt_watch *w = t->ctx;

	loop_timer_in(w->loop, t, MQTT_WATCH_PERIOD_S * NS_PER_S);
	look(w);
}

void mqtt_watch_start(struct mqtt_watch *w, struct loop *l, const struct mqtt_tls *tls,
		      void (*cb)(void *ctx, enum mqtt_certificate what, const char *text),
		      void *ctx)
{
	*w = (struct mqtt_watch){.loop = l, .tls = tls, .cb = cb, .ctx = ctx};
	w->timer = (struct loop_timer){.cb = on_timer, .ctx = w};
	loop_timer_in(l, &w->timer, 0);
}

void mqtt_watch_stop(struct mqtt_watch *w)
{
	loop_timer_cancel(&w->timer);
}
