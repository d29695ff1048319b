#include "tests/faults/sim/opened.h"

#define store_put opened_store_put
#include "agent/store/intake.c"
