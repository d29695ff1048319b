"""What shall go wrong in a process: the file that shim/control.h maps."""

import mmap
import struct

MAGIC = 0x31746c7561666c74
OPS = ("open", "read", "write", "sync", "truncate", "delete", "alloc")
FIELDS = ("rate", "skip", "once", "kind", "calls", "hits")
KINDS = {"eio": 0, "full": 1, "short": 2}
SYNC = {"as-is": 0, "not": 1, "yes": 2}
HEADER = {"magic": 0, "seed": 1, "wall_offset_ns": 2, "clock_sync": 3, "lying_sync": 4, "syncs": 5,
          "stall_at": 6, "stalled": 7}
RULES = 8
WORDS = RULES + len(OPS) * len(FIELDS)


class Control:
    """Made before the process starts; outlives it, so that the next one finds the same."""

    def __init__(self, path, seed):
        self.path = path
        with open(path, "wb") as f:
            f.write(struct.pack("<QQ", MAGIC, seed or 1).ljust(WORDS * 8, b"\0"))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), WORDS * 8)

    def word(self, at, value=None):
        if value is not None:
            self.map[at * 8:at * 8 + 8] = struct.pack("<q", value)
        return struct.unpack_from("<q", self.map, at * 8)[0]

    def head(self, name, value=None):
        return self.word(HEADER[name], value)

    def rule(self, op, field, value=None):
        return self.word(RULES + OPS.index(op) * len(FIELDS) + FIELDS.index(field), value)

    def fail(self, op, rate=1.0, kind="eio"):
        """From now on this share of the calls fails."""
        self.rule(op, "kind", KINDS[kind])
        self.rule(op, "rate", round(rate * 1000000))

    def heal(self):
        for op in OPS:
            for field in ("rate", "skip", "once"):
                self.rule(op, field, 0)

    def hits(self):
        return sum(self.rule(op, "hits") for op in OPS)
