/* relay/gate/plugin/plugin.c: what Mosquitto 2 looks for in a plugin, and its clock. */
#include "relay/gate/plugin/gate.h"

static void write_metrics(struct gate *g)
{
	cleanup(buf_free) struct buf out = BUF_INIT(1 << 16);

	gate_tally_print(&g->tally, g->table, &out);
	if (!out.failed && gate_replace(g->metrics, out.data, out.len, false) == 0)
		return;
	mosquitto_log_printf(MOSQ_LOG_ERR, "towline-gate: metrics_failed file=%s", g->metrics);
}

static int on_tick(int event, void *data, void *ctx)
{
	struct gate *g = ctx;

	(void)event;
	(void)data;
	g->ticked = true;
	g->now = timebase_mono(timebase_system());
	gate_presence_sweep(g);
	if (g->now.ns >= g->check_at.ns) {
		g->check_at.ns = g->now.ns + CHECK_MS * NS_PER_MS;
		gate_load_changed(g);
	}
	if (g->metrics && g->now.ns >= g->metrics_at.ns) {
		g->metrics_at.ns = g->now.ns + g->metrics_s * NS_PER_S;
		write_metrics(g);
	}
	return MOSQ_ERR_SUCCESS;
}

/* SIGHUP. The CAs that were good stay when the files are not. */
static int on_reload(int event, void *data, void *ctx)
{
	struct error err;

	(void)event;
	(void)data;
	if (gate_load_cas(ctx, &err) < 0)
		mosquitto_log_printf(MOSQ_LOG_ERR, "towline-gate: reload_failed %s", err.text);
	return MOSQ_ERR_SUCCESS;
}

static const struct {
	int event;
	MOSQ_FUNC_generic_callback call;
} CALLBACKS[] = {
	{MOSQ_EVT_BASIC_AUTH, gate_on_auth},
	{MOSQ_EVT_ACL_CHECK, gate_on_acl},
	{MOSQ_EVT_TICK, on_tick},
	{MOSQ_EVT_DISCONNECT, gate_on_disconnect},
	{MOSQ_EVT_RELOAD, on_reload},
};

static void gate_free(struct gate *g)
{
	gate_table_free(g->table);
	certificate_cas_free(g->device_cas);
	certificate_cas_free(g->service_cas);
	free(g);
}

static int register_all(struct gate *g)
{
	for (size_t i = 0; i < array_len(CALLBACKS); i++) {
		int rc = mosquitto_callback_register(g->id, CALLBACKS[i].event, CALLBACKS[i].call,
						     NULL, g);

		if (rc != MOSQ_ERR_SUCCESS)
			return rc;
	}
	return MOSQ_ERR_SUCCESS;
}

static void unregister_all(struct gate *g)
{
	for (size_t i = 0; i < array_len(CALLBACKS); i++)
		mosquitto_callback_unregister(g->id, CALLBACKS[i].event, CALLBACKS[i].call, NULL);
}

int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	for (int i = 0; i < supported_version_count; i++)
		if (supported_versions[i] == MOSQ_PLUGIN_VERSION)
			return MOSQ_PLUGIN_VERSION;
	return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata,
			  struct mosquitto_opt *options, int option_count)
{
	struct error err = {"out of memory"};
	struct gate *g = calloc(1, sizeof(*g));
	int r = g ? gate_options(g, options, option_count, &err) : -ENOMEM;

	if (r == 0)
		r = gate_load_cas(g, &err);
	if (r == 0)
		r = gate_load_first(g, &err);
	if (r == 0) {
		g->id = identifier;
		r = register_all(g) == MOSQ_ERR_SUCCESS ? 0 : -ENOMEM;
	}
	if (r < 0) {
		mosquitto_log_printf(MOSQ_LOG_ERR, "towline-gate: start_failed %s", err.text);
		if (g) {
			if (g->id)
				unregister_all(g);
			gate_free(g);
		}
		return MOSQ_ERR_UNKNOWN;
	}
	*userdata = g;
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	struct gate *g = userdata;

	(void)options;
	(void)option_count;
	if (!g)
		return MOSQ_ERR_SUCCESS;
	unregister_all(g);
	if (g->metrics)
		write_metrics(g);
	gate_free(g);
	return MOSQ_ERR_SUCCESS;
}
