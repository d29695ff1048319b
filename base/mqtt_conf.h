/* base/mqtt_conf.h: the section [mqtt] of a configuration, as far as all programs have it: uri, ca,
 * certificate, key, insecure, username, password, keepalive_s, session_expiry_s, backoff_min_ms,
 * backoff_max_ms, connect_timeout_s. */
#pragma once

#include "base/conf.h"
#include "base/mqtt.h"

/* 0, or -EINVAL with err naming file, line and key: they contradict each other, a file cannot be
 * used, or plain MQTT would leave this machine without insecure. Reads the files. Dates of
 * certificates are no error: they are held against a clock that may be wrong. */
int mqtt_conf_check(const struct conf *c, const char *path, struct error *err) must_check;
/* After it. 0, or -EINVAL with err: a certificate is not valid yet, or no more. */
int mqtt_conf_check_dates(const struct conf *c, const char *path, struct error *err) must_check;
/* These options, borrowed from c; the others are zero. */
struct mqtt_options mqtt_conf_options(const struct conf *c);
