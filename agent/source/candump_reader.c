/* Lines of a log, waited for. */
#include "agent/source/candump.h"
#include "agent/source/log_input.h"

#include <poll.h>
#include <string.h>

struct candump_reader {
	struct candump_splitter lines;
	struct log_input *in;
	char *path;
	bool ended;	  /* nothing more will be fed */
	int failed;	  /* -errno that ended the reading; sticky */
	struct error why; /* of failed */
};

int candump_open(struct candump_reader **ret, const char *path, struct error *err)
{
	struct candump_reader *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	r->path = strdup(strcmp(path, "-") == 0 ? "stdin" : path);
	e = r->path ? log_input_open(&r->in, path, err) : -ENOMEM;
	if (e < 0) {
		candump_close(r);
		return e;
	}
	*ret = r;
	return 0;
}

struct candump_reader *candump_close(struct candump_reader *r)
{
	if (!r)
		return NULL;
	log_input_close(r->in);
	free(r->path);
	free(r);
	return NULL;
}

/* Returns 0 with more fed, the end reached, or something there to read; -errno with r->why. */
static int feed(struct candump_reader *r)
{
	struct pollfd fd = {.fd = log_input_fd(r->in), .events = POLLIN};
	struct error what = {"out of memory"};
	const char *data;
	size_t len;
	int e = log_input_read(r->in, &data, &len, &what);

	if (e == -EAGAIN) {
		(void)poll(&fd, 1, -1);
	} else if (e < 0) {
		error_set(&r->why, "%.220s (after line %llu)", what.text,
			  (unsigned long long)r->lines.line);
		r->failed = e == -EINVAL ? -EIO : e; /* that is a bad line's */
	} else if (e == 0) {
		r->ended = true;
	} else {
		candump_feed(&r->lines, data, len);
	}
	return r->failed;
}

int candump_next(struct candump_reader *r, struct candump_line *ret, struct error *err)
{
	int e;

	for (;;) {
		e = candump_take(&r->lines, r->path, ret, err);
		if (e != 0)
			return e;
		if (r->ended)
			return candump_take_end(&r->lines, r->path, ret, err);
		e = r->failed ? r->failed : feed(r);
		if (e < 0) {
			if (err)
				*err = r->why;
			return e;
		}
	}
}

uint64_t candump_line_number(const struct candump_reader *r)
{
	return r->lines.line;
}

void candump_progress(const struct candump_reader *r, uint64_t *ret_read, uint64_t *ret_size)
{
	log_input_progress(r->in, ret_read, ret_size);
}
