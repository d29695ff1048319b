/* agent/publish/clock_repair.h: wall times that were wrong, put right once the time is known.
 *
 * A unit boots with a clock of 1970, or of a battery; a minute later a network or GPS sets it. Mono
 * times are right all along, so one moment on both clocks mends what was stamped before: a batch of
 * this boot that goes out after that is rebased on its way (the outbox keeps it as it was), and for
 * those that went out before there is a Clock row (proto/clock.h).
 *
 * The clock is taken as known while the kernel says that somebody disciplines it; a step of more
 * than a second meanwhile makes the new one the right one. What a free-running clock does, forwards
 * or backwards, changes nothing. Suspend moves both clocks. Pure, but for the clocks that it is
 * given. */
#pragma once

#include "agent/source/clock.h"
#include "proto/batch_rebase.h"
#include "proto/clock.h"

struct clock_repair_options {
	const struct timebase *tb; /* borrowed */
	uint64_t boot_id;	   /* of the mono times */
	/* What the kernel knows of the wall clock; NULL: clock_quality_read. */
	enum clock_quality (*quality)(void *ctx);
	void *ctx;
};

struct clock_repair {
	struct clock_repair_options opt;
	struct clock_pair pair; /* as it was last looked at */
	enum clock_quality quality;
	bool known; /* it was disciplined once, and then good was read */
	struct clock_pair good;
	int64_t told_ns;       /* wall less mono, as it was when it became known or stepped */
	bool sent, sent_worse; /* batches of this boot: any; with a clock that was not known */
	bool noted_earlier;    /* batches from before the agent's start are among them */
	bool owed;	       /* such batches are not mended yet: a Clock row is to be stored */
};

void clock_repair_init(struct clock_repair *c, const struct clock_repair_options *opt);
/* Reads the clocks. Returns whether it became known, or another one. */
bool clock_repair_look(struct clock_repair *c);

enum { CLOCK_REPAIRED = 1 };
/* A batch goes out. earlier: it was stored before the agent's start, and may have gone out then.
 * Returns 0: as it is; CLOCK_REPAIRED: as out has it; -EBADMSG (nothing that this version can read:
 * as it is), -ENOMEM, -EMSGSIZE. */
int clock_repair_send(struct clock_repair *c, const void *body, size_t len, bool earlier,
		      struct buf *out) must_check;
/* Whether a Clock row is to be stored, and what it says. Stays so until clock_repair_told. */
bool clock_repair_owes(const struct clock_repair *c, struct clock_notice *ret);
void clock_repair_told(struct clock_repair *c);
