/* tools/dictionary/train.h: makes a dictionary (proto/dictionary.h) of what logs hold.
 *
 * Samples are collected in memory, then cut into batches of the shape that the campaign will have,
 * as often as short logs need it, each time from another beginning. From these come what is
 * expected of messages and signals; then the batches are written once more, and every decision is
 * looked at, for the states in which the models should begin. The same samples in the same order
 * give the same bytes. */
#pragma once

#include "proto/batch.h"

struct training_shape {
	double hz;	       /* each message thinned to; 0: as it comes */
	int64_t batch_ns;      /* length of a batch */
	uint32_t time_unit_ns; /* of the batches */
};

enum {
	TRAINING_SAMPLES_MAX = 1 << 27, /* 2 GiB */
	TRAINING_BATCHES = 256,		/* shorter logs are cut several times, until there are */
	TRAINING_STARTS_MAX = 16,	/* but not more often */
};

struct training;

/* cat is borrowed. Returns 0 or -ENOMEM. */
int training_new(struct training **ret, const struct catalog *cat,
		 const struct training_shape *shape) must_check;
struct training *training_free(struct training *t); /* NULL is fine; returns NULL */

/* As batch_builder_add; time grows within a log. Returns 0, -ENOMEM, -E2BIG. */
int training_add(struct training *t, uint32_t message, int64_t mono_ns,
		 const struct sample *samples, size_t n) must_check;
/* What follows is another log: no batch has samples of both. */
void training_next_log(struct training *t);

struct training_result {
	size_t samples, batches;	  /* as cut */
	size_t messages, signals;	  /* that the dictionary knows */
	double bytes_before, bytes_after; /* of the batches without and with it */
};

/* Returns 0; -ENODATA with err: there are no samples; -ENOMEM. */
int training_run(struct training *t, struct dictionary **ret, struct training_result *result,
		 struct error *err) must_check;
