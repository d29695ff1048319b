#include "relay/gate/plugin/gate.h"

#include <inttypes.h>
#include <string.h>

enum { BAD_LINES_LOGGED = 20 };

static struct file_mark mark_of(const char *path)
{
	struct file_mark m = {.size = -1};
	struct stat st;

	if (stat(path, &st) == 0)
		m = (struct file_mark){st.st_mtim, st.st_ino, st.st_size};
	return m;
}

static bool same(const struct file_mark *a, const struct file_mark *b)
{
	return a->modified.tv_sec == b->modified.tv_sec &&
	       a->modified.tv_nsec == b->modified.tv_nsec && a->inode == b->inode &&
	       a->size == b->size;
}

static void log_bad_line(void *ctx, const char *text)
{
	size_t *n = ctx;

	if ((*n)++ < BAD_LINES_LOGGED)
		mosquitto_log_printf(MOSQ_LOG_ERR, "towline-gate: bad_line %s", text);
}

static int take(struct gate *g, const char *path, struct gate_table **ret, struct error *err)
{
	size_t said = 0;
	struct gate_file_notes notes = {.bad_line = log_bad_line, .ctx = &said};
	int r = gate_file_read(ret, path, g->limits, &notes, err);

	if (r < 0) {
		g->tally.loads_failed++;
		mosquitto_log_printf(MOSQ_LOG_ERR, "towline-gate: load_failed %s", err->text);
		return r;
	}
	g->tally.loads++;
	g->tally.bad_lines = notes.bad_lines;
	mosquitto_log_printf(MOSQ_LOG_NOTICE,
			     "towline-gate: loaded file=%s devices=%zu services=%zu bad_lines=%zu "
			     "bytes=%zu",
			     path, (*ret)->n_devices, (*ret)->n_services, notes.bad_lines,
			     gate_table_bytes(*ret));
	return 0;
}

/* What is good now is there at the next start, whatever becomes of the file of devices. */
static void save(struct gate *g)
{
	struct error err;

	if (gate_file_write(g->table, g->state, &err) == 0)
		return;
	g->tally.state_failed++;
	mosquitto_log_printf(MOSQ_LOG_ERR, "towline-gate: state_failed %s", err.text);
}

int gate_load_first(struct gate *g, struct error *err)
{
	struct error first;
	int r;

	g->mark = mark_of(g->devices);
	r = take(g, g->devices, &g->table, &first);
	if (r == 0) {
		save(g);
		return 0;
	}
	r = take(g, g->state, &g->table, err);
	if (r < 0)
		return r;
	mosquitto_log_printf(MOSQ_LOG_WARNING,
			     "towline-gate: admits whom it admitted before, by file=%s", g->state);
	return 0;
}

void gate_load_changed(struct gate *g)
{
	struct file_mark mark = mark_of(g->devices);
	struct gate_table *new = NULL;
	struct error err;

	if (same(&mark, &g->mark))
		return;
	g->mark = mark;
	if (take(g, g->devices, &new, &err) < 0)
		return;
	gate_hand_over(g, new);
	save(g);
}

int gate_load_cas(struct gate *g, struct error *err)
{
	struct certificate_cas *devices = NULL, *services = NULL;
	int r = certificate_cas_read(&devices, g->device_ca, err);

	if (r == 0)
		r = certificate_cas_read(&services, g->service_ca, err);
	if (r < 0) {
		certificate_cas_free(devices);
		return r;
	}
	certificate_cas_free(g->device_cas);
	certificate_cas_free(g->service_cas);
	g->device_cas = devices;
	g->service_cas = services;
	return 0;
}
