/* bench_source: what the SocketCAN source costs a frame, from a socket to the pipeline's door.
 *
 *   bench_source [--json FILE] [--seconds S]
 *
 * The socket is a unix one that keeps messages apart, so that it runs where there is no CAN: the
 * system calls are those of CAN, the kernel's way to them is not. Frames lie in the socket, 1 to
 * 255 at once, as they do on a bus that is calm, or when the agent comes late. Time is CPU time of
 * the thread that reads, system calls included. */
#include "agent/can/can_interface.h"
#include "agent/source/socketcan.h"
#include "tests/bench/common.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKET_BYTES = 8 << 20, BURST_MAX = 256 };

static int pair[2] = {-1, -1};
static uint64_t n_frames, n_statuses;

static int find(const char *interface, struct can_interface *ret)
{
	(void)interface;
	*ret = (struct can_interface){.index = 1};
	return 0;
}

static int open_pair(int ifindex, const char *interface, const struct can_filters *filters,
		     bool hardware, enum can_times *ret_times)
{
	const int one = 1, bytes = SOCKET_BYTES;

	(void)ifindex;
	(void)interface;
	(void)filters;
	(void)hardware;
	*ret_times = CAN_TIMES_KERNEL;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		bench_die("socketpair: %s", strerror(errno));
	(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	if (setsockopt(pair[0], SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0)
		bench_die("SO_TIMESTAMPNS: %s", strerror(errno));
	return pair[0];
}

static int filter(int fd, const struct can_filters *filters)
{
	(void)fd;
	(void)filters;
	return 0;
}

static int read_pair(int fd, struct mmsghdr *msgs, unsigned n)
{
	return recvmmsg(fd, msgs, n, MSG_DONTWAIT, NULL);
}

static int on_frame(void *ctx, const struct frame *f)
{
	(void)ctx;
	n_frames += f->len == 8;
	return 0;
}

static int on_payload(void *ctx, const struct payload *p)
{
	(void)ctx;
	(void)p;
	n_statuses++;
	return 0;
}

static void send_burst(uint32_t id, unsigned burst)
{
	for (unsigned i = 0; i < burst; i++) {
		struct can_frame f = {.can_id = id, .len = 8};

		if (send(pair[1], &f, sizeof(f), 0) != sizeof(f))
			bench_die("the socket is full after %u frames: %s", i, strerror(errno));
	}
}

static void turn(struct loop *loop)
{
	if (loop_turn(loop, 0) < 0)
		bench_die("the loop failed");
}

struct result {
	uint64_t frames, allocations;
	double ns;
};

static struct result measure(struct loop *loop, uint32_t id, unsigned burst, double seconds)
{
	struct result r = {0};
	uint64_t expected = n_frames;
	int64_t spent = 0;

	do {
		int64_t start;
		uint64_t before;

		send_burst(id, burst);
		expected += id & CAN_ERR_FLAG ? 0 : burst;
		before = bench_allocations();
		start = bench_cpu_ns();
		turn(loop);
		spent += bench_cpu_ns() - start;
		r.allocations += bench_allocations() - before;
		r.frames += burst;
	} while (spent < (int64_t)(seconds * 1e9));
	if (n_frames != expected)
		bench_die("%" PRIu64 " frames of %" PRIu64, n_frames, expected);
	r.ns = (double)spent / (double)r.frames;
	return r;
}

static struct source *start(struct loop *loop, struct source_env *env)
{
	static const struct socketcan_kernel kernel = {
		.open = open_pair, .filter = filter, .read = read_pair, .find = find};
	struct socketcan_options opt = {.interface = "can0", .bus = "can0", .kernel = &kernel};
	struct source *s;
	struct error err;

	if (socketcan_new(&s, env, "can0", &opt, &err) < 0)
		bench_die("socketcan: %s", err.text);
	turn(loop);
	if (pair[1] < 0)
		bench_die("the source did not open");
	return s;
}

static uint64_t run(struct loop *loop, double seconds, json_t *json)
{
	static const struct {
		const char *name;
		uint32_t id;
		unsigned burst;
	} rows[] = {
		{"1 at once", 0x123, 1},
		{"8 at once", 0x123, 8},
		{"32 at once", 0x123, 32},
		{"255 at once", 0x123, BURST_MAX - 1}, /* with 256 there may be more */
		{"255 error frames", 0x20000088, BURST_MAX - 1},
	};
	uint64_t allocations = 0;

	printf("%-18s %10s %10s %12s\n", "frames", "read", "ns/frame", "allocations");
	for (size_t i = 0; i < array_len(rows); i++) {
		struct result r = measure(loop, rows[i].id, rows[i].burst, seconds);

		printf("%-18s %10" PRIu64 " %10.1f %12" PRIu64 "\n", rows[i].name, r.frames, r.ns,
		       r.allocations);
		json_array_append_new(
			json,
			bench_must(json_pack("{s:s, s:I, s:f, s:I}", "frames", rows[i].name, "read",
					     (json_int_t)r.frames, "ns_per_frame", r.ns,
					     "allocations", (json_int_t)r.allocations)));
		allocations += r.allocations;
	}
	return allocations;
}

int main(int argc, char **argv)
{
	static const struct bench_shape shape = {
		.messages = 1, .signals = 4, .bytes = 8, .id = 0x123, .id_step = 1};
	static struct counters counters;
	double seconds = 0.5;
	const struct bench_number numbers[] = {{"seconds", &seconds, 0.001, 3600}};
	struct bench_args args = {
		.usage = "[--json FILE] [--seconds S]",
		.numbers = numbers,
		.n_numbers = array_len(numbers),
	};
	json_t *json = bench_must(json_array());
	struct source_env env = {.tb = timebase_system(),
				 .counters = &counters,
				 .frame = on_frame,
				 .payload = on_payload};
	struct catalog *cat = bench_catalog(&shape);
	uint64_t allocations;
	struct source *s;

	bench_args_parse(&args, argc, argv);
	if (loop_new(&env.loop, env.tb) < 0)
		bench_die("out of memory");
	env.cat = cat;
	s = start(env.loop, &env);
	allocations = run(env.loop, seconds, json);
	source_free(s);
	(void)close(pair[1]);
	loop_free(env.loop);
	catalog_free(cat);
	bench_json_write(json, args.json);
	if (bench_counts_allocations() && allocations > 0)
		bench_die("the source allocated");
	return EXIT_SUCCESS;
}
