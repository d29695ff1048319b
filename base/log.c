#include "base/log.h"

#include "base/timebase.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Longest line with its newline; what does not fit is cut and marked. Below PIPE_BUF, so that lines
 * of several threads and processes do not mix in a pipe. */
enum { LINE_MAX_BYTES = 2048, MESSAGE_MAX = 1024, TAIL_MAX = 32 };

static _Atomic int current_level = LOG_LEVEL_INFO;
static pthread_mutex_t sites_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t journal_once = PTHREAD_ONCE_INIT;
static bool to_journal;

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char level_priorities[] = "3467"; /* syslog(3): err, warning, info, debug */

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

int log_level_parse(const char *text, enum log_level *ret)
{
	for (size_t i = 0; i < array_len(level_names); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* systemd.exec(5): the variable is inherited by children too, so it counts only when it names the
 * very file that stderr is. */
static void find_journal(void)
{
	const char *value = getenv("JOURNAL_STREAM");
	char expected[64];
	struct stat st;

	if (!value || fstat(STDERR_FILENO, &st) < 0)
		return;
	snprintf(expected, sizeof(expected), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	to_journal = strcmp(value, expected) == 0;
}

/* Says whether the site may write now, and how many lines it kept back before. */
static bool site_admits(struct log_site *site, unsigned *ret_muted)
{
	int64_t now = timebase_mono(timebase_system()).ns;
	bool admitted = false;

	pthread_mutex_lock(&sites_lock);
	if (site->count == 0 || now - site->window_ns >= LOG_WINDOW_S * NS_PER_S) {
		site->window_ns = now;
		site->count = 0;
	}
	if (site->count < LOG_BURST) {
		site->count++;
		*ret_muted = site->muted;
		site->muted = 0;
		admitted = true;
	} else {
		site->muted++;
	}
	pthread_mutex_unlock(&sites_lock);
	return admitted;
}

static size_t put_head(char *line, size_t size, enum log_level level, const char *event)
{
	char when[WALL_TIME_TEXT];
	int n;

	pthread_once(&journal_once, find_journal);
	if (to_journal) {
		n = snprintf(line, size, "<%c>%s %s", level_priorities[level], level_names[level],
			     event);
	} else {
		wall_time_format(timebase_wall(timebase_system()), when);
		n = snprintf(line, size, "%s %s %s", when, level_names[level], event);
	}
	if (n < 0)
		return 0;
	return (size_t)n < size ? (size_t)n : size - 1;
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

/* Writes c as \n, \t or \xNN. Returns the length, at most 4. */
static size_t escape(char *out, char c)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char byte = (unsigned char)c;

	out[0] = '\\';
	switch (c) {
	case '\n':
		out[1] = 'n';
		return 2;
	case '\t':
		out[1] = 't';
		return 2;
	case '\r':
		out[1] = 'r';
		return 2;
	default:
		out[1] = 'x';
		out[2] = digits[byte >> 4];
		out[3] = digits[byte & 15];
		return 4;
	}
}

/* Appends message after a space, on one line whatever it holds. Returns the new length. */
static size_t put_message(char *line, size_t len, size_t size, const char *message)
{
	if (*message && len < size)
		line[len++] = ' ';
	for (; *message; message++) {
		if (size - len < 4)
			return len;
		if (is_control(*message))
			len += escape(line + len, *message);
		else
			line[len++] = *message;
	}
	return len;
}

static void write_line(const char *line, size_t len)
{
	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
}

void log_write(struct log_site *site, enum log_level level, const char *event, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES], message[MESSAGE_MAX], tail[TAIL_MAX] = "";
	int saved_errno = errno;
	unsigned muted = 0;
	bool cut;
	size_t len;
	va_list ap;
	int n;

	if (!site_admits(site, &muted))
		return;
	errno = saved_errno; /* for %m */
	va_start(ap, fmt);
	n = vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (n < 0)
		message[0] = '\0';
	cut = n >= (int)sizeof(message);
	len = put_head(line, sizeof(line) / 4, level, event);
	len = put_message(line, len, sizeof(line) - TAIL_MAX - 1, message);
	if (muted > 0)
		snprintf(tail, sizeof(tail), "%s muted=%u", cut ? "..." : "", muted);
	else if (cut)
		snprintf(tail, sizeof(tail), "...");
	memcpy(line + len, tail, strlen(tail));
	len += strlen(tail);
	line[len++] = '\n';
	write_line(line, len);
	errno = saved_errno;
}

static bool is_bare(const char *value)
{
	if (!*value)
		return false;
	for (; *value; value++)
		if (is_control(*value) || strchr(" \"\\=", *value))
			return false;
	return true;
}

static size_t quote_char(char *out, char c)
{
	if (is_control(c))
		return escape(out, c);
	if (c != '"' && c != '\\') {
		out[0] = c;
		return 1;
	}
	out[0] = '\\';
	out[1] = c;
	return 2;
}

const char *log_quote(char *out, size_t size, const char *value)
{
	size_t len = 0;
	char piece[4];

	if (size == 0)
		return "";
	if (is_bare(value) && strlen(value) < size) {
		memcpy(out, value, strlen(value) + 1);
		return out;
	}
	if (size < 3) {
		out[0] = '\0';
		return out;
	}
	out[len++] = '"';
	for (; *value; value++) {
		size_t n = quote_char(piece, *value);

		if (n > size - len - 2)
			break;
		memcpy(out + len, piece, n);
		len += n;
	}
	out[len++] = '"';
	out[len] = '\0';
	return out;
}

void log_keep_standard_files(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
}
