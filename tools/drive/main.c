/* tools/drive/main.c: towline-drive: the simulated car's buses as a candump log. */
#include "agent/source/candump.h"
#include "tools/drive/bus.h"
#include "tools/drive/car.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STEP_NS = 10000000, BUFFER = 256 * 1024, SPEED_MAX = 0 };

struct options {
	double seconds; /* 0: endless */
	double speed;	/* SPEED_MAX: as fast as possible */
	int64_t start_ns;
	const char *out;
	struct car_options car;
};

struct stream {
	struct car *car;
	struct bus_set bus;
	int fd;
	int64_t wall_ns, mono_ns; /* of step 0 */
	uint64_t frames;
	size_t used;
	char buffer[BUFFER];
};

static volatile sig_atomic_t stopped;

static void on_signal(int signo)
{
	(void)signo;
	stopped = 1;
}

/* The first signal ends the stream at the end of a line; a second one ends it anywhere, for a
 * reader that does not read any more. */
static void catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* Writes whole lines: a signal between two writes of one buffer does not cut it. */
static int flush(struct stream *s)
{
	size_t done = 0;
	while (done < s->used) {
		ssize_t n = write(s->fd, s->buffer + done, s->used - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	s->used = 0;
	return 0;
}

static int append(struct stream *s, const struct frame *f)
{
	if (s->used + CANDUMP_LINE_MAX > sizeof(s->buffer)) {
		int err = flush(s);
		if (err < 0)
			return err;
	}
	s->used += candump_format(f, drive_bus(f->bus)->name, s->buffer + s->used);
	s->frames++;
	return 0;
}

static void wait_until(const struct stream *s, double speed, int64_t sim_ns)
{
	int64_t due = s->mono_ns + (int64_t)((double)sim_ns / speed);
	struct timespec t = {.tv_sec = (time_t)(due / NS_PER_S), .tv_nsec = (long)(due % NS_PER_S)};
	while (!stopped && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static int run(struct stream *s, const struct options *o)
{
	struct frame frames[BUS_FRAMES_MAX];
	int64_t end_ns = o->seconds > 0 ? (int64_t)(o->seconds * 1e9) : INT64_MAX;
	for (int64_t t = 0; t < end_ns && !stopped; t += STEP_NS) {
		car_step(s->car);
		int64_t from = s->wall_ns + t;
		size_t n = bus_tick(&s->bus, s->car, from, from + STEP_NS, frames);
		for (size_t i = 0; i < n; i++) {
			int err = append(s, &frames[i]);
			if (err < 0)
				return err;
		}
		if (o->speed != SPEED_MAX) {
			wait_until(s, o->speed, t + STEP_NS);
			int err = flush(s);
			if (err < 0)
				return err;
		}
	}
	return flush(s);
}

static int open_out(const char *path)
{
	if (strcmp(path, "-") == 0)
		return STDOUT_FILENO;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return fd < 0 ? -errno : fd;
}

static int drive(const struct options *o)
{
	static struct stream s;
	s.wall_ns = o->start_ns ? o->start_ns : clock_ns(CLOCK_REALTIME);
	int err = car_new(&s.car, &o->car, (double)s.wall_ns / 1e9);
	if (err < 0) {
		fprintf(stderr, "towline-drive: %s\n", strerror(-err));
		return EXIT_FAILURE;
	}
	bus_init(&s.bus, o->car.seed);
	s.fd = open_out(o->out);
	s.mono_ns = clock_ns(CLOCK_MONOTONIC);
	err = s.fd < 0 ? s.fd : run(&s, o);
	if (err == -EINTR && stopped) /* while a FIFO waited for its reader */
		err = 0;
	/* A reader that has enough is not a failure. */
	if (err < 0 && err != -EPIPE)
		fprintf(stderr, "towline-drive: %s: %s\n", o->out, strerror(-err));
	if (s.fd > STDOUT_FILENO && close(s.fd) < 0 && err == 0) {
		err = -errno;
		fprintf(stderr, "towline-drive: %s: %s\n", o->out, strerror(errno));
	}
	car_free(s.car);
	return err < 0 && err != -EPIPE ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void help(FILE *out)
{
	fputs("Usage: towline-drive [OPTION]...\n"
	      "Simulates an electric car on the WLTC class 3b and writes its CAN buses, can0 and "
	      "can1,\n"
	      "as lines of candump -l.\n\n"
	      "  --seconds N        simulated seconds; 0: endless (default 0)\n"
	      "  --speed N|max      times real time (default 1)\n"
	      "  --seed S           which vehicle; the same seed gives the same stream (default "
	      "1)\n"
	      "  --start TIME|now   time of the first frame, Unix seconds (default now)\n"
	      "  --charge auto|always\n"
	      "                     fast charge after a drive: below 30 % (default), or each time\n"
	      "  --out FILE|-       where to write (default -, standard output)\n"
	      "  --print-dbc BUS    print the DBC file of can0 or can1, and exit\n"
	      "  --list             print the messages, and exit\n"
	      "  --help             print this, and exit\n"
	      "  --version          print the version, and exit\n\n"
	      "SIGINT and SIGTERM end the stream at the end of a line.\n",
	      out);
}

static int usage(const char *option, const char *value, const char *want)
{
	fprintf(stderr, "towline-drive: --%s: '%s' is not %s\n", option, value, want);
	return EXIT_FAILURE;
}

static bool number(const char *text, double min, double max, double *ret)
{
	char *end;
	errno = 0;
	double x = strtod(text, &end);
	if (end == text || *end || errno || !(x >= min && x <= max))
		return false;
	*ret = x;
	return true;
}

static bool seed_number(const char *text, uint64_t *ret)
{
	char *end;
	errno = 0;
	unsigned long long x = strtoull(text, &end, 0);
	if (*text < '0' || *text > '9' || *end || errno)
		return false;
	*ret = x;
	return true;
}

static int set_start(struct options *o, const char *value)
{
	double x;
	o->start_ns = 0;
	if (strcmp(value, "now") == 0)
		return 0;
	if (!number(value, 1, 4e9, &x))
		return usage("start", value, "a Unix time from 1 to 4000000000, or now");
	o->start_ns = (int64_t)(x * 1e6) * NS_PER_US;
	return 0;
}

static int set_speed(struct options *o, const char *value)
{
	if (strcmp(value, "max") == 0)
		o->speed = SPEED_MAX;
	else if (!number(value, 0.001, 10000, &o->speed))
		return usage("speed", value, "a number from 0.001 to 10000, or max");
	return 0;
}

static int set_charge(struct options *o, const char *value)
{
	if (strcmp(value, "auto") == 0)
		o->car.charge = CAR_CHARGE_AUTO;
	else if (strcmp(value, "always") == 0)
		o->car.charge = CAR_CHARGE_ALWAYS;
	else
		return usage("charge", value, "auto or always");
	return 0;
}

/* What was printed is out, or it is said. */
static int printed(void)
{
	int err = fflush(stdout) == 0 ? 0 : errno;
	if (err == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	fprintf(stderr, "towline-drive: standard output: %s\n", strerror(err ? err : EIO));
	return EXIT_FAILURE;
}

static int print_dbc(const char *name)
{
	const struct drive_bus *bus = drive_bus_named(name);
	if (!bus)
		return usage("print-dbc", name, "can0 or can1");
	drive_print_dbc(bus, stdout);
	return printed();
}

enum { OPT_SECONDS = 256, OPT_SPEED, OPT_SEED, OPT_START, OPT_CHARGE, OPT_OUT };

static int set(struct options *o, int opt, const char *value)
{
	switch (opt) {
	case OPT_SECONDS:
		if (!number(value, 0, 1e9, &o->seconds))
			return usage("seconds", value, "a number from 0 to 1e9");
		return 0;
	case OPT_SPEED:
		return set_speed(o, value);
	case OPT_SEED:
		if (!seed_number(value, &o->car.seed))
			return usage("seed", value, "a whole number from 0");
		return 0;
	case OPT_START:
		return set_start(o, value);
	case OPT_CHARGE:
		return set_charge(o, value);
	default:
		o->out = value;
		return 0;
	}
}

int main(int argc, char **argv)
{
	static const struct option table[] = {
		{"seconds", required_argument, NULL, OPT_SECONDS},
		{"speed", required_argument, NULL, OPT_SPEED},
		{"seed", required_argument, NULL, OPT_SEED},
		{"start", required_argument, NULL, OPT_START},
		{"charge", required_argument, NULL, OPT_CHARGE},
		{"out", required_argument, NULL, OPT_OUT},
		{"print-dbc", required_argument, NULL, 'd'},
		{"list", no_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {.speed = 1, .out = "-", .car = {.seed = 1}};
	int opt;
	while ((opt = getopt_long(argc, argv, "h", table, NULL)) >= 0) {
		if (opt == '?') {
			fputs("Try 'towline-drive --help'.\n", stderr);
			return EXIT_FAILURE;
		}
		if (opt == 'h') {
			help(stdout);
			return printed();
		}
		if (opt == 'v') {
			puts("towline-drive " TOWLINE_VERSION);
			return printed();
		}
		if (opt == 'l') {
			drive_print_list(stdout);
			return printed();
		}
		if (opt == 'd')
			return print_dbc(optarg);
		if (set(&o, opt, optarg))
			return EXIT_FAILURE;
	}
	if (optind < argc) {
		fprintf(stderr, "towline-drive: '%s' is too many\n", argv[optind]);
		return EXIT_FAILURE;
	}
	catch_signals();
	return drive(&o);
}
