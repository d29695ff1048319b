"""A run: the fleet under its schedule, what happened when, and what came of it."""

import signal
import sqlite3
import time
from collections import Counter

import faults
import ledger
from files import Decoder
from fleet import Fleet

LOOK_S = 0.1
DRAIN_S = 90


def device_keys(fleet):
    """{device id: key in stream.db}"""
    with sqlite3.connect(f"file:{fleet.relay.folder}/relay.db?mode=ro", uri=True) as db:
        return {name: key for key, name in db.execute("SELECT key, id FROM device")}


class World:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.events = []
        self.began = time.monotonic()
        self.injected, self.missed = Counter(), Counter()
        self.recovered = {}  # kind -> [seconds]
        self.recovering = []  # (kind, ended, agent, {(epoch, class): seq})
        self.stalled, self.hits, self.dropped = {}, {}, {}
        self.sectors_lost = 0
        self.earlier = {}  # device key -> rows that the relay had before its log was replaced
        self.heads, self.head_id = {}, 0
        self.looked = 0.0
        self.fleet = Fleet(args.bin, folder, args.seed, args.agents, self.note)
        self.fleet.began = self.began
        self.decoder = Decoder(self.fleet.messages)
        self.schedule = faults.make_schedule(args.seed, args.minutes * 60, args.agents, args.only)

    def note(self, event, **more):
        self.events.append({"at": round(time.monotonic() - self.began, 3), "event": event, **more})

    def run(self):
        if self.args.lying_sync:
            for unit in self.fleet.units:
                if unit.control:
                    unit.control.head("lying_sync", 1)
        self.fleet.start()
        self.began = self.fleet.began = time.monotonic()
        self.play()
        self.drain()
        self.check_programs()

    # ---- while it runs ----

    def turn(self):
        now = time.monotonic()
        self.fleet.supervise(now)
        if now - self.looked >= LOOK_S:
            self.looked = now
            for agent in self.fleet.agents:
                if agent.up():
                    agent.look(now)
            self.look_at_relay(now)
        time.sleep(0.01)

    def wait(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.turn()

    def look_at_relay(self, now):
        for device, epoch, klass, seq, i in self.fleet.relay.log.appended(self.head_id) or ():
            key = (device, epoch, klass)
            self.heads[key] = max(self.heads.get(key, 0), seq)
            self.head_id = i
        for entry in list(self.recovering):
            kind, ended, agent, base = entry
            epochs = {e for e, _ in agent.last_seq}
            if any(e in epochs and seq > base.get((e, k), 0)
                   for (_, e, k), seq in self.heads.items()):
                self.recovering.remove(entry)
                self.recovered.setdefault(kind, []).append(now - ended)

    def before_restore(self):
        """What the relay has now, and in a moment has no more."""
        rows, _ = self.fleet.relay.log.still()
        for device, found in rows.items():
            self.earlier.setdefault(device, []).extend(found)
        self.head_id = 0
        self.heads = {}

    def disk_trouble(self, unit, lasts):
        """Until a while after it the agent may hold batches that are not stored."""
        if hasattr(unit, "disk_trouble_until"):
            unit.disk_trouble_until = time.monotonic() + lasts + 15

    def unit(self, name):
        return next(u for u in self.fleet.units if u.name == name)

    def begin(self, fault):
        unit = self.unit(fault.target)
        hit = faults.KINDS[fault.kind].action.begin(self, unit, fault)
        self.note("begin", fault=fault._asdict())
        return hit

    def end(self, fault, hit):
        unit = self.unit(fault.target)
        late = faults.KINDS[fault.kind].action.end(self, unit, fault)
        hit = late if hit is None else hit
        (self.injected if hit else self.missed)[fault.kind] += 1
        self.note("end", kind=fault.kind, target=fault.target, hit=bool(hit))
        agents = [unit] if unit in self.fleet.agents else self.fleet.agents
        for agent in agents if hit else ():
            self.recovering.append((fault.kind, time.monotonic(), agent, dict(agent.last_seq)))

    def play(self):
        """The schedule; what has begun ends in any case."""
        todo = [(f.at, 0, i, f) for i, f in enumerate(self.schedule)]
        todo += [(f.at + f.lasts, 1, i, f) for i, f in enumerate(self.schedule)]
        hits = {}
        for at, is_end, i, fault in sorted(todo):
            self.wait(at - (time.monotonic() - self.began))
            if is_end:
                self.end(fault, hits[i])
            else:
                hits[i] = self.begin(fault)
        self.wait(self.args.minutes * 60 - (time.monotonic() - self.began))

    # ---- the end ----

    def heal(self):
        for unit in self.fleet.units:
            if unit.control:
                unit.control.heal()
                unit.control.head("wall_offset_ns", 0)
            if hasattr(unit, "link"):
                unit.link.heal()
            if not unit.up():
                unit.start()

    def drain(self):
        """No more frames; agents end in order, and then deliver what they have."""
        fleet = self.fleet
        self.heal()
        self.wait(1.0)
        for agent in fleet.agents:
            agent.feeder.stop()
        self.wait(1.0)
        for agent in fleet.agents:
            agent.down(signal.SIGTERM)
        empty = self.folder / "empty.log"
        empty.touch()
        began = time.monotonic()
        for agent in fleet.agents:
            agent.write_conf(fleet, empty, exit_when_drained=True)
            agent.start()
            agent.wanted = False
        while any(a.up() for a in fleet.agents) and time.monotonic() - began < DRAIN_S:
            self.turn()
        for agent in fleet.agents:
            if agent.up():
                fleet.trouble(f"{agent.name} was not drained within {DRAIN_S} s: {agent.status()}")
                agent.down(signal.SIGTERM)
            elif agent.process.returncode != 0:
                fleet.trouble(f"{agent.name} ended with {agent.process.returncode} when drained")
            agent.after_end(signal.SIGTERM, 0)
        self.note("drained", seconds=round(time.monotonic() - began, 2))
        fleet.relay.down(signal.SIGTERM)
        fleet.broker.down(signal.SIGTERM)

    def judge(self):
        """{agent: {class: ClassResult}}"""
        fleet = self.fleet
        rows, gaps = fleet.relay.log.still()
        keys = device_keys(fleet)
        return {a.name: ledger.judge_agent(a, rows.get(keys[a.device], []),
                                           gaps.get(keys[a.device], []),
                                           self.earlier.get(keys[a.device], []), self.decoder)
                for a in fleet.agents}

    def check_programs(self):
        """Ends that nobody asked for: by a signal, never; by an exit code, only when the disk failed."""
        for unit in self.fleet.units:
            for when, code in unit.ended:
                disk = any(f.kind.startswith("disk") and f.target == unit.name
                           and f.at <= when - self.began <= f.at + f.lasts + 10 for f in self.schedule)
                if code < 0 or code > 1 or not disk:
                    self.fleet.trouble(f"{unit.name} ended with {code} at {when - self.began:.2f} s")
            log = unit.process.log_text() if unit.process else ""
            if "ERROR: AddressSanitizer" in log or "runtime error:" in log or "Assertion" in log:
                self.fleet.trouble(f"{unit.name}: a sanitizer or an assertion speaks in its log")
