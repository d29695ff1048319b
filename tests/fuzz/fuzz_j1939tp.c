/* Frames of J1939 transport from the input, against bounds: what is handed out is as long as it
 * was announced, lies in memory, and each frame is counted. */
#include "agent/decode/j1939tp.h"
#include "base/bytes.h"

#include <string.h>

enum { SESSIONS = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t find(void *ctx, uint16_t bus, uint32_t id)
{
	(void)ctx;
	assert(bus < 2 && id < (uint32_t)1 << 29);
	return (id >> 8 & 0xFF) == 0xAA ? (uint32_t)J1939TP_NONE : id;
}

/* The bytes are used: a sanitizer sees those that are not there. */
static void use(const struct j1939tp_message *m)
{
	uint8_t *copy = malloc(m->len);

	assert(copy && m->len >= J1939TP_BYTES_MIN && m->len <= J1939TP_BYTES_MAX);
	memcpy(copy, m->data, m->len);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct j1939tp_config config = {.sessions = SESSIONS, .find = find};
	struct cursor c = cursor_of(data, size);
	struct j1939tp *t = NULL;
	uint64_t done = 0;
	int64_t now = 0;

	assert(j1939tp_new(&t, &config) == 0);
	while (cursor_left(&c) > 3) {
		uint8_t how = cursor_u8(&c), from = cursor_u8(&c), len = cursor_u8(&c) & 15;
		struct frame f = {.flags = FRAME_EXTENDED, .bus = how >> 1 & 1};
		struct j1939tp_message m;
		int r;

		now += (int64_t)(how >> 5) * (how & 16 ? 200 : 1) * NS_PER_MS;
		f.t_ns = how == 255 ? INT64_MIN : now;
		f.id = (how & 1 ? 0xEB0000u : 0xEC0000u) | (uint32_t)(from >> 4) << 8 | (from & 15);
		if (how & 4)
			f.id |= 0xFF00;
		f.len = len > cursor_left(&c) ? (uint8_t)cursor_left(&c) : len;
		memcpy(f.data, cursor_take(&c, f.len), f.len);
		r = j1939tp_frame(t, &f, &m);
		assert(r >= 0 && r <= J1939TP_DONE);
		if (r == J1939TP_DONE)
			use(&m);
		done += r == J1939TP_DONE;
	}
	assert(j1939tp_counters(t)->payloads == done);
	j1939tp_free(t);
	return 0;
}
