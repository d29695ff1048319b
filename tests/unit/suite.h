/* tests/unit/suite.h: the end of every test program. */
#pragma once

#include "base/base.h"

#include <check.h>

/* Runs the n test cases as one suite, prints Check's summary, frees all. Returns main's status. */
int suite_run(const char *name, TCase *const *cases, size_t n) must_check;
