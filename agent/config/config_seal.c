/* The keys of [outbox] that name keys. */
#include "agent/config/config.h"
#include "agent/store/seal.h"

static const char *text(const struct conf *c, const char *key)
{
	return conf_string(c, "outbox", NULL, key);
}

static int fail(struct error *err, const struct conf *c, const char *path, const char *key,
		const char *what)
{
	return config_fail(err, c, path, "outbox", NULL, key, what);
}

/* Whoever names a part of a token means to use it. */
static int check_token(const struct conf *c, const char *path, struct error *err)
{
	static const char *const parts[] = {"pkcs11_module", "pkcs11_token", "pkcs11_pin_file"};
	bool used = *text(c, "pkcs11_key") || *text(c, "pkcs11_previous_key");

	for (size_t i = 0; i < array_len(parts); i++) {
		if (used && !*text(c, parts[i]) && i < 2) /* a token may want no PIN */
			return fail(err, c, path,
				    *text(c, "pkcs11_key") ? "pkcs11_key" : "pkcs11_previous_key",
				    i == 0 ? "needs pkcs11_module" : "needs pkcs11_token");
		if (!used && *text(c, parts[i]))
			return fail(err, c, path, parts[i],
				    "without pkcs11_key or pkcs11_previous_key");
	}
	if (used && *text(c, "pkcs11_module") != '/')
		return fail(err, c, path, "pkcs11_module", "must be an absolute path");
	return 0;
}

int config_check_seal(const struct conf *c, const char *path, struct error *err)
{
	if (*text(c, "key_file") && *text(c, "pkcs11_key"))
		return fail(err, c, path, "pkcs11_key",
			    "key_file is given, too: one of them is the previous one");
	return check_token(c, path, err);
}

int config_seal(struct seal **ret, const struct conf *c, const char *path,
		const struct timebase *tb, struct error *err)
{
	struct seal_options opt = {
		.key_file = text(c, "key_file"),
		.previous_key_file = text(c, "previous_key_file"),
		.pkcs11_module = text(c, "pkcs11_module"),
		.pkcs11_token = text(c, "pkcs11_token"),
		.pkcs11_key = text(c, "pkcs11_key"),
		.pkcs11_previous_key = text(c, "pkcs11_previous_key"),
		.pkcs11_pin_file = text(c, "pkcs11_pin_file"),
		.tb = tb,
	};
	struct error what = {"out of memory"};
	int r = seal_new(ret, &opt, &what);

	if (r < 0)
		error_set(err, "%s: [outbox] %s", path, what.text);
	return r;
}
