"""The bus: frames that are each unlike all others, into the FIFO of an agent, in real time.

A frame of class k carries a counter and a number made of it. So a sample is named by (class, counter,
signal), and one that was changed on the way shows.
"""

import bisect
import os
import threading
import time

CLASSES = ("event", "live", "bulk", "log", "status")  # in the order of enum uplink_class
IDS = {name: 0x101 + i for i, name in enumerate(CLASSES)}
SAMPLES_A_FRAME = 2
RATES = {"event": 15, "live": 40, "bulk": 120, "log": 8, "status": 4}  # frames a second
TICK_S = 0.02
BLOCK = 4096  # PIPE_BUF: written whole or not at all
PENDING_MAX = 64 << 10


def dbc():
    lines = ['VERSION ""', "", "BU_: Car", ""]
    for name, number in IDS.items():
        lines += [f"BO_ {number} {name.title()}: 8 Car",
                  ' SG_ Count : 0|32@1+ (1,0) [0|4294967295] "" Vector__XXX',
                  ' SG_ Check : 32|32@1+ (1,0) [0|4294967295] "" Vector__XXX', ""]
    return "\n".join(lines)


def check_of(klass, count):
    """What a frame carries beside its counter; no two classes agree, and nothing compresses it."""
    x = (count * 2654435761 + (klass + 1) * 0x9e3779b1) & 0xffffffff
    x ^= x >> 15
    return x * 0x2c1b3c6d & 0xffffffff


def line(now, klass, count):
    data = count.to_bytes(4, "little") + check_of(klass, count).to_bytes(4, "little")
    return f"({now:.6f}) can0 {IDS[CLASSES[klass]]:X}#{data.hex().upper()}\n"


class Feeder:
    """Writes into one agent's FIFO. What the FIFO does not take waits here, up to a bound, beyond which
    no frames are made: so the counters of what the agent can read have no holes."""

    def __init__(self, path, rate=1.0):
        self.path = path
        os.mkfifo(path)
        # For reading too: the FIFO keeps what it holds while no agent is there.
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.rate = rate
        self.counts = [0] * len(CLASSES)
        self.due = [0.0] * len(CLASSES)
        self.times = [[] for _ in CLASSES]  # (first count of a tick, when)
        self.pending = []
        self.pending_bytes = 0
        self.running = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        last = time.monotonic()
        while self.running:
            time.sleep(TICK_S)
            now = time.monotonic()
            if self.pending_bytes < PENDING_MAX:
                self.make(min(now - last, 1.0))
            last = now
            self.flush()

    def make(self, seconds):
        lines, wall, now = [], time.time(), time.monotonic()
        for k, name in enumerate(CLASSES):
            self.due[k] += RATES[name] * self.rate * seconds
            if self.due[k] >= 1:
                self.times[k].append((self.counts[k] + 1, now))
            while self.due[k] >= 1:
                self.due[k] -= 1
                self.counts[k] += 1
                lines.append(line(wall, k, self.counts[k]).encode())
        block = b""
        for text in lines:
            if len(block) + len(text) > BLOCK:
                self.put(block)
                block = b""
            block += text
        if block:
            self.put(block)

    def put(self, block):
        self.pending.append(block)
        self.pending_bytes += len(block)

    def flush(self):
        while self.pending:
            try:
                os.write(self.fd, self.pending[0])
            except BlockingIOError:
                return
            self.pending_bytes -= len(self.pending.pop(0))

    def written(self, klass, count):
        """When this frame was made."""
        at = bisect.bisect_right(self.times[klass], (count, float("inf"))) - 1
        return self.times[klass][max(at, 0)][1]

    def stop(self):
        self.running = False
        self.thread.join(10)

    def close(self):
        self.stop()
        os.close(self.fd)
