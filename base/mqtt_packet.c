#include "base/mqtt_packet.h"

#include <string.h>

/* Bytes of a Variable Byte Integer (1.5.5). */
static size_t varint_size(size_t v)
{
	if (v < 128)
		return 1;
	if (v < 16384)
		return 2;
	return v < 2097152 ? 3 : 4;
}

size_t mqtt_packet_publish_size(const struct mqtt_packet_publish *p)
{
	size_t properties = (p->has_alias ? 3U : 0U) + (p->has_expiry ? 5U : 0U);
	size_t remaining = 2 + p->topic_len + (p->qos > 0 ? 2 : 0) + varint_size(properties) +
			   properties + p->payload_len;

	return 1 + varint_size(remaining) + remaining;
}

/* Bytes of the UTF-8 sequence at s, or 0: not well-formed, or a control character or surrogate,
 * which a broker may refuse by closing the connection. */
static size_t utf8_sequence(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t code = n < 2 ? s[0] : s[0] & (0x7fU >> n);

	if (n == 0 || s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) /* the terminating NUL too */
			return 0;
		code = code << 6 | (s[i] & 0x3fU);
	}
	if (code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0xd800 && code < 0xe000))
		return 0;
	if ((n == 3 && code < 0x800) || (n == 4 && code < 0x10000) || code > 0x10ffff)
		return 0;
	return n;
}

bool mqtt_packet_topic_valid(const char *topic)
{
	const unsigned char *s = (const unsigned char *)topic;
	size_t len = 0;

	if (!topic || !*topic)
		return false;
	while (s[len]) {
		size_t n = utf8_sequence(s + len);

		if (n == 0 || s[len] == '+' || s[len] == '#')
			return false;
		len += n;
		if (len > UINT16_MAX)
			return false;
	}
	return true;
}
