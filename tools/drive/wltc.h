/* tools/drive/wltc.h: the Worldwide harmonised Light vehicles Test Cycle, class 3b (UN GTR 15). */
#pragma once

#include "base/base.h"

enum { WLTC_SECONDS = 1800, WLTC_PHASES = 4 };

struct wltc_phase {
	const char *name;
	size_t first, last; /* seconds, inclusive */
};

const struct wltc_phase *wltc_phase(size_t i);
/* The table's value at a whole second; 0 past the end. */
double wltc_table_kmh(size_t second);
/* Interpolated; 0 before the start and from the end on. */
double wltc_kmh(double t);
/* Distance of the whole cycle. */
double wltc_length_m(void);
