/* towline-relay: from the broker to the stream, the last-known state and the HTTP API. */
#include "base/log.h"
#include "base/loop.h"
#include "base/mqtt_conf.h"
#include "base/program.h"
#include "relay/relay.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { OTHER_FILES = 128 };

static const char usage[] =
	"Usage: towline-relay -c FILE [--check-config]\n"
	"       towline-relay --print-config | --version | --help\n"
	"\n"
	"Takes batches of vehicles from an MQTT 5 broker, keeps them durably, sends receipts,\n"
	"and serves last-known state, short history and live events over HTTP.\n"
	"\n"
	"  -c, --config FILE   configuration (INI)\n"
	"      --check-config  read it, say what is wrong with it, and exit\n"
	"      --print-config  print every key with its default, bounds and help\n"
	"      --version       print the version\n"
	"  -h, --help          print this\n"
	"\n"
	"SIGTERM and SIGINT stop it, SIGHUP reads the configuration again.\n"
	"Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration.\n";

struct program {
	struct loop *loop;
	struct loop_timer timer;
	struct loop_signal signals;
	const char *path;
	struct conf *conf;
	struct relay *relay;
};

static void on_tick(struct loop_timer *t)
{
	struct program *p = t->ctx;

	relay_tick(p->relay);
	loop_timer_in(p->loop, t, NS_PER_S);
}

static void on_changed(void *ctx, const struct conf_key *key, const char *label)
{
	(void)ctx;
	(void)label;
	if (key->reloads)
		log_info("config_reloaded", "section=%s key=%s", key->section, key->key);
	else
		log_warn("config_needs_restart", "section=%s key=%s", key->section, key->key);
}

static void reload(struct program *p)
{
	struct error err = {0};
	struct conf *fresh;

	if (relay_conf_load(&fresh, p->path, &err) < 0) {
		log_error("config_refused", "reason=\"%s\"", err.text);
		return;
	}
	conf_diff(p->conf, fresh, on_changed, NULL);
	relay_reload(p->relay, fresh);
	conf_free(p->conf);
	p->conf = fresh;
}

static void on_signal(struct loop_signal *s, int signo)
{
	struct program *p = s->ctx;

	if (signo == SIGHUP) {
		reload(p);
		return;
	}
	log_info("stopping", "signal=%s", signo == SIGTERM ? "SIGTERM" : "SIGINT");
	loop_stop(p->loop);
}

static int serve(struct program *p, struct error *err)
{
	static const int signos[] = {SIGTERM, SIGINT, SIGHUP};
	int r = loop_new(&p->loop, timebase_system());

	p->signals = (struct loop_signal){.cb = on_signal, .ctx = p};
	p->timer = (struct loop_timer){.cb = on_tick, .ctx = p};
	/* Blocks the signals, so before any thread starts. */
	if (r == 0)
		r = loop_signal_add(p->loop, &p->signals, signos, array_len(signos));
	if (r == 0)
		r = relay_start(&p->relay, p->conf, timebase_system(), err);
	if (r == 0)
		loop_timer_in(p->loop, &p->timer, NS_PER_S);
	if (r == 0)
		r = loop_run(p->loop);
	if (r < 0 && !err->text[0])
		error_set(err, "%s", strerror(-r));
	p->relay = relay_stop(p->relay);
	loop_timer_cancel(&p->timer);
	if (p->loop)
		loop_signal_remove(&p->signals);
	loop_free(p->loop);
	return r;
}

/* Connections and databases take descriptors; the soft limit is often 1,024. */
static void raise_file_limit(const struct conf *c)
{
	rlim_t wanted = (rlim_t)conf_int(c, "http", NULL, "connections_max") + OTHER_FILES;
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= wanted)
		return;
	l.rlim_cur = wanted < l.rlim_max ? wanted : l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur < wanted)
		log_warn("file_limit_low", "limit=%llu wanted=%llu", (unsigned long long)l.rlim_cur,
			 (unsigned long long)wanted);
}

static int run(const char *path, bool check_only)
{
	struct program p = {.path = path};
	struct error err = {0};
	int r = relay_conf_load(&p.conf, path, &err);

	if (r < 0) {
		fprintf(stderr, "towline-relay: %s\n", err.text);
		/* For want of memory is no fault of the file: the service may try again. */
		return r == -ENOMEM ? EXIT_FAILURE : PROGRAM_EXIT_USAGE;
	}
	if (check_only) {
		r = mqtt_conf_check_dates(p.conf, path, &err);
		if (r == 0)
			printf("%s: good\n", path);
	} else {
		(void)signal(SIGPIPE, SIG_IGN);
		log_set_level((enum log_level)conf_enum(p.conf, "relay", NULL, "log_level"));
		raise_file_limit(p.conf);
		r = serve(&p, &err);
	}
	conf_free(p.conf);
	if (r < 0) {
		fprintf(stderr, "towline-relay: %s\n", err.text);
		return check_only ? PROGRAM_EXIT_USAGE : EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct program_text text = {
		.name = "towline-relay",
		.version = TOWLINE_VERSION,
		.usage = usage,
		.table = &relay_conf_table,
	};
	struct program_options opt = {0};
	int code;

	log_keep_standard_files();
	code = program_options(&text, argc, argv, &opt);
	return code >= 0 ? code : run(opt.path, opt.check);
}
