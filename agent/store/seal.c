/* Rows, sealed and opened, and which keys there are.
 *
 * A row is nonce (12) | ciphertext | tag (16). Nonces are random, all 96 bits: NIST SP 800-38D 8.3
 * allows 2^32 of them to a key, and a data key serves 2^20 rows, so that any two of its nonces are
 * the same with a probability of 2^-57. A nonce made from the row's id would need no luck, but
 * repeats when a transaction is rolled back or lost with the power and its seq is given again, and
 * when the file comes back from a copy; one nonce used twice gives up both texts and the means to
 * forge more. */
#include "agent/store/seal_private.h"

#include "agent/store/seal_pkcs11.h"

#include <string.h>

enum { DATA_KEY_ROWS = 1 << 20, AAD_BYTES = 8 + 24 };

/* ---- keys ---- */

static const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

static struct seal_options with_texts(const struct seal_options *opt)
{
	struct seal_options o = *opt;

	o.key_file = text_or_empty(o.key_file);
	o.previous_key_file = text_or_empty(o.previous_key_file);
	o.pkcs11_module = text_or_empty(o.pkcs11_module);
	o.pkcs11_token = text_or_empty(o.pkcs11_token);
	o.pkcs11_key = text_or_empty(o.pkcs11_key);
	o.pkcs11_previous_key = text_or_empty(o.pkcs11_previous_key);
	o.pkcs11_pin_file = text_or_empty(o.pkcs11_pin_file);
	return o;
}

static int add_file(struct seal *s, const char *path, struct error *err)
{
	int r = *path ? kek_from_file(&s->keks[s->n_keks], path, err) : 0;

	if (r == 0 && *path)
		s->n_keks++;
	return r;
}

static int add_token_key(struct seal *s, const char *label, struct error *err)
{
	int r = *label ? kek_from_token(&s->keks[s->n_keks], s->token, label, err) : 0;

	if (r == 0 && *label)
		s->n_keks++;
	return r;
}

static int read_keys(struct seal *s, const struct seal_options *o, struct error *err)
{
	int r = 0;

	if (*o->key_file && *o->pkcs11_key) {
		error_set(err, "a key file and a PKCS#11 key: one of them is the previous one");
		return -EINVAL;
	}
	if (*o->pkcs11_key || *o->pkcs11_previous_key)
		r = token_open(&s->token, o->pkcs11_module, o->pkcs11_token, o->pkcs11_pin_file,
			       err);
	if (r == 0)
		r = add_file(s, o->key_file, err);
	if (r == 0)
		r = add_token_key(s, o->pkcs11_key, err);
	s->writes = s->n_keks > 0;
	if (r == 0)
		r = add_file(s, o->previous_key_file, err);
	if (r == 0)
		r = add_token_key(s, o->pkcs11_previous_key, err);
	return r;
}

static int make_schedule(struct schedule *k)
{
	return wc_AesInit(&k->aes, NULL, INVALID_DEVID) == 0 ? 0 : -EIO;
}

static int allocate(struct seal **ret, struct error *err)
{
	struct seal *s = secret_alloc(sizeof(*s));

	if (!s || make_schedule(&s->in) < 0 || make_schedule(&s->out) < 0) {
		error_set(err, "no memory for keys");
		secret_free(s, sizeof(*s));
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

int seal_new(struct seal **ret, const struct seal_options *opt, struct error *err)
{
	struct seal_options o = with_texts(opt);
	struct seal *s;
	int r = allocate(&s, err);

	if (r < 0)
		return r;
	s->tb = o.tb;
	s->max_rows = o.data_key_max_rows > 0 ? o.data_key_max_rows : DATA_KEY_ROWS;
	if (s->max_rows > SEAL_ROWS_LIMIT)
		s->max_rows = SEAL_ROWS_LIMIT;
	r = read_keys(s, &o, err);
	if (r < 0 || s->n_keks == 0) {
		seal_free(s);
		s = NULL;
	}
	if (r == 0)
		*ret = s;
	return r;
}

int seal_new_reader(struct seal **ret, struct seal *from)
{
	struct seal *s;
	int r = allocate(&s, NULL);

	if (r < 0)
		return r;
	s->reads_only = true;
	s->tb = from->tb;
	s->n_keks = from->n_keks;
	memcpy(s->keks, from->keks, sizeof(s->keks));
	*ret = s;
	return 0;
}

int seal_reader_add(struct seal *s, int64_t id, uint64_t kek, const void *wrapped, size_t len)
{
	return seal_keep_key(s, id, kek, wrapped, len, NULL);
}

struct seal *seal_free(struct seal *s)
{
	if (!s)
		return NULL;
	if (!s->reads_only) {
		for (size_t i = 0; i < s->n_keks; i++)
			kek_free(s->keks[i]);
		token_close(s->token);
	}
	wc_AesFree(&s->in.aes);
	wc_AesFree(&s->out.aes);
	secret_free(s, sizeof(*s));
	return NULL;
}

uint64_t seal_fingerprint(const struct seal *s)
{
	return s && s->writes ? kek_fingerprint(s->keks[0]) : 0;
}

void seal_rolled_back(struct seal *s)
{
	s->stale = true;
}

bool seal_trouble(struct seal *s, struct error *ret)
{
	bool is = s->is_trouble;

	if (is)
		*ret = s->trouble;
	s->is_trouble = false;
	return is;
}

/* ---- rows ---- */

/* The text tells rows from what else a key may ever authenticate. */
static void put_aad(uint8_t aad[static AAD_BYTES], const struct seal_row *row)
{
	const uint64_t parts[] = {row->epoch, (uint64_t)row->id, row->meta};
	uint8_t *p = aad;

	memcpy(p, "tl-row-1", 8);
	p += 8;
	for (size_t i = 0; i < array_len(parts); i++)
		for (unsigned shift = 0; shift < 64; shift += 8)
			*p++ = (uint8_t)(parts[i] >> shift);
}

static int set_schedule(struct seal *s, struct schedule *k, int64_t id)
{
	const struct data_key *d;

	if (k->id == id)
		return 0;
	d = seal_find_key(s, id);
	if (!d)
		return -EBADMSG;
	k->id = 0;
	if (wc_AesGcmSetKey(&k->aes, d->key, SEAL_KEY_BYTES) != 0)
		return -EIO;
	k->id = id;
	return 0;
}

static int encrypt(struct seal *s, const struct seal_row *row, const void *plain, size_t len,
		   struct buf *out)
{
	uint8_t aad[AAD_BYTES];
	uint8_t *nonce = out->data + out->len, *text = nonce + SEAL_NONCE_BYTES;

	put_aad(aad, row);
	random_bytes(nonce, SEAL_NONCE_BYTES);
	s->used++;
	if (wc_AesGcmEncrypt(&s->out.aes, text, plain, (word32)len, nonce, SEAL_NONCE_BYTES,
			     text + len, SEAL_TAG_BYTES, aad, sizeof(aad)) != 0)
		return -EIO;
	out->len += len + SEAL_OVERHEAD;
	return 0;
}

int seal_encrypt(struct seal *s, const struct seal_row *row, const void *plain, size_t len,
		 struct buf *out, int64_t *ret_key)
{
	int r;

	if (!s->writes) {
		*ret_key = 0;
		return buf_put(out, plain, len);
	}
	if (len > UINT32_MAX - SEAL_OVERHEAD)
		return -EMSGSIZE;
	r = buf_reserve(out, len + SEAL_OVERHEAD);
	if (r == 0)
		r = seal_ready(s);
	if (r == 0)
		r = set_schedule(s, &s->out, s->current);
	if (r == 0)
		r = encrypt(s, row, plain, len, out);
	if (r == 0)
		*ret_key = s->current;
	return r;
}

int seal_decrypt(struct seal *s, const struct seal_row *row, int64_t key, const void *sealed,
		 size_t len, struct buf *out)
{
	const uint8_t *nonce = sealed;
	size_t n = len - SEAL_OVERHEAD;
	uint8_t aad[AAD_BYTES];
	int r;

	if (key <= 0 || len < SEAL_OVERHEAD || len > UINT32_MAX)
		return -EBADMSG;
	r = set_schedule(s, &s->in, key);
	if (r == 0)
		r = buf_reserve(out, n > 0 ? n : 1);
	if (r < 0)
		return r;
	put_aad(aad, row);
	r = wc_AesGcmDecrypt(&s->in.aes, out->data + out->len, nonce + SEAL_NONCE_BYTES, (word32)n,
			     nonce, SEAL_NONCE_BYTES, nonce + SEAL_NONCE_BYTES + n, SEAL_TAG_BYTES,
			     aad, sizeof(aad));
	if (r == 0) {
		out->len += n;
		return 0;
	}
	explicit_bzero(out->data + out->len, n);
	return r == AES_GCM_AUTH_E ? -EBADMSG : -EIO;
}
