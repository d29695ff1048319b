/* Any bytes as a response to a request: what is said of it holds, its records lie inside it, and
 * a bit field of supported PIDs comes to an end. */
#include "agent/diag/obd.h"
#include "agent/diag/request.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first bytes make the request: service, how many identifiers, and each with its length. */
static size_t make_request(struct diag_request *r, const uint8_t *data, size_t size)
{
	size_t at = 2, most;

	*r = (struct diag_request){0};
	if (size < 2)
		return size;
	r->service = (enum diag_service)(data[0] % DIAG_SERVICES);
	most = diag_group_max(r->service);
	r->n = diag_id_bytes(r->service) ? (uint8_t)(1 + data[1] % most) : 0;
	for (size_t i = 0; i < r->n && at + 3 <= size; i++, at += 3) {
		r->ids[i].id = diag_id_bytes(r->service) == 2
				       ? (uint16_t)(data[at] << 8 | data[at + 1])
				       : data[at + 1];
		r->ids[i].bytes = data[at + 2];
	}
	return at < size ? at : size;
}

static void check_records(const struct diag_request *r, const uint8_t *data, size_t size)
{
	struct diag_record records[DIAG_GROUP_MAX];
	uint8_t *out = malloc(DIAG_PREFIX_BYTES + size);
	int n = diag_split(r, data, size, records);
	size_t sum = 0;

	assert(out);
	assert(n == -EBADMSG || (n >= 1 && n <= DIAG_GROUP_MAX));
	for (int i = 0; i < n; i++) {
		size_t len;

		assert(records[i].offset <= size && records[i].len <= size - records[i].offset);
		len = diag_record_payload(r, data, &records[i], out);
		assert(len == 1 + diag_id_bytes(r->service) + records[i].len);
		assert(out[0] == data[0]);
		assert(memcmp(out + len - records[i].len, data + records[i].offset,
			      records[i].len) == 0);
		sum += records[i].len;
	}
	assert(sum <= size);
	free(out);
}

static void check_supported(const uint8_t *data, size_t size)
{
	struct obd_supported s = {0};
	unsigned asked = 0;

	for (size_t at = 0; at + OBD_SUPPORTED_BYTES <= size; at += OBD_SUPPORTED_BYTES) {
		asked += !s.complete;
		assert(s.next % OBD_RANGE == 0);
		obd_supported_add(&s, data + at);
	}
	assert(asked <= 256 / OBD_RANGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[DIAG_REQUEST_BYTES], nrc = 0;
	char text[DIAG_REQUEST_TEXT];
	struct diag_request r;
	size_t at = make_request(&r, data, size);
	enum diag_answer a;

	assert(diag_request_encode(&r, bytes) <= sizeof(bytes));
	diag_request_text(&r, text);
	assert(strlen(text) < sizeof(text));
	check_supported(data + at, size - at);
	a = diag_answer(&r, data + at, size - at, &nrc);
	if (a == DIAG_POSITIVE)
		check_records(&r, data + at, size - at);
	else
		assert(nrc == 0 || a == DIAG_NEGATIVE || a == DIAG_PENDING || a == DIAG_BUSY);
	return 0;
}
