#include "relay/gate/limits.h"

#include <string.h>

const struct gate_limit GATE_LIMIT_DEFAULT = {
	.messages_per_s = 1000, .bytes_per_s = 8 << 20, .message_max = 1 << 20};

const char *gate_class_name(unsigned int class)
{
	return class == GATE_REPLY ? "reply" : class_name((enum uplink_class) class);
}

/* Digits up to end. */
static bool number(const char **text, char end, uint32_t max, uint32_t *ret)
{
	const char *p = *text;
	uint64_t v = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		v = v * 10 + (uint64_t)(*p - '0');
		if (v > max)
			return false;
	}
	if (p == *text || *p != end)
		return false;
	*text = end ? p + 1 : p;
	*ret = (uint32_t)v;
	return true;
}

int gate_limit_parse(const char *text, struct gate_limit *ret, struct error *err)
{
	struct gate_limit l;
	const char *p = text;

	if (number(&p, '/', GATE_MESSAGES_MAX, &l.messages_per_s) &&
	    number(&p, '/', GATE_BYTES_MAX, &l.bytes_per_s) &&
	    number(&p, '\0', GATE_BYTES_MAX, &l.message_max)) {
		*ret = l;
		return 0;
	}
	error_set(err, "limit '%.40s' is not MESSAGES/BYTES/LARGEST, up to %d, %d and %d", text,
		  GATE_MESSAGES_MAX, GATE_BYTES_MAX, GATE_BYTES_MAX);
	return -EINVAL;
}

static uint64_t less(uint64_t spent, uint64_t back)
{
	return spent > back ? spent - back : 0;
}

static void refill(struct gate_bucket *b, const struct gate_limit *limit, uint32_t now_ms)
{
	uint64_t passed_ms = now_ms - b->at_ms; /* modulo 2^32 */

	b->messages = (uint32_t)less(b->messages, passed_ms * limit->messages_per_s);
	b->bytes = less(b->bytes, passed_ms * limit->bytes_per_s);
	b->at_ms = now_ms;
}

enum gate_spend gate_spend(struct gate_bucket *b, const struct gate_limit *limit, uint32_t len,
			   uint32_t now_ms)
{
	uint64_t messages_max = (uint64_t)limit->messages_per_s * GATE_BURST_S * 1000;
	uint64_t bytes_max = (uint64_t)limit->bytes_per_s * GATE_BURST_S * 1000;

	if (limit->message_max && len > limit->message_max)
		return GATE_TOO_LARGE;
	refill(b, limit, now_ms);
	if (bytes_max < (uint64_t)limit->message_max * 1000)
		bytes_max = (uint64_t)limit->message_max * 1000;
	if (limit->messages_per_s && b->messages + UINT64_C(1000) > messages_max)
		return GATE_TOO_FAST;
	if (limit->bytes_per_s && b->bytes + (uint64_t)len * 1000 > bytes_max)
		return GATE_TOO_FAST;
	if (limit->messages_per_s)
		b->messages += 1000;
	if (limit->bytes_per_s)
		b->bytes += (uint64_t)len * 1000;
	return GATE_FITS;
}
