/* [source] of type diag and [poll]: what is taken, what is refused, and where that is said to be.
 */
#include "agent/config/config.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/towline-diag-conf-XXXXXX";

static const char head[] =
	"[agent]\nvehicle = v\ndevice = d\ndata_dir = /tmp\n[catalog]\nfile = c\n"
	"[collect all]\nsignals = *\n";
enum { HEAD_LINES = 8 };

static void write_conf(const char *text)
{
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fprintf(f, "%s%s", head, text), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* line: from 1, in text. */
static void refused(const char *text, int line, const char *what)
{
	struct conf *c = NULL;
	char want[256];
	struct error err;

	write_conf(text);
	ck_assert_int_eq(config_load(&c, path, &err), -EINVAL);
	snprintf(want, sizeof(want), "%s:%d: %s", path, HEAD_LINES + line, what);
	ck_assert_msg(strncmp(err.text, want, strlen(want)) == 0, "'%s' is not '%s'", err.text,
		      want);
}

static void fine(const char *text)
{
	struct conf *c = NULL;
	struct error err = {""};

	write_conf(text);
	ck_assert_msg(config_load(&c, path, &err) == 0, "%s", err.text);
	conf_free(c);
}

#define ECU  "[source ecu]\ntype = diag\ninterface = can0\nrequest = 0x7E0\nresponse = 0x7E8\n"
#define POLL ECU "[poll p]\nsource = ecu\nservice = "

START_TEST(taken)
{
	fine(ECU);
	fine(POLL "obd_current\nids = 0x0C, 13, 0xA6/4\n");
	fine(POLL "obd_current\nids = auto\n");
	fine(POLL "obd_info\nids = auto\nperiod_ms = 60000\n");
	fine(POLL "obd_dtcs\n");
	fine(POLL "uds_did\nids = 0xF190/17, 0xF187, 0x0100/4092\ngroup = 1\n");
	fine(POLL "uds_dtcs\nstatus_mask = 0xFF\n");
	fine("[source a]\ntype = diag\ninterface = can0\nrequest = 0x18DA10F1\n"
	     "response = 0x18DAF110\nfunctional = 0x18DB33F1\npadding = none\n");
	fine("[source a]\ntype = diag\ninterface = can0\nrequest = 0x00000123\n"
	     "response = 0x00000124\n");
}
END_TEST

START_TEST(identifiers)
{
	static const char what[] = "[source a] request: an identifier of 11 or 29 bits";
	static const char *const bad[] = {
		"0x", "7E0",  "0x7G0", "-1",	"0x20000000",	   "0x7E0 0x1",
		"+7", "0x-1", "",      "0x0x1", "9999999999999999"};
	char text[256];

	for (size_t i = 0; i < array_len(bad); i++) {
		snprintf(text, sizeof(text),
			 "[source a]\ntype = diag\ninterface = can0\nrequest = %s\n"
			 "response = 0x7E8\n",
			 bad[i]);
		refused(text, 4, what);
	}
	refused("[source a]\ntype = diag\ninterface = can0\nrequest = 0x7E0\n", 2,
		"[source a] response: an identifier of 11 or 29 bits");
	refused("[source a]\ntype = diag\ninterface = can0\nrequest = 1\nresponse = 1\n", 5,
		"[source a] response: the same as the request");
	refused("[source a]\ntype = diag\ninterface = can0\nrequest = 1\nresponse = 0x800\n", 5,
		"[source a] response: 11 bits like the request, or both 29");
	refused(ECU "[source b]\ntype = diag\ninterface = can0\nrequest = 0x7E4\n"
		    "response = 2024\n",
		10, "[source b] response: another source of this interface has it");
	fine(ECU "[source b]\ntype = diag\ninterface = can1\nrequest = 0x7E0\n"
		 "response = 0x7E8\n");
}
END_TEST

START_TEST(identifiers_of_all_ecus)
{
	refused(ECU "functional = 0x18DB33F1\n", 6,
		"[source ecu] functional: 11 bits like the request, or both 29");
	refused(ECU "functional = 0x7E8\n", 6, "[source ecu] functional: the same as the response");
	refused("[source a]\ntype = diag\ninterface = can0\nrequest = 0x7DF\nresponse = 0x7E8\n", 4,
		"[source a] request: this asks all ECUs");
	refused("[source a]\ntype = diag\ninterface = can0\nrequest = 0x18DB33F1\n"
		"response = 0x18DAF110\n",
		4, "[source a] request: this asks all ECUs");
	refused(ECU
		"functional = 0x7DF\n[source b]\ntype = diag\ninterface = can0\nrequest = 0x7E1\n"
		"response = 0x7E9\nfunctional = 0x7DF\n",
		12,
		"[source b] functional: another source of this interface asks all ECUs already");
	fine(ECU "functional = 0x7DF\n[source b]\ntype = diag\ninterface = can1\nrequest = 0x7E0\n"
		 "response = 0x7E8\nfunctional = 0x7DF\n");
}
END_TEST

START_TEST(rest_of_a_source)
{
	refused(ECU "[can can0]\nbitrate = 500000\nlisten_only = true\n", 3,
		"[source ecu] interface: its [can] section says listen_only");
	fine(ECU "[can can1]\nbitrate = 500000\nlisten_only = true\n");
	refused(ECU "padding = 0x100\n", 6, "[source ecu] padding: a byte, 0x00 to 0xFF, or none");
	refused("[source a]\ntype = diag\nrequest = 1\nresponse = 2\n", 2,
		"[source a] interface: this type needs one");
}
END_TEST

START_TEST(polls)
{
	refused("[source r]\ntype = replay\npath = x\n[poll p]\nsource = r\nservice = obd_dtcs\n",
		5, "[poll p] source: no [source] of type diag has this name");
	refused("[poll p]\nsource = nobody\nservice = obd_dtcs\n", 2,
		"[poll p] source: no [source] of type diag has this name");
	refused(POLL "obd_dtcs\nids = 1\n", 9, "[poll p] ids: this service has none");
	refused(POLL "uds_did\n", 8, "[poll p] service: it needs ids");
	refused(POLL "obd_current\nids = 0x100\n", 9, "[poll p] ids: '0x100': 0x00 to 0xFF");
	refused(POLL "uds_did\nids = 0xF190, 0x10000\n", 9,
		"[poll p] ids: '0x10000': 0x00 to 0xFFFF");
	refused(POLL "uds_did\nids = 0xF190/0\n", 9, "[poll p] ids: '0xF190/0'");
	refused(POLL "uds_did\nids = 0xF190/4093\n", 9, "[poll p] ids: '0xF190/4093'");
	refused(POLL "uds_did\nids = 0xF190/\n", 9, "[poll p] ids: '0xF190/'");
	refused(POLL "uds_did\nids = 0xF190, 1, 0xf190/17\n", 9,
		"[poll p] ids: '0xf190/17' is there twice");
	refused(POLL "uds_did\nids = F190\n", 9, "[poll p] ids: 'F190'");
	refused(POLL "uds_did\nids = auto\n", 9, "[poll p] ids: auto stands alone");
	refused(POLL "obd_current\nids = 0x0C, auto\n", 9, "[poll p] ids: auto stands alone");
	refused(POLL "uds_dtcs\nstatus_mask = 0\n", 9, "[poll p] status_mask: 0x01 to 0xFF");
	refused(POLL "uds_dtcs\nperiod_ms = 9\n", 9, "[poll] period_ms");
	refused(POLL "uds_everything\n", 8, "[poll] service");
}
END_TEST

START_TEST(too_many_polls)
{
	char text[4096];
	size_t n = (size_t)snprintf(text, sizeof(text), ECU);

	for (int i = 0; i < 17; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "[poll p%d]\nsource = ecu\nservice = obd_dtcs\n", i);
	refused(text, 7, "[poll p0] source: more than 16 [poll] sections of one source");
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("conf");
	int fd = mkstemp(path), r;

	if (fd < 0)
		return 1;
	close(fd);
	tcase_add_test(tc, taken);
	tcase_add_test(tc, identifiers);
	tcase_add_test(tc, identifiers_of_all_ecus);
	tcase_add_test(tc, rest_of_a_source);
	tcase_add_test(tc, polls);
	tcase_add_test(tc, too_many_polls);
	r = suite_run("diag_conf", &tc, 1);
	(void)unlink(path);
	return r;
}
