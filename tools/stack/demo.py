"""The demo: three vehicles drive, and their signals show up decoded in the cloud."""

import argparse
import collections
import csv
import datetime
import io
import lzma
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from stack import ROOT, SHARED_DATA, Stack, StackError, wait_for  # noqa: E402

DRIVE_DBC = {bus: ROOT / "tools" / "drive" / f"drive_{bus}.dbc" for bus in ("can0", "can1")}
RAV4 = SHARED_DATA / "rav4_2017"
RAV4_DBC = {"can0": RAV4 / "toyota_new_mc_pt_generated.dbc", "can1": RAV4 / "toyota_adas.dbc"}
BATCH_AGE_MS = 2000


class Vehicle:
    """A registered vehicle, its agent, and the record of every frame that its agent was given."""

    def __init__(self, stack, name, device, catalog):
        self.stack, self.name, self.device, self.catalog = stack, name, device, catalog
        self.id = str(uuid.uuid4())
        self.record = stack.folder / f"{device}.log"
        self.agent = None

    def start_agent(self, source, **agent):
        self.stack.add_vehicle(self.id, self.device, self.catalog, self.name)
        conf = self.stack.agent_conf(self.id, self.device, self.catalog, source,
                                     agent=agent, batch={"max_age_ms": BATCH_AGE_MS})
        self.agent = self.stack.start_agent(conf)

    def stop_source(self):
        pass


class Driven(Vehicle):
    """A simulated electric car: towline-drive -> (recorded) -> FIFO -> agent."""

    shown = ["ESP_Vehicle.VehicleSpeed", "VCU_State.TargetSpeed", "MCU_Torque.MotorSpeed",
             "BMS_Pack.PackPower", "BMS_State.StateOfCharge", "MCU_Temps.MotorTemp"]

    def __init__(self, stack, name, device, catalog, seed, record):
        super().__init__(stack, name, device, catalog)
        self.seed, self.recorded = seed, record
        self.drive = self.pump = None

    def start(self):
        fifo = self.stack.folder / f"{self.device}.fifo"
        os.mkfifo(fifo)
        self.start_agent({"type": "replay", "path": fifo, "timestamps": "now"},
                         exit_when_drained=self.recorded)
        self.drive = self.stack.spawn(f"drive-{self.device}",
                                      [self.stack.bin / "towline-drive", "--seed", self.seed],
                                      stdout=subprocess.PIPE)
        self.pump = threading.Thread(target=self.copy, args=(fifo,), daemon=True)
        self.pump.start()

    def copy(self, fifo):
        # Unbuffered: closing it must not write once more to an agent that is gone.
        record = self.record if self.recorded else os.devnull
        with open(fifo, "wb", 0) as out, open(record, "wb") as rec:
            while chunk := os.read(self.drive.stdout.fileno(), 65536):
                rec.write(chunk)
                try:
                    while chunk:
                        chunk = chunk[out.write(chunk):]
                except BrokenPipeError:
                    return

    def stop_source(self):
        self.drive.stop()
        self.pump.join(10)
        if self.pump.is_alive():
            raise StackError(f"{self.device}: the agent does not read its frames")


class Replayed(Vehicle):
    """A real bus log at its own speed."""

    shown = ["SPEED.SPEED", "STEER_ANGLE_SENSOR.STEER_ANGLE", "GAS_PEDAL_HYBRID.GAS_PEDAL",
             "WHEEL_SPEEDS.WHEEL_SPEED_FL", "KINEMATICS.YAW_RATE"]

    def __init__(self, stack, name, device, catalog, seconds):
        super().__init__(stack, name, device, catalog)
        self.seconds = seconds

    def start(self):
        with lzma.open(RAV4 / "rav4_2017.candump.log.xz", "rt") as log, \
                open(self.record, "w", encoding="ascii") as out:
            first = None
            for line in log:
                t = float(line[1:line.index(")")])
                first = t if first is None else first
                if self.seconds and t - first > self.seconds:
                    break
                out.write(line)
        self.start_agent({"type": "replay", "path": self.record, "timestamps": "now",
                          "loop": self.seconds is None},
                         exit_when_drained=self.seconds is not None)


def make_vehicles(stack, check, seconds):
    drive = stack.build_catalog("drive", DRIVE_DBC)
    vehicles = [Driven(stack, "simulated car 1", "tcu-1", drive, 1, check),
                Driven(stack, "simulated car 2", "tcu-2", drive, 2, check)]
    if RAV4.is_dir():
        rav4 = stack.build_catalog("rav4", RAV4_DBC)
        vehicles.append(Replayed(stack, "rav4 2017 (bus log)", "tcu-3", rav4,
                                 seconds if check else None))
    else:
        print(f"demo: {os.path.relpath(RAV4, ROOT)} is not there: two vehicles instead of three")
    return vehicles


# ---- the live table ----

def shown_signals(vehicle, state):
    """The signals worth a line, in the vehicle's own order."""
    by_name = {s["signal"].split(".", 1)[1]: s for s in state}
    return [by_name[name] for name in vehicle.shown if name in by_name]


def draw(stack, vehicles, started):
    lines = [f"Towline demo   relay {stack.relay_url}   Ctrl-C stops it all",
             f"{int(time.monotonic() - started)} s   "
             f"{stack.metric('towline_relay_batches_total', result='stored'):.0f} batches   "
             f"{stack.metric('towline_relay_samples_total'):.0f} samples", ""]
    for v in vehicles:
        state = stack.get(f"/v1/vehicles/{v.id}/state").json()["signals"]
        status = stack.agent_status(v.device)
        lines.append(f"{v.name}   {v.id}")
        lines.append(f"  frames {status.get('frames_received', 0):>9}   accepted "
                     f"{status.get('samples_accepted', 0):>9}   acked "
                     f"{status.get('samples_acked', 0):>9}   signals {len(state)}")
        for s in shown_signals(v, state):
            lines.append(f"    {s['signal']:<52.52} {s['value']:>12.4g} {s['unit']}")
        lines.append("")
    lines += ["Try:", f"  export TOWLINE_RELAY={stack.relay_url}",
              f"  {os.path.relpath(stack.bin, ROOT)}/towline vehicle list",
              f"  {os.path.relpath(stack.bin, ROOT)}/towline tail {vehicles[0].id}"]
    height = shutil.get_terminal_size((100, 50)).lines
    clear = "\033[H\033[J" if sys.stdout.isatty() else ""
    print(clear + "\n".join(lines[:height - 1]), flush=True)


def show(stack, vehicles):
    started = time.monotonic()
    stop = threading.Event()
    for signo in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signo, lambda *_: stop.set())
    while not stop.wait(1 if sys.stdout.isatty() else 5):
        for p in stack.processes:
            if p.poll() not in (None, 0):
                raise StackError(f"{p.name} ended with {p.returncode}:\n{p.log_tail()}")
        draw(stack, vehicles, started)
    print("\ndemo: stopping")


# ---- the check ----

def decoded(stack, vehicle):
    """What an independent decode of the recorded frames gives: {signal: [row, ...]}."""
    out = stack.towline("decode", "-q", "--catalog", vehicle.catalog, vehicle.record).stdout
    series = collections.defaultdict(list)
    for row in csv.DictReader(io.StringIO(out)):
        series[f"{row['bus']}.{row['message']}.{row['signal']}"].append(row)
    return series


def stored(stack, vehicle, signal_path):
    path = urllib.parse.quote(signal_path)
    answer = stack.get(f"/v1/vehicles/{vehicle.id}/signals/{path}/history"
                       "?from=0&to=9000000000000&max_points=10000")
    if answer.status != 200:
        raise StackError(f"history of {signal_path}: {answer.status} {answer.body.decode()}")
    return answer.json()["points"]


def same(row, point):
    """Raw integers are compared exactly, floats to the 15 digits of the API's JSON."""
    if "raw" in point:
        return int(row["raw"]) == int(point["raw"])
    return math.isclose(float(row["value"]), point["value"], rel_tol=1e-14)


def first_difference(rows, points):
    for i, (row, point) in enumerate(zip(rows, points)):
        if not same(row, point):
            return f"sample {i}: {row['raw']} became {point.get('raw', point['value'])}"
    return None


def check_vehicle(stack, vehicle):
    """Compares each signal's sequence of values; returns (in, out, lost, duplicated, altered)."""
    expected = decoded(stack, vehicle)
    n_in = sum(len(v) for v in expected.values())
    n_out = lost = duplicated = altered = 0
    for path, rows in expected.items():
        points = stored(stack, vehicle, path)
        n_out += len(points)
        lost += max(0, len(rows) - len(points))
        duplicated += max(0, len(points) - len(rows))
        difference = len(rows) == len(points) and first_difference(rows, points)
        if difference:
            altered += 1
            print(f"demo: {vehicle.name}: {path}: {difference}")
    accepted = stack.agent_status(vehicle.device)["samples_accepted"]
    print(f"demo: {vehicle.name}: {n_in} samples in {len(expected)} signals; "
          f"agent accepted {accepted}; relay stored {n_out}")
    return n_in, n_out, lost, duplicated, altered + (accepted != n_in)


def check(stack, vehicles, seconds):
    started = datetime.datetime.now().strftime("%H:%M:%S")
    print(f"demo: {len(vehicles)} vehicles drive for {seconds} s from {started}", flush=True)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(min(0.5, max(0, deadline - time.monotonic())))
        for p in stack.processes:
            if p.poll() not in (None, 0):
                raise StackError(f"{p.name} ended with {p.returncode}:\n{p.log_tail()}")
    for v in vehicles:
        v.stop_source()
    print("demo: draining", flush=True)
    for v in vehicles:
        wait_for(f"{v.device} to drain", lambda v=v: v.agent.poll() is not None, 90)
        if v.agent.returncode != 0:
            raise StackError(f"{v.device} ended with {v.agent.returncode}:\n{v.agent.log_tail()}")
    totals = [sum(column) for column in zip(*(check_vehicle(stack, v) for v in vehicles))]
    counted = int(stack.metric("towline_relay_samples_total"))
    n_in, n_out, lost, duplicated, altered = totals
    if altered:
        print(f"demo: {altered} signals or counts differ from the recorded frames")
    if counted != n_out:
        print(f"demo: the relay counted {counted} samples, its history holds {n_out}")
    print(f"demo: samples_in={n_in} samples_out={n_out} lost={lost} duplicated={duplicated}")
    good = n_in == n_out == counted and n_in > 0 and not (lost or duplicated or altered)
    return 0 if good else 1


ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end(*_):
    """However it is ended, what it started ends with it; a second signal does not stop that."""
    for signo in ENDINGS:
        signal.signal(signo, signal.SIG_IGN)
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(prog="tools/demo", description=__doc__)
    parser.add_argument("--bin", default="build/release/bin", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true",
                        help="no terminal: drive, drain, and compare what left with what arrived")
    parser.add_argument("--seconds", type=int, default=20, metavar="N",
                        help="with --check: how long to drive, 2 to 50 (default 20)")
    args = parser.parse_args()
    if not 2 <= args.seconds <= 50:
        parser.error("--seconds: 2 to 50")
    for signo in ENDINGS:
        signal.signal(signo, end)
    with Stack(args.bin) as stack:
        try:
            stack.start_broker()
            stack.start_relay()
            vehicles = make_vehicles(stack, args.check, args.seconds)
            for v in vehicles:
                v.start()
            if args.check:
                return check(stack, vehicles, args.seconds)
            return show(stack, vehicles) or 0
        except StackError as e:
            print(f"demo: {e}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\ndemo: interrupted", file=sys.stderr)
            return 130


if __name__ == "__main__":
    sys.exit(main())
