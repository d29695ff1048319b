"""A second reader of batches, written from proto/README.md: it shows that the text is enough, and
that the bytes stay what the text says. No protobuf, no C; slow."""

import struct
import zlib

WORD = (1 << 64) - 1
RATE = [round(32768 / (n + 1.6)) for n in range(31)]


# ---- protobuf ----

def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value & WORD, at


def fields(data):
    """{number: [values]}: integers, or bytes for what has a length (and for doubles)."""
    found, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 == 1:
            value, at = data[at:at + 8], at + 8
        else:
            assert tag & 7 == 2, f"wire type {tag & 7}"
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
        found.setdefault(tag >> 3, []).append(value)
    return found


def unzigzag(v):
    return v >> 1 ^ -(v & 1)


def packed(values):
    out = []
    for data in values:
        at = 0
        while at < len(data):
            v, at = varint(data, at)
            out.append(v)
    return out


def read_catalog(data):
    """[(bus, message, [(name, bits, kind, factor, offset)])], in order of number."""
    top = fields(data)
    buses = [b.decode() for b in top.get(2, [])]

    def double(f, number):
        return struct.unpack("<d", f.get(number, [bytes(8)])[0])[0]

    messages = []
    for m in map(fields, top.get(3, [])):
        signals = [(s[1][0].decode(), s[3][0], s.get(5, [0])[0], double(s, 6), double(s, 7))
                   for s in map(fields, m.get(8, []))]
        messages.append((buses[m.get(3, [0])[0]], m[1][0].decode(), signals))
    return messages


# ---- range coder ----

class Bits(dict):
    """Adaptive bits by their name: [p, seen]."""

    def __missing__(self, key):
        self[key] = bit = [32768, 0]
        return bit


class Coder:
    def __init__(self, data):
        self.data = data
        self.at = 4
        self.range = (1 << 32) - 1
        self.code = int.from_bytes(data[:4].ljust(4, b"\0"), "big")
        self.bits = Bits()

    def shift(self):
        while self.range < 1 << 24:
            byte = self.data[self.at] if self.at < len(self.data) else 0
            self.at += 1
            self.code = (self.code << 8 | byte) & 0xffffffff
            self.range <<= 8

    def bit(self, *name):
        model = self.bits[name]
        bound = (self.range >> 12) * max(model[0] >> 4, 1)
        value = self.code < bound
        if value:
            self.range = bound
        else:
            self.code -= bound
            self.range -= bound
        model[0] += ((65535 if value else 0) - model[0]) * RATE[model[1]] >> 15
        model[1] = min(model[1] + 1, 30)
        self.shift()
        return int(value)

    def raw(self, n):
        value = 0
        while n > 0:
            step = min(n, 8)
            self.range >>= step
            part = self.code // self.range
            self.code -= part * self.range
            self.shift()
            value = value << step | part
            n -= step
        return value

    def number(self, *name):
        length = 0
        while length < 64 and not self.bit(*name, "length", length):
            length += 1
        return length if length < 2 else 1 << (length - 1) | self.raw(length - 1)


# ---- residuals ----

class Residuals:
    """Those of one column, or of one group's times."""

    def __init__(self, coder):
        self.coder = coder
        self.length = self.length_before = self.last = 0

    def next(self, model, near):
        """(difference, what it did: 1 as expected, 2 more, 3 less)"""
        c, s = self.coder, self.length * 2 + self.length_before
        activity = s if s < 16 else min(16 + (s - 16) // 4, 23)
        self.length_before = self.length
        if c.bit(*model, "zero", activity, near):
            self.length = self.last = 0
            return 0, 1
        negative = c.bit(*model, "sign", self.last, near)
        length = 1
        while length < 64 and not (c.bit(*model, "length", activity, length) if length < 16
                                   else c.bit(*model, "longer", length)):
            length += 1
        self.length, self.last = length, 2 if negative else 1
        magnitude = self.magnitude(model, length)
        return (-magnitude, 3) if negative else (magnitude, 2)

    def magnitude(self, model, length):
        value = 1
        if length > 1:
            value = 2 | self.coder.bit(*model, "high", length, 1)
        if length > 2:
            value = value << 1 | self.coder.bit(*model, "high", length, 2 + (value & 1))
        rest = max(length - 3, 0)
        return value << rest | self.coder.raw(rest)


# ---- times ----

class Clock:
    def __init__(self, first, second, leader):
        self.leader = leader
        self.phase, self.step = 16 * second, 16 * (second - first)
        self.at = self.advance = 0
        if leader:
            self.lag = first - leader[0]
            self.at = self.advance = self.nearest(second, 0)
            self.lag = second - leader[self.at]

    def away(self, at, time):
        return abs(self.leader[at] + self.lag - time)

    def nearest(self, time, tolerance):
        at = self.at + self.advance
        if at < len(self.leader) and self.away(at, time) <= tolerance:
            return at
        at = self.at
        while at + 1 < len(self.leader) and self.away(at + 1, time) <= self.away(at, time):
            at += 1
        return at

    def expect(self):
        """(time, whether it follows the leader)"""
        free = (self.phase + self.step + 8) // 16
        tolerance = self.step // 16 * 3 // 4
        if not self.leader:
            return free, 0
        at = self.nearest(free, tolerance)
        self.advance, self.at = at - self.at, at
        if self.away(at, free) <= tolerance:
            return self.leader[at] + self.lag, 1
        return free, 0

    def learn(self, time):
        self.phase += self.step
        error = 16 * time - self.phase
        if 2 * abs(error) > self.step:
            self.phase = 16 * time
        else:
            self.phase += abs(error) // 4 * (1 if error > 0 else -1)
            self.step += abs(error) // 32 * (1 if error > 0 else -1)
        if self.leader:
            self.lag = time - self.leader[self.at]


def read_times(c, rows, recent):
    k = c.number("leader")
    leader = recent[-k] if k else []
    times = [unzigzag(c.number("time")) + (leader[0] if leader else 0)]
    if rows == 1:
        return times
    times.append(times[0] + c.number("period"))
    clock = Clock(*times, leader)
    residuals = Residuals(c)
    while len(times) < rows:
        expected, follows = clock.expect()
        times.append(expected + residuals.next(("times", follows), 0)[0])
        clock.learn(times[-1])
    return times


# ---- columns ----

def signed(v, bits):
    v &= (1 << bits) - 1
    return v - (1 << bits) if v >> (bits - 1) else v


class Columns:
    """Those of one group; what a column leaves behind is what the next one is told by."""

    def __init__(self, coder, firsts, times):
        self.c, self.firsts = coder, firsts
        self.present = [1] * len(times)
        self.near = [0] * len(times)
        for i in range(2, len(times)):
            step = times[i - 1] - times[i - 2]
            more = times[i] - times[i - 1] - step
            self.near[i] = 2 if more > step // 4 else 3 if -more > step // 4 else 1

    def read_presence(self):
        if self.c.bit("same"):
            return
        before = 0
        for row, above in enumerate(self.present):
            self.present[row] = self.c.bit("present", before << 1 | above)
            before = before << 1 & 7 | self.present[row]

    def first(self, group, width):
        if self.c.bit("alike", group):
            value = self.firsts.get(group, 0) + unzigzag(self.c.number("diff", group))
        else:
            value = self.c.number("first", group)
        self.firsts[group] = value & ((1 << width) - 1)
        return self.firsts[group]

    def read(self, bits, is_signed):
        """[(row, 64 bits of raw)]"""
        group = 0 if bits <= 2 else 1 if bits <= 8 else 2 if bits <= 16 else 3
        self.read_presence()
        rows = [i for i, p in enumerate(self.present) if p]
        width = bits if self.c.bit("narrow") else 64
        values = [self.first(group, width)]
        if len(rows) > 1:
            self.read_changes(rows, values, group, width)
        mask = (1 << width) - 1
        return [(row, (signed(v, width) if is_signed else v & mask) & WORD)
                for row, v in zip(rows, values)]

    def read_changes(self, rows, values, group, width):
        if self.c.bit("kind", group, 0):
            values += values * (len(rows) - 1)
            return
        linear = self.c.bit("kind", group, 1)
        residuals, step = Residuals(self.c), 0
        for row in rows[1:]:
            expected = values[-1] + (step if linear else 0)
            diff, self.near[row] = residuals.next(("residuals", group), self.near[row])
            step = expected + diff - values[-1]
            values.append(expected + diff)
        for name, model in self.c.bits.items():
            if name[:2] == ("residuals", group):
                model[1] = min(model[1], 4)


def read_section(data, base, catalog):
    """Yields (message, times, [(signal of the message, [(row, raw)])])."""
    c, firsts, recent = Coder(data), {}, []
    while (skip := c.number("message")) > 0:
        message = base + skip - 1
        base = message + 1
        times = read_times(c, c.number("rows") + 1, recent)
        recent = recent[-5:] + [times]
        columns, used, found = Columns(c, firsts, times), 0, []
        for i, (_, bits, kind, *_) in enumerate(catalog[message][2]):
            used = c.bit("used", used)
            if used:
                found.append((i, columns.read(bits, kind == 1)))
        yield message, times, found


# ---- a batch ----

def read_batch(envelope, catalog):
    """(header, [(message, signal of the message, wall time in ns, 64 bits of raw)])"""
    outer = fields(envelope)
    body = outer[4][0]
    batch = fields(zlib.decompress(body) if outer.get(3) == [1] else body)
    unit = batch.get(8, [1000000])[0]
    first = unzigzag(batch.get(4, [0])[0])
    header = {"epoch": int.from_bytes(outer[1][0], "little"), "seq": outer[2][0],
              "catalog": batch[3][0], "samples": batch.get(7, [0])[0], "unit_ns": unit}
    assert batch.get(1, [0]) == [0], "format"
    samples, base = [], 0
    for data, more in zip(batch.get(12, []), [0] + packed(batch.get(13, []))):
        base += more
        for message, times, columns in read_section(data, base, catalog):
            assert times == sorted(times) and times[-1] <= batch.get(5, [0])[0]
            samples += [(message, signal, (first + times[row]) * unit, raw)
                        for signal, values in columns for row, raw in values]
    assert len(samples) == header["samples"]
    return header, samples
