#include "tests/unit/catalog_draft.h"

#include <check.h>

const char *const BUSES[] = {"can0", "can1"};
const struct catalog_range RANGES[] = {{1, 3}, {7, 7}};
static const struct catalog_choice CHOICES[] = {{-1, "reverse"}, {0, "neutral"}, {5, "fünf"}};

void draft_init(struct draft *d)
{
	*d = (struct draft){
		.messages =
			{
				{.name = "ENGINE",
				 .comment = "c",
				 .id = 0x100,
				 .bytes = 8,
				 .n_signals = 2},
				{.name = "GEAR",
				 .bus = 1,
				 .id = 0x18fef100,
				 .extended = true,
				 .j1939 = true,
				 .bytes = 16,
				 .first_signal = 2,
				 .n_signals = 3},
				{.name = "ENGINE",
				 .bus = 1,
				 .id = 0x7ff,
				 .bytes = 8,
				 .first_signal = 5,
				 .n_signals = 1},
			},
		.signals = {plain_signal("RPM", 0, 0, 16), plain_signal("TEMP", 0, 23, 12),
			    plain_signal("MODE", 1, 0, 8), plain_signal("GEAR", 1, 8, 8),
			    plain_signal("RATIO", 1, 64, 64), plain_signal("RPM", 2, 7, 16)},
	};
	d->signals[0].factor = 0.25;
	d->signals[0].offset = -40;
	d->signals[0].unit = "1/min";
	d->signals[1].big_endian = true;
	d->signals[2].is_mux = true;
	d->signals[3].kind = SIGNAL_SIGNED;
	d->signals[3].mux = 2;
	d->signals[3].mux_ranges = RANGES;
	d->signals[3].n_mux_ranges = 2;
	d->signals[3].choices = CHOICES;
	d->signals[3].n_choices = 3;
	d->signals[4].kind = SIGNAL_FLOAT64;
	d->signals[5].big_endian = true;
	d->catalog = (struct catalog){.buses = BUSES,
				      .n_buses = 2,
				      .messages = d->messages,
				      .n_messages = 3,
				      .signals = d->signals,
				      .n_signals = 6};
}

struct catalog *draft_build(const struct draft *d)
{
	struct error err = {0};
	struct catalog *c = NULL;
	int r = catalog_build(&c, &d->catalog, &err);

	ck_assert_msg(r == 0, "%d: %s", r, err.text);
	return c;
}
