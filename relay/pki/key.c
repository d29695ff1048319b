#include "relay/pki/internal.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

int pki_key_new(EVP_PKEY **ret, struct error *err)
{
	EVP_PKEY *key;

	ERR_clear_error();
	key = EVP_EC_gen(SN_X9_62_prime256v1);
	if (!key)
		return pki_fail(err, -EIO, "cannot make a key");
	*ret = key;
	return 0;
}

/* Nobody is asked: a daemon has no terminal. */
static int no_passphrase(char *out, int size, int writing, void *ctx)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)ctx;
	return -1;
}

static int key_file(EVP_PKEY **ret, const char *path, struct error *err)
{
	struct buf bytes cleanup(buf_free) = BUF_INIT(PKI_FILE_MAX + 1);
	BIO *in cleanup(bio_free_p) = NULL;
	struct stat st;
	EVP_PKEY *key;
	int r;

	if (stat(path, &st) == 0 && (st.st_mode & 077)) {
		error_set(err, "%s: others may read this key (mode %03o): chmod 600", path,
			  (unsigned)st.st_mode & 0777);
		return -EACCES;
	}
	r = pki_read_file(path, PKI_FILE_MAX, &bytes, err);
	if (r < 0)
		return r;
	ERR_clear_error();
	in = BIO_new_mem_buf(bytes.data, (int)bytes.len);
	key = in ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;
	if (bytes.data)
		OPENSSL_cleanse(bytes.data, bytes.len);
	if (!key)
		return pki_fail(err, -EINVAL, "%s: no private key in PEM without a passphrase",
				path);
	*ret = key;
	return 0;
}

int pki_key_load(EVP_PKEY **ret, const char *where, struct error *err)
{
	if (strncasecmp(where, "pkcs11:", 7) == 0)
		return pki_token_key(ret, where, err);
	return key_file(ret, where, err);
}

static bool is_valid_point(EVP_PKEY *key)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool ok = ctx && EVP_PKEY_public_check(ctx) == 1;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

int pki_key_check(EVP_PKEY *key, const char *what, struct error *err)
{
	char group[40] = "";
	int explicit_curve = 0;
	size_t n;

	ERR_clear_error();
	if (!key)
		return pki_fail(err, -EINVAL, "%s: its key cannot be read", what);
	if (!EVP_PKEY_is_a(key, "EC")) {
		const char *type = EVP_PKEY_get0_type_name(key);

		return pki_fail(err, -EINVAL, "%s: its key is %s, not P-256", what,
				type ? type : "of an unknown kind");
	}
	if (EVP_PKEY_get_group_name(key, group, sizeof(group), &n) != 1 ||
	    strcmp(group, SN_X9_62_prime256v1) != 0)
		return pki_fail(err, -EINVAL, "%s: its key is on the curve %s, not P-256", what,
				*group ? group : "(unnamed)");
	/* RFC 5480 2.1.1: only by name. */
	(void)EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
				     &explicit_curve);
	if (explicit_curve)
		return pki_fail(err, -EINVAL, "%s: its key spells out the curve", what);
	if (!is_valid_point(key))
		return pki_fail(err, -EINVAL, "%s: its key is no point of P-256", what);
	ERR_clear_error();
	return 0;
}
