"""The agent on an ARM machine, and what arrives of it: a simulated car's log is played onto CAN
controllers in the guest, the agent there reads them, and a relay on the host shows the signals.
"""

import argparse
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "stack"))

import demo  # noqa: E402
from stack import Stack, StackError, wait_for, write_ini  # noqa: E402
from vm import GuestError, Machine  # noqa: E402

DRIVE_SECONDS = 120
BUSES = {"can0": "can1", "can1": "vcan0"}  # bus of the catalog: interface that the agent reads
PLAYED = {"can0": "can0", "can1": "vcan0"}  # bus of the log: interface that it is played onto


class Emulated(demo.Vehicle):
    shown = demo.Driven.shown + ["BusStatus.BitRate", "BusStatus.BusLoad"]

    def __init__(self, stack, machine, catalog):
        super().__init__(stack, "simulated car on arm64", "tcu-arm64", catalog)
        self.machine = machine
        # The demo's table reads the status where agents of the host have it.
        (stack.folder / f"agent-{self.device}.json").symlink_to(machine.share / "agent.json")

    def conf(self):
        sources = {f"source {name}": {"type": "socketcan", "interface": name, "bus": bus}
                   for bus, name in BUSES.items()}
        write_ini(self.machine.share / "agent.conf", {
            "agent": {"vehicle": self.id, "device": self.device, "data_dir": "/run/towline",
                      "status_file": "/host/agent.json"},
            "catalog": {"file": self.machine.put(self.catalog)},
            "mqtt": {"uri": f"mqtt://10.0.2.2:{self.stack.broker_port}", "insecure": True},
            "batch": {"max_age_ms": demo.BATCH_AGE_MS},
            "can can0": {"bitrate": 500000},
            "can can1": {"bitrate": 500000},
            **sources,
            "collect all": {"signals": "*", "mode": "every"},
        })

    def start(self):
        self.stack.add_vehicle(self.id, self.device, self.catalog, self.name)
        self.conf()
        m = self.machine
        m.run("ip link add vcan0 type vcan; ip link set vcan0 mtu 72; ip link set vcan0 up")
        self.agent = m.start("exec towline-agent -c /host/agent.conf 2>/host/agent.log")
        log = m.share / "agent.log"
        wait_for("the agent to read can1 and vcan0", lambda: not self.agent.running() or (
            log.exists() and all(f"source={i}" in log.read_text() for i in BUSES.values())))
        mapped = " ".join(f"--map {bus}={name}" for bus, name in PLAYED.items())
        self.player = m.start(f"exec towline can play -q --loop {mapped} /host/drive.log")

    def check(self):
        for command in (self.agent, self.player):
            if not command.running():
                log = (self.machine.share / "agent.log").read_text()
                raise StackError(f"{command.text}: exit {command.code}\n{command.out}{log}")


def write_log(stack, path):
    """The simulated car's frames, but for those of CAN FD: the emulated controllers are classic."""
    everything = stack.folder / "drive.log"
    subprocess.run([stack.bin / "towline-drive", "--seconds", str(DRIVE_SECONDS), "--speed", "max",
                    "--out", everything], check=True)
    with everything.open() as log, path.open("w") as out:
        out.writelines(line for line in log if "##" not in line)


def drive(stack, machine, vehicle, seconds):
    """Until Ctrl-C, or for so many seconds; then the number of samples at the relay."""
    started = time.monotonic()
    write_log(stack, machine.share / "drive.log")
    vehicle.start()
    print(f"qemu-arm64: the guest booted in {machine.boot_s:.1f} s; its console, the agent's "
          f"configuration and log are in {machine.folder}", flush=True)
    while seconds is None or time.monotonic() - started < seconds:
        vehicle.check()
        demo.draw(stack, [vehicle], started)
        time.sleep(1 if sys.stdout.isatty() else 5)
    return stack.metric("towline_relay_samples_total")


def main():
    parser = argparse.ArgumentParser(prog="targets/qemu-arm64/run run", description=__doc__)
    parser.add_argument("image", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("bin", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, metavar="N",
                        help="end after N seconds; fails if nothing has arrived")
    args = parser.parse_args()
    for signo in demo.ENDINGS:
        signal.signal(signo, demo.end)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="towline-arm64-"))
    try:
        with Stack(args.bin, folder / "stack") as stack, Machine(args.image, folder) as machine:
            stack.start_broker()
            stack.start_relay()
            catalog = folder / "drive.catalog"
            stack.towline("catalog", "build", "-q", "--bus-status", "-o", catalog,
                          *[a for bus, path in demo.DRIVE_DBC.items()
                            for a in ("--dbc", f"{bus}={path}")])
            vehicle = Emulated(stack, machine, catalog)
            samples = drive(stack, machine, vehicle, args.seconds)
            print(f"qemu-arm64: {samples:.0f} samples arrived")
            return 0 if samples > 0 else 1
    except (StackError, GuestError) as e:
        print(f"qemu-arm64: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nqemu-arm64: ended", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
