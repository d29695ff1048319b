/* Keys in PKCS#11 tokens. Debian 12 has no provider for OpenSSL 3 that does it, only libp11's
 * engine (libengine-pkcs11-openssl), and no way to an engine but the calls that 3.0 deprecates:
 * they are in this file alone. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "relay/pki/internal.h"

#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/ui.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { URI_MAX = 1024 };

/* Undoes %XX (RFC 3986 2.1) in place. */
static int unescape(char *text)
{
	char *out = text;

	for (const char *in = text; *in; in++) {
		if (*in != '%') {
			*out++ = *in;
			continue;
		}
		if (strnlen(in, 3) < 3 || hex_decode(in + 1, 2, out, 1) != 1 || !*out)
			return -EINVAL;
		out++;
		in += 2;
	}
	*out = '\0';
	return 0;
}

/* Takes module-path out of the query, as the engine does not know it. */
static int split_uri(const char *uri, char rest[static URI_MAX], char module[static URI_MAX])
{
	size_t n = strcspn(uri, "?");
	const char *at = uri + n;
	char mark = '?';

	*module = '\0';
	if (strlen(uri) >= URI_MAX)
		return -EINVAL;
	(void)snprintf(rest, URI_MAX, "%.*s", (int)n, uri);
	while (*at) {
		size_t len = strcspn(++at, "&");

		if (strncmp(at, "module-path=", 12) == 0) {
			(void)snprintf(module, URI_MAX, "%.*s", (int)(len - 12), at + 12);
		} else if (len) {
			n += (size_t)snprintf(rest + n, URI_MAX - n, "%c%.*s", mark, (int)len, at);
			mark = '&';
		}
		at += len;
	}
	return unescape(module);
}

/* QUIET: it would print the URI, PIN and all. */
static ENGINE *open_engine(const char *module, struct error *err)
{
	ENGINE *e;

	ENGINE_load_dynamic();
	e = ENGINE_by_id("pkcs11");
	if (!e) {
		(void)pki_fail(err, 0, "OpenSSL's engine pkcs11 cannot be loaded; is %s installed?",
			       "libengine-pkcs11-openssl");
		return NULL;
	}
	if (ENGINE_ctrl_cmd_string(e, "QUIET", NULL, 0) == 1 &&
	    (!*module || ENGINE_ctrl_cmd_string(e, "MODULE_PATH", module, 0) == 1) &&
	    ENGINE_init(e) == 1)
		return e;
	(void)pki_fail(err, 0, "OpenSSL's engine pkcs11 does not start");
	ENGINE_free(e);
	return NULL;
}

/* The engine does not say what is wrong with it. */
static int check_module(const char *module, struct error *err)
{
	int r;

	if (!*module || access(module, R_OK) == 0)
		return 0;
	r = -errno;
	error_set(err, "PKCS#11 module %.100s: %s", module, strerror(-r));
	return r;
}

/* For messages. libp11 takes attributes of the query in the path, too. */
static void hide_pin(char *uri)
{
	char *pin;

	uri[strcspn(uri, "?")] = '\0';
	pin = strcasestr(uri, "pin-");
	if (pin)
		*pin = '\0';
}

/* The engine stays open for the life of the process, as keys work only while it is. */
int pki_token_key(EVP_PKEY **ret, const char *uri, struct error *err)
{
	char rest[URI_MAX], module[URI_MAX];
	EVP_PKEY *key;
	ENGINE *e;
	int r;

	if (split_uri(uri, rest, module) < 0) {
		error_set(err, "a pkcs11: URI with a bad escape or of %d bytes or more", URI_MAX);
		return -EINVAL;
	}
	r = check_module(module, err);
	if (r < 0)
		return r;
	ERR_clear_error();
	e = open_engine(module, err);
	if (!e)
		return -ENOENT;
	/* Not written to, for all its type. Nobody is asked for a PIN. */
	key = ENGINE_load_private_key(e, rest, (UI_METHOD *)(uintptr_t)UI_null(), NULL);
	ENGINE_free(e);
	if (!key) {
		hide_pin(rest);
		return pki_fail(err, -ENOKEY,
				"%.120s: no such key, a PIN that is missing or wrong, or no module",
				rest);
	}
	*ret = key;
	return 0;
}
