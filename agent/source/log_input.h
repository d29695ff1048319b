/* agent/source/log_input.h: the bytes of a log, plain or gzip, as they come from a file, a FIFO or
 * standard input. Never blocks on a pipe. */
#pragma once

#include "base/base.h"

struct log_input;

/* path "-" is standard input, which stays open at close. Opening a FIFO does not wait for its
 * writer. Returns 0; -errno with err. */
int log_input_open(struct log_input **ret, const char *path, struct error *err) must_check;
struct log_input *log_input_close(struct log_input *in);
int log_input_fd(const struct log_input *in);
/* A regular file: can be rewound. */
bool log_input_is_file(const struct log_input *in);
/* Returns 1 with data (borrowed until the next call); 0: the end; -EAGAIN: nothing now, poll the
 * descriptor (regular files and what epoll refuses, as /dev/null, never say so); -EBADMSG with err:
 * gzip that is damaged or ends in the middle; -errno with err. */
int log_input_read(struct log_input *in, const char **ret, size_t *ret_len,
		   struct error *err) must_check;
/* Bytes read of the (compressed) log and its size; size 0: unknown. */
void log_input_progress(const struct log_input *in, uint64_t *ret_read, uint64_t *ret_size);
/* Regular files only: from the start. Returns 0 or -errno. */
int log_input_rewind(struct log_input *in) must_check;
