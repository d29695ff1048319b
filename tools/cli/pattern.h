/* tools/cli/pattern.h: which signals a text of the command line means. */
#pragma once

#include "proto/catalog.h"

/* Marks the signals of cat that pattern matches: on the whole path (bus.message.signal), or on what
 * follows its bus; * is a wildcard. wanted has a byte a signal. Returns how many match. */
size_t pattern_mark(const struct catalog *cat, const char *pattern, uint8_t *wanted);
