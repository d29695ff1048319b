/* tools/cli/decode_report.h: what `towline decode` tells a person on stderr: bad lines, progress,
 * what of the log the catalog does not know, counts per message. */
#pragma once

#include "agent/decode/decode.h"
#include "agent/source/candump.h"

struct decode_report;

/* cat and path are borrowed. quiet: nothing but errors. Returns 0 or -ENOMEM. */
int decode_report_new(struct decode_report **ret, const struct catalog *cat, const char *path,
		      bool quiet, bool progress) must_check;
struct decode_report *decode_report_free(struct decode_report *r);

void decode_report_bad_line(struct decode_report *r, const struct error *err);
/* Maps the name of a bus to the catalog's, or to FRAME_BUS_NONE; counts the latter. */
uint16_t decode_report_bus(struct decode_report *r, const char *bus);
void decode_report_frame(struct decode_report *r, const struct frame *f, uint32_t message,
			 size_t samples);
uint64_t decode_report_frames(const struct decode_report *r);
/* There were lines, and none of them was a frame. */
bool decode_report_no_log(const struct decode_report *r);

/* From time to time: draws the progress. */
void decode_report_progress(struct decode_report *r, const struct candump_reader *log);
void decode_report_end(struct decode_report *r, const struct decoder *d, bool per_message);
