#include "relay/gate/tally.h"

#include <inttypes.h>

static const char *const REFUSAL_NAMES[GATE_REFUSALS] = {
	[REFUSED_NO_CERTIFICATE] = "no_certificate",
	[REFUSED_ISSUER] = "issuer",
	[REFUSED_NAME] = "name",
	[REFUSED_CLIENT_ID] = "client_id",
	[REFUSED_PROTOCOL] = "protocol",
	[REFUSED_UNKNOWN] = "unknown",
	[REFUSED_SUSPENDED] = "suspended",
	[REFUSED_RETIRED] = "retired",
	[REFUSED_NO_TICK] = "no_tick",
	[REFUSED_BYPASSED] = "bypassed",
	[REFUSED_PUBLISH] = "publish",
	[REFUSED_SUBSCRIBE] = "subscribe",
	[REFUSED_READ] = "read",
	[REFUSED_TOO_LARGE] = "too_large",
	[REFUSED_TOO_FAST] = "too_fast",
};

const char *gate_refusal_name(enum gate_refusal why)
{
	return (unsigned int)why < GATE_REFUSALS ? REFUSAL_NAMES[why] : "unknown";
}

bool gate_tally_refusal(struct gate_tally *t, enum gate_refusal why, struct mono_time now,
			unsigned int *ret_muted)
{
	t->refused[why]++;
	if (t->log[why].lines == 0 || now.ns - t->log[why].begun.ns >= TALLY_WINDOW_S * NS_PER_S) {
		t->log[why].begun = now;
		t->log[why].lines = 0;
	}
	if (t->log[why].lines == TALLY_LINES) {
		t->log[why].muted++;
		return false;
	}
	t->log[why].lines++;
	*ret_muted = t->log[why].muted;
	t->log[why].muted = 0;
	return true;
}

static void print(struct buf *out, const char *name, const char *type, const char *help,
		  uint64_t value)
{
	(void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name,
			 type, name, value);
}

static void print_table(const struct gate_table *t, struct buf *out)
{
	uint64_t connected = 0, by_status[GATE_STATUSES] = {0};

	for (size_t i = 0; i < t->n_devices; i++) {
		by_status[t->devices[i].status]++;
		connected += t->devices[i].client != NULL;
	}
	print(out, "towline_gate_connected", "gauge", "Devices with a connection.", connected);
	(void)buf_printf(out, "# HELP towline_gate_devices Devices that are known.\n"
			      "# TYPE towline_gate_devices gauge\n");
	for (unsigned int s = 0; s < GATE_STATUSES; s++)
		(void)buf_printf(out, "towline_gate_devices{status=\"%s\"} %" PRIu64 "\n",
				 gate_status_name(s), by_status[s]);
}

void gate_tally_print(const struct gate_tally *t, const struct gate_table *table, struct buf *out)
{
	(void)buf_printf(out, "# HELP towline_gate_refused_total Refusals by reason.\n"
			      "# TYPE towline_gate_refused_total counter\n");
	for (unsigned int i = 0; i < GATE_REFUSALS; i++)
		(void)buf_printf(out, "towline_gate_refused_total{reason=\"%s\"} %" PRIu64 "\n",
				 REFUSAL_NAMES[i], t->refused[i]);
	print(out, "towline_gate_admitted_devices_total", "counter", "Connections of devices.",
	      t->admitted_devices);
	print(out, "towline_gate_admitted_services_total", "counter", "Connections of services.",
	      t->admitted_services);
	print(out, "towline_gate_kicked_total", "counter", "Connections ended by a change.",
	      t->kicked);
	print(out, "towline_gate_messages_total", "counter", "Messages of devices let through.",
	      t->messages);
	print(out, "towline_gate_message_bytes_total", "counter", "Their payloads.",
	      t->message_bytes);
	print(out, "towline_gate_loads_total", "counter", "Files of devices taken.", t->loads);
	print(out, "towline_gate_loads_failed_total", "counter", "Files of devices not taken.",
	      t->loads_failed);
	print(out, "towline_gate_state_failed_total", "counter",
	      "Copies that could not be written.", t->state_failed);
	print(out, "towline_gate_bad_lines", "gauge", "Lines left out of the file taken last.",
	      t->bad_lines);
	print_table(table, out);
}
