#include "tests/unit/relay_fixture.h"

#include "tests/unit/small_catalog.h"

#include <check.h>
#include <stdio.h>
#include <unistd.h>

static char dir[64];
struct catalog *store_cat;

void relay_dir_make(void)
{
	/* In memory where there is such a place: nothing here is about real disks. */
	snprintf(dir, sizeof(dir), "%s/towline-test-relay-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

const char *store_path(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

void relay_dir_remove(void)
{
	static const char *const names[] = {"relay.db",	 "relay.db-wal",  "relay.db-shm",
					    "stream.db", "stream.db-wal", "stream.db-shm"};

	for (size_t i = 0; i < array_len(names); i++)
		unlink(store_path(names[i]));
	rmdir(dir);
}

struct catalog *store_catalog(const char *message)
{
	struct catalog_signal signals[] = {
		{.name = "A",
		 .bits = 32,
		 .kind = SIGNAL_UNSIGNED,
		 .factor = 0.5,
		 .unit = "km/h",
		 .comment = "",
		 .mux = CATALOG_NONE},
		{.name = "B",
		 .start_bit = 32,
		 .bits = 16,
		 .kind = SIGNAL_SIGNED,
		 .factor = 1,
		 .unit = "",
		 .comment = "",
		 .mux = CATALOG_NONE},
	};
	struct catalog_message m = {
		.name = message, .comment = "", .id = 1, .bytes = 8, .n_signals = 2};

	return small_catalog(&m, 1, signals);
}

void store_setup(void)
{
	relay_dir_make();
	store_cat = store_catalog("M");
}

void store_teardown(void)
{
	relay_dir_remove();
	store_cat = catalog_free(store_cat);
}

struct registry *open_registry(void)
{
	struct registry *r;
	struct error err = {0};

	ck_assert_msg(registry_open(&r, store_path("relay.db"), timebase_system(), &err) == 0, "%s",
		      err.text);
	return r;
}

struct stream *open_stream(int64_t max)
{
	struct stream *s;
	struct error err = {0};

	ck_assert_msg(stream_open(&s, store_path("stream.db"), max, &err) == 0, "%s", err.text);
	return s;
}

void make_body(struct buf *out, uint32_t *encoding, int64_t t0_ms, uint64_t first, size_t n)
{
	struct batch_builder *b;
	struct batch_header h = {.epoch = 1,
				 .seq = 1,
				 .wall_base_ns = t0_ms * NS_PER_MS,
				 .catalog_id = store_cat->id,
				 .time_unit_ns = 1000000};

	ck_assert_int_eq(batch_builder_new(&b, store_cat, n, 1000000), 0);
	for (size_t i = 0; i < n; i++) {
		struct sample s = {.signal = 0, .raw = first + i};

		ck_assert_int_eq(batch_builder_add(b, 0, (int64_t)i * NS_PER_MS, &s, 1), 0);
	}
	ck_assert_int_eq(batch_builder_encode(b, &h, out, encoding), 0);
	batch_builder_free(b);
}

int append(struct stream *s, int64_t vehicle, uint64_t seq, int64_t t0_ms, uint64_t first, size_t n)
{
	struct buf body cleanup(buf_free) = BUF_INIT(1 << 20);
	struct stream_row row = {.vehicle = vehicle,
				 .device = 1,
				 .epoch = UINT64_MAX,
				 .seq = seq,
				 .class = CLASS_BULK,
				 .received.ns = t0_ms * NS_PER_MS,
				 .first_ns = t0_ms * NS_PER_MS,
				 .last_ns = (t0_ms + (int64_t)n - 1) * NS_PER_MS,
				 .catalog = store_cat->id,
				 .samples = n,
				 .quality = CLOCK_SYNCED};
	int r;

	make_body(&body, &row.encoding, t0_ms, first, n);
	row.body = body.data;
	row.len = body.len;
	r = stream_begin(s);
	return r < 0 ? r : stream_append(s, &row);
}
