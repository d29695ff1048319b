/* tools/drive/messages_def.h: short forms for the tables in messages_can*.c. */
#pragma once

#include "tools/drive/car.h"
#include "tools/drive/messages.h"

#define AT(path) offsetof(struct car, path)
#define SIG_(n, st, len, fl, grp, fac, off, un, path, ch)                                          \
	{                                                                                          \
		.name = (n), .start = (st), .bits = (len), .flags = (fl), .group = (grp),          \
		.factor = (fac), .offset = (off), .unit = (un), .field = AT(path), .choices = (ch) \
	}

/* Little endian, big endian; unsigned, signed. */
#define LU(n, st, len, fac, off, un, path) SIG_(n, st, len, 0, SIG_ALWAYS, fac, off, un, path, NULL)
#define LS(n, st, len, fac, off, un, path)                                                         \
	SIG_(n, st, len, SIG_SIGNED, SIG_ALWAYS, fac, off, un, path, NULL)
#define BU(n, st, len, fac, off, un, path)                                                         \
	SIG_(n, st, len, SIG_BIG_ENDIAN, SIG_ALWAYS, fac, off, un, path, NULL)
#define BS(n, st, len, fac, off, un, path)                                                         \
	SIG_(n, st, len, SIG_BIG_ENDIAN | SIG_SIGNED, SIG_ALWAYS, fac, off, un, path, NULL)
#define FLOAT(n, st, un, path)	   SIG_(n, st, 32, SIG_FLOAT, SIG_ALWAYS, 1, 0, un, path, NULL)
#define BIT(n, st, path)	   SIG_(n, st, 1, 0, SIG_ALWAYS, 1, 0, "", path, NULL)
#define ENUM(n, st, len, path, ch) SIG_(n, st, len, 0, SIG_ALWAYS, 1, 0, "", path, ch)
#define COUNTER(st)		   SIG_("Counter", st, 4, SIG_COUNTER, SIG_ALWAYS, 1, 0, "", zero, NULL)
#define CRC(st)			   SIG_("Crc", st, 8, SIG_CRC, SIG_ALWAYS, 1, 0, "", zero, NULL)
#define MUX(n, st, len, ch)	   SIG_(n, st, len, SIG_MUX, SIG_ALWAYS, 1, 0, "", zero, ch)
#define GROUP(grp, n, st, len, fac, off, un, path)                                                 \
	SIG_(n, st, len, 0, grp, fac, off, un, path, NULL)

#define MSG(n, nd, i, ms, len, fl, grp, sigs, text)                                                \
	{                                                                                          \
		.name = (n), .node = (nd), .comment = (text), .id = (i), .period_ms = (ms),        \
		.flags = (fl), .bytes = (len), .groups = (grp), .signals = (sigs),                 \
		.n_signals = array_len(sigs)                                                       \
	}
