#include "tests/fakes/program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ARGS_MAX = 32 };

/* Its words with a comma after each; none where the host runs what is built. */
static const char *const emulator[] = {TEST_EMULATOR NULL};

int program_beside(char *ret, size_t ret_size, const char *name)
{
	ssize_t n = readlink("/proc/self/exe", ret, ret_size);
	char *slash;

	if (n < 0)
		return -errno;
	if ((size_t)n == ret_size)
		return -ENAMETOOLONG;
	ret[n] = '\0';
	slash = strrchr(ret, '/');
	if (!slash)
		return -ENOENT;
	slash++;
	n = snprintf(slash, ret_size - (size_t)(slash - ret), "%s", name);
	return (size_t)n < ret_size - (size_t)(slash - ret) ? 0 : -ENAMETOOLONG;
}

int program_exec(const char *const argv[])
{
	const char *all[ARGS_MAX];
	size_t n = 0;

	for (size_t i = 0; emulator[i]; i++)
		all[n++] = emulator[i];
	static_assert(array_len(emulator) < ARGS_MAX, "the emulator leaves no place for a program");
	for (size_t i = 0; argv[i] && n < ARGS_MAX; i++)
		all[n++] = argv[i];
	if (n == ARGS_MAX)
		return -E2BIG;
	all[n] = NULL;
	execv(all[0], (char **)(uintptr_t)all); /* changes none of them */
	return -errno;
}
