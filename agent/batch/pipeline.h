/* agent/batch/pipeline.h: the way of a frame through the front half: decode, collect, batch.
 *
 * Allocates nothing a frame. Either all samples of a frame get into batches, or the frame is not
 * taken and nothing has changed, so that whoever can wait loses nothing. */
#pragma once

#include "agent/batch/batcher.h"
#include "agent/collect/collect.h"
#include "agent/health/counters.h"
#include "agent/source/frame.h"

struct pipeline;

enum { PIPELINE_BUSY = 1 }; /* equals SOURCE_BUSY */

/* Most samples that one frame can give with any rules: the slack of the batches. */
size_t pipeline_slack(const struct catalog *cat);

/* cat, batcher and counters are borrowed; col becomes the pipeline's, on success only. Returns 0
 * or -ENOMEM. */
int pipeline_new(struct pipeline **ret, const struct catalog *cat, struct collect *col,
		 struct batcher *batcher, struct counters *counters) must_check;
struct pipeline *pipeline_free(struct pipeline *p);
/* Other rules from the next frame on. Takes col on success. Returns 0 or -ENOMEM with nothing
 * changed. */
int pipeline_set_collect(struct pipeline *p, struct collect *col) must_check;

/* Returns 0, or PIPELINE_BUSY. */
int pipeline_frame(struct pipeline *p, const struct frame *f) must_check;
int pipeline_payload(struct pipeline *p, const struct payload *payload) must_check;

/* See struct source_env. Claims outlast the rules. */
int pipeline_claim(struct pipeline *p, uint16_t bus, uint32_t id, bool extended) must_check;
size_t pipeline_matches(const struct pipeline *p, uint16_t bus, struct frame_match *out,
			size_t max);
bool pipeline_wants(const struct pipeline *p, uint32_t signal);
