/* relay/gate/file.h: the file that says who may connect, written by the registry or by hand.
 *
 *   towline-gate 1
 *   # MESSAGES/BYTES/LARGEST: a second, a second, bytes; 0: no limit. Classes not named: the
 * default's. limits roadtest bulk=50/4194304/1048576 reply=5/65536/16384 device tcu-1
 * 3f2b8c52-6d0f-4b7e-9a51-000000000001 active roadtest service towline-relay relay end 3
 * crc32=1c291ca3
 *
 * A later line of a device replaces an earlier one, so that changes can be appended to a snapshot.
 * The last line counts those of limits, devices and services, and may have the CRC-32 of all that
 * is before it: a file that is not whole is not taken at all. A bad line is named and left out; its
 * device, if an earlier line has it, is suspended: what was meant is not known, so nobody gets in.
 */
#pragma once

#include "relay/gate/table.h"

enum { GATE_FILE_BYTES_MAX = 256 << 20 };

struct gate_file_notes {
	void (*bad_line)(void *ctx, const char *text); /* "FILE:LINE: ..."; NULL is fine */
	void *ctx;
	size_t bad_lines; /* out */
};

/* text[len] is NUL, and is changed. Returns 0, -EBADMSG with err (not such a file, not whole), or
 * -ENOMEM. */
int gate_file_parse(struct gate_table **ret, char *text, size_t len, const char *name,
		    const struct gate_limit defaults[static GATE_CLASSES],
		    struct gate_file_notes *notes, struct error *err) must_check;
/* As gate_file_parse; also -errno of reading, and -EFBIG. */
int gate_file_read(struct gate_table **ret, const char *path,
		   const struct gate_limit defaults[static GATE_CLASSES],
		   struct gate_file_notes *notes, struct error *err) must_check;
/* With its checksum. Returns 0 or -errno; the file is the old one or the new one, and 0600. */
int gate_file_write(const struct gate_table *t, const char *path, struct error *err) must_check;
