#include "tests/unit/flight_fixture.h"

#include <check.h>

struct flight_world fw;
const uint64_t NO_BACKLOG[CLASS_COUNT];

void flight_setup(void)
{
	struct flight_options opt = {
		.rows_max = 8, .bytes_max = 1000, .receipt_timeout_ns = 30 * NS_PER_S, .seed = 42};

	ck_assert_int_eq(flight_new(&fw.f, &opt), 0);
	flight_reset(fw.f, NO_BACKLOG);
	fw.now.ns = 1000 * NS_PER_S;
}

void flight_teardown(void)
{
	fw.f = flight_free(fw.f);
}

void advance_s(int64_t s)
{
	fw.now.ns += s * NS_PER_S;
}

void send_row(enum uplink_class class, uint64_t seq, size_t bytes)
{
	const struct flight_row row = {
		.lane = lane_of(class, true), .seq = seq, .through = seq, .bytes = bytes};

	flight_sent(fw.f, &row, fw.now);
}

void send_to_broker(enum uplink_class class, uint64_t seq)
{
	send_row(class, seq, 1);
	flight_puback(fw.f, class, seq, 0, fw.now);
}

void hear_relay(void)
{
	(void)flight_heard(fw.f, fw.now);
}

bool is_due(enum uplink_class class, uint64_t seq)
{
	uint64_t seqs[LANES];
	unsigned lane = lane_of(class, true);

	return flight_due(fw.f, fw.now, seqs) & 1u << lane && seqs[lane] == seq;
}

bool nothing_due(void)
{
	uint64_t seqs[LANES];

	return flight_due(fw.f, fw.now, seqs) == 0;
}
