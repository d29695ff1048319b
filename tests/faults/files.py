"""What is in outbox.db and stream.db, read by this harness alone: no code of Towline."""

import pathlib
import shutil
import sqlite3
import struct
import sys
import tempfile
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from batch_reader import fields, read_batch, read_catalog  # noqa: E402
from traffic import CLASSES, check_of  # noqa: E402

BATCH, DEFLATE, GAP, CLOCK = 0, 1, 2, 3  # encodings of an envelope
REASONS = {1: "quota", 2: "expired", 3: "corrupt", 4: "consent", 5: "invalid", 6: "too_large",
           7: "unsaved", 8: "receipted"}
SEQ_BITS = 48
WORD = (1 << 64) - 1


class Row(NamedTuple):
    """A row of an outbox or of the relay's log."""
    epoch: int
    klass: int
    seq: int
    samples: int
    encoding: int
    body: bytes
    origin: tuple = None  # (epoch, seq) in the outbox that it was saved from


class Gap(NamedTuple):
    """What will not come: seqs first to through of a class of an epoch."""
    epoch: int
    klass: int
    first: int
    through: int
    reason: str
    samples: int


class BadRow(Exception):
    pass


# ---- rows ----

def number(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def envelope(row):
    return (b"\x09" + row.epoch.to_bytes(8, "little") + b"\x10" + number(row.seq) + b"\x18"
            + number(row.encoding) + b"\x22" + number(len(row.body)) + row.body)


class Decoder:
    """Rows -> counters of the frames in them, ascending. A frame that is not whole, or not one that
    was fed, is a BadRow."""

    def __init__(self, catalog):
        self.catalog = catalog
        self.known = {}

    def counts(self, row):
        key = (row.klass, row.encoding, row.body)
        if key not in self.known:
            self.known[key] = self.decode(row)
        return self.known[key]

    def decode(self, row):
        if row.encoding not in (BATCH, DEFLATE):
            return ()
        try:
            _, samples = read_batch(envelope(row), self.catalog)
        except (AssertionError, LookupError, ValueError, ArithmeticError, struct.error) as e:
            raise BadRow(f"cannot be read: {e!r}") from None
        count, check = {}, {}
        for message, signal, when, raw in samples:
            name = self.catalog[message][1].lower()
            if name != CLASSES[row.klass]:
                raise BadRow(f"a frame of {name} in a batch of {CLASSES[row.klass]}")
            (count if signal == 0 else check).setdefault(when, []).append(raw)
        return tuple(self.frames(row, count, check))

    @staticmethod
    def frames(row, count, check):
        """Several frames may have one time, and then come in their order."""
        found = []
        for when, counts in count.items():
            checks = check.get(when, [])
            if len(checks) != len(counts):
                raise BadRow(f"seq {row.seq}: {len(counts)} counters, {len(checks)} checks at {when}")
            for n, c in zip(counts, checks):
                if check_of(row.klass, n) != c:
                    raise BadRow(f"seq {row.seq}: frame {n} came with {c:#x}, not its check")
                found.append(n)
        if sorted(set(check) - set(count)):
            raise BadRow(f"seq {row.seq}: checks without counters")
        return sorted(found)


def read_gap(body):
    f = fields(body)
    return (f.get(1, [0])[0], REASONS.get(f.get(2, [0])[0], "unknown"), f.get(4, [0])[0])


# ---- files ----

def columns(db, table):
    return {r[1] for r in db.execute(f"PRAGMA table_info({table})")}


def copied(path, folder):
    """A copy of a database that nobody has open, with its log."""
    target = pathlib.Path(folder) / path.name
    shutil.copyfile(path, target)
    wal = path.with_name(path.name + "-wal")
    if wal.exists():
        shutil.copyfile(wal, target.with_name(target.name + "-wal"))
    return target


def head_of(path):
    with open(path, "rb") as f:
        return f.read(32)


class OutboxState(NamedTuple):
    epoch: int
    last_seq: tuple  # of each class
    rows: list
    quarantined: int


class Outbox:
    """outbox.db of an agent."""

    def __init__(self, path):
        self.path = path

    def read(self, path, after=None):
        """Rows above after[class] alone, if it is given."""
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.2)
        try:
            db.execute("BEGIN")
            made = db.execute("SELECT epoch FROM outbox").fetchone()
            if made is None:  # the first transaction is yet to come
                return None
            epoch = made[0] & WORD
            last = dict(db.execute("SELECT class, last_seq FROM class_state"))
            last = tuple(max(last.get(k, 0), self.last_row(db, k)) for k in range(len(CLASSES)))
            rows = [r for k in range(len(CLASSES))
                    for r in self.rows(db, epoch, k, after[k] if after else 0)]
            quarantined = db.execute("SELECT count(*) FROM quarantine").fetchone()[0]
            return OutboxState(epoch, last, rows, quarantined)
        finally:
            db.close()

    @staticmethod
    def last_row(db, klass):
        (last,), = db.execute("SELECT max(id) FROM batch WHERE id BETWEEN ? AND ?",
                              (klass << SEQ_BITS, (klass + 1 << SEQ_BITS) - 1))
        return (last or 0) & (1 << SEQ_BITS) - 1

    @staticmethod
    def rows(db, epoch, klass, after):
        table = f"batch_{CLASSES[klass]}"
        low, high = klass << SEQ_BITS | after + 1, (klass + 1 << SEQ_BITS) - 1
        for i, samples, encoding, body, oe, oseq in db.execute(
                f"SELECT id, samples, encoding, body, origin_epoch, origin_seq FROM {table}"
                " WHERE id BETWEEN ? AND ?", (low, high)):
            yield Row(epoch, klass, i & (1 << SEQ_BITS) - 1, samples, encoding, bytes(body),
                      ((oe or 0) & WORD, oseq) if oseq else None)

    def live(self, after=None):
        """While the agent runs: what is committed, or None when it cannot be read just now.

        The agent lets nobody else in, so this reads a copy. Its log is not begun anew while it is
        copied if the log's first bytes are the same before and after."""
        wal = self.path.with_name(self.path.name + "-wal")
        with tempfile.TemporaryDirectory(prefix="towline-faults-") as folder:
            try:
                before = head_of(wal)
                copy = copied(self.path, folder)
                if head_of(wal) != before:
                    return None
                return self.read(copy, after)
            except (sqlite3.Error, OSError, UnicodeDecodeError):  # its error text may quote damage
                return None

    def still(self):
        """While no agent runs. None: there is no outbox yet, or it is damaged."""
        if not self.path.exists():
            return None
        with tempfile.TemporaryDirectory(prefix="towline-faults-") as folder:
            try:
                return self.read(copied(self.path, folder))
            except (sqlite3.Error, UnicodeDecodeError):
                return None


class RelayLog:
    """stream.db."""

    def __init__(self, path):
        self.path = path

    @staticmethod
    def connect(path):
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.5)

    def still(self):
        """(rows by device key, gaps by device key) while no relay runs."""
        with tempfile.TemporaryDirectory(prefix="towline-faults-") as folder:
            db = self.connect(copied(self.path, folder))
            try:
                return self.read_rows(db), self.read_gaps(db)
            finally:
                db.close()

    @staticmethod
    def read_rows(db):
        found = {}
        origin = ("origin_epoch, origin_seq" if "origin_seq" in columns(db, "batch") else "0, 0")
        for device, epoch, klass, seq, samples, encoding, body, oe, oseq in db.execute(
                "SELECT device, epoch, class, seq, samples, encoding, body, "
                f"{origin} FROM batch ORDER BY id"):
            found.setdefault(device, []).append(
                Row(epoch & WORD, klass, seq, samples, encoding, bytes(body),
                    ((oe or 0) & WORD, oseq) if oseq else None))
        return found

    @staticmethod
    def read_gaps(db):
        """Those that the vehicle has told of: the relay knows reasons that nobody gave, too (0)."""
        found = {}
        if not columns(db, "gap"):
            return found
        for device, epoch, klass, first, through, reason, samples in db.execute(
                "SELECT device, epoch, class, from_seq, through_seq, reason, samples FROM gap "
                "WHERE reason <> 0 ORDER BY id"):
            found.setdefault(device, []).append(
                Gap(epoch & WORD, klass, first, through, REASONS.get(reason, "unknown"), samples))
        return found

    def appended(self, after):
        """(device, epoch, class, seq, id) of the rows above an id, while the relay runs; None: not to
        be read just now. Empty also when the log was replaced by an older one."""
        try:
            db = self.connect(self.path)
            try:
                return [(d, e & WORD, k, s, i) for d, e, k, s, i in db.execute(
                    "SELECT device, epoch, class, seq, id FROM batch WHERE id > ?", (after,))]
            finally:
                db.close()
        except sqlite3.Error:
            return None


def read_catalog_file(path):
    return read_catalog(pathlib.Path(path).read_bytes())
