/* [can NAME] sections: what no interface can be is an error with its line. */
#include "agent/config/config.h"
#include "tests/unit/loop_fixture.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define BASE                                                                                       \
	"[agent]\nvehicle=v\ndevice=d\ndata_dir=/x\n[catalog]\nfile=/x\n[collect a]\nsignals=*\n"

static struct error err;

static int load(struct conf **c, const char *sections)
{
	char text[8192];
	int n = snprintf(text, sizeof(text), "%s%s", BASE, sections);

	err.text[0] = '\0';
	return conf_parse(c, config_table(), "f", text, (size_t)n, &err);
}

static int check(const char *sections)
{
	struct conf *c;
	int r = load(&c, sections);

	if (r < 0)
		return r;
	r = config_check_can(c, "f", &err);
	conf_free(c);
	return r;
}

START_TEST(fine)
{
	static const char *const sections[] = {
		"",
		"[can can0]\n",
		"[can can0]\nbitrate=0\n",
		"[can can0]\nrestart_ms=100\n",
		/* What asks for nothing may be written out. */
		"[can can0]\nbitrate=0\nfd=false\ndbitrate=0\nsample_point=\nlisten_only=no\n",
		"[can can0]\nbitrate=500000\nfd=false\ndbitrate=0\ndsample_point=\ndsjw=0\n",
		"[can can0]\nbitrate=0\nrestart_ms=100\nrestart_max_ms=100\n",
		"[can can0]\nbitrate=500000\nrestart_ms=0\nrestart_max_ms=100\n",
		"[can can0]\nbitrate=500000\n[can can1]\nbitrate=83333\nlisten_only=yes\n",
		"[can can0]\nbitrate=500000\nsample_point=0.8\nsjw=4\nrestart_ms=0\n",
		"[can can0]\nbitrate=500000\nfd=true\ndbitrate=500000\n",
		"[can can0]\nbitrate=500000\nfd=true\ndbitrate=8000000\ndsample_point=0.75\n",
		"[can can0]\nbitrate=500000\nfd=true\ndbitrate=8000000\ndsjw=2\n",
	};

	for (size_t i = 0; i < array_len(sections); i++) {
		int r = check(sections[i]);

		ck_assert_msg(r == 0, "%s: %s", sections[i], err.text);
	}
}
END_TEST

static const struct {
	const char *keys; /* after [can can0], which is line 9 */
	const char *said;
} refused[] = {
	{"fd=true",
	 "f:10: [can can0] fd: needs a bitrate: without, the interface is left as it is"},
	{"bitrate=0\nlisten_only=yes",
	 "f:11: [can can0] listen_only: needs a bitrate: without, the interface is left as it is"},
	{"restart_max_ms=5000", "f:10: [can can0] restart_max_ms: needs a restart_ms"},
	{"restart_ms=500\nrestart_max_ms=100",
	 "f:11: [can can0] restart_max_ms: restart_max_ms is below restart_ms"},
	{"bitrate=500", "f:10: [can can0] bitrate: it is in bit/s: 500 kbit/s are 500000"},
	{"bitrate=999\nlisten_only=yes",
	 "f:10: [can can0] bitrate: it is in bit/s: 500 kbit/s are 500000"},
	{"bitrate=1000\nfd=true", "f:11: [can can0] fd: CAN FD needs a dbitrate"},
	{"bitrate=1000\nfd=true\ndbitrate=0", "f:12: [can can0] dbitrate: CAN FD needs a dbitrate"},
	{"bitrate=1000\ndbitrate=2", "f:11: [can can0] dbitrate: needs fd = true"},
	{"bitrate=1000\nfd=false\ndsample_point=0.7",
	 "f:12: [can can0] dsample_point: needs fd = true"},
	{"bitrate=1001\nfd=true\ndbitrate=1000",
	 "f:12: [can can0] dbitrate: below bitrate, which ISO 11898-1 rules out"},
	{"bitrate=1000\nsample_point=87.5%",
	 "f:11: [can can0] sample_point: 0.500 to 0.990, with at most three digits"},
	{"bitrate=1000\nsample_point=0.49",
	 "f:11: [can can0] sample_point: 0.500 to 0.990, with at most three digits"},
	{"bitrate=1000\nsample_point=0.",
	 "f:11: [can can0] sample_point: 0.500 to 0.990, with at most three digits"},
	{"bitrate=1000\nsample_point=0.8755",
	 "f:11: [can can0] sample_point: 0.500 to 0.990, with at most three digits"},
	{"bitrate=1000\nsample_point=875",
	 "f:11: [can can0] sample_point: 0.500 to 0.990, with at most three digits"},
	{"bitrate=1000\nrestart_max_ms=99",
	 "f:11: [can can0] restart_max_ms: restart_max_ms is below restart_ms"},
	{"bitrate=1000\nrestart_ms=60000",
	 "f:11: [can can0] restart_ms: restart_max_ms is below restart_ms"},
};

START_TEST(contradictions)
{
	char text[256];

	snprintf(text, sizeof(text), "[can can0]\n%s\n", refused[_i].keys);
	ck_assert_int_eq(check(text), -EINVAL);
	ck_assert_str_eq(err.text, refused[_i].said);
}
END_TEST

START_TEST(names_and_numbers)
{
	char text[4096] = "";
	size_t n = 0;

	ck_assert_int_eq(check("[can a-name-too-long0]\n"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "at most 15 characters"));
	for (int i = 0; i <= CAN_LINKS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "[can can%d]\nbitrate=1000\n", i);
	ck_assert_int_eq(check(text), -EINVAL);
	ck_assert_str_eq(err.text, "f: more than 16 [can NAME] sections");
	ck_assert_int_eq(check("[can can0]\nbitrate=1000001\n"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "f:10:"));
}
END_TEST

/* From the file to the kernel: this machine has no such interface, and says so in its own time. */
START_TEST(links_are_made)
{
	static struct counters counters;
	struct can_links *links = NULL;
	struct conf *c;

	ck_assert_int_eq(load(&c, "[can nocan8]\nbitrate=500000\n[can nocan9]\n"), 0);
	ck_assert_int_eq(config_links(&links, c, l, &counters, &err), 0);
	ck_assert_ptr_nonnull(can_links_watch(links));
	turn();
	ck_assert(!can_links_busy(links)); /* the first time it is not a thread's */
	ck_assert_ptr_null(can_links_free(links));
	conf_free(c);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("sections"), *k = tcase_create("links");

	tcase_add_test(t, fine);
	tcase_add_loop_test(t, contradictions, 0, array_len(refused));
	tcase_add_test(t, names_and_numbers);
	tcase_add_checked_fixture(k, set_up, tear_down);
	tcase_add_test(k, links_are_made);
	return suite_run("config_can", (TCase *const[]){t, k}, 2);
}
