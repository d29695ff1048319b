/* base/mqtt_tls.h: the files of a TLS connection, looked at before Paho uses them. Private to
 * base/mqtt*.c.
 *
 * Paho reads them anew for each connection, so that a file that is replaced is used from the next
 * one on. What is wrong with one Paho tells as "failure". */
#pragma once

#include "base/base.h"

#include <sys/types.h>
#include <time.h>

/* Paths of PEM files. */
struct mqtt_tls {
	const char *ca;		 /* whom to trust; the system's are not */
	const char *certificate; /* with its chain; NULL: this client has none */
	const char *key;	 /* of it; not encrypted. NULL: as certificate */
};

enum mqtt_tls_file { MQTT_TLS_CA, MQTT_TLS_CERTIFICATE, MQTT_TLS_KEY, MQTT_TLS_FILES };

enum { MQTT_TLS_DATES = 1 };

struct mqtt_tls_result {
	enum mqtt_tls_file file; /* that is meant; its name is that of its key in [mqtt] */
	struct error why;
	int64_t until; /* seconds since 1970 at which the certificate ends; 0: none, or not known */
};

/* Returns 0; MQTT_TLS_DATES: all is well but that now, seconds since 1970, is outside of what the
 * certificate, or each of ca, says that it is valid for; -EINVAL: it could not work whatever the
 * date, for a file is missing, no PEM, not for clients, or the key is another's, encrypted, or for
 * others to read; -ENOMEM. ret is set always. Reads files. Any thread. */
int mqtt_tls_check(const struct mqtt_tls *t, int64_t now, struct mqtt_tls_result *ret) must_check;

/* What a file is known by: it changes when the file does. */
struct mqtt_tls_stamp {
	struct {
		dev_t dev;
		ino_t ino;
		off_t size;
		struct timespec mtime;
	} files[MQTT_TLS_FILES];
};

/* All zero for what is not there. */
void mqtt_tls_stamp(const struct mqtt_tls *t, struct mqtt_tls_stamp *ret);
bool mqtt_tls_stamp_same(const struct mqtt_tls_stamp *a, const struct mqtt_tls_stamp *b);
