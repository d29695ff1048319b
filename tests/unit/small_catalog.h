/* tests/unit/small_catalog.h: catalogs of one bus, from few words. */
#pragma once

#include "proto/catalog.h"

/* At start, of bits, unsigned, with a factor of 1. The name is borrowed. */
struct catalog_signal plain_signal(const char *name, uint32_t message, uint16_t start,
				   uint16_t bits);
/* The n messages on can0, and their signals one message after the other. The caller frees it. */
struct catalog *small_catalog(const struct catalog_message *messages, size_t n,
			      const struct catalog_signal *signals);
/* Two messages of 8 bytes: names[0] (0x100) with names[1] (16 bits) and names[2] (8 bits, from bit
 * 16), and names[3] (0x200) with names[4] (8 bits). All are unsigned, with a factor of 1. */
struct catalog *two_messages(const char *const names[static 5]);
