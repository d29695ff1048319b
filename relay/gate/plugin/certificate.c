#include "relay/gate/plugin/certificate.h"

#include <mosquitto_broker.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { CAS_MAX = 8 };

struct certificate_cas {
	X509 *of[CAS_MAX];
	size_t n;
};

struct certificate_cas *certificate_cas_free(struct certificate_cas *c)
{
	for (size_t i = 0; c && i < c->n; i++)
		X509_free(c->of[i]);
	free(c);
	return NULL;
}

/* The file's certificates, up to its end: what then is wrong is the absence of another. */
static int read_all(struct certificate_cas *c, FILE *f, const char *path, struct error *err)
{
	X509 *x;
	int reason;

	while (c->n < CAS_MAX && (x = PEM_read_X509(f, NULL, NULL, NULL)))
		c->of[c->n++] = x;
	reason = ERR_GET_REASON(ERR_peek_last_error());
	ERR_clear_error();
	if (c->n == 0)
		error_set(err, "%s: no certificate in PEM", path);
	else if (c->n < CAS_MAX && reason != PEM_R_NO_START_LINE)
		error_set(err, "%s: certificate %zu is broken", path, c->n + 1);
	else if (c->n == CAS_MAX)
		error_set(err, "%s: %d certificates or more", path, CAS_MAX);
	else
		return 0;
	return -EBADMSG;
}

int certificate_cas_read(struct certificate_cas **ret, const char *path, struct error *err)
{
	struct certificate_cas *c;
	FILE *f = fopen(path, "re");
	int r;

	if (!f) {
		r = -errno;
		error_set(err, "%s: %s", path, strerror(-r));
		return r;
	}
	c = calloc(1, sizeof(*c));
	r = c ? read_all(c, f, path, err) : -ENOMEM;
	fclose(f);
	if (r < 0) {
		certificate_cas_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

/* By name, key identifier and key usage, and then by signature: a name alone can be anybody's. */
static bool issued(const struct certificate_cas *c, X509 *x)
{
	for (size_t i = 0; i < c->n; i++)
		if (X509_check_issued(c->of[i], x) == X509_V_OK &&
		    X509_verify(x, X509_get0_pubkey(c->of[i])) == 1)
			return true;
	ERR_clear_error();
	return false;
}

static bool read_name(X509 *x, char name[static ID_MAX + 1])
{
	X509_NAME *subject = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	const ASN1_STRING *cn;
	int len;

	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return false;
	cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	len = ASN1_STRING_length(cn);
	if (len <= 0 || len > ID_MAX)
		return false;
	memcpy(name, ASN1_STRING_get0_data(cn), (size_t)len);
	name[len] = '\0';
	return strlen(name) == (size_t)len && id_is_valid(name);
}

void certificate_of(const struct mosquitto *client, const struct certificate_cas *devices,
		    const struct certificate_cas *services, struct certificate *ret)
{
	X509 *x = mosquitto_client_certificate(client);

	*ret = (struct certificate){.there = x != NULL};
	if (!x)
		return;
	ret->named = read_name(x, ret->name);
	if (issued(devices, x))
		ret->issuer = ISSUER_DEVICE;
	else if (issued(services, x))
		ret->issuer = ISSUER_SERVICE;
	X509_free(x);
}
