/* From a file to a configuration, through libinih.
 *
 * Debian builds libinih without line numbers, without a call at a new section, and with lines of at
 * most 199 bytes that it would silently split. So it gets its lines from take_line, which counts
 * and checks them, and which follows each section header with a line of its own, `\x01=`: no file
 * can hold it, and it makes libinih call back with the section. */
#include "base/conf_private.h"

#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define SECTION_MARK "\x01"

struct parser {
	struct conf *c;
	const char *name; /* of the file, for messages */
	const char *p, *end;
	unsigned line;
	int r; /* the first failure; nothing is read after it */
	struct error *err;

	const char *header; /* what follows the '[' of the header that is being read */
	size_t header_len;
	bool mark_header; /* a section mark comes next */
	bool pending;	  /* libinih has a line for which it must call on_entry */
	bool continues;	  /* and that one is a continuation */

	struct conf_part *part; /* open section; NULL: none yet */
	size_t last_list;	/* key that an indented line continues; n_keys: none */
};

/* A long path keeps its end, which says more, and leaves room for what is wrong. */
static const char *short_name(const char *name)
{
	size_t len = strlen(name);

	return len > 100 ? name + len - 100 : name;
}

static int fail(struct parser *ps, const char *fmt, ...) printf_like(2, 3);

static int fail(struct parser *ps, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	error_set(ps->err, "%s:%u: %s", short_name(ps->name), ps->line, text);
	return ps->r = -EINVAL;
}

static int fail_memory(struct parser *ps)
{
	error_set(ps->err, "%s: out of memory", short_name(ps->name));
	return ps->r = -ENOMEM;
}

/* --- what was meant --- */

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein distance; names of more than 48 characters count as far away. */
static size_t distance(const char *a, const char *b)
{
	size_t row[49], len = strlen(b);

	if (strlen(a) >= array_len(row) || len >= array_len(row))
		return SIZE_MAX;
	for (size_t k = 0; k <= len; k++)
		row[k] = k;
	for (size_t i = 1; *a; a++, i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t k = 1; k <= len; k++) {
			size_t above = row[k];

			row[k] = min3(above + 1, row[k - 1] + 1, diagonal + (*a != b[k - 1]));
			diagonal = above;
		}
	}
	return row[len];
}

/* Keeps the nearer of *best and name, when it is near at all. */
static void consider(const char *given, const char *name, const char **best, size_t *best_distance)
{
	size_t d = distance(given, name);
	bool starts = strlen(given) >= 3 && (strncmp(name, given, strlen(given)) == 0 ||
					     strncmp(given, name, strlen(name)) == 0);

	if (starts && d > 1)
		d = 1;
	if (d < *best_distance && d <= 1 + strlen(name) / 4) {
		*best = name;
		*best_distance = d;
	}
}

static const char *nearest_section(const struct conf_table *table, const char *given)
{
	const char *best = NULL;
	size_t d = SIZE_MAX;

	for (size_t i = 0; i < table->n_sections; i++)
		consider(given, table->sections[i].name, &best, &d);
	return best;
}

static int fail_unknown_section(struct parser *ps, const char *given)
{
	const char *best = nearest_section(ps->c->table, given);

	if (best)
		return fail(ps, "unknown section [%.60s]; did you mean [%s]?", given, best);
	return fail(ps, "unknown section [%.60s]", given);
}

static int fail_unknown_key(struct parser *ps, const char *given)
{
	const struct conf_table *table = ps->c->table;
	const char *best = NULL, *here = ps->part->section->name;
	size_t d = SIZE_MAX;

	for (size_t i = 0; i < table->n_keys; i++)
		if (conf_key_is_of(&table->keys[i], ps->part->section))
			consider(given, table->keys[i].key, &best, &d);
	for (size_t i = 0; d > 0 && i < table->n_keys; i++)
		if (strcmp(table->keys[i].key, given) == 0)
			return fail(ps, "unknown key '%.60s' in [%s]; it belongs to [%s]", given,
				    here, table->keys[i].section);
	if (best)
		return fail(ps, "unknown key '%.60s' in [%s]; did you mean '%s'?", given, here,
			    best);
	return fail(ps, "unknown key '%.60s' in [%s]", given, here);
}

/* --- sections --- */

static bool is_label(const char *label)
{
	if (strlen(label) > CONF_LABEL_LEN_MAX)
		return false;
	for (; *label; label++) {
		bool letter = (*label >= 'a' && *label <= 'z') || (*label >= 'A' && *label <= 'Z');

		if (!letter && !(*label >= '0' && *label <= '9') && !strchr("_-.", *label))
			return false;
	}
	return true;
}

static size_t count_labels(const struct conf *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_parts; i++)
		n += c->parts[i].label != NULL;
	return n;
}

static int open_part(struct parser *ps, const struct conf_section *section, const char *label)
{
	struct conf_part *part = conf_find_part(ps->c, section->name, label);

	if (!part) {
		if (count_labels(ps->c) == CONF_LABELS_MAX)
			return fail(ps, "more than %d named sections", CONF_LABELS_MAX);
		part = conf_add_part(ps->c, section, label);
		if (!part)
			return fail_memory(ps);
	}
	if (part->line == 0)
		part->line = (int)ps->line;
	ps->part = part;
	return 0;
}

/* text: the inside of the brackets, "mqtt" or "source can0". */
static int open_section(struct parser *ps, const char *text)
{
	const struct conf_table *table = ps->c->table;
	size_t len = strcspn(text, " \t");
	const char *label = text + len + strspn(text + len, " \t");

	for (size_t i = 0; i < table->n_sections; i++) {
		const struct conf_section *s = &table->sections[i];

		if (strlen(s->name) != len || memcmp(s->name, text, len) != 0)
			continue;
		if (s->named && !*label)
			return fail(ps, "[%s] needs a name: [%s NAME]", s->name, s->name);
		if (!s->named && *label)
			return fail(ps, "[%s] takes no name", s->name);
		if (s->named && !is_label(label))
			return fail(ps,
				    "[%s %.60s]: a name has at most %d letters, digits, '_', '-' "
				    "and '.'",
				    s->name, label, CONF_LABEL_LEN_MAX);
		return open_part(ps, s, s->named ? label : NULL);
	}
	return fail_unknown_section(ps, text);
}

/* libinih cuts long names, ignores what follows the bracket, and stays in the section before when
 * there is no bracket: so its answer is held against the line. */
static int on_section(struct parser *ps, const char *section)
{
	size_t len = strlen(section);
	const char *rest = ps->header + len + 1, *end = ps->header + ps->header_len;

	if (len >= ps->header_len || memcmp(ps->header, section, len) != 0 ||
	    ps->header[len] != ']')
		return fail(ps, "not a section header: expected [name] of at most 49 bytes");
	while (rest < end && strchr(" \t\r", *rest))
		rest++;
	if (rest < end && *rest != ';' && *rest != '#')
		return fail(ps, "text after the section header");
	return open_section(ps, section);
}

/* --- keys --- */

/* r: what conf_value_set or conf_value_extend returned. */
static int fail_value(struct parser *ps, const struct conf_key *key, const char *text, int r)
{
	char limits[CONF_LIMITS_TEXT];

	if (r == -ENOMEM)
		return fail_memory(ps);
	if (r == -E2BIG)
		return fail(ps, "[%s] %s: the list has more than %d bytes", key->section, key->key,
			    CONF_LIST_MAX);
	conf_value_limits(key, limits);
	/* A string may be a secret; of the others, the value helps. */
	if (key->type == CONF_STRING || key->type == CONF_LIST)
		return fail(ps, "[%s] %s: must be %s", key->section, key->key, limits);
	return fail(ps, "[%s] %s = '%.40s': must be %s", key->section, key->key, text, limits);
}

static int set_key(struct parser *ps, size_t i, const char *text)
{
	const struct conf_key *key = &ps->c->table->keys[i];
	struct conf_value *v = &ps->part->values[i];
	int r;

	if (v->line > 0)
		return fail(ps, "[%s] %s was given on line %d already", key->section, key->key,
			    v->line);
	r = conf_value_set(v, key, text, (int)ps->line);
	if (r < 0)
		return fail_value(ps, key, text, r);
	if (key->type == CONF_LIST)
		ps->last_list = i;
	return 0;
}

static int on_key(struct parser *ps, const char *name, const char *text)
{
	const struct conf_table *table = ps->c->table;

	if (!ps->part)
		return fail(ps, "key '%.60s' before the first [section]", name);
	for (size_t i = 0; i < table->n_keys; i++)
		if (strcmp(table->keys[i].key, name) == 0 &&
		    conf_key_is_of(&table->keys[i], ps->part->section))
			return set_key(ps, i, text);
	return fail_unknown_key(ps, name);
}

/* libinih cuts comments off values, but not off the lines that continue them. */
static void cut_comment(char *text)
{
	for (char *p = text; *p; p++) {
		if (*p == ';' && p > text && strchr(" \t", p[-1])) {
			*p = '\0';
			return;
		}
	}
}

static int on_continuation(struct parser *ps, const char *text)
{
	const struct conf_key *key = &ps->c->table->keys[ps->last_list];
	cleanup(free_ptr) char *copy = strdup(text);
	int r;

	if (!copy)
		return fail_memory(ps);
	cut_comment(copy);
	r = conf_value_extend(&ps->part->values[ps->last_list], key, copy);
	return r < 0 ? fail_value(ps, key, text, r) : 0;
}

static int on_entry(void *user, const char *section, const char *name, const char *value)
{
	struct parser *ps = user;

	ps->pending = false;
	if (ps->r < 0)
		return 0;
	if (strcmp(name, SECTION_MARK) == 0)
		return on_section(ps, section) == 0;
	if (ps->continues)
		return on_continuation(ps, value) == 0;
	return on_key(ps, name, value) == 0;
}

/* --- lines --- */

static int check_line(struct parser *ps, const char *line, size_t len, int room)
{
	if (len > 0 && line[len - 1] == '\r')
		len--;
	/* libinih's buffer holds the line with "\r\n" and a NUL. */
	if (room < 4 || len > (size_t)room - 3)
		return fail(ps, "the line has %zu bytes; at most %d are allowed", len, room - 3);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return fail(ps, "control character 0x%02x", c);
	}
	return 0;
}

/* Decides what libinih will make of a line, as far as we must know. */
static int classify(struct parser *ps, const char *line, size_t len)
{
	static const char bom[] = "\xef\xbb\xbf";
	const char *start, *end = line + len;

	if (ps->line == 1 && len >= strlen(bom) && memcmp(line, bom, strlen(bom)) == 0)
		line += strlen(bom);
	for (start = line; start < end && strchr(" \t\r", *start);)
		start++;
	if (start == end || *start == ';' || *start == '#')
		return 0;
	ps->continues = start > line;
	if (ps->continues && ps->last_list == ps->c->table->n_keys)
		return fail(ps, "an indented line goes on with a list, and there is none above; "
				"begin in the first column");
	if (!ps->continues)
		ps->last_list = ps->c->table->n_keys;
	ps->pending = true;
	if (*start == '[' && !ps->continues) {
		ps->mark_header = true;
		ps->pending = false;
		ps->header = start + 1;
		ps->header_len = (size_t)(end - start) - 1;
	}
	return 0;
}

static char *put_line(char *out, int size, const char *line, size_t len)
{
	snprintf(out, (size_t)size, "%.*s\n", (int)len, line);
	return out;
}

/* libinih's reader, as fgets(3). */
static char *take_line(char *out, int size, void *stream)
{
	struct parser *ps = stream;
	const char *line = ps->p, *newline;
	size_t len;

	if (ps->pending && ps->r == 0)
		fail(ps, "neither a [section] nor key = value");
	if (ps->r < 0)
		return NULL;
	if (ps->mark_header) {
		ps->mark_header = false;
		ps->continues = false;
		return put_line(out, size, SECTION_MARK "=", strlen(SECTION_MARK "="));
	}
	if (ps->p == ps->end)
		return NULL;
	newline = memchr(line, '\n', (size_t)(ps->end - line));
	len = (size_t)((newline ? newline : ps->end) - line);
	ps->p = newline ? newline + 1 : ps->end;
	ps->line++;
	if (check_line(ps, line, len, size) < 0)
		return NULL;
	if (classify(ps, line, len) < 0)
		return NULL;
	return put_line(out, size, line, len);
}

/* --- the whole --- */

/* Where [section], or [section label], may be found in a message. */
static void say_part(const struct conf_part *part, char *out, size_t size)
{
	if (part->label)
		snprintf(out, size, "[%s %s]", part->section->name, part->label);
	else
		snprintf(out, size, "[%s]", part->section->name);
}

static int check_value(struct parser *ps, const struct conf_part *part, size_t i)
{
	const struct conf_key *key = &ps->c->table->keys[i];
	const struct conf_value *v = &part->values[i];
	char where[96], limits[CONF_LIMITS_TEXT];

	if (v->text && conf_value_check(v, key) == 0)
		return 0;
	ps->line = (unsigned)(v->line > 0 ? v->line : part->line);
	if (v->text)
		return fail_value(ps, key, "", -EINVAL);
	say_part(part, where, sizeof(where));
	conf_value_limits(key, limits);
	if (ps->line > 0)
		return fail(ps, "%s %s is required: %s", where, key->key, limits);
	error_set(ps->err, "%s: %s %s is required: %s", short_name(ps->name), where, key->key,
		  limits);
	return ps->r = -EINVAL;
}

static int check_all(struct parser *ps)
{
	const struct conf *c = ps->c;

	for (size_t p = 0; p < c->n_parts; p++) {
		for (size_t i = 0; i < c->table->n_keys; i++) {
			int r = 0;

			if (conf_key_is_of(&c->table->keys[i], c->parts[p].section))
				r = check_value(ps, &c->parts[p], i);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int parse_lines(struct parser *ps)
{
	int r = ini_parse_stream(take_line, ps, on_entry, ps);

	if (ps->r < 0)
		return ps->r;
	if (r == -2)
		return fail_memory(ps);
	if (ps->pending || r != 0)
		return fail(ps, "neither a [section] nor key = value");
	return check_all(ps);
}

int conf_parse(struct conf **ret, const struct conf_table *table, const char *name,
	       const char *text, size_t len, struct error *err)
{
	struct parser ps = {
		.c = conf_alloc(table),
		.name = name,
		.p = text,
		.end = text + len,
		.err = err,
		.last_list = table->n_keys,
	};
	int r;

	if (!ps.c)
		return fail_memory(&ps);
	if (len > CONF_FILE_MAX) {
		error_set(err, "%s: more than %d bytes", short_name(name), CONF_FILE_MAX);
		r = -EINVAL;
	} else {
		r = parse_lines(&ps);
	}
	if (r < 0) {
		conf_free(ps.c);
		return r;
	}
	*ret = ps.c;
	return 0;
}

/* Reads at most max bytes. Returns how many, or -errno. */
static ssize_t read_file(const char *path, char *data, size_t max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	while (len < max && n > 0) {
		n = read(fd, data + len, max - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			len += (size_t)n;
	}
	n = n < 0 ? -errno : (ssize_t)len;
	close(fd);
	return n;
}

int conf_load(struct conf **ret, const struct conf_table *table, const char *path,
	      struct error *err)
{
	cleanup(free_ptr) char *text = NULL;
	ssize_t len;

	if (!path)
		return conf_parse(ret, table, "defaults", "", 0, err);
	/* One byte more than allowed, which conf_parse then refuses. */
	text = malloc(CONF_FILE_MAX + 1);
	if (!text) {
		error_set(err, "%s: out of memory", short_name(path));
		return -ENOMEM;
	}
	len = read_file(path, text, CONF_FILE_MAX + 1);
	if (len < 0) {
		error_set(err, "%s: %s", short_name(path), strerror((int)-len));
		return (int)len;
	}
	return conf_parse(ret, table, path, text, (size_t)len, err);
}
