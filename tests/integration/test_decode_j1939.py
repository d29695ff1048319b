"""J1939 transport: what `towline decode` puts together, against what was sent, or against an
independent reassembly of a real log. No signal of such a payload may be missing, wrong or extra."""

import csv
import io
import lzma
import random
import re
import subprocess

import pytest

DM1, EC1, EI = 0xFECA, 0xFEE3, 0xFEBE
LENGTHS = {DM1: 60, EC1: 39, EI: 8}  # as declared: of DM1 more than comes, of EI less
HEADER = """VERSION ""
BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG";
BA_DEF_DEF_ "VFrameFormat" "J1939PG";
"""


def dbc():
    """Every byte of a message is a signal."""
    lines = [HEADER]
    for pgn, length in LENGTHS.items():
        lines.append(f"BO_ {0x98000000 | pgn << 8 | 0xFE} P{pgn:04X}: {length} Vector__XXX")
        lines += [f' SG_ B{i} : {8 * i}|8@1+ (1,0) [0|0] "" Vector__XXX' for i in range(length)]
        lines.append("")
    return "\n".join(lines)


@pytest.fixture
def decode(bin_dir, tmp_path):
    (tmp_path / "j1939.dbc").write_text(dbc())

    def run(bus, lines):
        log = tmp_path / "bus.log"
        log.write_text("".join(lines))
        done = subprocess.run([bin_dir / "towline", "decode", "--dbc",
                               f"{bus}={tmp_path / 'j1939.dbc'}", log],
                              capture_output=True, check=True, text=True)
        got = {}
        for row in csv.DictReader(io.StringIO(done.stdout)):
            assert row["signal"] == f"B{len(got.setdefault(int(row['frame']), []))}"
            got[int(row["frame"])].append((row["message"], int(row["raw"])))
        return got, done.stderr

    return run


def expected(pgn, data):
    return [(f"P{pgn:04X}", byte) for byte in data[:LENGTHS[pgn]]]


def broadcasts(lines, bus):
    """Frame number -> PGN and payload of every broadcast that ends there."""
    line_format = re.compile(r"\([\d.]+\) (\S+) ([0-9A-F]{8})#([0-9A-F]*)")
    running, found = {}, {}
    for number, line in enumerate(lines, 1):
        match = line_format.match(line)
        if not match or match[1] != bus:
            continue
        can_id, data = int(match[2], 16), bytes.fromhex(match[3])
        pgn, source = can_id >> 8 & 0x3FFFF, can_id & 0xFF
        if pgn == 0xECFF and data[0] == 32:
            running[source] = [int.from_bytes(data[5:8], "little"), data[1] | data[2] << 8, {}]
        elif pgn == 0xEBFF and source in running:
            carried, size, packets = running[source]
            packets[data[0]] = data[1:]
            if len(packets) == -(-size // 7):
                whole = b"".join(packets[i + 1] for i in range(len(packets)))[:size]
                found[number] = (carried, whole)
                del running[source]
    return found


def test_real_log(decode, shared_data):
    with lzma.open(shared_data / "j1939_gps" / "j1939_gps.candump.log.xz", "rt") as f:
        lines = list(f)
    truth = broadcasts(lines, "can1")
    assert {pgn for pgn, _ in truth.values()} == {DM1, EC1}
    assert len(truth) > 100
    got, said = decode("can1", lines)
    whole = {number: got[number] for number in truth if number in got}
    assert whole == {number: expected(*carried) for number, carried in truth.items()}
    assert f"J1939 transport: {len(truth)} payloads\n" in said
    # All others are single frames of these PGNs.
    for number in got.keys() - truth.keys():
        assert re.search(r" ..(FECA|FEE3|FEBE)..#", lines[number - 1]), lines[number - 1]


class Sender:
    """A message on its way: frames one after the other, and what it gives at the end."""

    def __init__(self, rnd, source):
        self.pgn = rnd.choice(list(LENGTHS))
        self.data = rnd.randbytes(rnd.choice([5, 8, 9, 14, 15, 39, 60, 61, 500, 1785]))
        self.frames = []  # id, data, is it complete?
        destination = rnd.choice([255, (source + 1 + rnd.randrange(3)) % 8])
        if len(self.data) <= 8:
            self.frames.append((0x18000000 | self.pgn << 8 | source, self.data, True))
        elif destination == 255:
            self.control(source, 255, 32, self.size() + b"\xff")
            for packet in range(1, self.packets() + 1):
                self.packet(source, 255, packet, packet == self.packets())
        else:
            self.session(rnd, source, destination)
        self.key = (source, destination)

    def packets(self):
        return -(-len(self.data) // 7)

    def size(self):
        return len(self.data).to_bytes(2, "little") + bytes([self.packets()])

    def control(self, source, destination, kind, data):
        data = bytes([kind]) + data + b"\xff" * (4 - len(data)) + self.pgn.to_bytes(3, "little")
        self.frames.append((0x1CEC0000 | destination << 8 | source, data, False))

    def packet(self, source, destination, number, last):
        data = self.data[7 * number - 7:7 * number]
        self.frames.append((0x1CEB0000 | destination << 8 | source,
                            bytes([number]) + data + b"\xff" * (7 - len(data)), last))

    def session(self, rnd, source, destination):
        """Asked for in pieces; some are asked for twice."""
        self.control(source, destination, 16, self.size() + b"\xff")
        following, complete = 1, False
        while following <= self.packets():
            n = min(rnd.randrange(1, 17), self.packets() - following + 1)
            self.control(destination, source, 17, bytes([n, following]) + b"\xff\xff")
            for packet in range(following, following + n):
                self.packet(source, destination, packet, packet == self.packets() and not complete)
                complete = complete or packet == self.packets()
            again = rnd.random() < 0.2 and n > 1
            following += n - 1 if again else n
        self.control(destination, source, 19, self.size() + b"\xff")


def test_many_at_once(decode):
    rnd = random.Random(1939)
    running, lines, truth, sent = {}, [], {}, 0
    time = 1000.0
    while sent < 400 or running:
        if sent < 400 and len(running) < 12:
            sender = Sender(rnd, rnd.randrange(8))
            if sender.key not in running:
                running[sender.key] = sender
                sent += len(sender.data) > 8
        key = rnd.choice(list(running))
        can_id, data, complete = running[key].frames.pop(0)
        time += rnd.random() * 0.005
        lines.append(f"({time:.6f}) can0 {can_id:08X}#{data.hex().upper()}\n")
        if complete:
            truth[len(lines)] = expected(running[key].pgn, running[key].data)
        if not running[key].frames:
            del running[key]
    got, said = decode("can0", lines)
    assert got == truth
    assert "J1939 transport: 400 payloads\n" in said
