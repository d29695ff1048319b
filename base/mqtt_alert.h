/* base/mqtt_alert.h: why TLS failed, which Paho 1.3.12 tells nobody but its trace. Private to
 * base/mqtt*.c.
 *
 * Its "TCP/TLS connect failure" stands for a certificate that has expired as for a port where
 * nobody listens, and SSL_get_verify_result is out of reach. The trace has a line for each TLS
 * alert and each host name that does not match, on the thread that then calls back about the
 * failure. A Paho with other lines costs the reason, nothing else. */
#pragma once

#include "base/base.h"

/* From here to mqtt_alert_ignore Paho's trace is listened to; for all clients of the process. */
void mqtt_alert_listen(void);
/* Paho traces errors only, which costs less than its default. */
void mqtt_alert_ignore(void);

/* A line of OpenSSL's error queue, as ERR_print_errors_cb gives it. Kept if nothing better comes.
 */
void mqtt_alert_error(const char *line, size_t len);

/* Writes what this thread has seen since the last call, for a log, and returns true; or returns
 * false. has_certificate: whether this client has one. */
bool mqtt_alert_take(bool has_certificate, char *out, size_t size);
