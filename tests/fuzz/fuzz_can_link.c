/* rtnetlink datagrams about interfaces, as the kernel sends them. */
#include "agent/can/can_link_msg.h"
#include "agent/can/can_link_plan.h"
#include "agent/can/can_watch.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(struct can_watcher *w, const struct can_watch_change *c)
{
	(void)w;
	assert(!c->state || strlen(c->state->interface) < IFNAMSIZ);
}

static void check_state(const struct can_link_state *s)
{
	const struct can_link_settings want = {
		.bitrate = 500000, .fd = true, .dbitrate = 2000000, .sample_point = 875};
	struct error err;

	assert(strnlen(s->interface, IFNAMSIZ) < IFNAMSIZ);
	assert(strnlen(s->kind, sizeof(s->kind)) < sizeof(s->kind));
	assert(s->can_state >= CAN_LINK_STATE_NONE && s->can_state < CAN_STATE_MAX);
	assert(s->n_rates <= CAN_LINK_RATES_MAX && s->n_data_rates <= CAN_LINK_RATES_MAX);
	if (can_link_check(s, &want, &err) == 0)
		(void)can_link_is_so(s, &want);
	can_link_explain(&want, s, -EINVAL, "", &err);
}

static void check_messages(const uint8_t *data, size_t size)
{
	struct can_link_msg m;
	size_t n;

	for (size_t at = 0; (n = can_link_msg_take(data + at, size - at, &m)) > 0; at += n) {
		assert(n <= size - at);
		assert(strnlen(m.text, sizeof(m.text)) < sizeof(m.text));
		if (m.type == CAN_LINK_MSG_LINK)
			check_state(&m.state);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct counters counters;
	struct can_watcher watcher = {.cb = ignore};
	struct can_watch *watch = NULL;
	struct timebase_fake clock;
	struct loop *loop = NULL;
	uint8_t *copy = malloc(size ? size : 1); /* aligned, with a guarded end */
	int r;

	assert(copy);
	memcpy(copy, data, size);
	check_messages(copy, size);
	timebase_fake_init(&clock, 0, 0);
	r = loop_new(&loop, &clock.tb);
	assert(r == 0);
	r = can_watch_new(&watch, loop, &counters, NULL);
	assert(r == 0);
	r = can_watch_add(watch, &watcher, "can0");
	assert(r == 0);
	can_watch_bytes(watch, copy, size);
	can_watch_remove(&watcher);
	can_watch_free(watch);
	loop_free(loop);
	free(copy);
	return 0;
}
