#include "proto/topic.h"

#include <stdio.h>
#include <string.h>

static const char *const CLASS_NAMES[CLASS_COUNT] = {
	[CLASS_EVENT] = "event", [CLASS_LIVE] = "live",	    [CLASS_BULK] = "bulk",
	[CLASS_LOG] = "log",	 [CLASS_STATUS] = "status",
};

static bool id_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

bool id_is_valid(const char *id)
{
	size_t n = 0;

	while (n <= ID_MAX && id_char(id[n]))
		n++;
	return n >= 1 && n <= ID_MAX && id[n] == '\0';
}

const char *class_name(enum uplink_class c)
{
	return (unsigned int)c < CLASS_COUNT ? CLASS_NAMES[c] : "unknown";
}

int class_parse(const char *name, enum uplink_class *ret)
{
	for (int i = 0; i < CLASS_COUNT; i++)
		if (strcmp(name, CLASS_NAMES[i]) == 0) {
			*ret = (enum uplink_class)i;
			return 0;
		}
	return -EINVAL;
}

/* Copies the level at *topic, up to the next '/' or the end, and steps over both. The last level
 * is the one that ends with the text. */
static bool level(const char **topic, bool last, char *out, size_t size)
{
	const char *end = *topic + strcspn(*topic, "/");
	size_t n = (size_t)(end - *topic);

	if (n >= size || (*end == '\0') != last)
		return false;
	memcpy(out, *topic, n);
	out[n] = '\0';
	*topic = last ? end : end + 1;
	return true;
}

/* Decimal, no sign, no leading zero: one part has one topic. */
static bool part_parse(const char *text, uint16_t *ret)
{
	unsigned long v = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		v = v * 10 + (unsigned long)(*text - '0');
		if (v > UINT16_MAX)
			return false;
	}
	*ret = (uint16_t)v;
	return true;
}

/* A topic is the sender's text: what is quoted of it is cut and stripped of control characters. */
static int reject(struct error *err, const char *topic, const char *what)
{
	char quoted[100];
	size_t i;

	for (i = 0; topic[i] && i < sizeof(quoted) - 1; i++)
		quoted[i] = topic[i] >= 0x20 && topic[i] < 0x7f ? topic[i] : '?';
	quoted[i] = '\0';
	error_set(err, "topic '%s': %s", quoted, what);
	return -EINVAL;
}

int topic_parse_up(const char *topic, struct topic_up *ret, struct error *err)
{
	static const char PREFIX[] = "tl/1/up/";
	struct topic_up t = {0};
	char text[16];
	const char *p;

	if (strncmp(topic, PREFIX, sizeof(PREFIX) - 1) != 0)
		return reject(err, topic, "does not start with tl/1/up/");
	p = topic + sizeof(PREFIX) - 1;
	if (!level(&p, false, text, sizeof(text)) || !part_parse(text, &t.part))
		return reject(err, topic, "part is not a number from 0 to 65535");
	if (!level(&p, false, t.vehicle, sizeof(t.vehicle)) || !id_is_valid(t.vehicle))
		return reject(err, topic, "vehicle is not an id");
	if (!level(&p, false, t.device, sizeof(t.device)) || !id_is_valid(t.device))
		return reject(err, topic, "device is not an id");
	if (!level(&p, true, text, sizeof(text)) || class_parse(text, &t.class) < 0)
		return reject(err, topic, "class is none of event, live, bulk, log, status");
	*ret = t;
	return 0;
}

void topic_format_up(const struct topic_up *t, char out[static TOPIC_MAX])
{
	int n = snprintf(out, TOPIC_MAX, "tl/1/up/%u/%s/%s/%s", (unsigned int)t->part, t->vehicle,
			 t->device, class_name(t->class));

	assert(n > 0 && n < TOPIC_MAX);
}

void topic_format_receipt(const char *vehicle, const char *device, char out[static TOPIC_MAX])
{
	int n = snprintf(out, TOPIC_MAX, "tl/1/down/%s/%s/receipt", vehicle, device);

	assert(n > 0 && n < TOPIC_MAX);
}
