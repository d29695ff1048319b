/* base/mqtt.h over TLS, with a real Mosquitto: who gets in, and what is said to whom does not. */
#include "tests/fakes/certs.h"
#include "tests/unit/mqtt_fixture.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DAY_S = 86400 };

/* Of OpenSSL: the least and the most. */
#define POLICY                                                                                     \
	"openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = every\n[every]\n"      \
	"MinProtocol = %s\nMaxProtocol = %s\nCipherString = DEFAULT@SECLEVEL=0\n"

static struct certs *certs;
static char uri[64];

static const struct cert_options server = {
	.issuer = "root", .san = "IP:127.0.0.1,DNS:localhost", .usage = "serverAuth"};
static const struct cert_options client = {.issuer = "root", .usage = "clientAuth"};

static void make_certs(void)
{
	certs = certs_new();
	certs_make(certs, "root", &(struct cert_options){.ca = true});
	certs_make(certs, "other", &(struct cert_options){.ca = true});
	certs_make(certs, "broker", &server);
	certs_make(certs, "tcu-1", &client);
}

static void start_tls(const char *more)
{
	char config[1024];

	snprintf(config, sizeof(config),
		 "cafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\n%s",
		 certs_path(certs, "root.crt"), certs_path(certs, "broker.crt"),
		 certs_path(certs, "broker.key"), more);
	start(config);
	snprintf(uri, sizeof(uri), "mqtts://127.0.0.1:%d", broker_port(broker));
}

static void stop_all(void)
{
	stop();
	certs = certs_free(certs);
}

static struct mqtt_options options(const char *name)
{
	struct mqtt_options o = peer_options(uri, "tcu-1");
	char file[64];

	o.ca = certs_path(certs, "root.crt");
	snprintf(file, sizeof(file), "%s.crt", name);
	o.certificate = certs_path(certs, file);
	snprintf(file, sizeof(file), "%s.key", name);
	o.key = certs_path(certs, file);
	return o;
}

static void gets_in(const struct mqtt_options *o)
{
	struct peer p = {.subscribe = "t/#"};

	peer_start(&p, loop, o);
	ck_assert_msg(peer_wait(loop, p.connects == 1 && p.n_subscribed == 1, 10000), "%s",
		      p.reason);
	ck_assert_int_eq(peer_publish(&p, "t/x", "hello", 1), 0);
	ck_assert(peer_wait(loop, p.n_messages == 1 && p.n_published == 1, 5000));
	ck_assert_int_eq(p.n_certificates, 0);
	peer_stop(&p);
}

/* Twice, and with a reason that has the words. */
static void stays_out(const struct mqtt_options *o, const char *words)
{
	struct peer p = {0};
	struct mqtt_stats stats;

	peer_start(&p, loop, o);
	ck_assert_msg(peer_wait(loop, p.disconnects == 2, 15000), "%d: %s", p.disconnects,
		      p.reason);
	mqtt_get_stats(p.mqtt, &stats);
	ck_assert_int_eq(p.connects, 0);
	ck_assert_msg(strstr(p.reason, words), "'%s' does not have '%s'", p.reason, words);
	ck_assert_uint_eq(stats.tls_failures, 2);
	ck_assert_uint_eq(stats.failed_attempts, 2);
	peer_stop(&p);
}

START_TEST(mutual)
{
	struct mqtt_options o;
	struct mqtt_stats stats;
	struct peer p = {0};

	make_certs();
	start_tls("use_identity_as_username true");
	o = options("tcu-1");
	gets_in(&o);
	snprintf(uri, sizeof(uri), "mqtts://localhost:%d", broker_port(broker));
	gets_in(&o);
	peer_start(&p, loop, &o);
	ck_assert(peer_wait(loop, p.connects == 1, 5000));
	mqtt_get_stats(p.mqtt, &stats);
	ck_assert_int_gt(stats.certificate_until, time(NULL));
	ck_assert_int_le(stats.certificate_until, time(NULL) + DAY_S);
	peer_stop(&p);
	stop_all();
}
END_TEST

/* Both in one file, as some tools write it. */
START_TEST(key_beside_certificate)
{
	struct mqtt_options o;
	char text[8192] = "";
	size_t n = 0;

	make_certs();
	for (int i = 0; i < 2; i++) {
		FILE *f = fopen(certs_path(certs, i ? "tcu-1.key" : "tcu-1.crt"), "re");

		ck_assert_ptr_nonnull(f);
		n += fread(text + n, 1, sizeof(text) - 1 - n, f);
		fclose(f);
	}
	certs_write(certs, "both.pem", text);
	start_tls("");
	o = options("tcu-1");
	o.certificate = certs_path(certs, "both.pem");
	o.key = NULL;
	gets_in(&o);
	stop_all();
}
END_TEST

/* Has the broker speak these versions only, and any cipher. */
static void start_version(const char *version, const char *ciphers)
{
	const char *own = getenv("OPENSSL_CONF");
	char text[512], more[128];

	snprintf(text, sizeof(text), POLICY, version, version);
	certs_write(certs, "broker.cnf", text);
	setenv("OPENSSL_CONF", certs_path(certs, "broker.cnf"), 1);
	snprintf(more, sizeof(more), "ciphers %s", ciphers);
	start_tls(more);
	setenv("OPENSSL_CONF", own, 1);
}

START_TEST(tls_1_2)
{
	struct mqtt_options o;

	make_certs();
	start_version("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384");
	o = options("tcu-1");
	gets_in(&o);
	stop_all();
}
END_TEST

/* Whatever the system's policy says: main allows this program everything. */
START_TEST(old_tls)
{
	struct mqtt_options o;

	make_certs();
	start_version("TLSv1.1", "DEFAULT@SECLEVEL=0");
	o = options("tcu-1");
	stays_out(&o, "refused our certificate or handshake: handshake failure");
	stop_all();
}
END_TEST

START_TEST(weak_cipher)
{
	struct mqtt_options o;

	make_certs();
	start_version("TLSv1.2", "ECDHE-ECDSA-AES128-SHA");
	o = options("tcu-1");
	stays_out(&o, "refused our certificate or handshake: handshake failure");
	stop_all();
}
END_TEST

/* ---- a broker that is not whom we trust ---- */

static void broker_is(const struct cert_options *o, const char *words)
{
	struct mqtt_options m;

	make_certs();
	certs_make(certs, "broker", o);
	start_tls("");
	m = options("tcu-1");
	stays_out(&m, words);
	stop_all();
}

START_TEST(broker_expired)
{
	struct cert_options o = server;

	o.from_s = -2 * DAY_S;
	o.until_s = -DAY_S;
	broker_is(&o, "the broker's certificate has expired");
}
END_TEST

START_TEST(broker_not_yet)
{
	struct cert_options o = server;

	o.from_s = DAY_S;
	o.until_s = 2 * DAY_S;
	broker_is(&o, "not valid yet (is this clock right?)");
}
END_TEST

START_TEST(broker_self_signed)
{
	struct cert_options o = server;

	o.issuer = NULL;
	broker_is(&o, "of an unknown CA");
}
END_TEST

START_TEST(broker_of_other_ca)
{
	struct cert_options o = server;

	o.issuer = "other";
	broker_is(&o, "of an unknown CA");
}
END_TEST

START_TEST(broker_is_a_client)
{
	struct cert_options o = server;

	o.usage = "clientAuth";
	broker_is(&o, "not for a server");
}
END_TEST

START_TEST(broker_of_other_name)
{
	struct cert_options o = server;

	o.san = "DNS:broker.example,IP:127.0.0.2";
	broker_is(&o, "for another host name");
}
END_TEST

START_TEST(broker_without_tls)
{
	struct mqtt_options o;

	make_certs();
	start(NULL);
	snprintf(uri, sizeof(uri), "mqtts://127.0.0.1:%d", broker_port(broker));
	o = options("tcu-1");
	o.connect_timeout_s = 2;
	stays_out(&o, "TLS: ");
	stop_all();
}
END_TEST

/* ---- a client that the broker does not trust ---- */

static void client_is(const struct cert_options *c, const char *words)
{
	struct mqtt_options m;

	make_certs();
	start_tls("");
	if (c)
		certs_make(certs, "tcu-1", c);
	m = options("tcu-1");
	if (!c)
		m.certificate = m.key = NULL;
	stays_out(&m, words);
	stop_all();
}

START_TEST(client_expired)
{
	struct cert_options o = client;

	o.from_s = -2 * DAY_S;
	o.until_s = -DAY_S;
	client_is(&o, "refused our certificate");
}
END_TEST

START_TEST(client_of_other_ca)
{
	struct cert_options o = client;

	o.issuer = "other";
	client_is(&o, "refused our certificate");
}
END_TEST

START_TEST(client_self_signed)
{
	struct cert_options o = client;

	o.issuer = NULL;
	client_is(&o, "refused our certificate");
}
END_TEST

START_TEST(client_without_certificate)
{
	client_is(NULL, "refused a client without certificate");
}
END_TEST

int main(void)
{
	TCase *good = tcase_create("good"), *brokers = tcase_create("brokers"),
	      *clients = tcase_create("clients");
	TCase *all[] = {good, brokers, clients};
	struct certs *lax = certs_new();
	char text[512];
	int status;

	snprintf(text, sizeof(text), POLICY, "TLSv1", "TLSv1.3");
	certs_write(lax, "lax.cnf", text);
	setenv("OPENSSL_CONF", certs_path(lax, "lax.cnf"), 1);
	for (size_t i = 0; i < array_len(all); i++)
		tcase_set_timeout(all[i], 60);
	tcase_add_test(good, mutual);
	tcase_add_test(good, key_beside_certificate);
	tcase_add_test(good, tls_1_2);
	tcase_add_test(good, old_tls);
	tcase_add_test(good, weak_cipher);
	tcase_add_test(brokers, broker_expired);
	tcase_add_test(brokers, broker_not_yet);
	tcase_add_test(brokers, broker_self_signed);
	tcase_add_test(brokers, broker_of_other_ca);
	tcase_add_test(brokers, broker_is_a_client);
	tcase_add_test(brokers, broker_of_other_name);
	tcase_add_test(brokers, broker_without_tls);
	tcase_add_test(clients, client_expired);
	tcase_add_test(clients, client_of_other_ca);
	tcase_add_test(clients, client_self_signed);
	tcase_add_test(clients, client_without_certificate);
	status = suite_run("mqtt_tls", all, array_len(all));
	certs_free(lax);
	return status;
}
