/* Any bytes as a request or as certificates, by the first byte: reading, names, and what is said of
 * them to people; also of requests whose signature is wrong, as nearly all of these are. What
 * passes all checks gets a certificate. */
#include "proto/topic.h"
#include "relay/pki/pki.h"

#include <string.h>

static const struct wall_time now = {1795000000 * NS_PER_S};
static struct pki_ca ca;

static void set_up(void)
{
	struct pki_wanted root = {.profile = PKI_ROOT, .name = "Fuzz", .now = now};

	if (pki_key_new(&ca.key, NULL) < 0 || pki_issue(&ca.cert, NULL, ca.key, &root, NULL) < 0)
		abort();
}

static void must_be_plain(const char *text, size_t len, bool lines)
{
	for (size_t i = 0; i < len; i++)
		if ((text[i] >= 0 && text[i] < ' ' && !(lines && text[i] == '\n')) ||
		    text[i] == 0x7f)
			abort();
}

static void say_csr(X509_REQ *csr)
{
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 20);
	char name[PKI_NAME_MAX + 1];

	if (pki_csr_name(csr, name, NULL) == 0) {
		must_be_plain(name, strlen(name), false);
		if (pki_csr_is_for(csr, name, NULL) < 0)
			abort();
	}
	if (pki_describe_csr(csr, &out) == 0)
		must_be_plain((const char *)out.data, out.len, true);
}

static void request(const uint8_t *data, size_t size)
{
	char name[PKI_NAME_MAX + 1];
	struct pki_wanted w = {.profile = PKI_DEVICE, .name = name, .now = now};
	struct error err = {""};
	X509_REQ *csr = NULL;
	X509 *cert = NULL;

	if (pki_csr_parse(&csr, data, size, &err) < 0) {
		if (!*err.text || csr)
			abort();
		return;
	}
	say_csr(csr);
	if (pki_csr_name(csr, name, NULL) == 0 && id_is_valid(name) &&
	    pki_issue(&cert, &ca, X509_REQ_get0_pubkey(csr), &w, NULL) < 0)
		abort();
	X509_free(cert);
	X509_REQ_free(csr);
}

static void unchecked_request(const uint8_t *data, size_t size)
{
	X509_REQ *csr = d2i_X509_REQ(NULL, &data, (long)size);

	if (csr)
		say_csr(csr);
	X509_REQ_free(csr);
}

static void certificates(const uint8_t *data, size_t size)
{
	struct buf out cleanup(buf_free) = BUF_INIT(1 << 20);
	STACK_OF(X509) *certs = NULL;

	if (pki_certs_parse(&certs, data, size, NULL) < 0)
		return;
	for (int i = 0; i < sk_X509_num(certs); i++)
		if (pki_describe_cert(sk_X509_value(certs, i), now, &out) < 0)
			break;
	must_be_plain((const char *)out.data, out.len, true);
	sk_X509_pop_free(certs, X509_free);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!ca.cert)
		set_up();
	if (size == 0)
		return 0;
	switch (data[0] % 3) {
	case 0:
		request(data + 1, size - 1);
		break;
	case 1:
		unchecked_request(data + 1, size - 1);
		break;
	default:
		certificates(data + 1, size - 1);
	}
	return 0;
}
