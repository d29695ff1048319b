/* agent/store/data_dir.h: the folder of the outbox, held by one agent at a time. */
#pragma once

#include "base/base.h"

/* Makes dir where it is missing (mode 0750; its parent must exist) and locks DIR/agent.lock until
 * *ret_fd is closed. Returns 0; -EBUSY: another agent has it; -errno; each with err naming it. */
int data_dir_lock(int *ret_fd, const char *dir, struct error *err) must_check;
