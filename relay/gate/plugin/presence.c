#include "relay/gate/plugin/gate.h"

#include <stdio.h>
#include <string.h>

/* The broker sends it in its next turn. */
void gate_presence(const struct gate_device *d, const char *state)
{
	char topic[TOPIC_MAX];

	snprintf(topic, sizeof(topic), "tl/1/presence/%s/%s", d->vehicle, d->id);
	if (mosquitto_broker_publish_copy(NULL, topic, (int)strlen(state), state, 1, true, NULL) !=
	    MOSQ_ERR_SUCCESS)
		mosquitto_log_printf(MOSQ_LOG_ERR,
				     "towline-gate: presence_failed device=%s state=%s", d->id,
				     state);
}

void gate_presence_sweep(struct gate *g)
{
	size_t end = g->swept + SWEEP_PER_TICK;

	if (end > g->table->n_devices)
		end = g->table->n_devices;
	for (; g->swept < end; g->swept++)
		if (!g->table->devices[g->swept].client)
			gate_presence(&g->table->devices[g->swept], "");
}
