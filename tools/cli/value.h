/* tools/cli/value.h: a signal's value as people read it. */
#pragma once

#include <jansson.h>

enum { VALUE_TEXT_MAX = 160 };

/* The text of its value table where there is one, else the number in as few digits as read back to
 * the same double. Returns out. */
const char *value_text(const json_t *signal, char out[static VALUE_TEXT_MAX]);
/* A number in as few digits as read back to the same double. */
const char *value_number(double value, char out[static VALUE_TEXT_MAX]);
