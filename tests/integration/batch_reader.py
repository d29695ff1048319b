"""A second reader of batches, written from proto/README.md: it shows that the text is enough, and
that the bytes stay what the text says. No protobuf, no C; slow."""

import functools
import hashlib
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


# ---- dictionaries ----

class Bytes:
    """Read from front to back."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def number(self):
        value, self.at = varint(self.data, self.at)
        return value

    def signed(self):
        return unzigzag(self.number())


@functools.cache
def state_names():
    """The adaptive bits of format 1, in the order of a dictionary."""
    def number(*name):
        return [(*name, "length", i) for i in range(65)]

    def residuals(*name):
        bits = [(*name, "zero", a, n) for a in range(24) for n in range(4)]
        bits += [(*name, "sign", last, n) for last in range(3) for n in range(4)]
        bits += [(*name, "length", a, i) for a in range(24) for i in range(16)]
        bits += [(*name, "longer", i) for i in range(65)]
        return bits + [(*name, "high", i, node) for i in range(65) for node in range(4)]

    names = [n for model in ("message", "rows", "leader", "time", "period") for n in number(model)]
    names += [n for model in ("first", "diff") for c in range(4) for n in number(model, c)]
    names += [("alike", c) for c in range(4)]
    names += [("used", u, before) for u in range(4) for before in range(2)]
    names += [("same",), ("narrow",)] + [("present", i) for i in range(16)]
    names += [("kind", c, i) for c in range(4) for i in range(4)]
    names += [n for follows in range(2) for n in residuals("times", follows)]
    names += [n for c in range(4) for n in residuals("residuals", c)]
    names += [("expected", i) for i in range(4)] + [("led",)]
    names += number("rows off") + number("period off")
    names += [n for i in range(8) for n in number("time off", i)]
    names += [n for i in range(16) for n in number("first off", i)]
    return names + [("kind off", k, i) for k in range(4) for i in range(2)]


class Dictionary:
    def __init__(self, data, catalog):
        b = Bytes(data)
        assert b.number() == 1, "format"
        self.catalog, b.at = data[b.at:b.at + 8], b.at + 8
        self.messages, self.slots, message = {}, 0, 0
        for _ in range(b.number()):
            message += b.number()
            self.messages[message] = self.read_message(b, message, len(catalog[message][2]))
            message += 1
        self.states = self.read_states(b)
        assert b.at == len(data)

    def read_message(self, b, message, n_signals):
        known = {"presence": b.byte()}
        back = b.number()
        known["leader"] = message - back if back else None
        known["rows"] = b.number()
        for name in ("period", "time", "time led"):
            known[name] = b.signed()
        for name in ("shape", "shape led", "length"):
            known[name] = b.byte()
        known["signals"] = [self.read_signal(b) for _ in range(n_signals)]
        return known

    def read_signal(self, b):
        first = b.byte()
        prior = {"used": first & 3, "kind": first >> 2 & 3, "class": first >> 4 & 3,
                 "slot": None, "ref": None}
        if prior["used"] == 1:
            return prior
        prior["length"], prior["base"], prior["shape"] = b.byte(), b.signed(), b.byte()
        if first >> 7:
            prior["ref"], prior["slope"] = b.number(), b.signed()
            prior["base ref"], prior["shape ref"] = b.signed(), b.byte()
        if first >> 6 & 1:
            prior["slot"] = self.slots
            self.slots += 1
        return prior

    @staticmethod
    def read_states(b):
        names, at, states = state_names(), 0, {}
        while at < len(names):
            at += b.number()
            for _ in range(b.number()):
                seen, q = b.byte(), b.byte()
                p = (8 + (q & 7)) << (q >> 3 & 15)
                states[names[at]] = [65536 - p if q >> 7 else p, seen]
                at += 1
        return states


# ---- range coder ----

class Bits(dict):
    """Adaptive bits by their name: [p, seen]."""

    def __init__(self, states):
        self.states = states

    def __missing__(self, key):
        self[key] = bit = list(self.states.get(key, [32768, 0]))
        return bit


class Coder:
    def __init__(self, data, batch_format=0, dictionary=None):
        self.format, self.dictionary = batch_format, dictionary
        self.slots = {}  # first values that others are expected from
        self.data = data
        self.at = 4
        self.range = (1 << 32) - 1
        self.code = int.from_bytes(data[:4].ljust(4, b"\0"), "big")
        self.bits = Bits(dictionary.states if dictionary else {})

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

LIKELY = [1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 6, 7, 8, 10, 11, 12, 14, 15]


class Residuals:
    """Those of one column, or of one group's times."""

    def __init__(self, coder, length):
        self.coder = coder
        self.length = self.length_before = length
        self.last = 0

    def read_length(self, model, activity):
        c, length = self.coder, LIKELY[activity] if self.coder.format else 1
        if length > 1 and c.bit(*model, "length", activity, 0):
            length -= 1
            while length > 1 and not c.bit(*model, "length", activity, length):
                length -= 1
            return length
        while length < 64 and not (c.bit(*model, "length", activity, length) if length < 16
                                   else c.bit(*model, "longer", length)):
            length += 1
        return length

    def next(self, model, near):
        """(difference, what it did: 1 as expected, 2 more, 3 less)"""
        c, s = self.coder, self.length * 2 + self.length_before
        activity = s if s < 16 else min(16 + (s - 16) // 4, 23)
        self.length_before = self.length
        if c.bit(*model, "zero", activity, near):
            self.length = self.last = 0
            return 0, 1
        negative = c.bit(*model, "sign", self.last, near)
        length = self.read_length(model, activity)
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


TIME_MASK = (1 << 40) - 1


def read_leader(c, recent, known):
    """Times of the message that is followed, or []; recent: [(message, times)]"""
    if known and c.bit("led"):
        return next((times for message, times in reversed(recent) if message == known["leader"]), [])
    k = c.number("leader")
    return recent[-k][1] if k else []


def read_times(c, rows, recent, known):
    leader = read_leader(c, recent, known)
    base = leader[0] if leader else 0
    if known:
        led = " led" if leader else ""
        off = known["time" + led] + unzigzag(c.number("time off", known["shape" + led]))
    else:
        off = unzigzag(c.number("time"))
    times = [base + off & TIME_MASK]
    if rows == 1:
        return times
    step = known["period"] + unzigzag(c.number("period off")) if known else c.number("period")
    times.append(times[0] + step & TIME_MASK)
    clock = Clock(*times, leader)
    residuals = Residuals(c, known["length"] if known else 0)
    while len(times) < rows:
        expected, follows = clock.expect()
        times.append(expected + residuals.next(("times", follows), 0)[0] & TIME_MASK)
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

    def first_known(self, prior, width, is_signed):
        expected, shape = prior["base"], prior["shape"]
        if prior["ref"] in self.c.slots:
            scaled = signed(self.c.slots[prior["ref"]] * prior["slope"], 64) >> 16
            expected, shape = prior["base ref"] + scaled, prior["shape ref"]
        value = expected + unzigzag(self.c.number("first off", shape)) & ((1 << width) - 1)
        value = signed(value, width) if is_signed else value
        if prior["slot"] is not None:
            self.c.slots[prior["slot"]] = value
        return value

    def read(self, bits, is_signed, prior):
        """[(row, 64 bits of raw)]"""
        group = 0 if bits <= 2 else 1 if bits <= 8 else 2 if bits <= 16 else 3
        self.read_presence()
        rows = [i for i, p in enumerate(self.present) if p]
        width = bits if self.c.bit("narrow") else 64
        if prior:
            values = [self.first_known(prior, width, is_signed)]
        else:
            values = [self.first(group, width)]
        if len(rows) > 1:
            self.read_changes(rows, values, group, prior)
        mask = (1 << width) - 1
        return [(row, (signed(v, width) if is_signed else v & mask) & WORD)
                for row, v in zip(rows, values)]

    def read_changes(self, rows, values, group, prior):
        kind = ("kind off", prior["kind"] - 1) if prior and prior["kind"] else ("kind", group)
        if self.c.bit(*kind, 0):
            values += values * (len(rows) - 1)
            return
        linear = self.c.bit(*kind, 1)
        group = prior["class"] if prior else group
        residuals, step = Residuals(self.c, prior["length"] if prior else 0), 0
        for row in rows[1:]:
            expected = values[-1] + (step if linear else 0)
            diff, self.near[row] = residuals.next(("residuals", group), self.near[row])
            step = expected + diff - values[-1]
            values.append(expected + diff)
        if self.c.format == 0 or len(rows) >= 256:
            self.forget(group, ("zero", "sign", "length") if self.c.format else
                        ("zero", "sign", "length", "longer", "high"))

    def forget(self, group, parts):
        for name in state_names():
            if name[:2] == ("residuals", group) and name[2] in parts:
                if self.c.bits[name][1] > 4:
                    self.c.bits[name][1] = 4


def next_message(c, base):
    """The next message of the section, or None."""
    if c.dictionary:
        expected = min((m for m in c.dictionary.messages if m >= base), default=None)
        presence = 3 if expected is None else c.dictionary.messages[expected]["presence"]
        if c.bit("expected", presence):
            return expected
    skip = c.number("message")
    return base + skip - 1 if skip else None


def read_rows(c, known):
    if known:
        return known["rows"] + unzigzag(c.number("rows off")) + 1
    return c.number("rows") + 1


def read_section(c, base, catalog):
    """Yields (message, times, [(signal of the message, [(row, raw)])])."""
    firsts, recent = {}, []
    while (message := next_message(c, base)) is not None:
        base = message + 1
        known = c.dictionary.messages.get(message) if c.dictionary else None
        times = read_times(c, read_rows(c, known), recent, known)
        recent = recent[-5:] + [(message, times)]
        columns, used, found = Columns(c, firsts, times), 0, []
        for i, (_, bits, kind, *_) in enumerate(catalog[message][2]):
            prior = known["signals"][i] if known else None
            used = c.bit("used", prior["used"] if prior else 0, used)
            if used:
                prior = prior if prior and prior["used"] > 1 else None
                found.append((i, columns.read(bits, kind == 1, prior)))
        yield message, times, found


# ---- a batch ----

def read_batch(envelope, catalog, dictionary=None):
    """(header, [(message, signal of the message, wall time in ns, 64 bits of raw)]).
    dictionary: the bytes of the one that the batch names."""
    outer = fields(envelope)
    body = outer[4][0]
    batch = fields(zlib.decompress(body) if outer.get(3) == [1] else body)
    unit = batch.get(8, [1000000])[0]
    first = unzigzag(batch.get(4, [0])[0])
    header = {"epoch": int.from_bytes(outer[1][0], "little"), "seq": outer[2][0],
              "catalog": batch[3][0], "samples": batch.get(7, [0])[0], "unit_ns": unit}
    batch_format = batch.get(1, [0])[0]
    assert batch_format <= 1, "format"
    if 14 in batch:
        assert batch[14][0] == hashlib.sha256(dictionary).digest()[:8]
        dictionary = Dictionary(dictionary, catalog)
    else:
        dictionary = None
    samples, base = [], 0
    for data, more in zip(batch.get(12, []), [0] + packed(batch.get(13, []))):
        base += more
        coder = Coder(data, batch_format, dictionary)
        for message, times, columns in read_section(coder, base, catalog):
            assert times == sorted(times) and times[-1] <= batch.get(5, [0])[0]
            samples += [(message, signal, (first + times[row]) * unit, raw)
                        for signal, values in columns for row, raw in values]
    assert len(samples) == header["samples"]
    return header, samples
