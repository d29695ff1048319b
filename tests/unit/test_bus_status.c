/* The status of a bus: bytes there and back, the message in the catalog, and that the decoder gets
 * out by the message what the bytes hold. */
#include "agent/decode/decode.h"
#include "proto/bus_status.h"
#include "tests/unit/small_catalog.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

static const struct bus_status full = {
	.state = BUS_ERROR_PASSIVE,
	.link_up = true,
	.has_errors = true,
	.has_bit_rate = true,
	.has_load = true,
	.frames = 0x01020304,
	.frames_bad = 2,
	.frames_lost = 3,
	.error_frames = 4,
	.bus_errors = 5,
	.ack_errors = 6,
	.arbitration_lost = 7,
	.controller_overflows = 8,
	.tx_timeouts = 9,
	.bus_offs = 10,
	.restarts = 11,
	.link_downs = UINT32_MAX,
	.tx_errors = 300,
	.rx_errors = 13,
	.bit_rate = 500000,
	.data_bit_rate = 2000000,
	.load = 427,
};

static struct catalog *cat, *with;

static void setup(void)
{
	static const char *const names[] = {"A", "a", "b", "B", "c"};
	struct error err = {0};

	cat = two_messages(names);
	ck_assert_msg(bus_status_add(&with, cat, &err) == 0, "%s", err.text);
}

static void teardown(void)
{
	catalog_free(cat);
	catalog_free(with);
}

static void assert_equal(const struct bus_status *a, const struct bus_status *b)
{
	uint8_t x[BUS_STATUS_BYTES], y[BUS_STATUS_BYTES];

	bus_status_pack(a, x);
	bus_status_pack(b, y);
	ck_assert_mem_eq(x, y, sizeof(x));
}

START_TEST(there_and_back)
{
	uint8_t bytes[BUS_STATUS_BYTES];
	struct bus_status back;

	bus_status_pack(&full, bytes);
	ck_assert_int_eq(bus_status_unpack(&back, bytes, sizeof(bytes)), 0);
	assert_equal(&full, &back);
	ck_assert_int_eq(back.state, BUS_ERROR_PASSIVE);
	ck_assert(back.link_up && back.has_errors && back.has_bit_rate && back.has_load);
	ck_assert_uint_eq(back.frames, 0x01020304);
	ck_assert_uint_eq(back.link_downs, UINT32_MAX);
	ck_assert_uint_eq(back.tx_errors, 300);
	ck_assert_uint_eq(back.load, 427);
}
END_TEST

/* The bytes of today stay the bytes of tomorrow. */
START_TEST(fixed_little_endian_bytes)
{
	static const uint8_t expected[BUS_STATUS_BYTES] = {
		2,    0x0F,		/* state, link up and known */
		4,    3,    2,	  1,	/* frames */
		2,    0,    0,	  0,	/* bad */
		3,    0,    0,	  0,	/* lost */
		4,    0,    0,	  0,	/* error frames */
		5,    0,    0,	  0,	/* bus errors */
		6,    0,    0,	  0,	/* ack errors */
		7,    0,    0,	  0,	/* arbitration lost */
		8,    0,    0,	  0,	/* controller overflows */
		9,    0,    0,	  0,	/* tx timeouts */
		10,   0,    0,	  0,	/* bus-offs */
		11,   0,    0,	  0,	/* restarts */
		0xFF, 0xFF, 0xFF, 0xFF, /* link downs */
		44,   1,    13,	  0,	/* error counters */
		0x20, 0xA1, 7,	  0,	/* bit rate */
		0x80, 0x84, 0x1E, 0,	/* data bit rate */
		0xAB, 1,		/* load */
	};
	uint8_t bytes[BUS_STATUS_BYTES];

	bus_status_pack(&full, bytes);
	ck_assert_mem_eq(bytes, expected, sizeof(expected));
}
END_TEST

START_TEST(bytes_that_are_none)
{
	uint8_t bytes[BUS_STATUS_BYTES];
	struct bus_status back;

	bus_status_pack(&full, bytes);
	for (size_t len = 0; len < sizeof(bytes); len++)
		ck_assert_int_eq(bus_status_unpack(&back, bytes, len), -EBADMSG);
	bytes[0] = BUS_STATES;
	ck_assert_int_eq(bus_status_unpack(&back, bytes, sizeof(bytes)), -EBADMSG);
}
END_TEST

START_TEST(states_have_names)
{
	ck_assert_str_eq(bus_state_name(BUS_OFF), "bus-off");
	ck_assert_str_eq(bus_state_name(BUS_UNKNOWN), "unknown");
	ck_assert_str_eq(bus_state_name(BUS_STATES), "?");
	for (int i = 0; i < BUS_STATES; i++)
		ck_assert_str_ne(bus_state_name((enum bus_state)i), "?");
}
END_TEST

START_TEST(the_catalog_keeps_its_numbers)
{
	uint32_t m = bus_status_find(with, 0), signal;
	const struct catalog_signal *state;

	ck_assert_uint_eq(bus_status_find(cat, 0), CATALOG_NONE);
	ck_assert_uint_eq(bus_status_find(with, 1), CATALOG_NONE);
	ck_assert_uint_eq(m, cat->n_messages);
	ck_assert_uint_eq(with->n_messages, cat->n_messages + 1);
	for (size_t i = 0; i < cat->n_signals; i++)
		ck_assert_str_eq(with->signals[i].name, cat->signals[i].name);
	ck_assert_int_eq(catalog_find(with, "can0.BusStatus.State", &signal), 0);
	state = &with->signals[signal];
	ck_assert_str_eq(catalog_choice(state, BUS_OFF), "bus-off");
	ck_assert_str_eq(catalog_choice(state, BUS_ABSENT), "absent");
	ck_assert_int_eq(catalog_find(with, "can0.BusStatus.BusLoad", &signal), 0);
	ck_assert_double_eq_tol(catalog_value(&with->signals[signal], 427), 42.7, 1e-9);
	ck_assert_str_eq(with->signals[signal].unit, "%");
}
END_TEST

/* What is the raw value of a signal among samples; -1: not there. */
static int64_t raw_of(const struct sample *samples, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(with->signals[samples[i].signal].name, name) == 0)
			return (int64_t)samples[i].raw;
	return -1;
}

static size_t decode(const struct bus_status *s, struct decoder *d, struct sample *out)
{
	uint8_t bytes[BUS_STATUS_BYTES];
	struct payload p = {.kind = PAYLOAD_STATUS, .data = bytes, .len = sizeof(bytes)};
	uint32_t message;
	size_t n;

	bus_status_pack(s, bytes);
	n = decoder_payload(d, &p, &message, out);
	ck_assert_uint_eq(message, bus_status_find(with, 0));
	return n;
}

START_TEST(decoded_by_the_catalog)
{
	static const struct {
		const char *name;
		int64_t raw;
	} all[] = {
		{"State", 2},
		{"LinkUp", 1},
		{"Known", 7},
		{"FramesReceived", 0x01020304},
		{"FramesBad", 2},
		{"FramesLost", 3},
		{"ErrorFrames", 4},
		{"BusErrors", 5},
		{"AckErrors", 6},
		{"ArbitrationLost", 7},
		{"ControllerOverflows", 8},
		{"TxTimeouts", 9},
		{"BusOffs", 10},
		{"Restarts", 11},
		{"LinkDowns", UINT32_MAX},
		{"TxErrors", 300},
		{"RxErrors", 13},
		{"BitRate", 500000},
		{"DataBitRate", 2000000},
		{"BusLoad", 427},
	};
	struct sample out[32];
	struct decoder *d;
	size_t n;

	ck_assert_int_eq(decoder_new(&d, with, NULL), 0);
	ck_assert_uint_le(decoder_samples_max(d), array_len(out));
	n = decode(&full, d, out);
	ck_assert_uint_eq(n, array_len(all));
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(raw_of(out, n, all[i].name), all[i].raw);
	decoder_free(d);
}
END_TEST

/* All that may be known or not, each way: what is not is absent, and not 0. */
START_TEST(what_is_not_known_is_absent)
{
	struct bus_status s = full;
	struct sample out[32];
	struct decoder *d;
	size_t n;

	s.has_errors = _i & 1;
	s.has_bit_rate = _i & 2;
	s.has_load = _i & 4;
	ck_assert_int_eq(decoder_new(&d, with, NULL), 0);
	n = decode(&s, d, out);
	ck_assert_int_eq(raw_of(out, n, "TxErrors"), s.has_errors ? 300 : -1);
	ck_assert_int_eq(raw_of(out, n, "RxErrors"), s.has_errors ? 13 : -1);
	ck_assert_int_eq(raw_of(out, n, "BitRate"), s.has_bit_rate ? 500000 : -1);
	ck_assert_int_eq(raw_of(out, n, "DataBitRate"), s.has_bit_rate ? 2000000 : -1);
	ck_assert_int_eq(raw_of(out, n, "BusLoad"), s.has_load ? 427 : -1);
	ck_assert_int_eq(raw_of(out, n, "Restarts"), 11);
	decoder_free(d);
}
END_TEST

/* No frame is the status, whatever its identifier, and no filter asks for one. */
START_TEST(no_frame_has_it)
{
	struct frame f = {.id = 0, .len = 8};
	struct frame_match m[8];
	struct sample out[32];
	struct decoder *d;
	uint32_t message;

	ck_assert_int_eq(decoder_new(&d, with, NULL), 0);
	ck_assert_uint_eq(decoder_frame(d, &f, &message, out), 0);
	ck_assert_uint_eq(message, CATALOG_NONE);
	ck_assert_uint_eq(decoder_matches(d, 0, m, array_len(m)), 2);
	decoder_free(d);
}
END_TEST

START_TEST(a_name_that_is_taken)
{
	static const char *const names[] = {"BusStatus", "State", "b", "BusStatus_2", "c"};
	struct catalog *taken = two_messages(names), *more, *again;
	struct error err = {0};
	uint32_t signal;

	ck_assert_int_eq(bus_status_add(&more, taken, &err), 0);
	ck_assert_int_eq(catalog_find(more, "can0.BusStatus_3.State", &signal), 0);
	ck_assert_int_eq(bus_status_add(&again, more, &err), -EEXIST);
	ck_assert_ptr_nonnull(strstr(err.text, "can0"));
	catalog_free(taken);
	catalog_free(more);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("bus_status");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, there_and_back);
	tcase_add_test(t, fixed_little_endian_bytes);
	tcase_add_test(t, bytes_that_are_none);
	tcase_add_test(t, states_have_names);
	tcase_add_test(t, the_catalog_keeps_its_numbers);
	tcase_add_test(t, decoded_by_the_catalog);
	tcase_add_loop_test(t, what_is_not_known_is_absent, 0, 8);
	tcase_add_test(t, no_frame_has_it);
	tcase_add_test(t, a_name_that_is_taken);
	return suite_run("bus_status", &t, 1);
}
