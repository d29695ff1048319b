#include "agent/store/unsaved.h"
#include "tests/unit/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/towline-unsaved-XXXXXX", path[64], file[80];

START_TEST(note_of_what_could_not_be_saved)
{
	const struct unsaved_count two = {2, 30}, none = {0};
	struct unsaved u = UNSAVED_INIT;
	struct unsaved_note before;
	struct error err;
	struct stat st;
	int fd;

	ck_assert_int_eq(unsaved_add(&u, CLASS_BULK, &two), -EBADF);
	ck_assert_int_eq(unsaved_open(&u, path, &err), 0);
	ck_assert(unsaved_is_empty(&u) && u.note.id != 0);
	ck_assert_int_eq(stat(file, &st), 0);
	ck_assert_int_eq(st.st_size, 4096);
	ck_assert_int_eq(unsaved_clear(&u, 77), 0);
	ck_assert_int_eq(unsaved_add(&u, CLASS_BULK, &two), 0);
	ck_assert_int_eq(unsaved_add(&u, CLASS_BULK, &two), 0);
	ck_assert_int_eq(unsaved_add(&u, CLASS_LOG, &none), 0);
	before = u.note;
	unsaved_close(&u);
	ck_assert_int_eq(unsaved_open(&u, path, &err), 0);
	ck_assert(!unsaved_is_empty(&u));
	ck_assert_int_eq(memcmp(&before, &u.note, sizeof(before)), 0);
	ck_assert_uint_eq(u.note.by[CLASS_BULK].batches, 4);
	ck_assert_uint_eq(u.note.by[CLASS_BULK].samples, 60);
	ck_assert_uint_eq(u.note.epoch, 77);
	ck_assert_int_eq(unsaved_clear(&u, 78), 0);
	ck_assert(unsaved_is_empty(&u) && u.note.id != before.id);
	unsaved_close(&u);
	fd = open(file, O_WRONLY);
	ck_assert_int_eq(pwrite(fd, "x", 1, 30), 1);
	close(fd);
	ck_assert_int_eq(unsaved_open(&u, path, &err), 0);
	ck_assert(unsaved_is_empty(&u) && u.note.epoch == 0);
	unsaved_close(&u);
	ck_assert_int_eq(unsaved_open(&u, "/nonexistent/x", &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/x.unsaved"));
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("unsaved");
	int failed;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/outbox.db", dir);
	snprintf(file, sizeof(file), "%s.unsaved", path);
	tcase_add_test(tc, note_of_what_could_not_be_saved);
	failed = suite_run("unsaved", &tc, 1);
	(void)unlink(file);
	(void)rmdir(dir);
	return failed;
}
