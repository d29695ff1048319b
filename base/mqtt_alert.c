#include "base/mqtt_alert.h"

#include <MQTTAsync.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum side { SIDE_NONE, SIDE_OURS, SIDE_BROKERS };

enum stage {
	STAGE_NONE,
	STAGE_HANDSHAKE,
	STAGE_DONE, /* and Paho compares the host name */
	STAGE_SENT, /* CONNECT. In TLS 1.3 it is only now that the broker looks at us */
};

struct seen {
	unsigned attempt;
	enum stage stage;
	enum side alert; /* who sent it */
	bool other_name; /* the certificate is not for the host */
	char what[64];	 /* the alert's name */
	char error[80];	 /* OpenSSL's, the first */
};

static _Thread_local struct seen seen;
static _Atomic unsigned attempt; /* what was seen of an earlier one is stale */

static void forget_stale(void)
{
	unsigned now = atomic_load(&attempt);

	if (seen.attempt != now)
		seen = (struct seen){.attempt = now};
}

static bool skip(const char **s, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strncmp(*s, prefix, n) != 0)
		return false;
	*s += n;
	return true;
}

static void on_alert(const char *s)
{
	enum side side;

	if (skip(&s, "read:fatal:"))
		side = SIDE_BROKERS;
	else if (skip(&s, "write:fatal:"))
		side = SIDE_OURS;
	else
		return;
	if (seen.alert != SIDE_NONE)
		return;
	seen.alert = side;
	(void)snprintf(seen.what, sizeof(seen.what), "%s", s);
}

/* Paho holds the lock of its log here. A message begins with the time. */
static void on_trace(enum MQTTASYNC_TRACE_LEVELS level, char *message)
{
	static const char alert[] = "SSL alert ";
	const char *s = strstr(message, alert);

	(void)level;
	forget_stale();
	if (s) {
		on_alert(s + strlen(alert));
	} else if (strstr(message, "SSL handshake started")) {
		if (seen.stage == STAGE_NONE) /* TLS 1.3 has more of them, later */
			seen.stage = STAGE_HANDSHAKE;
	} else if (strstr(message, "SSL handshake done")) {
		if (seen.stage == STAGE_HANDSHAKE)
			seen.stage = STAGE_DONE;
	} else if (strstr(message, "X509_check_host for hostname")) {
		seen.other_name = true; /* unless it is an address, and that one is right */
	} else if (strstr(message, "-> CONNECT ") && seen.stage == STAGE_DONE) {
		seen.stage = STAGE_SENT;
		seen.other_name = false;
	}
}

void mqtt_alert_listen(void)
{
	atomic_fetch_add(&attempt, 1);
	MQTTAsync_setTraceCallback(on_trace);
	MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_PROTOCOL);
}

void mqtt_alert_ignore(void)
{
	MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR);
}

/* "THREAD:error:NUMBER:LIBRARY:FUNCTION:REASON:FILE:LINE:DATA" */
void mqtt_alert_error(const char *line, size_t len)
{
	const char *s = line, *end = line + len;
	size_t n;

	for (int i = 0; i < 5 && s; i++) {
		s = memchr(s, ':', (size_t)(end - s));
		s = s ? s + 1 : NULL;
	}
	forget_stale();
	if (!s || seen.error[0])
		return;
	n = (size_t)(end - s);
	n = strnlen(s, n < sizeof(seen.error) ? n : sizeof(seen.error) - 1);
	memcpy(seen.error, s, n);
	seen.error[n] = '\0';
	seen.error[strcspn(seen.error, ":")] = '\0';
}

/* What our side's alerts mean, as OpenSSL 3.0 chooses them by what is wrong with a certificate. */
static const char *our_reason(const char *alert)
{
	static const struct {
		const char *alert, *text;
	} known[] = {
		{"unknown CA", "the broker's certificate is of an unknown CA"},
		{"certificate expired", "the broker's certificate has expired"},
		{"bad certificate",
		 "the broker's certificate is not valid yet (is this clock right?), or too weak"},
		{"unsupported certificate", "the broker's certificate is not for a server"},
		{"certificate revoked", "the broker's certificate is revoked"},
		{"protocol version", "the broker speaks no TLS, or none from 1.2 on"},
	};

	for (size_t i = 0; i < array_len(known); i++)
		if (strcmp(alert, known[i].alert) == 0)
			return known[i].text;
	return NULL;
}

static void write_alert(const struct seen *t, bool has_certificate, char *out, size_t size)
{
	const char *ours = t->alert == SIDE_OURS ? our_reason(t->what) : NULL;

	if (ours)
		(void)snprintf(out, size, "%s", ours);
	else if (t->alert == SIDE_OURS)
		(void)snprintf(out, size, "the broker's handshake was refused: %s", t->what);
	else if (!has_certificate)
		(void)snprintf(out, size, "the broker refused a client without certificate: %s",
			       t->what);
	else
		(void)snprintf(out, size, "the broker refused our certificate or handshake: %s",
			       t->what);
}

static void write_stage(const struct seen *t, bool has_certificate, char *out, size_t size)
{
	const char *text = t->error[0] ? t->error : "the broker ended the handshake: no TLS there?";

	if (t->stage == STAGE_DONE && t->other_name)
		text = "the broker's certificate is for another host name";
	else if (t->stage == STAGE_SENT && has_certificate)
		text = "the broker refused our certificate, it seems: it closed without a word";
	else if (t->stage == STAGE_SENT)
		text = "the broker refused a client without certificate, it seems: it closed "
		       "without a word";
	(void)snprintf(out, size, "%s", text);
}

bool mqtt_alert_take(bool has_certificate, char *out, size_t size)
{
	struct seen t;

	forget_stale();
	t = seen;
	seen = (struct seen){.attempt = t.attempt};
	if (t.alert != SIDE_NONE)
		write_alert(&t, has_certificate, out, size);
	else if (t.stage != STAGE_NONE || t.error[0])
		write_stage(&t, has_certificate, out, size);
	else
		return false;
	return true;
}
