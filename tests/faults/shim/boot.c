/* A power cut is followed by another boot: what the kernel would say of it. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef int (*open_fn)(const char *path, int flags, ...);

/* -1: this is not it, or the harness says nothing. */
static int open_boot_id(const char *path)
{
	const char *text = getenv("TOWLINE_FAULTS_BOOT");
	int fd;

	if (!text || !path || strcmp(path, "/proc/sys/kernel/random/boot_id") != 0)
		return -1;
	fd = memfd_create("boot_id", MFD_CLOEXEC);
	if (fd >= 0 && pwrite(fd, text, strlen(text), 0) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static int open_as(const char *name, const char *path, int flags, mode_t mode)
{
	int fd = open_boot_id(path);
	open_fn real;
	void *found;

	if (fd >= 0)
		return fd;
	found = dlsym(RTLD_NEXT, name);
	memcpy(&real, &found, sizeof(real));
	return real(path, flags, mode);
}

/* Which of the two a program calls depends on how it was compiled. */
#undef open
#undef open64
EXPORT int fake_open(const char *path, int flags, ...) __asm__("open");
EXPORT int fake_open64(const char *path, int flags, ...) __asm__("open64");

int fake_open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return open_as("open", path, flags, mode);
}

int fake_open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return open_as("open64", path, flags, mode);
}
