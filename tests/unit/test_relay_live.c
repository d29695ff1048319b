/* The live state, restored and kept; the hub and its listeners. */
#include "relay/live/history.h"
#include "relay/live/hub.h"
#include "relay/live/live.h"
#include "tests/unit/relay_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <sys/stat.h>

static int keep_state(void *ctx, int64_t vehicle, const void *blob, size_t len)
{
	return stream_put_state(ctx, vehicle, 1, blob, len);
}

struct restore {
	struct live *live;
	struct registry *reg;
};

static int take_state(void *ctx, int64_t vehicle, const void *blob, size_t len)
{
	struct restore *r = ctx;

	return live_restore(r->live, r->reg, vehicle, blob, len);
}

static struct live_value synced(uint32_t signal, int64_t wall_s, uint64_t raw)
{
	return (struct live_value){.signal = signal,
				   .quality = CLOCK_SYNCED,
				   .wall_ns = wall_s * NS_PER_S,
				   .order_ns = wall_s * NS_PER_S,
				   .raw = raw};
}

START_TEST(test_live_state)
{
	static const struct wall_time now = {.ns = 1000 * NS_PER_S};
	struct registry *reg = open_registry();
	struct stream *s = open_stream(0);
	struct restore res = {.reg = reg};
	struct live *l;
	struct live_snapshot snap;
	const struct catalog *c;
	uint64_t id;
	struct live_value v[] = {synced(0, 500, 10), synced(1, 500, (uint64_t)-3)},
			  old = synced(0, 400, 99), future = synced(1, 9999, 5),
			  later = synced(1, 600, 6);

	ck_assert_int_eq(registry_add_catalog(reg, store_cat->bytes, store_cat->len, &id, NULL), 0);
	ck_assert_int_eq(registry_get_catalog(reg, id, &c), 0);
	ck_assert_int_eq(live_new(&l), 0);
	ck_assert_int_eq(live_get(l, 1, &snap), -ENOENT);
	ck_assert_int_eq(live_apply(l, 1, c, v, 2, now), 0);
	ck_assert_int_eq(live_apply(l, 1, c, &old, 1, now), 0); /* older: stays out */
	ck_assert_int_eq(live_apply(l, 1, c, &future, 1, now), 0);
	ck_assert_int_eq(live_apply(l, 1, c, &later, 1, now), 0); /* a wrong clock gives way */
	ck_assert_int_eq(stream_begin(s), 0);
	ck_assert_int_eq(live_save(l, 100, keep_state, s), 1);
	ck_assert_uint_eq(live_unsaved(l), 0);
	ck_assert_int_eq(stream_commit(s), 0);
	live_free(l);

	ck_assert_int_eq(live_new(&l), 0);
	res.live = l;
	ck_assert_int_eq(stream_each_state(s, take_state, &res), 0);
	ck_assert_int_eq(live_get(l, 1, &snap), 0);
	ck_assert_uint_eq(snap.n, 1);
	ck_assert_uint_eq(snap.slot[0].n, 2);
	ck_assert_uint_eq(snap.slot[0].v[0].raw, 10);
	ck_assert_uint_eq(snap.slot[0].v[1].raw, 6);
	ck_assert_int_eq(snap.slot[0].v[1].wall_ns, 600 * NS_PER_S);
	live_snapshot_free(&snap);
	ck_assert_int_eq(live_restore(l, reg, 2, "\x07garbage", 8), -EBADMSG);
	live_forget(l, 1);
	ck_assert_int_eq(live_get(l, 1, &snap), -ENOENT);
	live_free(l);
	stream_close(s);
	registry_close(reg);
}
END_TEST

/* ---- hub ---- */

static int sleeps, wakes;

static void note_sleep(void *ctx)
{
	(void)ctx;
	sleeps++;
}

static void note_wake(void *ctx)
{
	(void)ctx;
	wakes++;
}

START_TEST(test_slow_listener_is_told)
{
	static const struct hub_callbacks cb = {note_sleep, note_wake};
	struct hub *h;
	struct hub_sub *s, *none;
	struct hub_event *e = NULL;
	struct live_value v = {.wall_ns = 1};
	uint64_t dropped = 0;

	sleeps = wakes = 0;
	ck_assert_int_eq(hub_new(&h, 1), 0);
	ck_assert_int_eq(hub_subscribe(h, 1, &cb, NULL, &s), 0);
	ck_assert_int_eq(hub_subscribe(h, 1, &cb, NULL, &none), -ENOSPC);
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_SLEEPS);
	ck_assert_int_eq(hub_publish(h, 2, "other", store_cat, &v, 1), 0); /* not its vehicle */
	ck_assert_int_eq(wakes, 0);
	for (v.raw = 0; v.raw < HUB_QUEUE + 44; v.raw++)
		ck_assert_int_eq(hub_publish(h, 1, "v1", store_cat, &v, 1), 0);
	ck_assert_int_eq(wakes, 1);
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_DROPPED);
	ck_assert_uint_eq(dropped, 44);
	for (uint64_t i = 44; i < HUB_QUEUE + 44; i++) {
		ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_EVENT);
		ck_assert_uint_eq(e->v[0].raw, i);
		hub_release(h, e);
	}
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_SLEEPS);
	hub_beat(h);
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_BEAT);
	hub_shutdown(h);
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_CLOSED);
	hub_unsubscribe(s);
	hub_free(h);
}
END_TEST

START_TEST(test_listener_is_bounded_in_bytes_and_ends_with_its_vehicle)
{
	static const struct hub_callbacks cb = {note_sleep, note_wake};
	enum { LARGE = HUB_QUEUE_BYTES / sizeof(struct live_value) / 4 };
	struct live_value *v = calloc(LARGE, sizeof(*v));
	struct hub *h;
	struct hub_sub *s, *all;
	struct hub_event *e = NULL;
	uint64_t dropped = 0;

	sleeps = wakes = 0;
	ck_assert_int_eq(hub_new(&h, 2), 0);
	ck_assert_int_eq(hub_subscribe(h, 1, &cb, NULL, &s), 0);
	ck_assert_int_eq(hub_subscribe(h, 0, &cb, NULL, &all), 0);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(hub_publish(h, 1, "v1", store_cat, v, LARGE), 0);
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_DROPPED);
	ck_assert_uint_eq(dropped, 7);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_EVENT);
		hub_release(h, e);
	}
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_SLEEPS);
	hub_end(h, 1);
	ck_assert_int_eq(wakes, 1);
	ck_assert_int_eq(hub_next(s, &e, &dropped), HUB_CLOSED);
	ck_assert_int_eq(hub_next(all, &e, &dropped), HUB_DROPPED); /* goes on */
	hub_unsubscribe(s);
	hub_unsubscribe(all);
	hub_free(h);
	free(v);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("live");

	tcase_add_checked_fixture(tc, store_setup, store_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_live_state);
	tcase_add_test(tc, test_slow_listener_is_told);
	tcase_add_test(tc, test_listener_is_bounded_in_bytes_and_ends_with_its_vehicle);
	return suite_run("relay_live", &tc, 1);
}
