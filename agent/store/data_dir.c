#include "agent/store/data_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 1200 };

static int fail_with(struct error *err, const char *path, int error)
{
	error_set(err, "data_dir: %s: %s", path, strerror(error));
	return -error;
}

static int lock(int fd, const char *dir, const char *path, struct error *err)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return fail_with(err, path, errno);
	error_set(err, "data_dir %s is in use by another agent", dir);
	return -EBUSY;
}

int data_dir_lock(int *ret_fd, const char *dir, struct error *err)
{
	char path[PATH_BYTES];
	int n = snprintf(path, sizeof(path), "%s/agent.lock", dir);
	int fd, r;

	if (n < 0 || (size_t)n >= sizeof(path)) {
		error_set(err, "data_dir: path too long");
		return -ENAMETOOLONG;
	}
	if (mkdir(dir, 0750) < 0 && errno != EEXIST)
		return fail_with(err, dir, errno);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		return fail_with(err, path, errno);
	r = lock(fd, dir, path, err);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}
