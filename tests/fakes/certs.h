/* tests/fakes/certs.h: certificates of any kind, good and bad, in a folder under /tmp. */
#pragma once

#include "base/base.h"

struct certs; /* a folder */

/* Aborts on failure, as all here. */
struct certs *certs_new(void);
/* Removes the folder; NULL is fine; always returns NULL. */
struct certs *certs_free(struct certs *c);

struct cert_options {
	const char *issuer; /* name of one made before; NULL: itself */
	const char *san;    /* "IP:127.0.0.1,DNS:localhost"; NULL: none */
	const char *usage;  /* "serverAuth", "clientAuth"; NULL: none said */
	bool ca;
	int64_t from_s, until_s; /* from now; both 0: an hour ago to an hour ahead */
};

/* Makes a P-256 key and a certificate of it with CN=name, and writes NAME.crt and NAME.key (0600);
 * what has these names is replaced. */
void certs_make(struct certs *c, const char *name, const struct cert_options *o);
/* Path of a file in the folder; valid until the eighth call after it. */
const char *certs_path(const struct certs *c, const char *file);
void certs_write(const struct certs *c, const char *file, const char *text);
/* The key of name once more, under a pass phrase, as file. */
void certs_lock_key(const struct certs *c, const char *name, const char *file);
