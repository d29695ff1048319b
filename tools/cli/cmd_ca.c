/* towline ca: a development certificate authority, and certificates from it. */
#include "tools/cli/cmd_ca.h"
#include "proto/topic.h"
#include "relay/pki/pki.h"
#include "tools/cli/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What device, server and service share. */
struct issue_options {
	enum pki_profile profile, by;
	const char *dir, *ca_key, *out, *name, *csr;
	const char *san_texts[PKI_SANS_MAX];
	struct option_list sans;
	long days;
};

static int fail(int r, const struct error *err)
{
	return cli_fail(r == -ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "ca: %s", err->text);
}

static struct wall_time now(void)
{
	return timebase_wall(timebase_system());
}

static void free_cert(X509 **p)
{
	X509_free(*p);
}

static void free_key(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

/* ---- init ---- */

static int init(int argc, char **argv)
{
	const char *name = "Towline";
	const struct cli_option table[] = {
		{.name = "name", .kind = OPTION_TEXT, .to = &name},
	};
	struct error err;
	int code = cli_options(&cmd_ca, argc, argv, table, array_len(table));
	int r;

	if (code != EXIT_OK)
		return code;
	if (argc - optind != 1)
		return cli_usage(&cmd_ca, "init needs the DIR to make");
	r = pki_ca_init(argv[optind], name, now(), &err);
	if (r < 0)
		return fail(r, &err);
	printf("%s: root, device, server and service CAs of %s\n", argv[optind], name);
	return EXIT_OK;
}

/* ---- certificates ---- */

static int open_ca(struct pki_ca **ret, const struct issue_options *o)
{
	const char *kind = pki_profile_name(o->by);
	char *cert cleanup(free_ptr) = NULL, *key cleanup(free_ptr) = NULL;
	struct error err;
	int r;

	if (asprintf(&cert, "%s/%s.crt", o->dir, kind) < 0)
		cert = NULL;
	if (asprintf(&key, "%s/%s.key", o->dir, kind) < 0)
		key = NULL;
	if (!cert || !key)
		return cli_fail(EXIT_FAILED, "ca: out of memory");
	r = pki_ca_open(ret, cert, o->ca_key ? o->ca_key : key, &err);
	return r < 0 ? fail(r, &err) : EXIT_OK;
}

/* The certificate, and the CA's after it: who has only the root can follow. */
static int put_chain(const struct pki_ca *ca, X509 *cert, const char *path)
{
	struct buf pem cleanup(buf_free) = BUF_INIT(PKI_FILE_MAX);
	X509 *chain[] = {cert, ca->cert};
	struct error err;
	int r;

	if (path) {
		r = pki_write_certs(path, chain, array_len(chain), true, &err);
	} else {
		r = pki_put_pem(&pem, chain, array_len(chain), &err);
		if (r == 0)
			fwrite(pem.data, 1, pem.len, stdout);
	}
	return r < 0 ? fail(r, &err) : EXIT_OK;
}

static int issue(const struct issue_options *o, EVP_PKEY *key, const char *path)
{
	const struct pki_wanted w = {
		.profile = o->profile,
		.name = o->name,
		.sans = o->sans.texts,
		.n_sans = o->sans.n,
		.days = (int)o->days,
		.now = now(),
	};
	X509 *cert cleanup(free_cert) = NULL;
	struct pki_ca *ca = NULL;
	struct error err;
	int code = open_ca(&ca, o), r;

	if (code != EXIT_OK)
		return code;
	r = pki_issue(&cert, ca, key, &w, &err);
	code = r < 0 ? fail(r, &err) : put_chain(ca, cert, path);
	pki_ca_free(ca);
	return code;
}

/* PREFIX.key, which is used again where it is there: so a certificate is renewed. */
static int issue_with_key(const struct issue_options *o)
{
	char *cert_path cleanup(free_ptr) = NULL, *key_path cleanup(free_ptr) = NULL;
	EVP_PKEY *key cleanup(free_key) = NULL;
	struct error err;
	bool is_new;
	int code, r;

	if (asprintf(&cert_path, "%s.crt", o->out) < 0)
		cert_path = NULL;
	if (asprintf(&key_path, "%s.key", o->out) < 0)
		key_path = NULL;
	if (!cert_path || !key_path)
		return cli_fail(EXIT_FAILED, "ca: out of memory");
	is_new = access(key_path, F_OK) < 0;
	r = is_new ? pki_key_new(&key, &err) : pki_key_load(&key, key_path, &err);
	if (r == 0 && is_new)
		r = pki_write_key(key_path, key, false, &err);
	if (r < 0)
		return fail(r, &err);
	code = issue(o, key, cert_path);
	if (code != EXIT_OK && is_new)
		(void)unlink(key_path);
	return code;
}

static int issue_for_csr(const struct issue_options *o)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(PKI_CSR_MAX + 1);
	struct error err, why;
	X509_REQ *csr = NULL;
	int code = EXIT_OK;
	int r = pki_read_file(o->csr, PKI_CSR_MAX, &bytes, &err);

	if (r < 0)
		return fail(r, &err);
	r = pki_csr_parse(&csr, bytes.data, bytes.len, &why);
	if (r == 0)
		r = pki_csr_is_for(csr, o->name, &why);
	if (r < 0)
		code = cli_fail(EXIT_FAILED, "ca: %s: %s", o->csr, why.text);
	else
		code = issue(o, X509_REQ_get0_pubkey(csr), o->out);
	X509_REQ_free(csr);
	return code;
}

enum { OWN_MAX = 2 };

/* own: what only this kind has. Sets o->dir. */
static int take_options(struct issue_options *o, int argc, char **argv,
			const struct cli_option *own, size_t n_own)
{
	struct cli_option table[3 + OWN_MAX] = {
		{.name = "out", .letter = 'o', .kind = OPTION_TEXT, .to = &o->out},
		{.name = "ca-key", .kind = OPTION_TEXT, .to = &o->ca_key},
		{.name = "days",
		 .kind = OPTION_NUMBER,
		 .to = &o->days,
		 .min = 1,
		 .max = PKI_DAYS_MAX},
	};
	int code;

	assert(n_own <= OWN_MAX);
	memcpy(table + 3, own, n_own * sizeof(*own));
	code = cli_options(&cmd_ca, argc, argv, table, 3 + n_own);
	if (code != EXIT_OK)
		return code;
	if (argc - optind != 1)
		return cli_usage(&cmd_ca, "%s needs one DIR, of the CAs", argv[0]);
	o->dir = argv[optind];
	return EXIT_OK;
}

static int server(int argc, char **argv)
{
	struct issue_options o = {.profile = PKI_SERVER, .by = PKI_SERVER_CA};
	const struct cli_option own[] = {
		{.name = "san", .kind = OPTION_LIST, .to = &o.sans, .what = "names of a server"},
		{.name = "name", .kind = OPTION_TEXT, .to = &o.name},
	};
	int code;

	o.sans = (struct option_list){.texts = o.san_texts, .max = PKI_SANS_MAX};
	code = take_options(&o, argc, argv, own, array_len(own));
	if (code == EXIT_OK && (o.sans.n == 0 || !o.out))
		code = cli_usage(&cmd_ca, "server needs --san NAME and --out PREFIX");
	return code == EXIT_OK ? issue_with_key(&o) : code;
}

static int device(int argc, char **argv)
{
	struct issue_options o = {.profile = PKI_DEVICE, .by = PKI_DEVICE_CA};
	const struct cli_option own[] = {
		{.name = "csr", .kind = OPTION_TEXT, .to = &o.csr},
		{.name = "device", .kind = OPTION_TEXT, .to = &o.name},
	};
	int code = take_options(&o, argc, argv, own, array_len(own));

	if (code == EXIT_OK && (!o.csr || !o.name))
		code = cli_usage(&cmd_ca, "device needs --csr FILE and --device ID");
	if (code == EXIT_OK && !id_is_valid(o.name))
		code = cli_usage(&cmd_ca,
				 "--device '%s': not 1 to %d letters, digits, '.', '_' and '-'",
				 o.name, ID_MAX);
	return code == EXIT_OK ? issue_for_csr(&o) : code;
}

static int service(int argc, char **argv)
{
	struct issue_options o = {.profile = PKI_SERVICE, .by = PKI_SERVICE_CA};
	const struct cli_option own[] = {
		{.name = "name", .kind = OPTION_TEXT, .to = &o.name},
	};
	int code = take_options(&o, argc, argv, own, array_len(own));

	if (code == EXIT_OK && !o.name)
		code = cli_usage(&cmd_ca, "service needs --name NAME");
	if (code == EXIT_OK && !id_is_valid(o.name))
		code = cli_usage(&cmd_ca,
				 "--name '%s': not 1 to %d letters, digits, '.', '_' and '-'",
				 o.name, ID_MAX);
	if (code == EXIT_OK && !o.out)
		o.out = o.name;
	return code == EXIT_OK ? issue_with_key(&o) : code;
}

/* ---- the command ---- */

static const struct {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the name */
} subcommands[] = {
	{"init", init},	      {"server", server}, {"device", device},
	{"service", service}, {"show", ca_show},
};

static int run(int argc, char **argv)
{
	if (argc < 2)
		return cli_usage(&cmd_ca, "init, server, device, service or show?");
	for (size_t i = 0; i < array_len(subcommands); i++)
		if (strcmp(argv[1], subcommands[i].name) == 0)
			return subcommands[i].run(argc - 1, argv + 1);
	return cli_usage(&cmd_ca, "'%s' is none of init, server, device, service, show", argv[1]);
}

const struct cli_command cmd_ca = {
	.name = "ca",
	.summary = "certificates: a development authority, and what it signs",
	.help = "Usage: towline ca init DIR [--name TEXT]\n"
		"       towline ca server DIR --san NAME... --out PREFIX [OPTION...]\n"
		"       towline ca service DIR --name NAME [OPTION...]\n"
		"       towline ca device DIR --csr FILE --device ID [OPTION...]\n"
		"       towline ca show FILE\n"
		"\n"
		"init     makes a root and the CAs of devices, servers and services in DIR, with\n"
		"         device-chain.pem (whom a broker trusts for clients) and ca-bundle.pem\n"
		"         (whom clients trust for servers). No file that is there is touched.\n"
		"           --name TEXT   in the names of the CAs, default Towline\n"
		"server   PREFIX.key and PREFIX.crt of a broker or relay. A key that is there is\n"
		"         used again: the certificate is renewed.\n"
		"           --san NAME    a DNS name or an IP address; repeat for more\n"
		"           --name TEXT   common name, default the first --san\n"
		"           -o, --out PREFIX\n"
		"service  the same of a client that is no device: the relay, an application.\n"
		"           --name NAME   common name\n"
		"           -o, --out PREFIX  default NAME\n"
		"device   the certificate for a device's request (PKCS #10, DER or PEM; P-256).\n"
		"           --csr FILE    the request\n"
		"           --device ID   the common name that it must have\n"
		"           -o, --out FILE  instead of standard output\n"
		"show     subject, issuer, validity, usage, key, names and fingerprints of each\n"
		"         certificate in FILE, or of the request in it.\n"
		"\n"
		"Options of server, service and device:\n"
		"  --ca-key KEY   the CA's key, if not in DIR: a file, or a URI pkcs11:... (RFC "
		"7512)\n"
		"                 with pin-source=file:PATH and module-path=PATH\n"
		"  --days N       how long it is valid, default 90\n",
	.run = run,
};
