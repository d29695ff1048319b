#include "tools/cli/decode_out.h"

#include "tools/cli/number.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

enum {
	BLOCK = 256 << 10,
	NUMBERS_MAX = 3 * NUMBER_TEXT + 64, /* what a line has besides prepared texts */
	TEXTS_MAX = 256 << 20,
	HEAD_MAX = 128, /* what a line has before the message, besides the bus */
};

/* JSON numbers beyond this lose bits in common readers: written as text. */
#define JSON_INTEGER_MAX ((uint64_t)1 << 53)

struct text {
	size_t start, len; /* in texts */
};

struct decode_out {
	const struct catalog *cat;
	bool json;
	bool each_frame; /* to a terminal: nothing is held back */
	int fd;
	int failed; /* -errno */
	char *path;
	struct buf texts;
	struct text *buses;   /* up to the id */
	struct text *signals; /* from the message's name up to the raw value */
	size_t n;
	char *head; /* what a frame's lines begin with */
	size_t head_len;
	char block[BLOCK];
};

/* ---- prepared texts ---- */

/* RFC 4180: quoted where it holds a comma, a quote or a line break. */
static void put_csv(struct buf *b, const char *s)
{
	if (!strpbrk(s, ",\"\r\n")) {
		buf_put(b, s, strlen(s));
		return;
	}
	buf_put_u8(b, '"');
	for (; *s; s++) {
		if (*s == '"')
			buf_put_u8(b, '"');
		buf_put_u8(b, (uint8_t)*s);
	}
	buf_put_u8(b, '"');
}

static void put_json(struct buf *b, const char *s)
{
	buf_put_u8(b, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_put_u8(b, '\\');
		if ((unsigned char)*s < ' ')
			buf_printf(b, "\\u%04x", (unsigned)*s);
		else
			buf_put_u8(b, (uint8_t)*s);
	}
	buf_put_u8(b, '"');
}

static void put_literal(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

static struct text prepare_bus(struct decode_out *o, const char *bus)
{
	struct text t = {.start = o->texts.len};

	if (o->json) {
		put_literal(&o->texts, ",\"bus\":");
		put_json(&o->texts, bus);
		put_literal(&o->texts, ",\"id\":\"");
	} else {
		put_literal(&o->texts, ",");
		put_csv(&o->texts, bus);
		put_literal(&o->texts, ",");
	}
	t.len = o->texts.len - t.start;
	return t;
}

static struct text prepare_signal(struct decode_out *o, const struct catalog_signal *s)
{
	const char *message = o->cat->messages[s->message].name;
	struct text t = {.start = o->texts.len};

	if (o->json) {
		put_literal(&o->texts, "\",\"message\":");
		put_json(&o->texts, message);
		put_literal(&o->texts, ",\"signal\":");
		put_json(&o->texts, s->name);
		put_literal(&o->texts, ",\"raw\":");
	} else {
		put_literal(&o->texts, ",");
		put_csv(&o->texts, message);
		put_literal(&o->texts, ",");
		put_csv(&o->texts, s->name);
		put_literal(&o->texts, ",");
	}
	t.len = o->texts.len - t.start;
	return t;
}

static int prepare(struct decode_out *o)
{
	size_t longest = 0;

	o->texts = BUF_INIT(TEXTS_MAX);
	o->buses = calloc(o->cat->n_buses + 1, sizeof(*o->buses));
	o->signals = calloc(o->cat->n_signals + 1, sizeof(*o->signals));
	if (!o->buses || !o->signals)
		return -ENOMEM;
	for (size_t i = 0; i < o->cat->n_buses; i++) {
		o->buses[i] = prepare_bus(o, o->cat->buses[i]);
		if (o->buses[i].len > longest)
			longest = o->buses[i].len;
	}
	o->head = malloc(HEAD_MAX + longest);
	if (!o->head)
		return -ENOMEM;
	for (size_t i = 0; i < o->cat->n_signals; i++)
		o->signals[i] = prepare_signal(o, &o->cat->signals[i]);
	return o->texts.failed;
}

static int open_out(struct decode_out *o, const char *path, struct error *err)
{
	bool standard = !path || strcmp(path, "-") == 0;

	o->path = strdup(standard ? "standard output" : path);
	if (!o->path)
		return -ENOMEM;
	if (standard)
		o->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		o->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (o->fd < 0) {
		int e = errno;

		error_set(err, "%.200s: %s", o->path, strerror(e));
		return -e;
	}
	o->each_frame = isatty(o->fd);
	return 0;
}

int decode_out_new(struct decode_out **ret, const struct catalog *cat, bool json, const char *path,
		   struct error *err)
{
	static const char header[] = "frame,timestamp,bus,id,message,signal,raw,value\n";
	struct decode_out *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	o->cat = cat;
	o->json = json;
	o->fd = -1;
	error_set(err, "out of memory");
	r = prepare(o);
	if (!r)
		r = open_out(o, path, err);
	if (r < 0) {
		decode_out_free(o);
		return r;
	}
	if (!json) {
		memcpy(o->block, header, sizeof(header) - 1);
		o->n = sizeof(header) - 1;
	}
	*ret = o;
	return 0;
}

struct decode_out *decode_out_free(struct decode_out *o)
{
	if (!o)
		return NULL;
	if (o->fd >= 0)
		close(o->fd);
	buf_free(&o->texts);
	free(o->buses);
	free(o->signals);
	free(o->head);
	free(o->path);
	free(o);
	return NULL;
}

/* ---- lines ---- */

static void write_out(struct decode_out *o, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0 && !o->failed) {
		ssize_t n = write(o->fd, p, len);

		if (n < 0) {
			if (errno != EINTR)
				o->failed = -errno;
			continue;
		}
		p += n;
		len -= (size_t)n;
	}
}

static void write_block(struct decode_out *o)
{
	write_out(o, o->block, o->n);
	o->n = 0;
}

static void put(struct decode_out *o, const char *data, size_t len)
{
	if (len > sizeof(o->block) - o->n)
		write_block(o);
	if (len > sizeof(o->block)) {
		write_out(o, data, len);
		return;
	}
	memcpy(o->block + o->n, data, len);
	o->n += len;
}

static void put_text(struct decode_out *o, struct text t)
{
	put(o, (const char *)o->texts.data + t.start, t.len);
}

static size_t format_time(int64_t t_ns, char *out)
{
	uint64_t us = (uint64_t)t_ns / 1000;
	uint32_t rest = (uint32_t)(us % 1000000);
	size_t n = number_format_u64(us / 1000000, out);

	out[n++] = '.';
	for (uint32_t unit = 100000; unit; unit /= 10)
		out[n++] = (char)('0' + rest / unit % 10);
	return n;
}

static size_t format_id(const struct frame *f, char *out)
{
	size_t n = 0;

	for (int shift = f->flags & FRAME_EXTENDED ? 28 : 8; shift >= 0; shift -= 4)
		out[n++] = "0123456789ABCDEF"[f->id >> shift & 15];
	return n;
}

static size_t copy_text(char *out, const char *text)
{
	size_t n = strlen(text);

	memcpy(out, text, n);
	return n;
}

/* Frame number and time; the bus is a prepared text; then the id. */
static void prepare_head(struct decode_out *o, uint64_t number, const struct frame *f)
{
	struct text bus = o->buses[f->bus];
	char *p = o->head;

	if (o->json)
		p += copy_text(p, "{\"frame\":");
	p += number_format_u64(number, p);
	p += copy_text(p, o->json ? ",\"timestamp\":" : ",");
	p += format_time(f->t_ns, p);
	memcpy(p, o->texts.data + bus.start, bus.len);
	p += bus.len;
	p += format_id(f, p);
	o->head_len = (size_t)(p - o->head);
}

static size_t format_value(const struct decode_out *o, double v, char *out)
{
	if (o->json && !isfinite(v))
		return copy_text(out, "null");
	return number_format(v, out);
}

/* The unscaled value of a float signal. */
static double float_of(const struct catalog_signal *s, uint64_t raw)
{
	uint32_t bits = (uint32_t)raw;
	double d;
	float f;

	if (s->kind == SIGNAL_FLOAT32) {
		memcpy(&f, &bits, sizeof(f));
		return (double)f;
	}
	memcpy(&d, &raw, sizeof(d));
	return d;
}

static size_t format_raw(const struct decode_out *o, const struct catalog_signal *s, uint64_t raw,
			 char *out)
{
	bool negative = s->kind == SIGNAL_SIGNED && (int64_t)raw < 0;
	bool quoted = o->json && (negative ? 0 - raw : raw) > JSON_INTEGER_MAX;
	size_t n = 0;

	if (s->kind == SIGNAL_FLOAT32 || s->kind == SIGNAL_FLOAT64)
		return format_value(o, float_of(s, raw), out);
	if (quoted)
		out[n++] = '"';
	if (negative)
		n += number_format_i64((int64_t)raw, out + n);
	else
		n += number_format_u64(raw, out + n);
	if (quoted)
		out[n++] = '"';
	return n;
}

static void put_sample(struct decode_out *o, const struct sample *sample)
{
	const struct catalog_signal *s = &o->cat->signals[sample->signal];
	char numbers[NUMBERS_MAX];
	char *p = numbers;

	put(o, o->head, o->head_len);
	put_text(o, o->signals[sample->signal]);
	p += format_raw(o, s, sample->raw, p);
	p += copy_text(p, o->json ? ",\"value\":" : ",");
	p += format_value(o, catalog_value(s, sample->raw), p);
	p += copy_text(p, o->json ? "}\n" : "\n");
	put(o, numbers, (size_t)(p - numbers));
}

int decode_out_frame(struct decode_out *o, uint64_t number, const struct frame *f,
		     const struct sample *samples, size_t n)
{
	if (n == 0)
		return 0;
	prepare_head(o, number, f);
	for (size_t i = 0; i < n; i++)
		put_sample(o, &samples[i]);
	if (o->each_frame)
		write_block(o);
	return o->failed;
}

int decode_out_flush(struct decode_out *o, struct error *err)
{
	write_block(o);
	if (o->failed)
		error_set(err, "%.200s: %s", o->path, strerror(-o->failed));
	return o->failed;
}
