/* towline ca show: what certificates and requests say. */
#include "relay/pki/pki.h"
#include "tools/cli/cmd_ca.h"
#include "tools/cli/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static int show_certs(STACK_OF(X509) * certs, struct buf *out)
{
	struct wall_time now = timebase_wall(timebase_system());
	int r = 0;

	for (int i = 0; i < sk_X509_num(certs) && r == 0; i++) {
		if (i > 0)
			r = buf_put(out, "\n", 1);
		if (r == 0)
			r = pki_describe_cert(sk_X509_value(certs, i), now, out);
	}
	return r;
}

/* Certificates, else a request. */
static int describe(const struct buf *bytes, struct buf *out, struct error *err)
{
	STACK_OF(X509) *certs = NULL;
	X509_REQ *csr = NULL;
	struct error other;
	int r = pki_certs_parse(&certs, bytes->data, bytes->len, err);

	if (r == 0)
		r = show_certs(certs, out);
	else if (r == -ENOMSG && pki_csr_parse(&csr, bytes->data, bytes->len, &other) == 0)
		r = pki_describe_csr(csr, out);
	else if (r == -ENOMSG && memmem(bytes->data, bytes->len, "REQUEST-----", 12))
		*err = other; /* it is a request, and this is wrong with it */
	if (out->failed)
		error_set(err, "more text than %zu bytes", out->max);
	sk_X509_pop_free(certs, X509_free);
	X509_REQ_free(csr);
	return r;
}

int ca_show(int argc, char **argv)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(PKI_FILE_MAX + 1);
	struct buf out cleanup(buf_free) = BUF_INIT(16 * PKI_FILE_MAX);
	struct error err;
	int code = cli_options(&cmd_ca, argc, argv, NULL, 0);
	int r;

	if (code != EXIT_OK)
		return code;
	if (argc - optind != 1)
		return cli_usage(&cmd_ca, "show needs one FILE");
	r = pki_read_file(argv[optind], PKI_FILE_MAX, &bytes, &err);
	if (r < 0)
		return cli_fail(r == -ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "ca: %s", err.text);
	r = describe(&bytes, &out, &err);
	if (r < 0)
		return cli_fail(EXIT_FAILED, "ca: %s: %s", argv[optind], err.text);
	fwrite(out.data, 1, out.len, stdout);
	return EXIT_OK;
}
