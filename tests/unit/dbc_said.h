/* tests/unit/dbc_said.h: reads DBC texts and holds what is said about them against what should be.
 */
#pragma once

#include "tools/dbc/dbc.h"

extern size_t said_len;
extern char *said;		   /* all diagnostics of the running test, a line each */
extern const struct dbc_sink sink; /* writes there */

void said_setup(void); /* both, for tcase_add_checked_fixture */
void said_teardown(void);

struct dbc *parse_bytes(const char *text, size_t len); /* as t.dbc */
/* Parses, compiles, checks what was said. NULL when there is no message. */
struct catalog *compile(const char *text, const char *expected);
struct catalog *compile_signal(const char *line,
			       const char *expected); /* in a message of 8 bytes */

const struct catalog_signal *find(const struct catalog *cat, const char *path); /* which is there */
bool has(const struct catalog *cat, const char *path);

/* A line about which there is nothing to say. */
#define GOOD " SG_ Good : 56|8@1+ (1,0) [0|0] \"\" N\n"
