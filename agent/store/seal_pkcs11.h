/* agent/store/seal_pkcs11.h: AES-GCM by a key in a PKCS#11 token (OASIS PKCS #11 2.40). */
#pragma once

#include "agent/store/seal_kek.h"

struct seal_token;

/* Loads the module, finds the token by its label, and logs in. Returns 0, or -errno as seal_new. */
int token_open(struct seal_token **ret, const char *module, const char *label, const char *pin_file,
	       struct error *err) must_check;
struct seal_token *token_close(struct seal_token *t);

/* As gcm_run, with the AES-256 key of this label; at most TOKEN_TEXT_MAX bytes. A session that was
 * lost is opened again, once. */
enum { TOKEN_TEXT_MAX = 64 };
int token_gcm(struct seal_token *t, const char *key, bool encrypt, const struct gcm_text *text,
	      struct error *err) must_check;
