/* agent/diag/delivery.h: a response on its way into the pipeline, record by record, for the
 * pipeline may be busy. */
#pragma once

#include "agent/diag/session.h"
#include "agent/source/source.h"

struct delivery {
	struct diag_request request;
	struct diag_record records[DIAG_GROUP_MAX];
	size_t n, next;
	int64_t t_ns;
	uint8_t response[DIAG_PAYLOAD_MAX];
	uint8_t payload[DIAG_PREFIX_BYTES + DIAG_PAYLOAD_MAX];
};

/* Copies a positive response (DIAG_END_OK). Returns 0, or -EBADMSG with nothing to deliver: the
 * lengths of its records do not add up. */
int delivery_take(struct delivery *v, const struct diag_request *request,
		  const struct diag_result *r) must_check;
void delivery_drop(struct delivery *v);
bool delivery_is_open(const struct delivery *v); /* something is left to deliver */
/* A payload a record; `as` says whose: id, extended, bus. Returns 0 once all are delivered, or
 * SOURCE_BUSY: call again. */
int delivery_send(struct delivery *v, const struct source_env *env,
		  const struct payload *as) must_check;
/* The first record's data, *ret_len bytes. */
const uint8_t *delivery_first(const struct delivery *v, size_t *ret_len);
