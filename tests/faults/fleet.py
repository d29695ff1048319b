"""The programs under test: broker, relay, agents; each with its faults, its link and its watchman."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "stack"))

from stack import Stack, StackError, free_port, wait_for, write_ini  # noqa: E402

from control import Control  # noqa: E402
from files import Outbox, RelayLog, read_catalog_file  # noqa: E402
from proxy import Proxy  # noqa: E402
from traffic import CLASSES, Feeder, dbc  # noqa: E402

SECTOR = 512
SYNC_MS = 1000  # [outbox] sync_ms
AGENT_MAX_AGE_MS = 100
# A class that may be lost in a power cut while it is younger than SYNC_MS.
RELAXED = ("bulk", "log", "status")


class Unit:
    """A program that is to run: killed and started again on demand. One that ends by itself is started
    again too, as a service manager would, and that is noted."""

    def __init__(self, fleet, name, argv, shimmed=True):
        self.fleet, self.name, self.argv = fleet, name, argv
        self.process = None
        self.wanted = False
        self.started = 0.0
        self.restart_at = None
        self.starts = 0
        self.boots = 1
        self.ended = []  # (when, code) of ends that nobody asked for
        self.folder = fleet.folder / name
        self.control = None
        if shimmed:
            self.control = Control(fleet.folder / f"{name}.faults", fleet.random.getrandbits(62))
            self.durable = fleet.folder / f"{name}.durable"
            self.durable.mkdir()

    def environment(self):
        env = dict(os.environ)
        if self.control:
            env.update(LD_PRELOAD=str(self.fleet.shim), TOWLINE_FAULTS=str(self.control.path),
                       TOWLINE_FAULTS_DURABLE=str(self.durable),
                       TOWLINE_FAULTS_BOOT=f"{self.boots:016x}",
                       ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0")
        return env

    def start(self):
        self.wanted, self.restart_at = True, None
        self.before_start()
        self.started = time.monotonic()
        self.starts += 1
        self.process = self.fleet.stack.spawn(self.name, self.argv, env=self.environment())

    def before_start(self):
        pass

    def up(self):
        return self.process is not None and self.process.poll() is None

    def down(self, signo=signal.SIGKILL, timeout_s=15):
        """Ends it and stays down. Returns False when it did not run."""
        self.wanted, self.restart_at = False, None
        if not self.up():
            return False
        self.process.send_signal(signo)
        try:
            code = self.process.wait(timeout_s)
        except Exception:
            self.process.kill()
            self.process.wait()
            self.fleet.trouble(f"{self.name} did not end within {timeout_s} s of {signo.name}")
            code = None
        if signo == signal.SIGTERM and code not in (0, None):
            self.ended.append((time.monotonic(), code))
        self.after_end(signo, code)
        return True

    def after_end(self, signo, code):
        pass

    def supervise(self, now):
        if not self.wanted:
            return
        if self.restart_at is None and not self.up():
            code = self.process.returncode
            self.ended.append((now, code))
            self.after_end(None, code)
            self.fleet.note("ended", unit=self.name, code=code)
            self.restart_at = now + 0.3
        if self.restart_at is not None and now >= self.restart_at:
            self.start()

    def power_cut(self, rng):
        """After kill -9: of what was not synced a random part is lost, sector by sector. What comes
        is another boot."""
        self.boots += 1
        share = rng.choice((0, 0, 0.5, 0.9))
        lost = 0
        for path in sorted(self.data().glob("*.db*")):
            if path.name.endswith("-shm"):
                path.unlink()
            elif path.name.endswith((".db", "-wal", "-journal")):
                lost += cut_file(path, self.durable / path.name, share, rng)
        return lost

    def data(self):
        return self.folder


def cut_file(path, copy, share, rng):
    """path becomes what its durable copy says, and a share of what differs. Returns sectors lost."""
    if not copy.exists():
        return 0
    real, safe = path.read_bytes(), bytearray(copy.read_bytes())
    lost = 0
    for at in range(0, len(real), SECTOR):
        now = real[at:at + SECTOR]
        if now == safe[at:at + SECTOR]:
            continue
        if rng.random() < share:
            if len(safe) < at:
                safe += bytes(at - len(safe))
            safe[at:at + len(now)] = now
        else:
            lost += 1
    path.write_bytes(safe)
    return lost


class Death:
    """An agent's end, and what its outbox held then."""

    def __init__(self, when, started, how, state, clean, disk_trouble):
        self.when, self.started, self.how = when, started, how
        self.state = state  # OutboxState; None: the file could not be read
        self.drained = False  # ended with 0 and all that it had read delivered
        self.syncs = 0  # of the agent until then, in all its runs
        self.doomed = []  # rows that a power cut took: committed, or about to be
        self.clean = clean  # ended in order, with 0
        self.disk_trouble = disk_trouble


class Agent(Unit):
    def __init__(self, fleet, index, keys):
        name = f"agent{index}"
        super().__init__(fleet, name, None)
        self.index = index
        self.vehicle = f"3f2b8c52-6d0f-4b7e-9a51-{index + 1:012d}"
        self.device = f"tcu-{index + 1}"
        self.keys = keys
        self.folder.mkdir()
        self.link = fleet.proxy.link(name, fleet.stack.broker_port, fleet.random.getrandbits(32))
        self.feeder = Feeder(fleet.folder / f"{name}.fifo")
        self.outbox = Outbox(self.folder / "outbox.db")
        self.deaths = []
        self.seen = {}	# (epoch, class, seq) -> [(Row, when)], a new one when it differs
        self.syncs_when = {}  # (key of seen, when) -> syncs of the agent until then
        self.last_seq = {}  # (epoch, class) -> highest seen
        self.disk_trouble_until = 0.0
        self.cutting = False
        self.damages = []  # when its outbox was damaged, by the harness
        self.looked = None  # (epoch, last seqs) at the last look
        self.status_file = fleet.folder / f"{name}.json"
        self.argv = [fleet.bin / "towline-agent", "-c", self.write_conf(fleet)]

    def write_conf(self, fleet, path=None, **agent):
        conf = {
            "agent": {"vehicle": self.vehicle, "device": self.device, "data_dir": self.folder,
                      "status_file": self.status_file, **agent},
            "catalog": {"file": fleet.catalog},
            "mqtt": {"uri": f"mqtt://127.0.0.1:{self.link.port}", "backoff_min_ms": 50,
                     "backoff_max_ms": 800, "connect_timeout_s": 2, "keepalive_s": 5},
            "batch": {"max_age_ms": AGENT_MAX_AGE_MS},
            "publish": {"receipt_timeout_s": 2},
            "outbox": {},
            "source bus": {"type": "replay", "path": path or self.feeder.path, "speed": "max"},
        }
        for name in CLASSES:
            conf[f"collect {name}"] = {"signals": f"can0.{name.title()}.*", "mode": "every",
                                       "class": name}
        if fleet.has_sync_ms:
            conf["outbox"]["sync_ms"] = SYNC_MS
        for section, keys in self.keys.items():
            conf.setdefault(section, {}).update(keys)
        return write_ini(fleet.folder / f"{self.name}.conf", conf)

    # ---- what it stored ----

    def saw(self, state, now, syncs=-1):
        """syncs: how many the agent had made before; -1: what was seen is durable."""
        for row in state.rows:
            known = self.seen.setdefault((row.epoch, row.klass, row.seq), [])
            if not any(same_row(row, k) for k, _ in known):
                known.append((row, now))
                self.syncs_when[(row.epoch, row.klass, row.seq), now] = syncs
        for k, seq in enumerate(state.last_seq):
            key = (state.epoch, k)
            self.last_seq[key] = max(self.last_seq.get(key, 0), seq)

    def look(self, now):
        """At its outbox, while it runs: rows that have come since the last look."""
        after, syncs = self.looked, self.control.head("syncs")
        state = self.outbox.live(after[1] if after else None)
        if state is None:
            return
        if after and after[0] != state.epoch:
            state = self.outbox.live()
            if state is None:
                return
        self.looked = (state.epoch, state.last_seq)
        self.saw(state, now, syncs)

    def after_end(self, signo, code):
        now = time.monotonic()
        state = self.outbox.still()
        how = signo.name if signo else f"code {code}"
        self.deaths.append(Death(now, self.started, how, state, signo == signal.SIGTERM and code == 0,
                                 now < self.disk_trouble_until))
        self.deaths[-1].syncs = self.control.head("syncs")
        self.looked = None
        if state and not self.cutting:
            self.saw(state, now)

    def cut(self, rng):
        """A power cut: kill -9, and what was not synced is gone. That it was in the file proves
        nothing: the last commit was perhaps not over."""
        self.cutting = True
        hit = self.down(signal.SIGKILL)
        self.cutting = False
        if not hit:
            return None
        lost = self.power_cut(rng)
        death = self.deaths[-1]
        before, death.how, death.state = death.state, "power", self.outbox.still()
        if death.state:
            self.saw(death.state, death.when)
            if before:
                death.doomed = [r for r in before.rows if r.seq > death.state.last_seq[r.klass]]
        return lost

    def status(self):
        try:
            return json.loads(self.status_file.read_text())
        except (OSError, ValueError):
            return {}


def same_row(a, b):
    return a.encoding == b.encoding and a.body == b.body


class Relay(Unit):
    def __init__(self, fleet):
        super().__init__(fleet, "relay", None)
        self.folder.mkdir()
        self.link = fleet.proxy.link("relay", fleet.stack.broker_port, fleet.random.getrandbits(32))
        self.port = free_port()
        fleet.stack.relay_url = f"http://127.0.0.1:{self.port}"
        self.log = RelayLog(self.folder / "stream.db")
        conf = {
            "relay": {"data_dir": self.folder},
            "mqtt": {"uri": f"mqtt://127.0.0.1:{self.link.port}", "backoff_min_ms": 50,
                     "backoff_max_ms": 800, "connect_timeout_s": 2, "keepalive_s": 5},
            "ingest": {"unknown_retry_s": 1, "state_save_ms": 500},
            # Rows go by their age on the wall clock, which the harness moves by years.
            "history": {"retention_h": 87600},
            "http": {"port": self.port},
        }
        self.argv = [fleet.bin / "towline-relay", "-c", write_ini(fleet.folder / "relay.conf", conf)]

    def wait_healthy(self):
        def healthy():
            try:
                return self.fleet.stack.get("/healthz").status == 200
            except OSError:
                return False
        wait_for("a healthy relay", healthy, 20, self.process)

    def backup(self, folder):
        """While it does not run. The copy is one of a database at rest."""
        folder.mkdir(exist_ok=True)
        for path in self.folder.glob("stream.db*"):
            if not path.name.endswith("-shm"):
                shutil.copyfile(path, folder / path.name)

    def restore(self, folder):
        for path in self.folder.glob("stream.db*"):
            path.unlink()
        for path in folder.iterdir():
            shutil.copyfile(path, self.folder / path.name)


class Broker(Unit):
    def __init__(self, fleet):
        super().__init__(fleet, "mosquitto", None, shimmed=False)
        conf = fleet.folder / "mosquitto.conf"
        conf.write_text(f"listener {fleet.stack.broker_port} 127.0.0.1\nallow_anonymous true\n"
                        "persistence false\nmax_queued_messages 10000\nlog_type error\n"
                        "log_type warning\n")
        self.argv = ["/usr/sbin/mosquitto", "-c", conf]

    def start(self):
        super().start()
        wait_for("the broker's port", self.fleet.stack.broker_answers, process=self.process)


class Fleet:
    """Everything that runs, in one folder."""

    def __init__(self, bin_dir, folder, seed, agents, note):
        self.bin, self.folder, self.note = bin_dir, folder, note
        self.shim = bin_dir / "libtowline_faults.so"
        if not self.shim.exists():
            raise StackError(f"{self.shim} is not there: build the target towline_faults")
        self.random = random.Random(seed ^ 0x5eed)
        self.stack = Stack(bin_dir, folder)
        self.proxy = Proxy()
        self.troubles = []
        (folder / "car.dbc").write_text(dbc())
        self.catalog = self.stack.build_catalog("car", {"can0": folder / "car.dbc"})
        self.messages = read_catalog_file(self.catalog)
        keys = subprocess.run([bin_dir / "towline-agent", "--print-config"], text=True, check=True,
                              capture_output=True).stdout
        self.has_sync_ms = "sync_ms" in keys  # else every row is synced with its commit
        self.broker = Broker(self)
        self.relay = Relay(self)
        # The last one of several has an outbox that fills within seconds.
        small = {"outbox": {"max_bytes": 65536}, "batch": {"max_age_ms": 40}}
        self.agents = [Agent(self, i, small if i == agents - 1 and agents > 1 else {})
                       for i in range(agents)]
        self.units = [self.broker, self.relay, *self.agents]

    def trouble(self, text):
        """Something that must not happen, and fails the run."""
        self.troubles.append(text)
        self.note("trouble", text=text)

    def start(self):
        self.broker.start()
        self.relay.start()
        self.relay.wait_healthy()
        self.stack.towline("catalog", "push", self.catalog)
        for a in self.agents:
            self.stack.towline("vehicle", "add", "--id", a.vehicle, "--device", a.device)
            a.start()

    def supervise(self, now):
        for unit in self.units:
            unit.supervise(now)

    def close(self):
        for a in self.agents:
            a.feeder.close()
        self.stack.close()
        self.proxy.close()
