/* tools/cli/number.h: doubles as the shortest text that reads back to the same double. */
#pragma once

#include "base/base.h"

enum { NUMBER_TEXT = 32 };

/* Writes at most NUMBER_TEXT - 1 bytes, without NUL; returns their number. "nan", "inf", "-inf" as
 * printf has them; minus zero is "0". */
size_t number_format(double v, char *out);
/* Integers in decimal; return the length (at most 20). */
size_t number_format_u64(uint64_t v, char *out);
size_t number_format_i64(int64_t v, char *out);
