#include "tests/unit/seal_fixture.h"
#include "tests/unit/suite.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/pkcs11.h>

#define PIN	 "1234"
#define PIN_FILE seal_write_file("pin", PIN "\n", 5, 0600)
#define TOKEN	 "outbox token"

enum { AES_KEY_GEN = CKM_AES_KEY_GEN };

static const char *module; /* of SoftHSM; NULL: not on this machine, or of another architecture */

static const char *find_module(void)
{
	static const char *const paths[] = {
		"/usr/lib/softhsm/libsofthsm2.so",
		"/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
		"/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
		"/usr/lib/arm-linux-gnueabihf/softhsm/libsofthsm2.so",
	};

	for (size_t i = 0; i < array_len(paths); i++) {
		void *library = dlopen(paths[i], RTLD_NOW | RTLD_LOCAL);

		if (!library)
			continue;
		dlclose(library);
		return paths[i];
	}
	return NULL;
}

/* ---- a token of our own ---- */

static CK_FUNCTION_LIST *fn;
static void *library;

static void soft_begin(void)
{
	CK_C_GetFunctionList entry;
	void *p;

	library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
	ck_assert_ptr_nonnull(library);
	p = dlsym(library, "C_GetFunctionList");
	memcpy(&entry, &p, sizeof(entry));
	ck_assert_uint_eq(entry(&fn), CKR_OK);
	ck_assert_uint_eq(fn->C_Initialize(NULL), CKR_OK);
}

static void soft_end(void)
{
	ck_assert_uint_eq(fn->C_Finalize(NULL), CKR_OK);
	dlclose(library);
}

static CK_SLOT_ID slot_of(CK_BBOOL initialized)
{
	CK_SLOT_ID slots[8];
	CK_ULONG n = array_len(slots);

	ck_assert_uint_eq(fn->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
	for (CK_ULONG i = 0; i < n; i++) {
		CK_TOKEN_INFO info;

		ck_assert_uint_eq(fn->C_GetTokenInfo(slots[i], &info), CKR_OK);
		if (((info.flags & 0x400) != 0) == initialized) /* CKF_TOKEN_INITIALIZED */
			return slots[i];
	}
	ck_abort_msg("no such slot");
}

static CK_SESSION_HANDLE session(CK_USER_TYPE who)
{
	CK_SESSION_HANDLE s;
	CK_UTF8CHAR pin[] = PIN;

	ck_assert_uint_eq(fn->C_OpenSession(slot_of(true), CKF_SERIAL_SESSION | CKF_RW_SESSION,
					    NULL, NULL, &s),
			  CKR_OK);
	ck_assert_uint_eq(fn->C_Login(s, who, pin, 4), CKR_OK);
	return s;
}

static void make_token(const char *label)
{
	CK_UTF8CHAR pin[] = PIN, padded[32];
	CK_SESSION_HANDLE s;

	memset(padded, ' ', sizeof(padded));
	memcpy(padded, label, strlen(label));
	ck_assert_uint_eq(fn->C_InitToken(slot_of(false), pin, 4, padded), CKR_OK);
	s = session(CKU_SO);
	ck_assert_uint_eq(fn->C_InitPIN(s, pin, 4), CKR_OK);
	ck_assert_uint_eq(fn->C_CloseSession(s), CKR_OK);
}

/* value: 32 bytes with this value each; 0: the token makes one of len bytes. */
static void make_key(const char *label, CK_ULONG len, int value)
{
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	uint8_t key[32];
	char text[64];
	CK_ATTRIBUTE want[] = {
		{CKA_TOKEN, &yes, sizeof(yes)},
		{CKA_PRIVATE, &yes, sizeof(yes)},
		{CKA_SENSITIVE, &yes, sizeof(yes)},
		{CKA_EXTRACTABLE, &no, sizeof(no)},
		{CKA_ENCRYPT, &yes, sizeof(yes)},
		{CKA_DECRYPT, &yes, sizeof(yes)},
		{CKA_LABEL, text, strlen(label)},
		{CKA_CLASS, &class, sizeof(class)},
		{CKA_KEY_TYPE, &type, sizeof(type)},
		{value ? CKA_VALUE : CKA_VALUE_LEN, value ? (void *)key : &len,
		 value ? sizeof(key) : sizeof(len)},
	};
	CK_MECHANISM gen = {AES_KEY_GEN, NULL, 0};
	CK_SESSION_HANDLE s = session(CKU_USER);
	CK_OBJECT_HANDLE made;

	memset(key, value, sizeof(key));
	snprintf(text, sizeof(text), "%s", label);
	if (value)
		ck_assert_uint_eq(fn->C_CreateObject(s, want, array_len(want), &made), CKR_OK);
	else
		ck_assert_uint_eq(fn->C_GenerateKey(s, &gen, want, array_len(want), &made), CKR_OK);
	ck_assert_uint_eq(fn->C_CloseSession(s), CKR_OK);
}

static void set_up(void)
{
	char conf[200];

	seal_set_up();
	ck_assert_int_eq(mkdir(seal_path("tokens"), 0700), 0);
	snprintf(
		conf, sizeof(conf),
		"directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n",
		seal_dir);
	setenv("SOFTHSM2_CONF", seal_write_file("softhsm2.conf", conf, strlen(conf), 0600), 1);
	soft_begin();
	make_token(TOKEN);
	make_key("kek", 32, 0);
	make_key("kek 2", 32, 0);
	make_key("known", 32, 7);
	make_key("short", 16, 0);
	make_key("twice", 32, 0);
	make_key("twice", 32, 0);
	soft_end();
}

static struct seal_options options(const char *key)
{
	return (struct seal_options){.pkcs11_module = module,
				     .pkcs11_token = TOKEN,
				     .pkcs11_key = key,
				     .pkcs11_pin_file = PIN_FILE};
}

/* ---- what works ---- */

START_TEST(wraps_by_the_token)
{
	struct seal_options opt = options("kek");
	struct seal *s = seal_must_attach(&opt);

	seal_must_put(s, 1, "one");
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	seal_free(s);
	s = seal_must_attach(&opt);
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	seal_free(s);
	opt = options("kek 2");
	seal_attach_fails(&opt, -ENOKEY, "1 rows are encrypted with key ");
}
END_TEST

START_TEST(rotates_within_the_token)
{
	struct seal_options opt = options("kek");
	struct seal *s = seal_must_attach(&opt);

	seal_must_put(s, 1, "one");
	seal_free(s);
	opt = options("kek 2");
	opt.pkcs11_previous_key = "kek";
	seal_free(seal_must_attach(&opt));
	opt = options("kek 2");
	s = seal_must_attach(&opt);
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	seal_free(s);
}
END_TEST

START_TEST(from_file_to_token_and_back)
{
	struct seal_options file = {.key_file = seal_key_file("key", 1)};
	struct seal_options token = options("kek");
	struct seal *s = seal_must_attach(&file);

	seal_must_put(s, 1, "one");
	seal_free(s);
	token.previous_key_file = file.key_file;
	seal_free(seal_must_attach(&token));
	token = options("");
	token.key_file = file.key_file;
	token.pkcs11_previous_key = "kek";
	seal_free(seal_must_attach(&token));
	s = seal_must_attach(&file);
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	seal_free(s);
}
END_TEST

/* The token's AES-GCM is ours: the same key in a file has the same name, and unwraps. */
START_TEST(same_key_in_file_and_token)
{
	struct seal_options file = {.key_file = seal_key_file("key", 7)}, token = options("known");
	struct seal *s = seal_must_attach(&token);
	uint64_t f = seal_fingerprint(s);

	seal_must_put(s, 1, "one");
	seal_free(s);
	s = seal_must_attach(&file);
	ck_assert_uint_eq(seal_fingerprint(s), f);
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	seal_free(s);
}
END_TEST

START_TEST(damaged_copy_is_told_from_a_failing_token)
{
	struct seal_options opt = options("kek");
	struct seal *s = seal_must_attach(&opt);

	seal_must_put(s, 1, "one");
	seal_free(s);
	seal_exec("UPDATE key SET wrapped = zeroblob(60)");
	s = seal_must_attach(&opt);
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	seal_free(s);
	seal_exec("UPDATE key SET wrapped = zeroblob(60)");
	seal_exec("UPDATE key_spare SET wrapped = zeroblob(60)");
	s = seal_must_attach(&opt);
	ck_assert_int_eq(seal_get(s, 1, "one"), -EBADMSG);
	seal_free(s);
}
END_TEST

/* ---- what is refused ---- */

START_TEST(no_such_token_or_key)
{
	struct seal_options opt = options("other");

	seal_new_fails(&opt, -ENOENT, "token \"" TOKEN "\": no AES key labelled \"other\"");
	opt = options("short");
	seal_new_fails(&opt, -EINVAL, "key \"short\" is AES-128, not AES-256");
	opt = options("twice");
	seal_new_fails(&opt, -EINVAL, "more than one AES key labelled \"twice\"");
	opt = options("kek");
	opt.pkcs11_previous_key = "other";
	seal_new_fails(&opt, -ENOENT, "no AES key labelled \"other\"");
	opt = options("kek");
	opt.pkcs11_token = "outbox";
	seal_new_fails(&opt, -ENOENT, "token \"outbox\": no token of this label in any slot");
	opt.pkcs11_token = "a label that is longer than 32 byte";
	seal_new_fails(&opt, -EINVAL, "a token's label has at most 32 bytes");
}
END_TEST

/* One try; then none until somebody logged in with the right one. */
START_TEST(wrong_pin_is_tried_once)
{
	struct seal_options opt = options("kek"), wrong = options("kek");

	wrong.pkcs11_pin_file = seal_write_file("wrong", "4321", 4, 0600);
	seal_new_fails(&wrong, -EACCES, "token \"" TOKEN "\": cannot log in: wrong PIN");
	seal_new_fails(&wrong, -EACCES, "a wrong PIN was given before");
	seal_new_fails(&opt, -EACCES, "a wrong PIN was given before");
	soft_begin();
	(void)session(CKU_USER);
	soft_end();
	seal_free(seal_must_new(&opt));
}
END_TEST

START_TEST(pin_file)
{
	struct seal_options opt = options("kek");

	opt.pkcs11_pin_file = seal_path("nowhere");
	seal_new_fails(&opt, -ENOENT, "nowhere: No such file");
	opt.pkcs11_pin_file = seal_write_file("pin", PIN, 4, 0644);
	seal_new_fails(&opt, -EACCES, "PIN file ");
	opt.pkcs11_pin_file = seal_write_file("pin", "\n", 1, 0600);
	seal_new_fails(&opt, -EINVAL, "the PIN file is empty");
	opt.pkcs11_pin_file = "";
	seal_new_fails(&opt, -EINVAL, "it wants a PIN, and there is no file with it");
}
END_TEST

/* ---- a token that goes away ---- */

static struct seal *attach_two_rows_a_key(void)
{
	struct seal_options opt = options("kek");

	opt.data_key_max_rows = 2;
	return seal_must_attach(&opt);
}

/* Sessions end, as when a daemon behind the module starts again. */
START_TEST(lost_session_is_opened_again)
{
	struct seal *s = attach_two_rows_a_key();
	int64_t first = seal_must_put(s, 1, "one");
	void *p;

	seal_must_put(s, 2, "two");
	library = dlopen(module, RTLD_NOW | RTLD_LOCAL); /* the same instance */
	p = dlsym(library, "C_GetFunctionList");
	ck_assert_uint_eq(((CK_C_GetFunctionList)(uintptr_t)p)(&fn), CKR_OK);
	ck_assert_uint_eq(fn->C_CloseAllSessions(slot_of(true)), CKR_OK);
	ck_assert_int_ne(seal_must_put(s, 3, "three"), first);
	ck_assert(!seal_trouble(s, &seal_err));
	dlclose(library);
	seal_free(s);
}
END_TEST

/* Rows are stored all the same, under the data key that there is. */
START_TEST(token_removed_while_running)
{
	struct seal *s = attach_two_rows_a_key();
	int64_t first = seal_must_put(s, 1, "one");
	void *p;

	seal_must_put(s, 2, "two");
	library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
	p = dlsym(library, "C_GetFunctionList");
	ck_assert_uint_eq(((CK_C_GetFunctionList)(uintptr_t)p)(&fn), CKR_OK);
	ck_assert_uint_eq(fn->C_Finalize(NULL), CKR_OK);
	ck_assert_int_eq(seal_must_put(s, 3, "three"), first);
	ck_assert(seal_trouble(s, &seal_err));
	ck_assert_ptr_nonnull(strstr(seal_err.text, "PKCS#11 token \"" TOKEN "\""));
	ck_assert(!seal_trouble(s, &seal_err));
	ck_assert_int_eq(seal_get(s, 1, "one"), 0);
	ck_assert_int_eq(seal_get(s, 3, "three"), 0);

	ck_assert_uint_eq(fn->C_Initialize(NULL), CKR_OK); /* it is back */
	seal_must_put(s, 4, "four");
	ck_assert_int_ne(seal_must_put(s, 5, "five"), first);
	dlclose(library);
	seal_free(s);
}
END_TEST

/* ---- without SoftHSM ---- */

START_TEST(not_a_module)
{
	struct seal_options opt = {.pkcs11_token = "t", .pkcs11_key = "k", .pkcs11_pin_file = "p"};

	seal_new_fails(&opt, -EINVAL, "not an absolute path");
	opt.pkcs11_module = "libsofthsm2.so";
	seal_new_fails(&opt, -EINVAL, "PKCS#11 module libsofthsm2.so: not an absolute path");
	opt.pkcs11_module = seal_path("nowhere.so");
	seal_new_fails(&opt, -EINVAL, "nowhere.so: cannot open shared object file");
	opt.pkcs11_module = seal_write_file("text.so", "text", 4, 0700);
	seal_new_fails(&opt, -EINVAL, "text.so: file too short");
}
END_TEST

/* libm is a library, and no such module. */
START_TEST(library_without_entry)
{
	struct seal_options opt = {.pkcs11_token = "t", .pkcs11_key = "k", .pkcs11_pin_file = "p"};
	Dl_info info;
	void *p = dlsym(RTLD_DEFAULT, "getenv");

	ck_assert_ptr_nonnull(p);
	ck_assert_int_ne(dladdr(p, &info), 0);
	opt.pkcs11_module = realpath(info.dli_fname, NULL);
	seal_new_fails(&opt, -EINVAL, "has no C_GetFunctionList: not such a module");
	free((void *)(uintptr_t)opt.pkcs11_module);
}
END_TEST

static TCase *token_case(void)
{
	TCase *t = tcase_create("token");

	tcase_set_timeout(t, 20);
	tcase_add_checked_fixture(t, set_up, seal_tear_down);
	tcase_add_test(t, wraps_by_the_token);
	tcase_add_test(t, rotates_within_the_token);
	tcase_add_test(t, from_file_to_token_and_back);
	tcase_add_test(t, same_key_in_file_and_token);
	tcase_add_test(t, damaged_copy_is_told_from_a_failing_token);
	tcase_add_test(t, no_such_token_or_key);
	tcase_add_test(t, wrong_pin_is_tried_once);
	tcase_add_test(t, pin_file);
	tcase_add_test(t, lost_session_is_opened_again);
	tcase_add_test(t, token_removed_while_running);
	return t;
}

int main(void)
{
	TCase *cases[2] = {tcase_create("module")};
	size_t n = 1;

	tcase_add_checked_fixture(cases[0], seal_set_up, seal_tear_down);
	tcase_add_test(cases[0], not_a_module);
	tcase_add_test(cases[0], library_without_entry);
	module = find_module();
	if (module)
		cases[n++] = token_case();
	else if (TEST_EMULATED)
		puts("test_seal_pkcs11: no SoftHSM of this architecture: tokens are not tested");
	else
		puts("test_seal_pkcs11: softhsm2 is not installed (tools/setup): FAILED");
	return suite_run("seal_pkcs11", cases, n) || !(module || TEST_EMULATED);
}
