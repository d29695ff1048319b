/* Requests as bytes, and what responses say: UDS (ISO 14229-1) and OBD-II (SAE J1979). The bytes
 * are those of the standards' own examples where they have one. */
#include "agent/diag/obd.h"
#include "agent/diag/request.h"
#include "agent/diag/uds.h"
#include "base/bytes.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <string.h>

static struct diag_record records[DIAG_GROUP_MAX];

static struct diag_request request(enum diag_service s, const struct diag_id *ids, size_t n)
{
	struct diag_request r = {.service = s, .n = (uint8_t)n};

	for (size_t i = 0; i < n; i++)
		r.ids[i] = ids[i];
	return r;
}

#define REQUEST(service, ...)                                                                      \
	request(service, (const struct diag_id[]){__VA_ARGS__},                                    \
		array_len(((const struct diag_id[]){__VA_ARGS__})))

static void expect_bytes(const struct diag_request *r, const char *hex)
{
	uint8_t bytes[DIAG_REQUEST_BYTES];
	char text[2 * DIAG_REQUEST_BYTES + 1];

	hex_encode(bytes, diag_request_encode(r, bytes), text);
	ck_assert_str_eq(text, hex);
}

static size_t from_hex(const char *hex, uint8_t *out, size_t size)
{
	return (size_t)hex_decode(hex, strlen(hex), out, size);
}

static enum diag_answer answer(const struct diag_request *r, const char *hex)
{
	uint8_t data[64], nrc = 0;
	size_t len = from_hex(hex, data, sizeof(data));
	enum diag_answer a = diag_answer(r, data, len, &nrc);

	ck_assert(nrc == 0 || a == DIAG_NEGATIVE || a == DIAG_PENDING || a == DIAG_BUSY);
	return a;
}

static int split(const struct diag_request *r, const char *hex)
{
	uint8_t data[64];

	return diag_split(r, data, from_hex(hex, data, sizeof(data)), records);
}

START_TEST(requests)
{
	struct diag_request r = REQUEST(DIAG_OBD_CURRENT, {0x0C, 2}, {0x0D, 1}, {0x05, 1});

	expect_bytes(&r, "010c0d05");
	r = REQUEST(DIAG_UDS_DID, {0xF190, 17}, {0xF187, 10}, {0xF18C, 12}, {0xF191, 11});
	expect_bytes(&r, "22f190f187f18cf191");
	r = REQUEST(DIAG_OBD_INFO, {0x04, 0});
	expect_bytes(&r, "0904");
	r = (struct diag_request){.service = DIAG_UDS_DTCS, .status_mask = 0x08};
	expect_bytes(&r, "190208");
	r.service = DIAG_UDS_DTC_COUNT;
	expect_bytes(&r, "190108");
	r.service = DIAG_OBD_DTCS;
	expect_bytes(&r, "03");
	r.service = DIAG_OBD_PENDING;
	expect_bytes(&r, "07");
	r.service = DIAG_OBD_PERMANENT;
	expect_bytes(&r, "0a");
}
END_TEST

START_TEST(texts)
{
	struct diag_request r = REQUEST(DIAG_UDS_DID, {0xF190, 17}, {0x0101, 1});
	char text[DIAG_REQUEST_TEXT];

	diag_request_text(&r, text);
	ck_assert_str_eq(text, "22 F190 0101");
	r = REQUEST(DIAG_UDS_DID, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}, {7, 1}, {8, 1});
	diag_request_text(&r, text);
	ck_assert_str_eq(text, "22 0001 0002 0003 0004 0005 0006 0007 0008");
	r = (struct diag_request){.service = DIAG_UDS_DTCS, .status_mask = 0x2F};
	diag_request_text(&r, text);
	ck_assert_str_eq(text, "19 02 2F");
	ck_assert_str_eq(uds_nrc_name(0x31), "requestOutOfRange");
	ck_assert_str_eq(uds_nrc_name(0xEE), "unknown");
}
END_TEST

START_TEST(answers)
{
	struct diag_request did = REQUEST(DIAG_UDS_DID, {0xF190, 3}, {0xF187, 2});
	struct diag_request pid = REQUEST(DIAG_OBD_CURRENT, {0x0C, 2});
	struct diag_request dtcs = {.service = DIAG_UDS_DTCS};

	ck_assert_int_eq(answer(&did, "62f190414243"), DIAG_POSITIVE);
	ck_assert_int_eq(answer(&did, "62f1874142"), DIAG_POSITIVE);
	ck_assert_int_eq(answer(&did, "62f18c4142"), DIAG_FOREIGN);
	ck_assert_int_eq(answer(&did, "410c1af8"), DIAG_FOREIGN);
	ck_assert_int_eq(answer(&did, "7f2231"), DIAG_NEGATIVE);
	ck_assert_int_eq(answer(&did, "7f2278"), DIAG_PENDING);
	ck_assert_int_eq(answer(&did, "7f2221"), DIAG_BUSY);
	ck_assert_int_eq(answer(&did, "7f1978"), DIAG_FOREIGN);
	ck_assert_int_eq(answer(&did, "7f22"), DIAG_MALFORMED);
	ck_assert_int_eq(answer(&did, "7f"), DIAG_MALFORMED);
	ck_assert_int_eq(answer(&did, ""), DIAG_MALFORMED);
	ck_assert_int_eq(answer(&did, "62"), DIAG_MALFORMED);
	ck_assert_int_eq(answer(&did, "62f1"), DIAG_MALFORMED);
	ck_assert_int_eq(answer(&pid, "410c1af8"), DIAG_POSITIVE);
	ck_assert_int_eq(answer(&pid, "410d48"), DIAG_FOREIGN);
	ck_assert_int_eq(answer(&pid, "490c1af8"), DIAG_FOREIGN);
	ck_assert_int_eq(answer(&dtcs, "5902ff"), DIAG_POSITIVE);
	ck_assert_int_eq(answer(&dtcs, "5901ff010002"), DIAG_FOREIGN);
	ck_assert_int_eq(answer(&dtcs, "59"), DIAG_MALFORMED);
}
END_TEST

START_TEST(several_records)
{
	struct diag_request r = REQUEST(DIAG_UDS_DID, {0xF190, 3}, {0xF187, 2}, {0x0101, 1});
	uint8_t data[16], out[16];
	char text[33];
	size_t len;

	ck_assert_int_eq(split(&r, "62f190414243f18751520101ff"), 3);
	ck_assert_uint_eq(records[1].id, 0xF187);
	ck_assert_uint_eq(records[1].offset, 8);
	ck_assert_uint_eq(records[1].len, 2);
	/* As if it had been asked for alone. */
	len = from_hex("62f190414243f18751520101ff", data, sizeof(data));
	ck_assert_uint_eq(len, 13);
	hex_encode(out, diag_record_payload(&r, data, &records[1], out), text);
	ck_assert_str_eq(text, "62f1875152");
	/* In another order, and without those that the ECU does not have. */
	ck_assert_int_eq(split(&r, "62f1875152f190414243"), 2);
	ck_assert_uint_eq(records[0].id, 0xF187);
}
END_TEST

START_TEST(records_that_do_not_add_up)
{
	struct diag_request r = REQUEST(DIAG_UDS_DID, {0xF190, 3}, {0xF187, 2});

	ck_assert_int_eq(split(&r, "62f190414243f18751"), -EBADMSG);
	ck_assert_int_eq(split(&r, "62f190414243f1875152ff"), -EBADMSG);
	ck_assert_int_eq(split(&r, "62f190414243f187"), -EBADMSG);
	ck_assert_int_eq(split(&r, "62f190414243f1"), -EBADMSG);
	ck_assert_int_eq(split(&r, "62f190414243f190414243"), -EBADMSG); /* twice */
	ck_assert_int_eq(split(&r, "62f19041424301015152"), -EBADMSG);	 /* not asked for */
	ck_assert_int_eq(split(&r, "62"), -EBADMSG);
	r.n = 1;
	ck_assert_int_eq(split(&r, "62f1"), -EBADMSG);
}
END_TEST

/* One record is what it is, whatever length was expected. */
START_TEST(one_record)
{
	struct diag_request r = REQUEST(DIAG_UDS_DID, {0xF190, 3});

	ck_assert_int_eq(split(&r, "62f1904142434445"), 1);
	ck_assert_uint_eq(records[0].len, 5);
	ck_assert_int_eq(split(&r, "62f190"), 1);
	ck_assert_uint_eq(records[0].len, 0);
}
END_TEST

/* Services without identifiers: the payload goes on as it came. */
START_TEST(whole_responses)
{
	struct diag_request r = {.service = DIAG_UDS_DTCS, .status_mask = 8};
	const char *hex = "5902ff03011128";
	uint8_t data[16], out[16];
	char text[33];
	size_t len = from_hex(hex, data, sizeof(data));

	ck_assert_int_eq(diag_split(&r, data, len, records), 1);
	hex_encode(out, diag_record_payload(&r, data, &records[0], out), text);
	ck_assert_str_eq(text, hex);
}
END_TEST

/* SAE J1979: BE 1F A8 13 to PID 00 says 01, 03 to 07, 0C to 11, 13, 15, 1C, 1F and 20. */
START_TEST(supported_pids)
{
	static const uint8_t first[] = {0xBE, 0x1F, 0xA8, 0x13}, second[] = {0x80, 0, 0, 0};
	static const uint8_t said[] = {0x00, 0x01, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0C, 0x0D, 0x0E,
				       0x0F, 0x10, 0x11, 0x13, 0x15, 0x1C, 0x1F, 0x20, 0x21};
	struct obd_supported s = {0};
	size_t n = 0;

	obd_supported_add(&s, first);
	ck_assert(!s.complete);
	ck_assert_uint_eq(s.next, 0x20);
	obd_supported_add(&s, second);
	ck_assert(s.complete);
	for (unsigned pid = 0; pid < 256; pid++)
		n += obd_supported_has(&s, pid);
	ck_assert_uint_eq(n, array_len(said));
	for (size_t i = 0; i < array_len(said); i++)
		ck_assert(obd_supported_has(&s, said[i]));
	obd_supported_add(&s, first); /* nothing happens any more */
	ck_assert(!obd_supported_has(&s, 0x23));
}
END_TEST

/* All ranges there are: it ends, and stays within its bytes. */
START_TEST(every_pid_supported)
{
	static const uint8_t all[] = {0xFF, 0xFF, 0xFF, 0xFF};
	struct obd_supported s = {0};
	unsigned n = 0;

	for (; !s.complete; n++)
		obd_supported_add(&s, all);
	ck_assert_uint_eq(n, 8);
	ck_assert(obd_supported_has(&s, 0xFF));
}
END_TEST

START_TEST(lengths_of_pids)
{
	ck_assert_uint_eq(obd_pid_bytes(0x0C), 2);
	ck_assert_uint_eq(obd_pid_bytes(0x00), 4);
	ck_assert_uint_eq(obd_pid_bytes(0x24), 4);
	ck_assert_uint_eq(obd_pid_bytes(0x06), 0);
	ck_assert_uint_eq(obd_pid_bytes(0xA6), 4);
	for (unsigned pid = 0; pid < 256; pid += 0x20)
		ck_assert_uint_eq(obd_pid_bytes(pid), OBD_SUPPORTED_BYTES);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("request");

	tcase_add_test(tc, requests);
	tcase_add_test(tc, texts);
	tcase_add_test(tc, answers);
	tcase_add_test(tc, several_records);
	tcase_add_test(tc, records_that_do_not_add_up);
	tcase_add_test(tc, one_record);
	tcase_add_test(tc, whole_responses);
	tcase_add_test(tc, supported_pids);
	tcase_add_test(tc, every_pid_supported);
	tcase_add_test(tc, lengths_of_pids);
	return suite_run("diag_request", &tc, 1);
}
