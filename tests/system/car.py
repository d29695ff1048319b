"""A vehicle in the guest: its agent, its buses, and what the relay on the host has of it."""

import json
import pathlib
import re

from conftest import DEVICE, ROOT, VEHICLE
from helpers import history
from stack import StackError, wait_for, write_ini

DATA = pathlib.Path(__file__).parent / "data"
DRIVE_CAN0 = ROOT / "tools" / "drive" / "drive_can0.dbc"
HOST = "10.0.2.2"


class Agent:
    """towline-agent in the guest, under the names of files in the test's folder."""

    def __init__(self, car, name):
        self.car, self.name = car, name
        self.command = None

    def start(self, *argv, user=None):
        run = f"towline-agent -c {self.car.guest_folder}/{self.name}.conf {' '.join(argv)}"
        if user:
            program, _, arguments = run.partition(" ")
            run = (f"start-stop-daemon -S -c {user} -x /usr/local/bin/{program} -- {arguments}")
        self.command = self.car.start(f"exec {run} 2>>{self.car.guest_folder}/{self.name}.log")
        return self

    @property
    def log(self):
        path = self.car.folder / f"{self.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def tail(self):
        return "\n".join(self.log.splitlines()[-15:])

    @property
    def status(self):
        path = self.car.folder / f"{self.name}.json"
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError):  # not yet there, or just being replaced
            return {}

    def wait(self, what, condition, timeout_s=20):
        """Until condition(status) holds; returns the status."""
        def look():
            if not self.command.running():
                raise StackError(f"the agent ended with {self.command.code}\n{self.tail()}")
            status = self.status
            return status if status and condition(status) else None
        try:
            return wait_for(what, look, timeout_s)
        except StackError as e:
            raise StackError(f"{e}\n{self.status}\n{self.tail()}") from None

    def wait_log(self, text, timeout_s=20):
        try:
            wait_for(f"the log to say {text}",
                     lambda: text in self.log or not self.command.running(), timeout_s)
        except StackError as e:
            raise StackError(f"{e}\n{self.tail()}") from None
        assert text in self.log, f"the agent ended with {self.command.code}\n{self.tail()}"

    def wait_open(self, *interfaces):
        """Until it reads these interfaces and is connected."""
        for interface in interfaces:
            self.wait_log(f"interface={interface}")
        return self.wait("a connection", lambda s: s["connected"] == 1)

    def stop(self, timeout_s=15):
        """SIGTERM; returns the exit code and the last status."""
        self.car.signal(self.command, "TERM")
        return self.command.wait(timeout_s).code, self.status

    def drain(self, timeout_s=30):
        """Until all that was collected by now has its receipt, while more may come."""
        seen = self.status.get("uptime_ms", 0)
        now = self.wait("a status of now", lambda s: s["uptime_ms"] > seen)
        return self.wait("every sample to have its receipt",
                         lambda s: s["samples_acked"] >= now["samples_collected"], timeout_s)


class Adapter:
    """tests/system/guest/slcan_adapter.c, which the kernel's slcan driver takes for a real one."""

    def __init__(self, car, name):
        self.car, self.name = car, name
        self.control = f"/run/test/{name}.control"
        car.run(f"mkdir -p /run/test; mkfifo {self.control}")
        self.command = car.start(f"exec slcan_adapter {self.control}")
        wait_for("the adapter's interface", lambda: self.command.out.startswith("interface "))
        car.run(f"ip link set {self.command.out.split()[1]} name {name}")

    def say(self, *lines):
        """What it tells the kernel: see slcan_adapter.c."""
        text = "\\n".join(lines)
        self.car.run(f"printf '{text}\\n' >{self.control}")

    def heard(self):
        """What the kernel has told it since: C, S6, O, t1232aabb, ..."""
        return self.command.out.split("\n")[1:-1]

    def opened(self):
        return self.heard().count("O")


class Car:
    def __init__(self, stack, guest, name):
        self.stack, self.guest = stack, guest
        self.folder = guest.share / name
        self.folder.mkdir(exist_ok=True)
        self.guest_folder = f"/host/{name}"

    # ---- the guest ----

    def start(self, text):
        """A command that ends with the test, at the latest."""
        return self.guest.start(f"echo $$ >>/run/test.pids; mkdir -p /run/test\n"
                                f"echo $$ >{self.guest_folder}/{self.guest.last + 1}.pid\n{text}")

    def signal(self, command, name):
        self.guest.run(f"kill -{name} $(cat {self.guest_folder}/{command.number}.pid)")

    def run(self, text, **kwargs):
        return self.guest.run(text, **kwargs)

    def up(self, *interfaces, bitrate=500000):
        for i in interfaces:
            if i.startswith("vcan"):
                self.run(f"ip link add {i} type vcan; ip link set {i} mtu 72; ip link set {i} up")
            else:
                self.run(f"ip link set {i} type can bitrate {bitrate}; ip link set {i} up; "
                         f"ip link set {i} txqueuelen 1000")

    def slcan(self, name):
        """An adapter whose bus does what the test says; returns it."""
        return Adapter(self, name)

    def state(self, interface):
        """The controller's state as iproute2 reads it from the kernel: ERROR-ACTIVE, BUS-OFF, ..."""
        return re.search(r"can .*state (\S+)", self.details(interface)).group(1)

    def details(self, interface):
        return self.run(f"ip -details -statistics link show {interface}").out

    def statistic(self, interface, name):
        """The kernel's own count: rx_packets, tx_packets, rx_errors, ..."""
        return int(self.run(f"cat /sys/class/net/{interface}/statistics/{name}").out)

    def put(self, path):
        target = self.folder / pathlib.Path(path).name
        target.write_bytes(pathlib.Path(path).read_bytes())
        return f"{self.guest_folder}/{target.name}"

    # ---- the agent ----

    def register(self, dbcs, *options):
        """dbcs: {"can0": path}. Builds the catalog and makes the vehicle known to the relay."""
        self.catalog = self.stack.folder / "car.catalog"
        self.stack.towline("catalog", "build", "-o", self.catalog, *options,
                           *[a for bus, path in dbcs.items() for a in ("--dbc", f"{bus}={path}")])
        self.stack.add_vehicle(VEHICLE, DEVICE, self.catalog)

    def conf(self, sources, collect=None, name="agent", **sections):
        """sources: {"can1": {"bus": "can0"}}: socketcan on the interface of that name, unless they
        say otherwise."""
        values = {
            "agent": {"vehicle": VEHICLE, "device": DEVICE, "data_dir": "/run/test/data",
                      "status_file": f"{self.guest_folder}/{name}.json"},
            "catalog": {"file": self.put(self.catalog)},
            "mqtt": {"uri": f"mqtt://{HOST}:{self.stack.broker_port}", "insecure": True,
                     "backoff_min_ms": 100, "backoff_max_ms": 1000},
            "batch": {"max_age_ms": 500},
            **{f"source {s}": {"type": "socketcan", "interface": s, **keys}
               for s, keys in sources.items()},
            **{f"collect {c}": keys for c, keys in
               (collect or {"all": {"signals": "*", "mode": "every"}}).items()},
        }
        for section, keys in sections.items():
            values.setdefault(section, {}).update(keys)
        write_ini(self.folder / f"{name}.conf", values)
        return Agent(self, name)

    def values(self, path):
        """The values of a signal at the relay, in order."""
        return [p["value"] for p in history(self.stack, path)["points"]]

    def samples_at_relay(self):
        return int(self.stack.metric("towline_relay_samples_total"))
