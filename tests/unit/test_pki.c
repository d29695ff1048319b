/* What is issued, and what X509_verify_cert says of it; authorities and files. */
#include "tests/unit/pki_fixture.h"
#include "tests/unit/suite.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct pki_wanted device = {.profile = PKI_DEVICE, .name = "dev1"};
static const struct pki_wanted service = {.profile = PKI_SERVICE, .name = "relay"};

static struct pki_wanted server(const char *const *sans, size_t n)
{
	return (struct pki_wanted){
		.profile = PKI_SERVER, .sans = sans, .n_sans = n, .now = pki_now};
}

static struct pki_wanted at(struct pki_wanted w, int days)
{
	w.now.ns = pki_now.ns + (int64_t)days * PKI_DAY_S * NS_PER_S;
	return w;
}

static X509 *issue(enum pki_profile by, struct pki_wanted w)
{
	w = at(w, 0);
	return pki_must_issue(by, &w);
}

static void issue_fails(enum pki_profile by, const char *kind, struct pki_wanted w, int code,
			const char *why)
{
	EVP_PKEY *key = pki_make_key(kind);
	X509 *cert = NULL;

	if (w.now.ns == 0)
		w.now = pki_now;
	ck_assert_int_eq(pki_issue(&cert, pki_cas[by], key, &w, &pki_err), code);
	ck_assert_ptr_null(cert);
	pki_said(why);
	EVP_PKEY_free(key);
}

static void name_is(X509 *cert, const char *want)
{
	char name[80] = "";

	X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof(name));
	ck_assert_str_eq(name, want);
	ck_assert_int_eq(X509_NAME_entry_count(X509_get_subject_name(cert)), 1);
}

/* ---- purposes ---- */

START_TEST(device_is_a_client_only)
{
	X509 *cert = issue(PKI_DEVICE_CA, device);

	name_is(cert, "dev1");
	ck_assert_int_eq(pki_verify(cert, NULL, X509_PURPOSE_SSL_CLIENT, 0), X509_V_OK);
	ck_assert_int_eq(pki_verify(cert, NULL, X509_PURPOSE_SSL_SERVER, 0),
			 X509_V_ERR_INVALID_PURPOSE);
	ck_assert_int_eq(X509_check_ca(cert), 0);
	ck_assert_uint_eq(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
	ck_assert_uint_eq(X509_get_extended_key_usage(cert), XKU_SSL_CLIENT);
	ck_assert_int_eq(X509_get_ext_count(cert), 5);
	ck_assert_int_eq(X509_get_signature_nid(cert), NID_ecdsa_with_SHA256);
	ck_assert_ptr_nonnull(X509_get0_subject_key_id(cert));
	ck_assert_int_eq(
		ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(cert),
				      X509_get0_subject_key_id(pki_cas[PKI_DEVICE_CA]->cert)),
		0);
	X509_free(cert);
}
END_TEST

START_TEST(service_has_another_issuer)
{
	X509 *cert = issue(PKI_SERVICE_CA, service), *unit = issue(PKI_DEVICE_CA, device);

	name_is(cert, "relay");
	ck_assert_int_eq(pki_verify(cert, NULL, X509_PURPOSE_SSL_CLIENT, 0), X509_V_OK);
	ck_assert_int_eq(pki_verify(cert, NULL, X509_PURPOSE_SSL_SERVER, 0),
			 X509_V_ERR_INVALID_PURPOSE);
	ck_assert_int_eq(X509_verify(cert, X509_get0_pubkey(pki_cas[PKI_SERVICE_CA]->cert)), 1);
	ck_assert_int_ne(X509_verify(cert, X509_get0_pubkey(pki_cas[PKI_DEVICE_CA]->cert)), 1);
	ck_assert_int_ne(X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_issuer_name(unit)), 0);
	X509_free(cert);
	X509_free(unit);
}
END_TEST

START_TEST(server_of_several_names)
{
	static const char *const sans[] = {"broker.example", "a-1.b", "localhost", "127.0.0.1",
					   "2001:db8::1"};
	X509 *cert = issue(PKI_SERVER_CA, server(sans, array_len(sans)));

	name_is(cert, "broker.example");
	ck_assert_int_eq(pki_verify(cert, NULL, X509_PURPOSE_SSL_SERVER, 0), X509_V_OK);
	ck_assert_int_eq(pki_verify(cert, NULL, X509_PURPOSE_SSL_CLIENT, 0),
			 X509_V_ERR_INVALID_PURPOSE);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(X509_check_host(cert, sans[i], 0, 0, NULL), 1);
	ck_assert_int_eq(X509_check_host(cert, "evil.example", 0, 0, NULL), 0);
	ck_assert_int_eq(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
	ck_assert_int_eq(X509_check_ip_asc(cert, "2001:db8:0:0::1", 0), 1);
	ck_assert_int_eq(X509_check_ip_asc(cert, "127.0.0.2", 0), 0);
	X509_free(cert);
}
END_TEST

/* Longer than a common name can be: no subject, and the names critical. */
START_TEST(server_of_a_long_name)
{
	static const char *const sans[] = {
		"a123456789012345678901234567890123456789.b12345678901234"
		"567890.example"};
	X509 *cert = issue(PKI_SERVER_CA, server(sans, 1));
	int i = X509_get_ext_by_NID(cert, NID_subject_alt_name, -1);

	ck_assert_int_eq(X509_NAME_entry_count(X509_get_subject_name(cert)), 0);
	ck_assert_int_eq(X509_EXTENSION_get_critical(X509_get_ext(cert, i)), 1);
	ck_assert_int_eq(pki_verify(cert, NULL, X509_PURPOSE_SSL_SERVER, 0), X509_V_OK);
	ck_assert_int_eq(X509_check_host(cert, sans[0], 0, 0, NULL), 1);
	X509_free(cert);
}
END_TEST

/* ---- what a CA may not ---- */

START_TEST(wrong_issuer)
{
	static const char *const sans[] = {"broker.example"};

	issue_fails(PKI_DEVICE_CA, "P-256", server(sans, 1), -EPERM, "extended key usage");
	issue_fails(PKI_SERVICE_CA, "P-256", server(sans, 1), -EPERM, "extended key usage");
	issue_fails(PKI_SERVER_CA, "P-256", device, -EPERM, "extended key usage");
	issue_fails(PKI_DEVICE_CA, "P-256",
		    (struct pki_wanted){.profile = PKI_SERVICE_CA, .name = "Mine"}, -EPERM,
		    "path length 0");
}
END_TEST

START_TEST(device_issues_nothing)
{
	EVP_PKEY *key = pki_make_key("P-256"), *other = pki_make_key("P-256");
	struct pki_wanted w = at(device, 0);
	struct pki_ca unit = {.key = key};
	X509 *cert = NULL;

	ck_assert_int_eq(pki_issue(&unit.cert, pki_cas[PKI_DEVICE_CA], key, &w, &pki_err), 0);
	ck_assert_int_eq(pki_issue(&cert, &unit, other, &w, &pki_err), -EPERM);
	pki_said("is no CA");
	ck_assert_int_eq(pki_issue(&cert, NULL, other, &w, &pki_err), -EPERM);
	pki_said("only a root signs itself");
	X509_free(unit.cert);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}
END_TEST

/* Who has the key of the device CA can sign what he likes: it is good for nothing else. */
START_TEST(what_a_stolen_device_ca_signs)
{
	struct pki_wanted w = at(device, 0);
	EVP_PKEY *key, *ca_key;
	struct pki_ca forged;
	X509 *cert = pki_forge(PKI_DEVICE_CA, &key, false, "serverAuth"), *leaf = NULL;

	ck_assert_int_eq(pki_verify(cert, NULL, X509_PURPOSE_SSL_SERVER, 0),
			 X509_V_ERR_INVALID_PURPOSE);
	X509_free(cert);
	cert = pki_forge(PKI_DEVICE_CA, &ca_key, true, NULL);
	forged = (struct pki_ca){.cert = cert, .key = ca_key};
	ck_assert_int_eq(pki_issue(&leaf, &forged, key, &w, &pki_err), 0);
	ck_assert_int_eq(pki_verify(leaf, cert, X509_PURPOSE_SSL_CLIENT, 0),
			 X509_V_ERR_PATH_LENGTH_EXCEEDED);
	X509_free(leaf);
	X509_free(cert);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
}
END_TEST

/* A self-signed one, and one of another root with the same names. */
START_TEST(of_another_authority)
{
	struct pki_wanted root = {.profile = PKI_ROOT, .name = "Test Root CA", .now = pki_now};
	struct pki_wanted w = at(device, 0);
	EVP_PKEY *key = pki_make_key("P-256");
	struct pki_ca other = {.key = key};
	X509 *cert = NULL;

	ck_assert_int_eq(pki_issue(&other.cert, NULL, key, &root, &pki_err), 0);
	ck_assert_int_eq(pki_verify(other.cert, NULL, X509_PURPOSE_ANY, 0),
			 X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
	ck_assert_int_eq(pki_issue(&cert, &other, key, &w, &pki_err), 0);
	ck_assert_int_ne(pki_verify(cert, NULL, X509_PURPOSE_SSL_CLIENT, 0), X509_V_OK);
	X509_free(cert);
	X509_free(other.cert);
	EVP_PKEY_free(key);
}
END_TEST

START_TEST(other_keys)
{
	issue_fails(PKI_DEVICE_CA, "RSA", device, -EINVAL, "device: its key is RSA, not P-256");
	issue_fails(PKI_DEVICE_CA, "P-384", device, -EINVAL, "secp384r1, not P-256");
	issue_fails(PKI_DEVICE_CA, "ED25519", device, -EINVAL, "ED25519, not P-256");
}
END_TEST

/* ---- life ---- */

START_TEST(lives)
{
	X509 *cert = issue(PKI_DEVICE_CA, device);
	int64_t now = pki_now.ns / NS_PER_S;

	ck_assert_int_eq(pki_seconds(X509_get0_notBefore(cert)), now - 300);
	ck_assert_int_eq(pki_seconds(X509_get0_notAfter(cert)), now + 90 * PKI_DAY_S);
	now += (int64_t)7305 * PKI_DAY_S; /* beyond 2038 */
	ck_assert_int_eq(pki_seconds(X509_get0_notAfter(pki_cas[PKI_ROOT]->cert)), now);
	ck_assert_int_eq(pki_verify(cert, NULL, X509_PURPOSE_SSL_CLIENT, 89), X509_V_OK);
	ck_assert_int_eq(pki_verify(cert, NULL, X509_PURPOSE_SSL_CLIENT, 91),
			 X509_V_ERR_CERT_HAS_EXPIRED);
	ck_assert_int_eq(pki_verify(cert, NULL, X509_PURPOSE_SSL_CLIENT, -1),
			 X509_V_ERR_CERT_NOT_YET_VALID);
	X509_free(cert);
}
END_TEST

START_TEST(never_longer_than_its_issuer)
{
	struct pki_wanted w = at(device, 3600);
	X509 *ca = pki_cas[PKI_DEVICE_CA]->cert;
	X509 *cert;

	w.days = PKI_DAYS_MAX;
	cert = pki_must_issue(PKI_DEVICE_CA, &w);
	ck_assert_int_eq(ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(ca)), 0);
	X509_free(cert);
	w.days = 1;
	cert = pki_must_issue(PKI_DEVICE_CA, &w);
	ck_assert_int_lt(ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(ca)), 0);
	X509_free(cert);
	issue_fails(PKI_DEVICE_CA, "P-256", at(device, 3653), -EKEYEXPIRED, "has expired");
	issue_fails(PKI_DEVICE_CA, "P-256", at(device, -1), -EKEYEXPIRED, "not yet valid");
	w.days = PKI_DAYS_MAX + 1;
	issue_fails(PKI_DEVICE_CA, "P-256", w, -EINVAL, "days: not 1 to");
}
END_TEST

START_TEST(serials)
{
	enum { N = 40 };
	X509 *certs[N];
	int long_ones = 0;

	for (int i = 0; i < N; i++) {
		const ASN1_INTEGER *n;

		certs[i] = issue(PKI_DEVICE_CA, device);
		n = X509_get0_serialNumber(certs[i]);
		ck_assert_int_le(ASN1_STRING_length(n), 16);
		ck_assert_int_eq(ASN1_STRING_type(n), V_ASN1_INTEGER); /* not negative */
		long_ones += ASN1_STRING_length(n) >= 15;
		for (int k = 0; k < i; k++)
			ck_assert_int_ne(ASN1_INTEGER_cmp(n, X509_get0_serialNumber(certs[k])), 0);
	}
	ck_assert_int_gt(long_ones, N / 2);
	for (int i = 0; i < N; i++)
		X509_free(certs[i]);
}
END_TEST

/* ---- names ---- */

START_TEST(bad_ids)
{
	static const char *const bad[] = {"a b", "a/b", "+", "#", "\xc3\xbc", "a\n"};
	struct pki_wanted w = device;
	char long_text[PKI_NAME_MAX + 2];

	for (size_t i = 0; i < array_len(bad); i++) {
		w.name = bad[i];
		issue_fails(PKI_DEVICE_CA, "P-256", w, -EINVAL, "the id of a device");
	}
	w.name = "";
	issue_fails(PKI_DEVICE_CA, "P-256", w, -EINVAL, "1 to 64 bytes");
	w.name = NULL;
	issue_fails(PKI_DEVICE_CA, "P-256", w, -EINVAL, "1 to 64 bytes");
	memset(long_text, 'a', sizeof(long_text));
	long_text[PKI_NAME_MAX + 1] = '\0';
	w.name = long_text;
	issue_fails(PKI_DEVICE_CA, "P-256", w, -EINVAL, "1 to 64 bytes");
}
END_TEST

START_TEST(bad_server_names)
{
	static const char *const bad[] = {
		"",
		"*.example",
		"a b",
		"a..b",
		".a",
		"a.",
		"-a.b",
		"a-.b",
		"DNS:a.b",
		"1.2.3",
		"1.2.3.4.5",
		"a,IP:1.2.3.4",
		"a_b",
		"\xc3\xbc.example",
		"a1234567890123456789012345678901234567890123456789012345678901234.b",
	};
	const char *many[PKI_SANS_MAX + 1];

	for (size_t i = 0; i < array_len(bad); i++)
		issue_fails(
			PKI_SERVER_CA, "P-256",
			(struct pki_wanted){
				.profile = PKI_SERVER, .name = "x", .sans = &bad[i], .n_sans = 1},
			-EINVAL, "neither a DNS name nor an IP address");
	for (size_t i = 0; i < array_len(many); i++)
		many[i] = "a.b";
	issue_fails(PKI_SERVER_CA, "P-256", server(many, array_len(many)), -EINVAL, "not 33");
	issue_fails(PKI_SERVER_CA, "P-256", server(many, 0), -EINVAL, "not 0");
}
END_TEST

/* ---- a request asks for more than its due ---- */

START_TEST(extensions_of_a_request_have_no_effect)
{
	struct buf der cleanup(buf_free) = BUF_INIT(PKI_CSR_MAX);
	struct pki_wanted w = at(device, 0);
	EVP_PKEY *key = pki_make_key("P-256");
	X509_REQ *csr;
	X509 *cert;

	pki_csr_der(pki_make_csr(key, key, (const char *const[]){"dev1", NULL}, EVP_sha256(), true),
		    &der);
	ck_assert_int_eq(pki_csr_parse(&csr, der.data, der.len, &pki_err), 0);
	ck_assert_int_eq(pki_csr_is_for(csr, "dev1", &pki_err), 0);
	ck_assert_int_eq(
		pki_issue(&cert, pki_cas[PKI_DEVICE_CA], X509_REQ_get0_pubkey(csr), &w, &pki_err),
		0);
	name_is(cert, "dev1");
	ck_assert_int_eq(EVP_PKEY_eq(X509_get0_pubkey(cert), key), 1);
	ck_assert_int_eq(X509_check_ca(cert), 0);
	ck_assert_uint_eq(X509_get_extended_key_usage(cert), XKU_SSL_CLIENT);
	ck_assert_int_lt(X509_get_ext_by_NID(cert, NID_subject_alt_name, -1), 0);
	X509_free(cert);
	X509_REQ_free(csr);
	EVP_PKEY_free(key);
}
END_TEST

static TCase *issue_case(void)
{
	TCase *t = tcase_create("issue");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, pki_set_up, pki_tear_down);
	tcase_add_test(t, device_is_a_client_only);
	tcase_add_test(t, service_has_another_issuer);
	tcase_add_test(t, server_of_several_names);
	tcase_add_test(t, server_of_a_long_name);
	tcase_add_test(t, wrong_issuer);
	tcase_add_test(t, device_issues_nothing);
	tcase_add_test(t, what_a_stolen_device_ca_signs);
	tcase_add_test(t, of_another_authority);
	tcase_add_test(t, other_keys);
	tcase_add_test(t, lives);
	tcase_add_test(t, never_longer_than_its_issuer);
	tcase_add_test(t, serials);
	tcase_add_test(t, bad_ids);
	tcase_add_test(t, bad_server_names);
	tcase_add_test(t, extensions_of_a_request_have_no_effect);
	return t;
}

int main(void)
{
	TCase *t = issue_case();

	return suite_run("pki", &t, 1);
}
