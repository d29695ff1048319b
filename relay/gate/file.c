#include "relay/gate/file.h"

#include "relay/gate/replace.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define FIRST_LINE "towline-gate 1"

enum { WORDS_MAX = 10 };

struct parser {
	struct gate_table *table;
	struct gate_file_notes *notes;
	const char *name;
	size_t line;
	size_t entries;
};

static uint32_t sum(const char *text, size_t len)
{
	return (uint32_t)crc32_z(crc32_z(0, NULL, 0), (const Bytef *)text, len);
}

static void bad_line(struct parser *p, const char *why)
{
	struct error err;

	p->notes->bad_lines++;
	error_set(&err, "%s:%zu: %s", p->name, p->line, why);
	if (p->notes->bad_line)
		p->notes->bad_line(p->notes->ctx, err.text);
}

/* Cuts the line into words at spaces and tabs. Returns how many, WORDS_MAX + 1 for too many. */
static size_t split(char *line, char *words[static WORDS_MAX])
{
	size_t n = 0;
	char *rest = line, *word;

	while ((word = strsep(&rest, " \t"))) {
		if (!*word)
			continue;
		if (n == WORDS_MAX)
			return WORDS_MAX + 1;
		words[n++] = word;
	}
	return n;
}

static int class_of(const char *name, size_t len)
{
	for (unsigned int c = 0; c < GATE_CLASSES; c++)
		if (strlen(gate_class_name(c)) == len &&
		    strncmp(gate_class_name(c), name, len) == 0)
			return (int)c;
	return -EINVAL;
}

static int put_limits(struct parser *p, char *const *words, size_t n, struct error *err)
{
	struct gate_limit of[GATE_CLASSES] = {0};
	bool given[GATE_CLASSES] = {false};
	struct gate_limits *set;
	int r;

	if (n < 2) {
		error_set(err, "limits have no name");
		return -EINVAL;
	}
	for (size_t i = 2; i < n; i++) {
		size_t len = strcspn(words[i], "=");
		int class = words[i][len] ? class_of(words[i], len) : -EINVAL;

		if (class < 0) {
			error_set(err, "'%.40s' is not CLASS=MESSAGES/BYTES/LARGEST", words[i]);
			return class;
		}
		r = gate_limit_parse(words[i] + len + 1, &of[class], err);
		if (r < 0)
			return r;
		given[class] = true;
	}
	r = gate_table_limits(p->table, words[1], &set, err);
	for (size_t c = 0; r == 0 && c < GATE_CLASSES; c++)
		if (given[c])
			set->of[c] = of[c];
	return r;
}

static int put_device(struct parser *p, char *const *words, size_t n, struct error *err)
{
	struct gate_device *d;
	int r = -EINVAL;

	if (n == 4 || n == 5)
		r = gate_table_put_device(p->table, words[1], words[2], words[3],
					  n == 5 ? words[4] : "", err);
	else
		error_set(err, "a device is: device ID VEHICLE STATUS [LIMITS]");
	d = r < 0 && n > 1 ? gate_table_device(p->table, words[1]) : NULL;
	if (d && gate_device_admitted(d))
		d->status = GATE_SUSPENDED;
	return r;
}

static int put_service(struct parser *p, char *const *words, size_t n, struct error *err)
{
	if (n == 3)
		return gate_table_put_service(p->table, words[1], words[2], err);
	error_set(err, "a service is: service NAME ROLE");
	return -EINVAL;
}

static void put_line(struct parser *p, char *line)
{
	char *words[WORDS_MAX];
	size_t n = split(line, words);
	struct error err;
	int r = -EINVAL;

	if (n == 0 || words[0][0] == '#')
		return;
	p->entries++;
	if (n > WORDS_MAX)
		error_set(&err, "more than %d words", WORDS_MAX);
	else if (strcmp(words[0], "limits") == 0)
		r = put_limits(p, words, n, &err);
	else if (strcmp(words[0], "device") == 0)
		r = put_device(p, words, n, &err);
	else if (strcmp(words[0], "service") == 0)
		r = put_service(p, words, n, &err);
	else
		error_set(&err, "'%.40s' is none of limits, device, service, end", words[0]);
	if (r < 0)
		bad_line(p, err.text);
}

/* "end N" or "end N crc32=HEX", checked against what came before it. */
static int check_end(const struct parser *p, const char *line, uint32_t crc, struct error *err)
{
	size_t entries;
	uint32_t said;
	int whole = 0, with_sum = 0;

	if (sscanf(line, "end %9zu%n crc32=%8" SCNx32 "%n", &entries, &whole, &said, &with_sum) <
		    1 ||
	    (line[whole] && (!with_sum || line[with_sum]))) {
		error_set(err, "%s:%zu: the end is not 'end N' or 'end N crc32=HEX'", p->name,
			  p->line);
		return -EBADMSG;
	}
	if (entries != p->entries) {
		error_set(err, "%s:%zu: %zu lines are there, and the end says %zu", p->name,
			  p->line, p->entries, entries);
		return -EBADMSG;
	}
	if (with_sum && said != crc) {
		error_set(err, "%s:%zu: the checksum is %08" PRIx32 ", and the end says %08" PRIx32,
			  p->name, p->line, crc, said);
		return -EBADMSG;
	}
	return 0;
}

static size_t lines_of(const char *text)
{
	size_t n = 0;

	for (; (text = strstr(text, "device")); text++)
		n++;
	return n;
}

/* Where the line "end ..." begins that is the last of the file, or NULL. */
static char *find_end(char *text, size_t len)
{
	char *line;

	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	line = memrchr(text, '\n', len);
	return line && strncmp(line + 1, "end ", 4) == 0 ? line + 1 : NULL;
}

static int parse_lines(struct parser *p, char *text, char *end, struct error *err)
{
	uint32_t crc = sum(text, (size_t)(end - text));
	char *rest = text, *line;

	end[-1] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		p->line++;
		if (p->line > 1) {
			put_line(p, line);
		} else if (strcmp(line, FIRST_LINE) != 0) {
			error_set(err, "%s:1: is not '" FIRST_LINE "'", p->name);
			return -EBADMSG;
		}
	}
	p->line++;
	return check_end(p, end, crc, err);
}

int gate_file_parse(struct gate_table **ret, char *text, size_t len, const char *name,
		    const struct gate_limit defaults[static GATE_CLASSES],
		    struct gate_file_notes *notes, struct error *err)
{
	struct parser p = {.notes = notes, .name = name};
	char *end = strlen(text) == len ? find_end(text, len) : NULL;
	int r;

	notes->bad_lines = 0;
	if (!end) {
		error_set(err, "%s: no text, or its last line is not 'end N': is it whole?", name);
		return -EBADMSG;
	}
	r = gate_table_new(&p.table, lines_of(text), len, defaults);
	if (r == -E2BIG)
		error_set(err, "%s: more than %d devices", name, GATE_DEVICES_MAX);
	if (r < 0)
		return r == -E2BIG ? -EBADMSG : r;
	r = parse_lines(&p, text, end, err);
	if (r < 0) {
		gate_table_free(p.table);
		return r;
	}
	*ret = p.table;
	return 0;
}

/* Takes the file as it is now: whole and NUL-terminated, in memory of its own. */
static int slurp(int fd, char **ret_text, size_t *ret_len)
{
	struct stat st;
	size_t len = 0;
	ssize_t n = 1;
	char *text;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > GATE_FILE_BYTES_MAX)
		return -EFBIG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	while (len < (size_t)st.st_size && n > 0) {
		n = read(fd, text + len, (size_t)st.st_size - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			len += (size_t)n;
	}
	if (n < 0) {
		int r = -errno;

		free(text);
		return r;
	}
	text[len] = '\0';
	*ret_text = text;
	*ret_len = len;
	return 0;
}

int gate_file_read(struct gate_table **ret, const char *path,
		   const struct gate_limit defaults[static GATE_CLASSES],
		   struct gate_file_notes *notes, struct error *err)
{
	cleanup(free_ptr) char *text = NULL;
	size_t len = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int r = fd < 0 ? -errno : slurp(fd, &text, &len);

	if (fd >= 0)
		close(fd);
	if (r < 0) {
		error_set(err, "%s: %s", path, strerror(-r));
		return r;
	}
	r = gate_file_parse(ret, text, len, path, defaults, notes, err);
	if (r == -ENOMEM)
		error_set(err, "%s: %s", path, strerror(ENOMEM));
	return r;
}

static size_t write_limits(const struct gate_table *t, struct buf *out)
{
	for (size_t i = 0; i < t->n_limits; i++) {
		(void)buf_printf(out, "limits %s", t->limits[i].name);
		for (unsigned int c = 0; c < GATE_CLASSES; c++) {
			const struct gate_limit *l = &t->limits[i].of[c];

			(void)buf_printf(out, " %s=%" PRIu32 "/%" PRIu32 "/%" PRIu32,
					 gate_class_name(c), l->messages_per_s, l->bytes_per_s,
					 l->message_max);
		}
		(void)buf_printf(out, "\n");
	}
	return t->n_limits;
}

static size_t write_members(const struct gate_table *t, struct buf *out)
{
	for (size_t i = 0; i < t->n_services; i++)
		(void)buf_printf(out, "service %s %s\n", t->services[i].name,
				 gate_role_name(t->services[i].role));
	for (size_t i = 0; i < t->n_devices; i++) {
		const struct gate_device *d = &t->devices[i];

		(void)buf_printf(out, "device %s %s %s %s\n", d->id, d->vehicle,
				 gate_status_name(d->status), t->limits[d->limits].name);
	}
	return t->n_services + t->n_devices;
}

int gate_file_write(const struct gate_table *t, const char *path, struct error *err)
{
	cleanup(buf_free) struct buf out = BUF_INIT(GATE_FILE_BYTES_MAX);
	size_t entries;
	int r;

	(void)buf_printf(&out, FIRST_LINE "\n");
	entries = write_limits(t, &out);
	entries += write_members(t, &out);
	if (!out.failed)
		(void)buf_printf(&out, "end %zu crc32=%08" PRIx32 "\n", entries,
				 sum((const char *)out.data, out.len));
	r = out.failed ? out.failed : gate_replace(path, out.data, out.len, true);
	if (r < 0)
		error_set(err, "%s: %s", path, strerror(-r));
	return r;
}
