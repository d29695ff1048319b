#include "tests/unit/small_catalog.h"

#include <check.h>

struct catalog *small_catalog(const struct catalog_message *messages, size_t n,
			      const struct catalog_signal *signals)
{
	static const char *const buses[] = {"can0"};
	struct catalog from = {.buses = buses,
			       .n_buses = 1,
			       .messages = messages,
			       .n_messages = n,
			       .signals = signals};
	struct error err = {0};
	struct catalog *c;

	for (size_t i = 0; i < n; i++)
		from.n_signals += messages[i].n_signals;
	ck_assert_msg(catalog_build(&c, &from, &err) == 0, "%s", err.text);
	return c;
}

struct catalog_signal plain_signal(const char *name, uint32_t message, uint16_t start,
				   uint16_t bits)
{
	return (struct catalog_signal){.name = name,
				       .message = message,
				       .start_bit = start,
				       .bits = bits,
				       .factor = 1,
				       .unit = "",
				       .comment = "",
				       .mux = CATALOG_NONE};
}

struct catalog *two_messages(const char *const names[static 5])
{
	struct catalog_signal signals[] = {plain_signal(names[1], 0, 0, 16),
					   plain_signal(names[2], 0, 16, 8),
					   plain_signal(names[4], 1, 0, 8)};
	struct catalog_message messages[] = {
		{.name = names[0], .comment = "", .id = 0x100, .bytes = 8, .n_signals = 2},
		{.name = names[3],
		 .comment = "",
		 .id = 0x200,
		 .bytes = 8,
		 .first_signal = 2,
		 .n_signals = 1},
	};

	return small_catalog(messages, array_len(messages), signals);
}
