/* agent/diag/uds.h: the two services of ISO 14229-1:2020 that read: 0x22 ReadDataByIdentifier
 * (§11.2) and 0x19 ReadDTCInformation (§12.3). Bytes in, bytes out; no state. */
#pragma once

#include "base/base.h"

enum {
	UDS_READ_DTC = 0x19,
	UDS_READ_DID = 0x22,
	UDS_POSITIVE = 0x40,	/* added to the service in a positive response (§8.4) */
	UDS_NEGATIVE = 0x7F,	/* 7F service code (§8.4) */
	UDS_DTC_COUNT = 0x01,	/* reportNumberOfDTCByStatusMask */
	UDS_DTC_BY_MASK = 0x02, /* reportDTCByStatusMask */
	UDS_NEGATIVE_BYTES = 3,
};

/* Negative response codes (annex A.1) that decide something here. */
enum {
	UDS_NRC_SERVICE_NOT_SUPPORTED = 0x11,
	UDS_NRC_NOT_SUPPORTED = 0x12, /* its sub-function */
	UDS_NRC_WRONG_LENGTH = 0x13,
	UDS_NRC_TOO_LONG = 0x14,
	UDS_NRC_BUSY_REPEAT = 0x21,
	UDS_NRC_OUT_OF_RANGE = 0x31,
	UDS_NRC_PENDING = 0x78,
};

/* "requestOutOfRange", or "unknown". Static. */
const char *uds_nrc_name(uint8_t nrc);
