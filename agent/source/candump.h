/* agent/source/candump.h: lines of can-utils' candump -l format.
 *
 *   (seconds.micros) bus ID#DATA        classic; 3 hex digits: 11 bits, 8: 29 bits; #R[len] remote
 *   (seconds.micros) bus ID##<flags>DATA   CAN FD; flags, a hex digit: 1 bit rate switch, 2 error
 *                                          state
 *
 * An 8-digit ID with bit 29 set (20000000) is an error frame. Anything after the data (candump's
 * R/T direction) is passed over. */
#pragma once

#include "agent/source/frame.h"

enum { CANDUMP_LINE_MAX = 256, CANDUMP_BUS_MAX = 15 };

struct candump_line {
	struct frame frame; /* t_ns as logged; bus is FRAME_BUS_NONE: the caller maps the name */
	char bus[CANDUMP_BUS_MAX + 1];
};

/* Parses one line without its newline. Returns 0; -EINVAL with err saying what is wrong where
 * (column), or that the line is candump's without -l. Empty lines and lines that start with # give
 * -ENODATA. Bytes of frame.data beyond len are left as they were. */
int candump_parse(const char *line, size_t len, struct candump_line *ret,
		  struct error *err) must_check;
/* Writes a line with its newline (no NUL); returns its length. Whole microseconds; t_ns below 0 is
 * written as 0. bus is cut at CANDUMP_BUS_MAX. out holds at least CANDUMP_LINE_MAX. */
size_t candump_format(const struct frame *f, const char *bus, char *out);

/* Cuts what is fed into lines, for a source that reads by itself (a FIFO in an epoll loop):
 *
 *   n = read(fd, block, sizeof(block));
 *   candump_feed(&s, block, n);
 *   while ((r = candump_take(&s, name, &line, &err)) != 0)
 *           r > 0 ? use(&line) : report(&err);
 *
 * and candump_take_end once at the end of the input. Zero-initialised it is ready. */
struct candump_splitter {
	const char *in; /* borrowed: fed, not yet taken */
	size_t in_len;
	uint64_t line; /* number of the line taken last, from 1 */
	bool skipping; /* inside an over-long line: passed over up to its newline */
	size_t kept;   /* bytes in partial */
	char partial[CANDUMP_LINE_MAX];
};

/* Gives the splitter the next bytes, which must stay until candump_take returned 0. What was fed
 * before must have been taken. */
void candump_feed(struct candump_splitter *s, const char *data, size_t len);
/* Returns 1 with a frame; 0: feed more; -EINVAL with err ("name:line: ...") for a line that is
 * skipped: call again. Empty lines and comments are passed over. */
int candump_take(struct candump_splitter *s, const char *name, struct candump_line *ret,
		 struct error *err) must_check;
/* The last line, where the input does not end in a newline: as candump_take, and err says that the
 * log is truncated. */
int candump_take_end(struct candump_splitter *s, const char *name, struct candump_line *ret,
		     struct error *err) must_check;

/* Reads lines from a file or FIFO (plain or gzip, by its first bytes) or from standard input ("-").
 * Hands over what a read gave at once, so that a live pipe is not held up. path is copied. */
struct candump_reader;
int candump_open(struct candump_reader **ret, const char *path, struct error *err) must_check;
struct candump_reader *candump_close(struct candump_reader *r);
/* Returns 1 with a frame, 0 at the end, -EINVAL with err ("path:line: ...") for a line that is
 * skipped (call again), or another -errno with err for a file that cannot be read on (gzip:
 * -EBADMSG when it is damaged or ends in the middle; what came before was delivered). A last line
 * without newline that does not parse is a truncated log and reported as such. Blocks while there
 * is nothing to read. */
int candump_next(struct candump_reader *r, struct candump_line *ret, struct error *err) must_check;
uint64_t candump_line_number(const struct candump_reader *r);
/* Bytes read of the (compressed) file and its size; size 0: unknown. For progress. */
void candump_progress(const struct candump_reader *r, uint64_t *ret_read, uint64_t *ret_size);
