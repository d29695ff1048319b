#include "tools/cli/can_state.h"

#include "agent/can/can_link.h"
#include "tools/cli/options.h"
#include "tools/cli/term.h"

#include <getopt.h>
#include <jansson.h>
#include <linux/can/netlink.h>
#include <string.h>

enum { MODES_TEXT = 128 };

static const struct {
	uint32_t flag;
	const char *name;
} modes[] = {
	{CAN_CTRLMODE_FD, "fd"},
	{CAN_CTRLMODE_FD_NON_ISO, "fd-non-iso"},
	{CAN_CTRLMODE_LISTENONLY, "listen-only"},
	{CAN_CTRLMODE_LOOPBACK, "loopback"},
	{CAN_CTRLMODE_ONE_SHOT, "one-shot"},
	{CAN_CTRLMODE_3_SAMPLES, "triple-sampling"},
	{CAN_CTRLMODE_BERR_REPORTING, "berr-reporting"},
	{CAN_CTRLMODE_PRESUME_ACK, "presume-ack"},
};

/* The interfaces, as a table or as JSON; one of them is NULL. */
struct report {
	struct table *table;
	json_t *json;
	size_t n;
};

/* ---- table ---- */

static const char *modes_text(const struct can_link_state *s, char out[static MODES_TEXT])
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < array_len(modes); i++)
		if (s->ctrlmode & modes[i].flag)
			n += (size_t)snprintf(out + n, MODES_TEXT - n, "%s%s", n ? " " : "",
					      modes[i].name);
	return out;
}

static void number_cell(struct table *t, bool known, uint32_t value)
{
	if (known)
		table_cellf(t, "%u", value);
	else
		table_cell(t, NULL);
}

static void rate_cells(struct table *t, const struct can_bittiming *b)
{
	number_cell(t, b->bitrate != 0, b->bitrate);
	if (b->sample_point)
		table_cellf(t, "%.1f%%", b->sample_point / 10.0);
	else
		table_cell(t, NULL);
}

static void table_row(struct table *t, const struct can_link_state *s)
{
	bool controller = s->can_state != CAN_LINK_STATE_NONE;
	char text[MODES_TEXT];

	table_cell(t, s->interface);
	table_cell(t, s->kind);
	table_cell(t, s->up ? "up" : "down");
	table_cell(t, controller ? can_link_state_name(s->can_state) : NULL);
	rate_cells(t, &s->bittiming);
	rate_cells(t, &s->data_bittiming);
	number_cell(t, s->has_berr, s->berr.txerr);
	number_cell(t, s->has_berr, s->berr.rxerr);
	number_cell(t, s->has_stats, s->stats.bus_error);
	number_cell(t, s->has_stats, s->stats.bus_off);
	number_cell(t, s->has_stats, s->stats.restarts);
	number_cell(t, controller, s->restart_ms);
	table_cell(t, modes_text(s, text));
}

static struct table *new_table(void)
{
	static const char *const header[] = {"INTERFACE", "KIND",      "LINK",	     "STATE",
					     "BIT/S",	  "SAMPLE",    "DATA BIT/S", "SAMPLE",
					     "TXERR",	  "RXERR",     "BUSERR",     "BUSOFF",
					     "RESTARTS",  "RESTARTMS", "MODES"};
	struct table *t = table_new(array_len(header));

	for (size_t i = 0; t && i < array_len(header); i++)
		table_cell(t, header[i]);
	for (size_t i = 4; t && i <= 13; i++)
		table_align_right(t, i);
	return t;
}

/* ---- JSON ---- */

static json_t *rate_json(const struct can_bittiming *b)
{
	if (b->bitrate == 0)
		return json_null();
	return json_pack("{s:I, s:o}", "bitrate", (json_int_t)b->bitrate, "sample_point",
			 b->sample_point ? json_real(b->sample_point / 1000.0) : json_null());
}

static json_t *errors_json(const struct can_link_state *s)
{
	if (!s->has_berr)
		return json_null();
	return json_pack("{s:i, s:i}", "tx", s->berr.txerr, "rx", s->berr.rxerr);
}

static json_t *counts_json(const struct can_link_state *s)
{
	const struct can_device_stats *n = &s->stats;

	if (!s->has_stats)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "bus_error", (json_int_t)n->bus_error,
			 "error_warning", (json_int_t)n->error_warning, "error_passive",
			 (json_int_t)n->error_passive, "bus_off", (json_int_t)n->bus_off,
			 "arbitration_lost", (json_int_t)n->arbitration_lost, "restarts",
			 (json_int_t)n->restarts);
}

static json_t *modes_json(const struct can_link_state *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < array_len(modes); i++)
		if (s->ctrlmode & modes[i].flag)
			json_array_append_new(list, json_string(modes[i].name));
	return list;
}

static json_t *row_json(const struct can_link_state *s)
{
	bool controller = s->can_state != CAN_LINK_STATE_NONE;

	return json_pack("{s:s, s:s, s:b, s:s?, s:o, s:o, s:o, s:o, s:o, s:o}", "interface",
			 s->interface, "kind", s->kind, "up", s->up, "state",
			 controller ? can_link_state_name(s->can_state) : NULL, "arbitration",
			 rate_json(&s->bittiming), "data", rate_json(&s->data_bittiming),
			 "error_counters", errors_json(s), "counts", counts_json(s), "restart_ms",
			 controller ? json_integer(s->restart_ms) : json_null(), "modes",
			 modes_json(s));
}

/* ---- interfaces ---- */

static void add(struct report *r, const struct can_link_state *s)
{
	r->n++;
	if (r->table)
		table_row(r->table, s);
	else
		json_array_append_new(r->json, row_json(s));
}

static int add_named(struct report *r, const char *name)
{
	struct can_link_state s;
	int e = can_link_read(name, &s);

	if (e == -ENODEV || e == -EMEDIUMTYPE)
		return cli_fail(EXIT_NOT_FOUND, "can state: interface %s: %s", name,
				e == -ENODEV ? "there is no such interface"
					     : "the interface is not CAN");
	if (e < 0)
		return cli_fail(EXIT_FAILED, "can state: interface %s: %s", name, strerror(-e));
	add(r, &s);
	return EXIT_OK;
}

/* Those that are CAN; one that goes away meanwhile is left out. */
static int add_all(struct report *r)
{
	struct if_nameindex *all = if_nameindex();
	struct can_link_state s;

	if (!all)
		return cli_fail(EXIT_FAILED, "can state: %s", strerror(errno));
	for (size_t i = 0; all[i].if_name; i++)
		if (can_link_read(all[i].if_name, &s) == 0)
			add(r, &s);
	if_freenameindex(all);
	if (r->n == 0)
		return cli_fail(EXIT_NOT_FOUND, "can state: there is no CAN interface");
	return EXIT_OK;
}

/* One that is not there takes nothing from the others; the first failure is the code. */
static int add_interfaces(struct report *r, char **names)
{
	int code = EXIT_OK, failed;

	if (!*names)
		return add_all(r);
	for (; *names; names++) {
		failed = add_named(r, *names);
		if (code == EXIT_OK)
			code = failed;
	}
	return code;
}

static void print_report(const struct report *r)
{
	if (r->table)
		table_print(r->table, stdout);
	else if (json_dumpf(r->json, stdout, JSON_INDENT(2)) == 0)
		putchar('\n');
}

int can_state(int argc, char **argv)
{
	struct report r = {0};
	bool json = false;
	const struct cli_option options[] = {OPTION_JSON(&json)};
	int code = cli_options(&cmd_can, argc, argv, options, array_len(options));

	if (code != EXIT_OK)
		return code;
	if (json)
		r.json = json_array();
	else
		r.table = new_table();
	if (!r.json && !r.table)
		return cli_fail(EXIT_FAILED, "can state: out of memory");
	code = add_interfaces(&r, argv + optind);
	if (r.n > 0)
		print_report(&r);
	table_free(r.table);
	json_decref(r.json);
	return code;
}
