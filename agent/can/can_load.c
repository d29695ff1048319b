#include "agent/can/can_load.h"

#include "base/timebase.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BITS_STANDARD = 47, BITS_EXTENDED = 67, LOAD_MAX = 1000 };

static int read_count(const char *interface, const char *name, uint64_t *ret)
{
	char path[96], text[32], *end;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", interface, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0)
		return n < 0 ? -errno : -EIO;
	text[n] = '\0';
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno || end == text ? -EIO : 0;
}

int can_traffic_read(const char *interface, struct can_traffic *ret)
{
	static const char *const names[] = {"rx_packets", "tx_packets", "rx_bytes", "tx_bytes"};
	uint64_t v[array_len(names)];

	if (strchr(interface, '/') || *interface == '.')
		return -EINVAL; /* would be another file */
	for (size_t i = 0; i < array_len(names); i++) {
		int r = read_count(interface, names[i], &v[i]);

		if (r < 0)
			return r;
	}
	*ret = (struct can_traffic){.frames = v[0] + v[1], .bytes = v[2] + v[3]};
	return 0;
}

void can_load_add(struct can_load *l, const struct can_traffic *t, int64_t now_ns,
		  uint32_t bit_rate, double extended)
{
	int64_t past = now_ns - l->last_ns;
	double bits, share;

	if (l->begun && past < CAN_LOAD_INTERVAL_MIN_MS * NS_PER_MS)
		return;
	l->known = l->begun && bit_rate > 0 && t->frames >= l->last.frames &&
		   t->bytes >= l->last.bytes;
	if (l->known) {
		bits = (double)(t->frames - l->last.frames) *
			       (BITS_STANDARD + (BITS_EXTENDED - BITS_STANDARD) * extended) +
		       (double)(t->bytes - l->last.bytes) * 8;
		share = bits * LOAD_MAX * (double)NS_PER_S / ((double)past * bit_rate);
		l->load = (uint16_t)(share > LOAD_MAX ? LOAD_MAX : share + 0.5);
	}
	l->begun = true;
	l->last = *t;
	l->last_ns = now_ns;
}
