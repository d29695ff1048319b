/* tests/unit/conf_fixture.h: a table of keys of every type, and texts read by it. */
#pragma once

#include "base/conf.h"

extern const struct conf_table table;

#define VEHICLE "[agent]\nvehicle = v1\n" /* what every text needs */

/* Reads text as t.conf. Returns what conf_parse does. */
int parse(struct conf **ret, const char *text, struct error *err);
struct conf *must_parse(const char *text);
void check_error(const char *text, const char *want); /* text is refused with exactly want */
