/* agent/source/source.h: where frames come from.
 *
 * A source runs on the front loop and hands over one frame at a time. Frames carry mono time and
 * the catalog's bus number. What a source does when the pipeline is busy is its own affair: replay
 * waits, a CAN socket drops and counts. */
#pragma once

#include "agent/health/counters.h"
#include "agent/source/clock.h"
#include "agent/source/frame.h"
#include "base/loop.h"
#include "proto/catalog.h"

struct can_watch;
struct source;

enum { SOURCE_BUSY = 1 };

/* What all sources share; borrowed for their life. */
struct source_env {
	struct loop *loop;
	const struct timebase *tb;
	const struct catalog *cat;
	struct clock_pair clock; /* by which a log's wall times become mono times */
	struct counters *counters;
	struct can_watch *watch; /* of CAN interfaces; NULL: none */
	/* Returns 0, or SOURCE_BUSY with the frame not taken: source_resume says when to try
	 * again. */
	int (*frame)(void *ctx, const struct frame *f);
	/* The same for what needs no decoder of frames. */
	int (*payload)(void *ctx, const struct payload *p);
	/* From here on payloads of this id come by `payload`: raw frames of it are not put
	 * together, nor asked for. Returns 0 or -ENOMEM. */
	int (*claim)(void *ctx, uint16_t bus, uint32_t id, bool extended);
	/* What the rules in force need of a bus. Writes at most max; returns how many there are. */
	size_t (*matches)(void *ctx, uint16_t bus, struct frame_match *out, size_t max);
	/* Whether a rule in force collects the signal (its number in the catalog). */
	bool (*wants)(void *ctx, uint32_t signal);
	/* The source has no more frames; once. It may be freed, but not in this call. */
	void (*ended)(void *ctx, struct source *s);
	void *ctx;
};

struct source_ops {
	const char *type;
	void (*resume)(struct source *s);	   /* NULL: never waits */
	void (*matches_changed)(struct source *s); /* other rules or claims; NULL: no matter */
	void (*stop)(struct source *s);
	void (*free)(struct source *s);
};

/* Embedded as the first member. */
struct source {
	const struct source_ops *ops;
	const struct source_env *env;
	char *name; /* the label of its section */
	bool ended;
};

/* For implementations. Copies name. Returns 0 or -ENOMEM. */
int source_init(struct source *s, const struct source_ops *ops, const struct source_env *env,
		const char *name) must_check;
/* The end of making one, r: how that went. 0: *ret is s; else s is freed, *ret stays. Returns r. */
int source_made(struct source **ret, struct source *s, int r) must_check;
void source_end(struct source *s); /* calls env->ended, once */

void source_resume(struct source *s);
void source_matches_changed(struct source *s);
void source_stop(struct source *s); /* no frame is handed over from here on */
struct source *source_free(struct source *s);

/* The catalog's number of a bus, or FRAME_BUS_NONE. */
uint16_t source_bus(const struct catalog *cat, const char *name);
/* Puts into err that a bus is missing, and which ones there are. */
void source_tell_buses(const struct catalog *cat, const char *missing, struct error *err);
/* For implementations whose options name a bus. Returns 0, or -EINVAL with err: the catalog has no
 * such bus. */
int source_find_bus(const struct source *s, const char *name, uint16_t *ret,
		    struct error *err) must_check;
