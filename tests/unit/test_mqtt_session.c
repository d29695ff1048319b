/* base/mqtt.h: what outlives a connection: sessions and wills. */
#include "tests/unit/mqtt_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <signal.h>

START_TEST(will_on_loss_only)
{
	struct peer watch = {.subscribe = "will/#"}, p = {0};
	struct mqtt_options opt;

	start_tapped(NULL);
	connect_peer(&watch, "watch");
	opt = peer_options(tap_uri, "mortal");
	opt.will_topic = "will/mortal";
	opt.will_payload = "gone";
	opt.will_len = 4;
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.connects == 1, 5000));
	tap_cut(tap);
	ck_assert(peer_wait(loop, watch.n_messages == 1, 5000));
	ck_assert_str_eq(watch.messages[0].topic, "will/mortal");
	ck_assert_str_eq((char *)watch.messages[0].payload, "gone");
	ck_assert(peer_wait(loop, p.connects == 2, 5000));
	peer_stop(&p);
	ck_assert(!peer_wait(loop, watch.n_messages > 1, 300));
	peer_stop(&watch);
	stop();
}
END_TEST

/* The session outlives the connection: what came meanwhile is delivered, without a new subscribe.
 */
START_TEST(session_resumes)
{
	struct peer away = {.subscribe = "t/#"}, other = {0};
	struct mqtt_options opt;

	start_tapped(NULL);
	opt = peer_options(tap_uri, "away");
	opt.session_expiry_s = 3600;
	opt.backoff_min_ms = 500;
	opt.backoff_max_ms = 500;
	connect_peer(&other, "other");
	peer_start(&away, loop, &opt);
	ck_assert(peer_wait(loop, away.n_subscribed == 1, 5000));
	ck_assert(!away.session_present);
	away.subscribe = NULL;
	tap_cut(tap);
	ck_assert(peer_wait(loop, away.disconnects == 1, 5000));
	ck_assert_int_eq(peer_publish(&other, "t/meanwhile", "queued", 1), 0);
	ck_assert(peer_wait(loop, other.n_published == 1, 5000));
	ck_assert_int_eq(away.connects, 1);
	ck_assert(peer_wait(loop, away.n_messages == 1, 5000));
	ck_assert_int_eq(away.connects, 2);
	ck_assert(away.session_present);
	ck_assert_str_eq((char *)away.messages[0].payload, "queued");
	peer_stop(&away);
	peer_stop(&other);
	stop();
}
END_TEST

/* A session that the broker saved: the message that came meanwhile is there after its restart. */
START_TEST(session_survives_restart)
{
	struct peer away = {.subscribe = "t/#"}, other = {0};
	struct mqtt_options opt;

	start("persistence true");
	opt = peer_options(broker_uri(broker), "away");
	opt.session_expiry_s = 3600;
	peer_start(&away, loop, &opt);
	ck_assert(peer_wait(loop, away.n_subscribed == 1, 5000));
	peer_stop(&away);
	away = (struct peer){0};
	connect_peer(&other, "other");
	ck_assert_int_eq(peer_publish(&other, "t/meanwhile", "queued", 1), 0);
	ck_assert(peer_wait(loop, other.n_published == 1, 5000));
	peer_stop(&other);
	broker_stop(broker, SIGTERM);
	ck_assert_int_eq(broker_restart(broker), 0);
	peer_start(&away, loop, &opt);
	ck_assert(peer_wait(loop, away.n_messages == 1, 5000));
	ck_assert(away.session_present);
	ck_assert_str_eq((char *)away.messages[0].payload, "queued");
	peer_stop(&away);
	stop();
}
END_TEST

START_TEST(clean_start_forgets)
{
	struct peer p = {.subscribe = "t/#"};
	struct mqtt_options opt;

	start(NULL);
	opt = peer_options(broker_uri(broker), "fresh");
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.n_subscribed == 1, 5000));
	peer_stop(&p);
	p = (struct peer){0};
	peer_start(&p, loop, &opt);
	ck_assert(peer_wait(loop, p.connects == 1, 5000));
	ck_assert(!p.session_present);
	peer_stop(&p);
	stop();
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("session");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, will_on_loss_only);
	tcase_add_test(tc, session_resumes);
	tcase_add_test(tc, session_survives_restart);
	tcase_add_test(tc, clean_start_forgets);
	return suite_run("mqtt_session", &tc, 1);
}
