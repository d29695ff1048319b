/* tests/fakes/program.h: starts programs that were built beside the test. */
#pragma once
#include "base/base.h"

/* Writes the path of a program that lies next to this one. Returns 0, or -errno. */
int program_beside(char *ret, size_t ret_size, const char *name) must_check;

/*
 * Becomes a program of ours, as execv() does, through the emulator that the build was given
 * (CMAKE_CROSSCOMPILING_EMULATOR) when it is for another machine. argv[0] is the program's path.
 * Returns only when that failed, with -errno. Programs of the host's need execv() itself.
 */
int program_exec(const char *const argv[]) must_check;
