#include "agent/diag/request.h"

#include "agent/diag/obd.h"
#include "agent/diag/uds.h"

#include <stdio.h>
#include <string.h>

struct service {
	uint8_t byte;
	uint8_t id_bytes;
	uint8_t group; /* most identifiers of a request */
	uint8_t sub;   /* sub-function, 0: the service has none */
};

static const struct service services[DIAG_SERVICES] = {
	[DIAG_OBD_CURRENT] = {OBD_CURRENT, 1, OBD_PIDS_MAX, 0},
	[DIAG_OBD_DTCS] = {OBD_DTCS, 0, 1, 0},
	[DIAG_OBD_PENDING] = {OBD_PENDING, 0, 1, 0},
	[DIAG_OBD_PERMANENT] = {OBD_PERMANENT, 0, 1, 0},
	[DIAG_OBD_INFO] = {OBD_INFO, 1, 1, 0},
	[DIAG_UDS_DID] = {UDS_READ_DID, 2, DIAG_GROUP_MAX, 0},
	[DIAG_UDS_DTCS] = {UDS_READ_DTC, 0, 1, UDS_DTC_BY_MASK},
	[DIAG_UDS_DTC_COUNT] = {UDS_READ_DTC, 0, 1, UDS_DTC_COUNT},
};

uint8_t diag_service_byte(enum diag_service s)
{
	return services[s].byte;
}

bool diag_service_is_obd(enum diag_service s)
{
	return services[s].byte < 0x10; /* SAE J1979 has 01 to 0A */
}

size_t diag_id_bytes(enum diag_service s)
{
	return services[s].id_bytes;
}

size_t diag_group_max(enum diag_service s)
{
	return services[s].group;
}

static size_t put_id(uint8_t *out, size_t bytes, uint16_t id)
{
	if (bytes == 2)
		*out++ = (uint8_t)(id >> 8);
	if (bytes > 0)
		*out = (uint8_t)id;
	return bytes;
}

static uint16_t get_id(const uint8_t *p, size_t bytes)
{
	return bytes == 2 ? (uint16_t)(p[0] << 8 | p[1]) : p[0];
}

size_t diag_request_encode(const struct diag_request *r, uint8_t out[static DIAG_REQUEST_BYTES])
{
	const struct service *s = &services[r->service];
	size_t n = 0;

	assert(r->n <= DIAG_GROUP_MAX);
	out[n++] = s->byte;
	if (s->sub) {
		out[n++] = s->sub;
		out[n++] = r->status_mask;
	}
	for (size_t i = 0; i < r->n; i++)
		n += put_id(out + n, s->id_bytes, r->ids[i].id);
	return n;
}

static const struct diag_id *find_id(const struct diag_request *r, uint16_t id)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->ids[i].id == id)
			return &r->ids[i];
	return NULL;
}

static enum diag_answer negative(const struct service *s, const uint8_t *data, size_t len,
				 uint8_t *ret_nrc)
{
	if (len < UDS_NEGATIVE_BYTES)
		return DIAG_MALFORMED;
	if (data[1] != s->byte)
		return DIAG_FOREIGN;
	*ret_nrc = data[2];
	if (data[2] == UDS_NRC_PENDING)
		return DIAG_PENDING;
	return data[2] == UDS_NRC_BUSY_REPEAT ? DIAG_BUSY : DIAG_NEGATIVE;
}

enum diag_answer diag_answer(const struct diag_request *r, const uint8_t *data, size_t len,
			     uint8_t *ret_nrc)
{
	const struct service *s = &services[r->service];

	if (len == 0)
		return DIAG_MALFORMED;
	if (data[0] == UDS_NEGATIVE)
		return negative(s, data, len, ret_nrc);
	if (data[0] != s->byte + UDS_POSITIVE)
		return DIAG_FOREIGN;
	if (len < 2u + (s->id_bytes > 1))
		return DIAG_MALFORMED;
	if (s->sub && data[1] != s->sub)
		return DIAG_FOREIGN;
	if (s->id_bytes && !find_id(r, get_id(data + 1, s->id_bytes)))
		return DIAG_FOREIGN;
	return DIAG_POSITIVE;
}

static bool is_among(const struct diag_record *records, int n, uint16_t id)
{
	for (int i = 0; i < n; i++)
		if (records[i].id == id)
			return true;
	return false;
}

static int split_many(const struct diag_request *r, const uint8_t *data, size_t len,
		      struct diag_record *out)
{
	size_t id_bytes = services[r->service].id_bytes, at = 1;
	int n = 0;

	while (at < len) {
		const struct diag_id *id;

		if (n == r->n || len - at < id_bytes)
			return -EBADMSG;
		id = find_id(r, get_id(data + at, id_bytes));
		at += id_bytes;
		if (!id || is_among(out, n, id->id) || len - at < id->bytes)
			return -EBADMSG;
		out[n++] = (struct diag_record){.id = id->id, .offset = at, .len = id->bytes};
		at += id->bytes;
	}
	return n > 0 ? n : -EBADMSG;
}

int diag_split(const struct diag_request *r, const uint8_t *data, size_t len,
	       struct diag_record out[static DIAG_GROUP_MAX])
{
	size_t at = 1 + (size_t)services[r->service].id_bytes;

	if (r->n > 1)
		return split_many(r, data, len, out);
	if (len < at)
		return -EBADMSG;
	out[0] = (struct diag_record){.id = r->ids[0].id, .offset = at, .len = len - at};
	return 1;
}

size_t diag_record_payload(const struct diag_request *r, const uint8_t *data,
			   const struct diag_record *record, uint8_t *out)
{
	size_t n = 1;

	out[0] = data[0];
	n += put_id(out + n, services[r->service].id_bytes, record->id);
	memcpy(out + n, data + record->offset, record->len);
	return n + record->len;
}

void diag_request_text(const struct diag_request *r, char out[static DIAG_REQUEST_TEXT])
{
	const struct service *s = &services[r->service];
	size_t n = (size_t)snprintf(out, DIAG_REQUEST_TEXT, "%02X", s->byte);

	if (s->sub)
		(void)snprintf(out + n, DIAG_REQUEST_TEXT - n, " %02X %02X", s->sub,
			       r->status_mask);
	for (size_t i = 0; i < r->n && n < DIAG_REQUEST_TEXT; i++)
		n += (size_t)snprintf(out + n, DIAG_REQUEST_TEXT - n, " %0*X", 2 * s->id_bytes,
				      r->ids[i].id);
}
