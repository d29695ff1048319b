/* relay/gate/plugin/certificate.h: whom a client's certificate names, and who says so. */
#pragma once

#include "proto/topic.h"

struct certificate_cas;
struct mosquitto;

/* The CAs in a PEM file, one or more (an old and a new one). Returns 0, -errno of opening, -EBADMSG
 * or -ENOMEM, with err. */
int certificate_cas_read(struct certificate_cas **ret, const char *path,
			 struct error *err) must_check;
struct certificate_cas *certificate_cas_free(struct certificate_cas *c); /* returns NULL */

enum certificate_issuer { ISSUER_OTHER, ISSUER_DEVICE, ISSUER_SERVICE };

struct certificate {
	bool there;
	bool named; /* name is the only CN of the subject, and an id */
	char name[ID_MAX + 1];
	enum certificate_issuer issuer; /* whose key has signed it */
};

/* The broker has verified chain, purpose and validity in the handshake. */
void certificate_of(const struct mosquitto *client, const struct certificate_cas *devices,
		    const struct certificate_cas *services, struct certificate *ret);
