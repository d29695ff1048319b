/* agent/source/candump.h: lines of can-utils' candump -l format.
 *
 *   (seconds.micros) bus ID#DATA        classic; 3 hex digits: 11 bits, 8: 29 bits; #R[len] remote
 *   (seconds.micros) bus ID##<flags>DATA   CAN FD
 *
 * Anything after the data (candump's R/T direction) is passed over. */
#pragma once

#include "agent/source/frame.h"

enum { CANDUMP_LINE_MAX = 256, CANDUMP_BUS_MAX = 15 };

struct candump_line {
	struct frame frame; /* t_ns as logged; bus is FRAME_BUS_NONE: the caller maps the name */
	char bus[CANDUMP_BUS_MAX + 1];
};

/* Parses one line without its newline. Returns 0; -EINVAL with err saying what is wrong where
 * (column). Empty lines and lines that start with # give -ENODATA. */
int candump_parse(const char *line, size_t len, struct candump_line *ret,
		  struct error *err) must_check;
/* Writes a line with its newline; returns its length. out holds at least CANDUMP_LINE_MAX. */
size_t candump_format(const struct frame *f, const char *bus, char *out);

/* Reads lines from a file (plain or gzip, by its first bytes) or from standard input ("-"). */
struct candump_reader;
int candump_open(struct candump_reader **ret, const char *path, struct error *err) must_check;
struct candump_reader *candump_close(struct candump_reader *r);
/* Returns 1 with a frame, 0 at the end, -EINVAL with err ("path:line: ...") for a line that is
 * skipped (call again), or another -errno with err for a file that cannot be read on. A last line
 * without newline that does not parse is a truncated log and reported as such. */
int candump_next(struct candump_reader *r, struct candump_line *ret, struct error *err) must_check;
uint64_t candump_line_number(const struct candump_reader *r);
/* Bytes read of the (compressed) file and its size; size 0: unknown. For progress. */
void candump_progress(const struct candump_reader *r, uint64_t *ret_read, uint64_t *ret_size);
