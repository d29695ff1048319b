"""The kinds of faults: what each does, and the schedule that a seed makes of them."""

import os
import random
import signal
import sqlite3
import time
from typing import NamedTuple

from fleet import SYNC_MS

HOUR_NS = 3600 * 10**9
YEAR_NS = 8766 * HOUR_NS


class Fault(NamedTuple):
    at: float  # seconds from the start
    lasts: float
    kind: str
    target: str  # name of a unit
    value: float  # of 0 to 1: whatever the kind has a choice of

    def __str__(self):
        return f"{self.at:7.2f} s  {self.kind:<14} {self.target:<9} {self.lasts:5.2f} s  {self.value:.3f}"


# ---- kill and start again ----

class Kill:
    """The program dies, and comes back when the fault is over."""

    def __init__(self, signo):
        self.signo = signo

    def begin(self, world, unit, fault):
        hit = unit.down(self.signo)
        unit.wanted = False
        return hit

    def end(self, world, unit, fault):
        if not unit.up():
            unit.start()


class Power(Kill):
    """kill -9, and what was not synced is gone but for a random part of it."""

    def __init__(self):
        super().__init__(signal.SIGKILL)

    def begin(self, world, unit, fault):
        rng = random.Random(fault.value)
        if not unit.up():
            return False
        self.wait_for_sync(world, unit, rng.choice((0, 1, 1, 2, 3)))
        if hasattr(unit, "cut"):
            lost = unit.cut(rng)
        else:
            unit.down(signal.SIGKILL)
            lost = unit.power_cut(rng)
        unit.control.head("stall_at", 0)
        world.note("power", unit=unit.name, sectors_lost=lost)
        world.sectors_lost += lost or 0
        return True

    @staticmethod
    def wait_for_sync(world, unit, n):
        """Until the program is about to sync for the n-th time from now; 0: right now."""
        before, until = unit.control.head("stalled"), time.monotonic() + 1.5
        unit.control.head("stall_at", n)
        while n and unit.up() and unit.control.head("stalled") == before:
            if time.monotonic() > until:
                break
            world.turn()


class Restore(Kill):
    """The relay loses what it stored since the fault began: its log is replaced by an older copy."""

    def __init__(self):
        super().__init__(signal.SIGKILL)

    def begin(self, world, unit, fault):
        hit = unit.down(signal.SIGKILL)
        unit.backup(world.fleet.folder / "backup")
        unit.start()
        return hit

    def end(self, world, unit, fault):
        unit.down(signal.SIGKILL)
        world.before_restore()
        unit.restore(world.fleet.folder / "backup")
        unit.start()


# ---- on the way ----

class Cut:
    """Connections end, and for a while there is no other."""

    def __init__(self, reset):
        self.reset = reset

    def begin(self, world, unit, fault):
        before = unit.link.cuts
        unit.link.refusing = True
        world.fleet.proxy.end_all(unit.link, self.reset)
        world.wait(0.05)
        return unit.link.cuts > before

    def end(self, world, unit, fault):
        unit.link.refusing = False
        return unit.link.cuts


class Middle:
    """A connection ends in the middle of a packet."""

    def begin(self, world, unit, fault):
        unit.link.cut_within = int(fault.value * 8)
        return None

    def end(self, world, unit, fault):
        hit = unit.link.cut_within is None
        unit.link.cut_within = None
        return hit


class Slow:
    """set: attribute of a link -> its worst."""

    def __init__(self, attribute, least, most):
        self.attribute, self.least, self.most = attribute, least, most

    def begin(self, world, unit, fault):
        setattr(unit.link, self.attribute, self.least + fault.value * (self.most - self.least))
        world.stalled[unit.name] = unit.link.stalled
        return None

    def end(self, world, unit, fault):
        setattr(unit.link, self.attribute, 0)
        return unit.link.stalled > world.stalled[unit.name]


class Silence(Slow):
    """Half open: nothing passes, and nothing says so; then the connection is reset, or goes on."""

    def __init__(self):
        super().__init__("frozen", 1, 1)

    def end(self, world, unit, fault):
        hit = super().end(world, unit, fault)
        if fault.value < 0.5:
            world.fleet.proxy.end_all(unit.link, True)
        return hit


# ---- disks ----

class Disk:
    """A share of the calls fails while it lasts."""

    def __init__(self, ops, kind, least=1.0):
        self.ops, self.kind, self.least = ops, kind, least

    def begin(self, world, unit, fault):
        world.hits[unit.name] = unit.control.hits()
        world.disk_trouble(unit, fault.lasts)
        for op in self.ops:
            unit.control.fail(op, self.least + (1 - self.least) * fault.value, self.kind)
        return None

    def end(self, world, unit, fault):
        for op in self.ops:
            unit.control.rule(op, "rate", 0)
        return unit.control.hits() > world.hits[unit.name]


class Damage:
    """An agent that cannot send is killed, and the file of its outbox damaged: its beginning, or spots
    anywhere. The write-ahead log is folded into it first."""

    def begin(self, world, unit, fault):
        unit.link.refusing = True
        world.fleet.proxy.end_all(unit.link)

    def end(self, world, unit, fault):
        rng = random.Random(fault.value)
        self.stop(unit, rng)
        world.disk_trouble(unit, 0)
        hit = unit.outbox.path.exists()
        if hit:
            unit.damages.append(time.monotonic())
            world.note("damage", unit=unit.name, spots=self.harm(unit.outbox.path, rng, fault.value))
        unit.link.refusing = False
        unit.start()
        return hit

    def stop(self, unit, rng):
        unit.down(signal.SIGKILL)

    def harm(self, path, rng, value):
        self.fold(path)
        return self.damage(path, rng, value < 0.3)

    @staticmethod
    def fold(path):
        db = sqlite3.connect(path)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        db.close()

    @staticmethod
    def damage(path, rng, head):
        """[(offset, bytes)]"""
        size = path.stat().st_size
        spots = [0] if head else [rng.randrange(size) for _ in range(rng.choice((1, 1, 3, 8)))]
        spots = [(at, min(rng.choice((1, 16, 512, 4096)), size - at)) for at in spots]
        with open(path, "r+b") as f:
            for at, length in spots:
                f.seek(at)
                f.write(rng.randbytes(length))
        return spots


class LogDamage(Damage):
    """The same, of the write-ahead log; at times also of the file, or of the note beside it. SQLite
    takes a bad spot for the end of the log."""

    def harm(self, path, rng, value):
        log, spots = path.with_name(path.name + "-wal"), []
        if log.exists() and log.stat().st_size > 0:
            if value < 0.2:
                os.truncate(log, rng.randrange(log.stat().st_size))
            else:
                spots = self.damage(log, rng, value < 0.4)
        if value > 0.85:
            spots += self.damage(path.with_name(path.name + ".unsaved"), rng, False)
        elif value > 0.7:
            spots += self.damage(path, rng, False)
        return spots


class CutDamage(LogDamage):
    """The same after a power cut, so that nothing of the log can be expected to be whole."""

    def stop(self, unit, rng):
        if unit.cut(rng) is None:
            unit.boots += 1


class BadReads(Disk):
    """The program is killed, and reads fail when it comes back: what it holds in memory it does not
    read. It may give up, and is started again, until they fail no more."""

    def __init__(self):
        super().__init__(("read",), "eio", 0.02)

    def begin(self, world, unit, fault):
        super().begin(world, unit, fault)
        unit.down(signal.SIGKILL)
        unit.start()


# ---- clocks ----

class Jump:
    """The wall clock goes forwards or backwards by hours to years, and comes back at the end."""

    def begin(self, world, unit, fault):
        sign = 1 if int(fault.value * 1000) % 2 else -1
        size = HOUR_NS * 2 if fault.value < 0.4 else YEAR_NS * 3 * fault.value
        unit.control.head("wall_offset_ns", int(sign * size))
        return unit.up()

    def end(self, world, unit, fault):
        unit.control.head("wall_offset_ns", 0)


class Unsynced:
    """The agent starts with a clock that nobody has set, which shows 2000, and later learns the time."""

    def begin(self, world, unit, fault):
        unit.down(signal.SIGKILL if fault.value < 0.5 else signal.SIGTERM)
        unit.control.head("clock_sync", 1)
        unit.control.head("wall_offset_ns", -int(26.5 * YEAR_NS))
        unit.start()
        return True

    def end(self, world, unit, fault):
        unit.control.head("wall_offset_ns", 0)
        unit.control.head("clock_sync", 2)


# ---- room ----

class Quota:
    """The agent with the small outbox has no way out until there are gaps in it."""

    def begin(self, world, unit, fault):
        unit.link.refusing = True
        world.fleet.proxy.end_all(unit.link)
        world.dropped[unit.name] = unit.status().get("samples_dropped", 0)
        return None

    def end(self, world, unit, fault):
        unit.link.refusing = False
        return unit.status().get("samples_dropped", 0) > world.dropped[unit.name]


class Kind(NamedTuple):
    action: object
    targets: str  # "agents", "links" (agents and relay), "disks" (agents and relay), "small", or a name
    lasts: tuple  # seconds, from and to
    weight: int = 2


KINDS = {
    "agent-kill": Kind(Kill(signal.SIGKILL), "agents", (0.1, 1.5), 4),
    "agent-term": Kind(Kill(signal.SIGTERM), "agents", (0.1, 1.5)),
    "agent-power": Kind(Power(), "agents", (0.1, 1.5), 4),
    "broker-kill": Kind(Kill(signal.SIGKILL), "mosquitto", (0.1, 2.0), 3),
    "broker-term": Kind(Kill(signal.SIGTERM), "mosquitto", (0.1, 1.0), 1),
    "relay-kill": Kind(Kill(signal.SIGKILL), "relay", (0.1, 2.0), 4),
    "relay-term": Kind(Kill(signal.SIGTERM), "relay", (0.1, 1.0), 1),
    "relay-power": Kind(Power(), "relay", (0.1, 1.5), 3),
    "relay-restore": Kind(Restore(), "relay", (2.0, 5.0), 1),
    "net-cut": Kind(Cut(False), "links", (0.2, 3.0)),
    "net-reset": Kind(Cut(True), "links", (0.0, 2.0)),
    "net-middle": Kind(Middle(), "links", (1.0, 3.0), 3),
    "net-delay": Kind(Slow("delay_s", 0.05, 0.6), "links", (1.0, 4.0)),
    "net-throttle": Kind(Slow("bytes_per_s", 20000, 1000), "links", (1.0, 4.0)),
    "net-silence": Kind(Silence(), "links", (1.0, 8.0)),
    "disk-full": Kind(Disk(("write",), "full"), "disks", (0.3, 3.0)),
    "disk-short": Kind(Disk(("write",), "short", 0.2), "disks", (0.3, 3.0)),
    "disk-eio": Kind(Disk(("write",), "eio", 0.1), "disks", (0.3, 3.0)),
    "disk-sync": Kind(Disk(("sync",), "eio", 0.2), "disks", (0.3, 3.0)),
    "disk-read": Kind(BadReads(), "disks", (0.3, 2.0)),
    "disk-damage": Kind(Damage(), "agents", (0.5, 4.0)),
    "disk-log": Kind(LogDamage(), "agents", (0.5, 4.0)),
    "disk-cut": Kind(CutDamage(), "agents", (0.5, 4.0)),
    "clock-jump": Kind(Jump(), "disks", (0.5, 4.0)),
    "clock-unsynced": Kind(Unsynced(), "agents", (1.0, 4.0)),
    "quota": Kind(Quota(), "small", (9.0, 14.0), 1),
}
QUIET_S = 3.0  # at the beginning and at the end
REST_S = 2.0  # a client takes more than a second to connect again; it is to get so far now and then


def targets_of(kind, agents):
    names = [f"agent{i}" for i in range(agents)]
    return {"agents": names, "links": names + ["relay"], "disks": names + ["relay"],
            "small": names[-1:]}.get(kind.targets, [kind.targets])


def order(rng, kinds):
    """Endless: every kind comes in each round, the heavier ones several times."""
    while True:
        round_ = [k for k in kinds for _ in range(KINDS[k].weight)]
        # The light ones first for half of the places, so that a short run has most kinds.
        rng.shuffle(round_)
        firsts = list(dict.fromkeys(round_))
        rest = list(round_)
        for k in firsts:
            rest.remove(k)
        yield from firsts + rest


def make_schedule(seed, seconds, agents, only=None):
    """Faults in the order of their beginnings; the same for the same arguments."""
    rng = random.Random(seed)
    kinds = [k for k in KINDS if not only or any(k.startswith(o) for o in only)]
    if not kinds:
        raise ValueError(f"no kind of fault begins with {' or '.join(only)}")
    schedule, at, busy = [], QUIET_S, {}
    for name in order(rng, kinds):
        kind = KINDS[name]
        lasts = rng.uniform(*kind.lasts)
        target = rng.choice(targets_of(kind, agents))
        value = rng.random()
        # One thing at a time of a kind and target; others overlap.
        key = (name.split("-")[0], target)
        begin = max(at, busy.get(key, 0))
        if begin + lasts > seconds - QUIET_S:
            if at > seconds - QUIET_S - 2:
                break
            at += 0.25
            continue
        schedule.append(Fault(round(begin, 2), round(lasts, 2), name, target, round(value, 3)))
        busy[key] = begin + lasts + REST_S
        at += rng.uniform(0.3, 0.3 + min(lasts, 3.0))
    return sorted(schedule)


def sync_grace_s():
    """How long before a power cut a row of a relaxed class may have been committed and yet be lost."""
    return SYNC_MS / 1000 + 1.0
