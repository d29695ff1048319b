#include "agent/diag/obd.h"

/* SAE J1979 appendix B (J1979-DA), by PID. */
static const uint8_t pid_bytes[256] = {
	[0x00] = 4, [0x01] = 4, [0x02] = 2, [0x03] = 2, [0x04] = 1, [0x05] = 1, [0x0A] = 1,
	[0x0B] = 1, [0x0C] = 2, [0x0D] = 1, [0x0E] = 1, [0x0F] = 1, [0x10] = 2, [0x11] = 1,
	[0x12] = 1, [0x13] = 1, [0x14] = 2, [0x15] = 2, [0x16] = 2, [0x17] = 2, [0x18] = 2,
	[0x19] = 2, [0x1A] = 2, [0x1B] = 2, [0x1C] = 1, [0x1D] = 1, [0x1E] = 1, [0x1F] = 2,
	[0x20] = 4, [0x21] = 2, [0x22] = 2, [0x23] = 2, [0x24] = 4, [0x25] = 4, [0x26] = 4,
	[0x27] = 4, [0x28] = 4, [0x29] = 4, [0x2A] = 4, [0x2B] = 4, [0x2C] = 1, [0x2D] = 1,
	[0x2E] = 1, [0x2F] = 1, [0x30] = 1, [0x31] = 2, [0x32] = 2, [0x33] = 1, [0x34] = 4,
	[0x35] = 4, [0x36] = 4, [0x37] = 4, [0x38] = 4, [0x39] = 4, [0x3A] = 4, [0x3B] = 4,
	[0x3C] = 2, [0x3D] = 2, [0x3E] = 2, [0x3F] = 2, [0x40] = 4, [0x41] = 4, [0x42] = 2,
	[0x43] = 2, [0x44] = 2, [0x45] = 1, [0x46] = 1, [0x47] = 1, [0x48] = 1, [0x49] = 1,
	[0x4A] = 1, [0x4B] = 1, [0x4C] = 1, [0x4D] = 2, [0x4E] = 2, [0x4F] = 4, [0x50] = 4,
	[0x51] = 1, [0x52] = 1, [0x53] = 2, [0x54] = 2, [0x59] = 2, [0x5A] = 1, [0x5B] = 1,
	[0x5C] = 1, [0x5D] = 2, [0x5E] = 2, [0x5F] = 1, [0x60] = 4, [0x61] = 1, [0x62] = 1,
	[0x63] = 2, [0x64] = 5, [0x80] = 4, [0xA0] = 4, [0xA6] = 4, [0xC0] = 4, [0xE0] = 4,
};

uint8_t obd_pid_bytes(uint8_t pid)
{
	return pid_bytes[pid];
}

static void set(struct obd_supported *s, unsigned pid)
{
	s->bits[pid / 8] |= (uint8_t)(1u << pid % 8);
}

/* The first bit is the PID after the range's own; the last one says whether the next range is
 * there. */
void obd_supported_add(struct obd_supported *s, const uint8_t field[static OBD_SUPPORTED_BYTES])
{
	unsigned range = s->next;

	if (s->complete)
		return;
	set(s, range);
	for (unsigned i = 0; i < OBD_RANGE && range + 1 + i < 256; i++)
		if (field[i / 8] & 0x80u >> i % 8)
			set(s, range + 1 + i);
	if (range + OBD_RANGE > 0xE0 || !obd_supported_has(s, (uint8_t)(range + OBD_RANGE)))
		s->complete = true;
	else
		s->next = (uint8_t)(range + OBD_RANGE);
}

bool obd_supported_has(const struct obd_supported *s, uint8_t pid)
{
	return s->bits[pid / 8] >> pid % 8 & 1;
}
