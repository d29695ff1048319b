/* The PKCS#11 C API, called directly. wolfCrypt has a layer over it (wc_Pkcs11), which can use an
 * AES key by its label, but makes one error code of all that a token says, and opens a session and
 * logs in on its own for each operation: a wrong PIN could not be told from a token that is away,
 * and would be tried until the token locks. Only wolfCrypt's types are used. */
#include "agent/store/seal_pkcs11.h"

#include "base/bytes.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/pkcs11.h>

/* Of OASIS PKCS #11 2.40 (pkcs11t.h): what wolfCrypt's header leaves out. */
enum {
	RV_GENERAL_ERROR = 0x05,
	RV_FUNCTION_FAILED = 0x06,
	RV_CANT_LOCK = 0x0a,
	RV_DEVICE_ERROR = 0x30,
	RV_DEVICE_REMOVED = 0x32,
	RV_ENCRYPTED_DATA_INVALID = 0x40,
	RV_ENCRYPTED_DATA_LEN_RANGE = 0x41,
	RV_KEY_HANDLE_INVALID = 0x60,
	RV_OBJECT_HANDLE_INVALID = 0x82,
	RV_PIN_INCORRECT = 0xa0,
	RV_PIN_INVALID = 0xa1,
	RV_PIN_LEN_RANGE = 0xa2,
	RV_PIN_EXPIRED = 0xa3,
	RV_PIN_LOCKED = 0xa4,
	RV_SESSION_CLOSED = 0xb0,
	RV_SESSION_HANDLE_INVALID = 0xb3,
	RV_TOKEN_NOT_PRESENT = 0xe0,
	RV_USER_ALREADY_LOGGED_IN = 0x100,
	RV_USER_NOT_LOGGED_IN = 0x101,
	RV_USER_PIN_NOT_INITIALIZED = 0x102,
	RV_CRYPTOKI_ALREADY_INITIALIZED = 0x191,

	TOKEN_LOGIN_REQUIRED = 0x4,
	TOKEN_PIN_COUNT_LOW = 0x10000,
	TOKEN_PIN_FINAL_TRY = 0x20000,
	TOKEN_PIN_IS_LOCKED = 0x40000,

	LABEL_BYTES = sizeof(((CK_TOKEN_INFO *)0)->label),
	SLOTS_MAX = 64,
	PATH_BYTES = 1100,
	PIN_BYTES = 256,
};

struct seal_token {
	void *library;
	CK_FUNCTION_LIST *fn;
	bool initialized; /* by us: to be finalized by us */
	char label[LABEL_BYTES + 1];
	char pin_file[PATH_BYTES];
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE session;
	bool open;
	bool pin_refused; /* never again in this process */
};

/* ---- what went wrong ---- */

static const char *rv_text(CK_RV rv)
{
	static const struct {
		CK_RV rv;
		const char *text;
	} texts[] = {
		{RV_GENERAL_ERROR, "general error"},
		{RV_FUNCTION_FAILED, "function failed"},
		{RV_DEVICE_ERROR, "device error"},
		{RV_DEVICE_REMOVED, "the token was removed"},
		{RV_ENCRYPTED_DATA_INVALID, "the wrapped key is damaged"},
		{RV_ENCRYPTED_DATA_LEN_RANGE, "the wrapped key is damaged"},
		{RV_PIN_INCORRECT, "wrong PIN"},
		{RV_PIN_INVALID, "the PIN has characters that the token does not take"},
		{RV_PIN_LEN_RANGE, "the PIN is too short or too long"},
		{RV_PIN_EXPIRED, "the PIN has expired"},
		{RV_PIN_LOCKED, "the PIN is locked after too many wrong ones"},
		{RV_TOKEN_NOT_PRESENT, "the token is not there"},
		{RV_USER_PIN_NOT_INITIALIZED, "the token has no user PIN"},
		{CKR_MECHANISM_INVALID, "it has no AES-GCM"},
	};

	for (size_t i = 0; i < array_len(texts); i++)
		if (texts[i].rv == rv)
			return texts[i].text;
	return "refused";
}

static int fail(const struct seal_token *t, int r, const char *what, CK_RV rv, struct error *err)
{
	error_set(err, "PKCS#11 token \"%s\": %s: %s (0x%lx)", t->label, what, rv_text(rv), rv);
	return r;
}

static int say(const struct seal_token *t, int r, const char *what, struct error *err)
{
	error_set(err, "PKCS#11 token \"%s\": %s", t->label, what);
	return r;
}

/* ---- the module ---- */

/* dlsym gives an object pointer; POSIX has it that functions fit. */
static CK_C_GetFunctionList find_entry(void *library)
{
	CK_C_GetFunctionList entry = NULL;
	void *p = dlsym(library, "C_GetFunctionList");

	static_assert(sizeof(p) == sizeof(entry), "a function pointer fits a void pointer");
	memcpy(&entry, &p, sizeof(entry));
	return entry;
}

static int initialize(struct seal_token *t, const char *module, struct error *err)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_RV rv = t->fn->C_Initialize(&args);

	if (rv == RV_CANT_LOCK) /* a module without locks: we use it from one thread at a time */
		rv = t->fn->C_Initialize(NULL);
	t->initialized = rv == CKR_OK;
	if (rv == CKR_OK || rv == RV_CRYPTOKI_ALREADY_INITIALIZED)
		return 0;
	error_set(err, "PKCS#11 module %s: cannot be initialized: %s (0x%lx)", module, rv_text(rv),
		  rv);
	return -EIO;
}

static int load(struct seal_token *t, const char *module, struct error *err)
{
	CK_C_GetFunctionList entry;

	if (*module != '/') {
		error_set(err, "PKCS#11 module %s: not an absolute path", module);
		return -EINVAL;
	}
	t->library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
	if (!t->library) {
		error_set(err, "PKCS#11 module %s", dlerror());
		return -EINVAL;
	}
	entry = find_entry(t->library);
	if (!entry || entry(&t->fn) != CKR_OK || !t->fn) {
		t->fn = NULL;
		error_set(err, "PKCS#11 module %s: has no C_GetFunctionList: not such a module",
			  module);
		return -EINVAL;
	}
	return initialize(t, module, err);
}

/* ---- the token ---- */

static bool has_label(const CK_TOKEN_INFO *info, const char *label)
{
	char padded[LABEL_BYTES];
	size_t n = strlen(label);

	memset(padded, ' ', sizeof(padded));
	memcpy(padded, label, n);
	return memcmp(info->label, padded, sizeof(padded)) == 0;
}

static int find_slot(struct seal_token *t, CK_FLAGS *ret_flags, struct error *err)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG n = SLOTS_MAX;
	CK_RV rv = t->fn->C_GetSlotList(CK_TRUE, slots, &n);
	size_t found = 0;

	if (rv != CKR_OK)
		return fail(t, -EIO, "cannot be looked for", rv, err);
	for (CK_ULONG i = 0; i < n; i++) {
		CK_TOKEN_INFO info;

		if (t->fn->C_GetTokenInfo(slots[i], &info) != CKR_OK || !has_label(&info, t->label))
			continue;
		t->slot = slots[i];
		*ret_flags = info.flags;
		found++;
	}
	if (found == 0)
		return say(t, -ENOENT, "no token of this label in any slot", err);
	return found == 1 ? 0 : say(t, -EINVAL, "more than one token has this label", err);
}

/* Wrong tries add up until the token locks, and the agent is started again and again: it tries only
 * where no try has failed since the last that did not. */
static int check_pin_state(struct seal_token *t, CK_FLAGS flags, struct error *err)
{
	if (t->pin_refused)
		return say(t, -EACCES, "its PIN was refused; not tried again", err);
	if (flags & TOKEN_PIN_IS_LOCKED)
		return say(t, -EACCES, "the PIN is locked after too many wrong ones", err);
	if (flags & (TOKEN_PIN_COUNT_LOW | TOKEN_PIN_FINAL_TRY))
		return say(t, -EACCES,
			   "a wrong PIN was given before: none is tried until somebody has logged "
			   "in with the right one, so that the token does not lock",
			   err);
	return 0;
}

static int log_in(struct seal_token *t, CK_FLAGS flags, struct error *err)
{
	uint8_t pin[PIN_BYTES];
	ssize_t n;
	CK_RV rv;
	int r;

	if (!(flags & TOKEN_LOGIN_REQUIRED))
		return 0;
	r = check_pin_state(t, flags, err);
	if (r < 0)
		return r;
	if (!*t->pin_file)
		return say(t, -EINVAL, "it wants a PIN, and there is no file with it", err);
	n = secret_file_read(t->pin_file, "PIN file", pin, sizeof(pin), err);
	if (n < 0)
		return (int)n;
	while (n > 0 && (pin[n - 1] == '\n' || pin[n - 1] == '\r'))
		n--;
	if (n == 0)
		return say(t, -EINVAL, "the PIN file is empty", err);
	rv = t->fn->C_Login(t->session, CKU_USER, pin, (CK_ULONG)n);
	explicit_bzero(pin, sizeof(pin));
	if (rv == CKR_OK || rv == RV_USER_ALREADY_LOGGED_IN)
		return 0;
	t->pin_refused = rv >= RV_PIN_INCORRECT && rv <= RV_PIN_LOCKED;
	return fail(t, t->pin_refused ? -EACCES : -EIO, "cannot log in", rv, err);
}

static void end_session(struct seal_token *t)
{
	if (t->open)
		(void)t->fn->C_CloseSession(t->session);
	t->open = false;
}

static int check_mechanism(struct seal_token *t, struct error *err)
{
	CK_MECHANISM_INFO info;
	CK_RV rv = t->fn->C_GetMechanismInfo(t->slot, CKM_AES_GCM, &info);

	return rv == CKR_OK ? 0 : fail(t, -EINVAL, "cannot be used", rv, err);
}

static int begin_session(struct seal_token *t, struct error *err)
{
	CK_FLAGS flags = 0;
	CK_RV rv;
	int r = find_slot(t, &flags, err);

	if (r == 0)
		r = check_mechanism(t, err);
	if (r < 0)
		return r;
	rv = t->fn->C_OpenSession(t->slot, CKF_SERIAL_SESSION, NULL, NULL, &t->session);
	if (rv != CKR_OK)
		return fail(t, -EIO, "no session", rv, err);
	t->open = true;
	r = log_in(t, flags, err);
	if (r < 0)
		end_session(t);
	return r;
}

static int set_up(struct seal_token *t, const char *module, const char *label, const char *pin_file,
		  struct error *err)
{
	int n = snprintf(t->label, sizeof(t->label), "%s", label);
	int r;

	if (n < 0 || (size_t)n >= sizeof(t->label))
		return say(t, -EINVAL, "a token's label has at most 32 bytes", err);
	n = snprintf(t->pin_file, sizeof(t->pin_file), "%s", pin_file);
	if (n < 0 || (size_t)n >= sizeof(t->pin_file))
		return say(t, -EINVAL, "the path of the PIN file is too long", err);
	r = load(t, module, err);
	return r < 0 ? r : begin_session(t, err);
}

int token_open(struct seal_token **ret, const char *module, const char *label, const char *pin_file,
	       struct error *err)
{
	struct seal_token *t = calloc(1, sizeof(*t));
	int r;

	if (!t) {
		error_set(err, "no memory for a PKCS#11 token");
		return -ENOMEM;
	}
	r = set_up(t, module, label, pin_file, err);
	if (r < 0) {
		token_close(t);
		return r;
	}
	*ret = t;
	return 0;
}

struct seal_token *token_close(struct seal_token *t)
{
	if (!t)
		return NULL;
	end_session(t);
	if (t->initialized)
		(void)t->fn->C_Finalize(NULL);
	if (t->library)
		(void)dlclose(t->library);
	free(t);
	return NULL;
}

/* ---- the key ---- */

/* Only what is not an AES-256 key for certain is refused: a token may keep the length to itself. */
static int check_length(struct seal_token *t, const char *label, CK_OBJECT_HANDLE key,
			struct error *err)
{
	CK_ULONG len = 0;
	CK_ATTRIBUTE a = {CKA_VALUE_LEN, &len, sizeof(len)};
	CK_RV rv = t->fn->C_GetAttributeValue(t->session, key, &a, 1);

	if (rv != CKR_OK || a.ulValueLen != sizeof(len) || len == SEAL_KEY_BYTES)
		return 0;
	error_set(err, "PKCS#11 token \"%s\": key \"%s\" is AES-%lu, not AES-256", t->label, label,
		  len * 8);
	return -EINVAL;
}

static CK_RV find_objects(struct seal_token *t, const char *label, CK_OBJECT_HANDLE found[2],
			  CK_ULONG *ret_n)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	char text[256];
	size_t len = strlen(label);
	CK_ATTRIBUTE want[] = {
		{CKA_CLASS, &class, sizeof(class)},
		{CKA_KEY_TYPE, &type, sizeof(type)},
		{CKA_LABEL, text, (CK_ULONG)len},
	};
	CK_RV rv;

	assert(len < sizeof(text));
	memcpy(text, label, len);
	rv = t->fn->C_FindObjectsInit(t->session, want, array_len(want));
	if (rv != CKR_OK)
		return rv;
	rv = t->fn->C_FindObjects(t->session, found, 2, ret_n);
	(void)t->fn->C_FindObjectsFinal(t->session);
	return rv;
}

/* ret_rv is set where it was the token that failed. */
static int find_key(struct seal_token *t, const char *label, CK_OBJECT_HANDLE *ret, CK_RV *ret_rv,
		    struct error *err)
{
	CK_OBJECT_HANDLE found[2];
	CK_ULONG n = 0;

	*ret_rv = find_objects(t, label, found, &n);
	if (*ret_rv != CKR_OK)
		return fail(t, -EIO, "keys cannot be looked for", *ret_rv, err);
	if (n != 1) {
		error_set(err, "PKCS#11 token \"%s\": %s labelled \"%s\"", t->label,
			  n == 0 ? "no AES key" : "more than one AES key", label);
		return n == 0 ? -ENOENT : -EINVAL;
	}
	*ret = found[0];
	return check_length(t, label, *ret, err);
}

/* ---- AES-GCM ---- */

static CK_RV crypt_once(struct seal_token *t, CK_OBJECT_HANDLE key, bool encrypt,
			const struct gcm_text *text)
{
	uint8_t nonce[SEAL_NONCE_BYTES], aad[TOKEN_TEXT_MAX];
	uint8_t in[TOKEN_TEXT_MAX + SEAL_TAG_BYTES], out[TOKEN_TEXT_MAX + SEAL_TAG_BYTES];
	size_t in_len = text->len + (encrypt ? 0 : SEAL_TAG_BYTES);
	size_t out_len = text->len + (encrypt ? SEAL_TAG_BYTES : 0);
	CK_GCM_PARAMS gcm = {nonce, sizeof(nonce),	     8 * sizeof(nonce),
			     aad,   (CK_ULONG)text->aad_len, 8 * SEAL_TAG_BYTES};
	CK_MECHANISM mechanism = {CKM_AES_GCM, &gcm, sizeof(gcm)};
	CK_ULONG n = sizeof(out);
	CK_RV rv;

	assert(text->len <= TOKEN_TEXT_MAX && text->aad_len <= TOKEN_TEXT_MAX);
	memcpy(nonce, text->nonce, sizeof(nonce));
	memcpy(aad, text->aad, text->aad_len);
	memcpy(in, text->in, in_len);
	rv = encrypt ? t->fn->C_EncryptInit(t->session, &mechanism, key)
		     : t->fn->C_DecryptInit(t->session, &mechanism, key);
	if (rv == CKR_OK)
		rv = encrypt ? t->fn->C_Encrypt(t->session, in, (CK_ULONG)in_len, out, &n)
			     : t->fn->C_Decrypt(t->session, in, (CK_ULONG)in_len, out, &n);
	if (rv == CKR_OK && n != out_len)
		rv = RV_ENCRYPTED_DATA_INVALID;
	if (rv == CKR_OK)
		memcpy(text->out, out, out_len);
	explicit_bzero(in, sizeof(in));
	explicit_bzero(out, sizeof(out));
	return rv;
}

static int crypt(struct seal_token *t, const char *label, bool encrypt, const struct gcm_text *text,
		 CK_RV *ret_rv, struct error *err)
{
	CK_OBJECT_HANDLE key = 0;
	int r = find_key(t, label, &key, ret_rv, err);

	if (r < 0)
		return r;
	*ret_rv = crypt_once(t, key, encrypt, text);
	if (*ret_rv == CKR_OK)
		return 0;
	r = fail(t, -EIO, encrypt ? "cannot wrap a key" : "cannot unwrap a key", *ret_rv, err);
	if (!encrypt &&
	    (*ret_rv == RV_ENCRYPTED_DATA_INVALID || *ret_rv == RV_ENCRYPTED_DATA_LEN_RANGE))
		r = -EBADMSG;
	return r;
}

/* A session ends when the token is pulled, or its daemon was started again. */
static bool session_lost(CK_RV rv)
{
	switch (rv) {
	case RV_DEVICE_ERROR:
	case RV_DEVICE_REMOVED:
	case RV_KEY_HANDLE_INVALID:
	case RV_OBJECT_HANDLE_INVALID:
	case RV_SESSION_CLOSED:
	case RV_SESSION_HANDLE_INVALID:
	case RV_TOKEN_NOT_PRESENT:
	case RV_USER_NOT_LOGGED_IN:
		return true;
	default:
		return false;
	}
}

/* Tokens say "general error" of a tag that does not fit, too: if this one can still encrypt, it was
 * the wrapped key. */
static bool still_works(struct seal_token *t, const char *label)
{
	static const uint8_t in[SEAL_TAG_BYTES];
	uint8_t nonce[SEAL_NONCE_BYTES], out[sizeof(in) + SEAL_TAG_BYTES];
	const struct gcm_text probe = {
		.nonce = nonce, .aad = in, .in = in, .len = sizeof(in), .out = out};
	CK_RV rv;
	int r;

	random_bytes(nonce, sizeof(nonce));
	nonce[0] |= 0x80; /* as of a wrapped key: see kek_wrap */
	r = crypt(t, label, true, &probe, &rv, NULL);
	explicit_bzero(out, sizeof(out));
	return r == 0;
}

int token_gcm(struct seal_token *t, const char *key, bool encrypt, const struct gcm_text *text,
	      struct error *err)
{
	CK_RV rv = CKR_OK;
	int r = t->open ? crypt(t, key, encrypt, text, &rv, err) : -EIO;

	if (!t->open || session_lost(rv)) {
		end_session(t);
		r = begin_session(t, err);
		if (r == 0)
			r = crypt(t, key, encrypt, text, &rv, err);
	}
	if (r == -EIO && !encrypt && (rv == RV_GENERAL_ERROR || rv == RV_FUNCTION_FAILED) &&
	    still_works(t, key))
		return -EBADMSG;
	return r;
}
