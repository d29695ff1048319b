/* base/mqtt.h: files of TLS that are missing, unfit, or change; [mqtt] of configurations. */
#include "agent/config/config.h"
#include "base/mqtt_conf.h"
#include "base/mqtt_tls.h"
#include "tests/fakes/certs.h"
#include "tests/unit/mqtt_fixture.h"
#include "tests/unit/suite.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { DAY_S = 86400 };

static struct certs *certs;
static struct mqtt_tls tls;
static struct mqtt_tls_result res;

static const struct cert_options client = {.issuer = "root", .usage = "clientAuth"};

static void setup(void)
{
	certs = certs_new();
	certs_make(certs, "root", &(struct cert_options){.ca = true});
	certs_make(certs, "tcu-1", &client);
	certs_make(certs, "tcu-2", &client);
	tls = (struct mqtt_tls){.ca = strdup(certs_path(certs, "root.crt")),
				.certificate = strdup(certs_path(certs, "tcu-1.crt")),
				.key = strdup(certs_path(certs, "tcu-1.key"))};
}

static void teardown(void)
{
	char *texts[] = {(char *)(uintptr_t)tls.ca, (char *)(uintptr_t)tls.certificate,
			 (char *)(uintptr_t)tls.key};

	for (size_t i = 0; i < array_len(texts); i++)
		free(texts[i]);
	certs = certs_free(certs);
}

static void unfit(const struct mqtt_tls *t, enum mqtt_tls_file file, const char *words)
{
	ck_assert_int_eq(mqtt_tls_check(t, time(NULL), &res), -EINVAL);
	ck_assert_int_eq(res.file, file);
	ck_assert_msg(strstr(res.why.text, words), "'%s' does not have '%s'", res.why.text, words);
	ck_assert_int_eq(res.until, 0);
}

START_TEST(fine)
{
	struct mqtt_tls alone = {.ca = tls.ca};

	ck_assert_int_eq(mqtt_tls_check(&tls, time(NULL), &res), 0);
	ck_assert_int_gt(res.until, time(NULL));
	ck_assert_int_eq(mqtt_tls_check(&alone, time(NULL), &res), 0);
	ck_assert_int_eq(res.until, 0);
}
END_TEST

START_TEST(missing)
{
	struct mqtt_tls t = tls;

	t.ca = "/nonexistent/ca";
	unfit(&t, MQTT_TLS_CA, "/nonexistent/ca: No such file");
	t = tls;
	t.certificate = "/nonexistent/crt";
	unfit(&t, MQTT_TLS_CERTIFICATE, "No such file");
	t = tls;
	t.key = "/nonexistent/key";
	unfit(&t, MQTT_TLS_KEY, "No such file");
	t.key = "/tmp";
	unfit(&t, MQTT_TLS_KEY, "no regular file");
	t.key = NULL; /* and it is not in the certificate's file */
	ck_assert_int_eq(chmod(tls.certificate, 0600), 0);
	unfit(&t, MQTT_TLS_KEY, "no private key");
}
END_TEST

START_TEST(garbage)
{
	struct mqtt_tls t = tls;
	const char *path = certs_path(certs, "garbage");

	certs_write(certs, "garbage",
		    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	t.ca = path;
	unfit(&t, MQTT_TLS_CA, "no certificate in PEM");
	t = tls;
	t.certificate = path;
	unfit(&t, MQTT_TLS_CERTIFICATE, "no certificate in PEM");
	t = tls;
	t.key = path;
	unfit(&t, MQTT_TLS_KEY, "no private key in PEM");
	certs_write(certs, "garbage", "");
	unfit(&t, MQTT_TLS_KEY, "no private key in PEM");
}
END_TEST

START_TEST(key_of_another)
{
	struct mqtt_tls t = tls;

	t.key = certs_path(certs, "tcu-2.key");
	unfit(&t, MQTT_TLS_KEY, "not that of the certificate");
}
END_TEST

START_TEST(key_for_all_to_read)
{
	ck_assert_int_eq(chmod(tls.key, 0640), 0);
	unfit(&tls, MQTT_TLS_KEY, "chmod 600");
	ck_assert_int_eq(chmod(tls.key, 0604), 0);
	unfit(&tls, MQTT_TLS_KEY, "chmod 600");
	ck_assert_int_eq(chmod(tls.key, 0400), 0);
	ck_assert_int_eq(mqtt_tls_check(&tls, time(NULL), &res), 0);
}
END_TEST

/* Nobody is asked for it, on no terminal. */
START_TEST(key_with_pass_phrase)
{
	struct mqtt_tls t = tls;

	certs_lock_key(certs, "tcu-1", "locked.key");
	t.key = certs_path(certs, "locked.key");
	unfit(&t, MQTT_TLS_KEY, "pass phrase");
}
END_TEST

START_TEST(not_for_clients)
{
	struct cert_options o = client;

	o.usage = "serverAuth";
	certs_make(certs, "tcu-1", &o);
	unfit(&tls, MQTT_TLS_CERTIFICATE, "not for clients");
}
END_TEST

START_TEST(dates)
{
	int64_t now = time(NULL);

	ck_assert_int_eq(mqtt_tls_check(&tls, now + DAY_S, &res), MQTT_TLS_DATES);
	ck_assert_int_eq(res.file, MQTT_TLS_CERTIFICATE);
	ck_assert_ptr_nonnull(strstr(res.why.text, "expired at 20"));
	ck_assert_int_eq(mqtt_tls_check(&tls, 0, &res), MQTT_TLS_DATES);
	ck_assert_ptr_nonnull(strstr(res.why.text, "not valid before 20"));
	ck_assert_ptr_nonnull(strstr(res.why.text, "the clock says 1970-01-01T00:00:00Z"));
	ck_assert_int_gt(res.until, now);
	certs_make(certs, "root",
		   &(struct cert_options){.ca = true, .from_s = -2 * DAY_S, .until_s = -DAY_S});
	ck_assert_int_eq(mqtt_tls_check(&tls, now, &res), MQTT_TLS_DATES);
	ck_assert_int_eq(res.file, MQTT_TLS_CA);
}
END_TEST

/* ---- while it runs ---- */

static struct mqtt_options options(const char *uri)
{
	struct mqtt_options o = peer_options(uri, "tcu-1");

	o.ca = tls.ca;
	o.certificate = tls.certificate;
	o.key = tls.key;
	return o;
}

static void start_tls(char *uri, size_t size)
{
	char config[512];

	certs_make(certs, "broker",
		   &(struct cert_options){
			   .issuer = "root", .san = "IP:127.0.0.1", .usage = "serverAuth"});
	snprintf(config, sizeof(config),
		 "cafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\n", tls.ca,
		 certs_path(certs, "broker.crt"), certs_path(certs, "broker.key"));
	start(config);
	snprintf(uri, size, "mqtts://127.0.0.1:%d", broker_port(broker));
}

/* The connection outlives it, and the next one has the new one. */
START_TEST(changed)
{
	struct peer p = {0};
	struct mqtt_options o;
	struct mqtt_stats before, after;
	struct cert_options longer = client;
	char uri[64];

	start_tls(uri, sizeof(uri));
	o = options(uri);
	peer_start(&p, loop, &o);
	ck_assert_msg(peer_wait(loop, p.connects == 1, 5000), "%s", p.reason);
	mqtt_get_stats(p.mqtt, &before);
	longer.from_s = -1;
	longer.until_s = 10 * DAY_S;
	certs_make(certs, "tcu-1", &longer);
	ck_assert(peer_wait(loop, p.n_certificates == 1, 15000));
	ck_assert_int_eq(p.last_certificate, MQTT_CERTIFICATE_CHANGED);
	ck_assert_str_eq(mqtt_certificate_event(p.last_certificate), "certificate_changed");
	mqtt_get_stats(p.mqtt, &after);
	ck_assert_int_gt(after.certificate_until, before.certificate_until + DAY_S);
	ck_assert_int_eq(p.disconnects, 0);
	broker_stop(broker, SIGTERM);
	ck_assert(peer_wait(loop, p.disconnects > 0, 5000));
	ck_assert_int_eq(broker_restart(broker), 0);
	ck_assert_msg(peer_wait(loop, p.connects == 2, 15000), "%s", p.reason);
	peer_stop(&p);
	stop();
}
END_TEST

/* A key that is gone ends no connection, hinders the next, and is all right when it is back. */
START_TEST(gone_and_back)
{
	struct peer p = {0};
	struct mqtt_options o;
	struct mqtt_stats stats;
	char uri[64], aside[128];

	start_tls(uri, sizeof(uri));
	snprintf(aside, sizeof(aside), "%s.aside", tls.key);
	o = options(uri);
	peer_start(&p, loop, &o);
	ck_assert_msg(peer_wait(loop, p.connects == 1, 5000), "%s", p.reason);
	ck_assert_int_eq(rename(tls.key, aside), 0);
	ck_assert(peer_wait(loop, p.n_certificates == 1, 15000));
	ck_assert_int_eq(p.last_certificate, MQTT_CERTIFICATE_UNUSABLE);
	ck_assert_ptr_nonnull(strstr(p.certificate_text, "No such file"));
	ck_assert_int_eq(p.disconnects, 0);
	broker_stop(broker, SIGTERM);
	ck_assert_int_eq(broker_restart(broker), 0);
	ck_assert(peer_wait(loop, p.disconnects >= 3, 15000));
	ck_assert_msg(strstr(p.reason, "TLS: ") && strstr(p.reason, "No such file"), "%s",
		      p.reason);
	mqtt_get_stats(p.mqtt, &stats);
	ck_assert_uint_ge(stats.tls_failures, 2);
	ck_assert_int_eq(rename(aside, tls.key), 0);
	ck_assert_msg(peer_wait(loop, p.connects == 2, 15000), "%s", p.reason);
	peer_stop(&p);
	stop();
}
END_TEST

START_TEST(options_refused)
{
	static const char *const uris[] = {"mqtts://",	  "mqtts://[::1]:8883",
					   "mqtts://h:0", "mqttss://h",
					   "ssl://h",	  "mqtts://h/x"};
	static const struct mqtt_handlers none = {0};
	struct mqtt_options o;
	struct mqtt *m;

	start_loop();
	for (size_t i = 0; i < array_len(uris); i++) {
		o = options(uris[i]);
		ck_assert_int_eq(mqtt_new(&m, loop, &o, &none, NULL), -EINVAL);
	}
	o = options("mqtts://h");
	o.ca = NULL;
	ck_assert_int_eq(mqtt_new(&m, loop, &o, &none, NULL), -EINVAL);
	o = options("mqtts://h");
	o.certificate = NULL;
	ck_assert_int_eq(mqtt_new(&m, loop, &o, &none, NULL), -EINVAL);
	stop();
}
END_TEST

/* ---- configurations ---- */

/* Loads an agent's configuration with these lines in [mqtt], and gives what it says. */
static const char *conf_says(const char *lines)
{
	static struct error err;
	char text[2048];
	struct conf *c;
	int r;

	snprintf(text, sizeof(text),
		 "[agent]\nvehicle = v\ndevice = d\ndata_dir = /tmp\n[catalog]\nfile = c\n"
		 "[mqtt]\n%s[collect all]\nsignals = *\n",
		 lines);
	certs_write(certs, "agent.conf", text);
	err.text[0] = '\0';
	r = config_load(&c, certs_path(certs, "agent.conf"), &err);
	ck_assert(r == 0 || r == -EINVAL);
	if (r == 0) {
		struct mqtt_options o = config_mqtt(c);

		ck_assert(!o.ca || strcmp(o.ca, tls.ca) == 0);
		conf_free(c);
	}
	return r == 0 ? "fine" : err.text;
}

static void says(const char *lines, const char *words)
{
	const char *said = conf_says(lines);

	ck_assert_msg(strstr(said, words), "'%s' does not have '%s'", said, words);
}

START_TEST(configured)
{
	char lines[1024];

	says("uri = mqtt://127.0.0.1\n", "fine");
	says("uri = mqtt://localhost:1\n", "fine");
	says("uri = mqtt://[::1]\n", "fine");
	says("uri = mqtt://broker.example\n", "[mqtt] uri: mqtt:// is neither encrypted");
	says("uri = mqtt://10.0.2.2\n", "agent.conf:8: [mqtt] uri: mqtt:// is neither");
	says("uri = mqtt://127.0.0.1.example\n", "is neither encrypted");
	says("uri = mqtt://10.0.2.2\ninsecure = yes\n", "fine");
	says("uri = amqp://127.0.0.1\n", "[mqtt] uri: must be mqtt://");
	says("uri = mqtts://broker.example\n", "[mqtt] ca: mqtts:// needs it");
	says("uri = mqtts://broker.example\nca = /nonexistent/ca\n",
	     "agent.conf:9: [mqtt] ca: /nonexistent/ca: No such file");
	snprintf(lines, sizeof(lines), "uri = mqtts://b\nca = %s\n", tls.ca);
	says(lines, "fine");
	snprintf(lines, sizeof(lines), "uri = mqtts://b\nca = %s\nkey = %s\n", tls.ca, tls.key);
	says(lines, "[mqtt] key: without certificate");
	snprintf(lines, sizeof(lines), "uri = mqtts://b\nca = %s\ncertificate = %s\nkey = %s\n",
		 tls.ca, tls.certificate, tls.key);
	says(lines, "fine");
	says("ca = /nonexistent/ca\n", "[mqtt] ca: without an uri of mqtts://");
	ck_assert_int_eq(chmod(tls.key, 0644), 0);
	says(lines, "agent.conf:11: [mqtt] key: ");
}
END_TEST

/* An agent starts with a certificate that has ended, for its clock may be wrong; --check-config
 * says so. */
START_TEST(configured_dates)
{
	struct cert_options o = client;
	struct error err;
	struct conf *c;
	char text[1024];

	o.from_s = -2 * DAY_S;
	o.until_s = -DAY_S;
	snprintf(text, sizeof(text),
		 "[agent]\nvehicle = v\ndevice = d\ndata_dir = /tmp\n[catalog]\nfile = c\n[mqtt]\n"
		 "uri = mqtts://b\nca = %s\ncertificate = %s\nkey = %s\n[collect all]\nsignals = "
		 "*\n",
		 tls.ca, tls.certificate, tls.key);
	certs_write(certs, "agent.conf", text);
	for (int i = 0; i < 2; i++) {
		const char *path = certs_path(certs, "agent.conf");

		ck_assert_int_eq(config_load(&c, path, &err), 0);
		ck_assert_int_eq(mqtt_conf_check_dates(c, path, &err), i ? -EINVAL : 0);
		conf_free(c);
		certs_make(certs, "tcu-1", &o);
	}
	ck_assert_msg(strstr(err.text, "agent.conf:10: [mqtt] certificate: ") &&
			      strstr(err.text, "expired at "),
		      "%s", err.text);
}
END_TEST

int main(void)
{
	TCase *files = tcase_create("files"), *running = tcase_create("running");
	TCase *all[] = {files, running};

	for (size_t i = 0; i < array_len(all); i++) {
		tcase_set_timeout(all[i], 60);
		tcase_add_checked_fixture(all[i], setup, teardown);
	}
	tcase_add_test(files, fine);
	tcase_add_test(files, missing);
	tcase_add_test(files, garbage);
	tcase_add_test(files, key_of_another);
	tcase_add_test(files, key_for_all_to_read);
	tcase_add_test(files, key_with_pass_phrase);
	tcase_add_test(files, not_for_clients);
	tcase_add_test(files, dates);
	tcase_add_test(files, options_refused);
	tcase_add_test(files, configured);
	tcase_add_test(files, configured_dates);
	tcase_add_test(running, changed);
	tcase_add_test(running, gone_and_back);
	return suite_run("mqtt_tls_files", all, array_len(all));
}
