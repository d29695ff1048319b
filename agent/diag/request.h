/* agent/diag/request.h: requests as bytes, and what a response says to one.
 *
 * Pure: bytes from outside are measured before they are read. Payloads are those of ISO-TP, without
 * any length byte. */
#pragma once

#include "base/base.h"

enum diag_service {
	DIAG_OBD_CURRENT,
	DIAG_OBD_DTCS,
	DIAG_OBD_PENDING,
	DIAG_OBD_PERMANENT,
	DIAG_OBD_INFO,
	DIAG_UDS_DID,
	DIAG_UDS_DTCS,
	DIAG_UDS_DTC_COUNT,
	DIAG_SERVICES,
};

enum {
	DIAG_GROUP_MAX = 8, /* identifiers of one request */
	DIAG_REQUEST_BYTES = 1 + 2 * DIAG_GROUP_MAX,
	DIAG_PREFIX_BYTES = 3, /* service and identifier in front of a record */
};

struct diag_id {
	uint16_t id;
	uint16_t bytes; /* of its record, without the id; 0: not known, so it is asked alone */
};

struct diag_request {
	enum diag_service service;
	uint8_t status_mask; /* UDS DTCs: ISO 14229-1 annex D.2 */
	uint8_t n;	     /* ids; 0 for the services of DTCs */
	struct diag_id ids[DIAG_GROUP_MAX];
};

/* The byte of a request: 0x01 for DIAG_OBD_CURRENT. */
uint8_t diag_service_byte(enum diag_service s);
bool diag_service_is_obd(enum diag_service s);
/* Bytes of an identifier of the service: 0 (it has none), 1 or 2. */
size_t diag_id_bytes(enum diag_service s);
/* Most identifiers of one request: 1 where the service takes one at a time, or none. */
size_t diag_group_max(enum diag_service s);

/* Returns how many bytes were written. */
size_t diag_request_encode(const struct diag_request *r, uint8_t out[static DIAG_REQUEST_BYTES]);

enum diag_answer {
	DIAG_POSITIVE,
	DIAG_NEGATIVE, /* *ret_nrc is why */
	DIAG_PENDING,  /* NRC 0x78: wait on, P2* from now (ISO 14229-2 §7.2) */
	DIAG_BUSY,     /* NRC 0x21: ask again later */
	DIAG_FOREIGN,  /* to another request */
	DIAG_MALFORMED,
};

/* What data says to r. */
enum diag_answer diag_answer(const struct diag_request *r, const uint8_t *data, size_t len,
			     uint8_t *ret_nrc);

/* A part of a response: the data of one identifier, or, for a service without identifiers, all of
 * it after the service. */
struct diag_record {
	uint16_t id;
	size_t offset, len; /* in the response */
};

/* Takes a positive response apart. Several records are told apart by their lengths; one takes what
 * is there. Returns how many were written, 1 to DIAG_GROUP_MAX; -EBADMSG: the lengths do not add
 * up, or an identifier was not asked for or is there twice. */
int diag_split(const struct diag_request *r, const uint8_t *data, size_t len,
	       struct diag_record out[static DIAG_GROUP_MAX]) must_check;

/* The record as if it had been asked for alone: service, identifier, data. out holds
 * DIAG_PREFIX_BYTES + record->len bytes. Returns how many were written. */
size_t diag_record_payload(const struct diag_request *r, const uint8_t *data,
			   const struct diag_record *record, uint8_t *out);

/* "22 F190 F187" for messages. */
enum { DIAG_REQUEST_TEXT = 64 };
void diag_request_text(const struct diag_request *r, char out[static DIAG_REQUEST_TEXT]);
