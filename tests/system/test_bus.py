"""Frames on real SocketCAN, counted at each step by somebody else than the agent."""

import collections
import csv
import io
import re
import subprocess

import pytest

from car import DATA, DRIVE_CAN0
from helpers import history


@pytest.fixture
def drive_log(bin_dir, tmp_path):
    """Five seconds of a simulated car's can0 in candump's format. The frames that are CAN FD are left
    out: the emulated controllers are classic ones."""
    both = tmp_path / "both.log"
    subprocess.run([bin_dir / "towline-drive", "--seconds", "5", "--speed", "max", "--seed", "7",
                    "--start", "1700000000", "--out", both], check=True)
    path = tmp_path / "drive.log"
    path.write_text("".join(line for line in both.open()
                            if " can0 " in line and "##" not in line))
    return path


def values_of(stack, catalog, log):
    """{signal: [value as the API writes it]} by the command line's decoder."""
    out = stack.towline("decode", "-q", "--catalog", catalog, log).stdout
    series = collections.defaultdict(list)
    for row in csv.DictReader(io.StringIO(out)):
        series[f"{row['bus']}.{row['message']}.{row['signal']}"].append(float(row["value"]))
    return series


def assert_values(stack, expected):
    """Every signal's values, in order, none missing and none twice."""
    for path, values in expected.items():
        got = [p["value"] for p in history(stack, path)["points"]]
        assert len(got) == len(values), f"{path}: {len(values)} sent, {len(got)} at the relay"
        wrong = [(a, b) for a, b in zip(got, values) if abs(a - b) > 1e-9 * max(1, abs(b))]
        assert not wrong, f"{path}: {wrong[:3]}"


def test_log_played_on_can0_arrives_at_the_relay(car, drive_log, note):
    """A log played on can0 is read on can1 and arrives at the relay, every frame counted."""
    car.register({"can0": DRIVE_CAN0})
    car.up("can0", "can1")
    agent = car.conf({"can1": {"bus": "can0"}}).start()
    agent.wait_open("can1")
    sent = len(drive_log.read_text().splitlines())
    dump = car.start("exec candump -r 4000000 -L can1 >/run/test/can1.log")
    before = car.statistic("can1", "rx_packets")
    car.run("sleep 0.3")
    car.run(f"canplayer -I {car.put(drive_log)} can0=can0", timeout_s=60)
    status = agent.drain()
    car.signal(dump, "TERM")
    dump.wait()
    expected = values_of(car.stack, car.catalog, drive_log)
    samples = sum(map(len, expected.values()))
    assert car.statistic("can0", "tx_packets") == sent
    assert car.statistic("can1", "rx_packets") - before == sent
    assert int(car.run("wc -l </run/test/can1.log").out) == sent
    assert status["frames_received"] == sent and status["frames_dropped"] == 0
    assert status["samples_acked"] == samples == car.samples_at_relay()
    assert_values(car.stack, expected)
    assert agent.stop()[0] == 0
    note(f"{sent} frames, {samples} samples")


def test_interface_down_and_up(car, note):
    """An interface goes down and comes back; the other bus does not notice."""
    car.register({"can0": DATA / "burst.dbc", "vcan0": DATA / "burst.dbc"})
    car.up("can0", "can1", "vcan0")
    agent = car.conf({"can1": {"bus": "can0"}, "vcan0": {}}).start()
    agent.wait_open("can1", "vcan0")
    other = car.start("exec can_burst vcan0 100 1000")
    car.run("can_burst can0 500 500 0")
    agent.wait("500 frames of can1", lambda s: s["frames_received"] >= 500)
    car.run("ip link set can1 down")
    agent.wait_log("what=the interface is down")
    car.run("can_burst can0 500 100 5000")  # nobody is there to hear them
    opened = agent.log.count("source_open source=can1")
    car.run("ip link set can1 up")
    agent.wait("can1 to be read again",
               lambda s: agent.log.count("source_open source=can1") > opened)
    car.run("can_burst can0 500 500 10000")
    assert other.wait().out.split()[0] == "1000"
    status = agent.drain()
    assert status["frames_dropped"] == 0
    for bus, expected in (("can0", [*range(500), *range(10000, 10500)]),
                          ("vcan0", range(1000))):
        got = sorted(p["value"] for i in range(8) for p in
                     history(car.stack, f"{bus}.Burst{i}.Count")["points"])
        assert got == list(expected), bus
    assert agent.stop()[0] == 0
    note("down for 100 frames; 1000 of 1000 on the other bus")


def test_can_fd_of_64_bytes(car):
    """CAN FD frames of 64 bytes are decoded, beside classic ones on the same bus."""
    car.register({"vcan0": DATA / "fd.dbc"})
    car.up("vcan0")
    agent = car.conf({"vcan0": {}}).start()
    agent.wait_open("vcan0")
    for i in range(20):
        data = bytes((i + k) % 256 for k in range(64))
        car.run(f"cansend vcan0 123##1{data.hex().upper()}; cansend vcan0 124#{i:02X}")
    status = agent.drain()
    assert status["frames_received"] == 40
    last = [p["value"] for p in history(car.stack, "vcan0.Long.Last")["points"]]
    assert last == [(i + 63) % 256 for i in range(20)]
    middle = [p["value"] for p in history(car.stack, "vcan0.Long.Middle")["points"]]
    assert middle == [int.from_bytes(bytes((i + k) % 256 for k in (30, 31)), "little")
                      for i in range(20)]
    assert [p["value"] for p in history(car.stack, "vcan0.Short.Value")["points"]] == [*range(20)]


RATE, SECONDS = 8000, 10


def memory_kb(car, agent):
    text = car.run(f"cat /proc/$(cat {car.guest_folder}/{agent.command.number}.pid)/status").out
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))


@pytest.mark.alone
def test_8000_frames_a_second(car, note):
    """8,000 frames a second for 10 s without a dropped frame."""
    car.register({"vcan0": DATA / "burst.dbc"})
    car.up("vcan0")
    agent = car.conf({"vcan0": {}}, batch={"max_age_ms": 1000}).start()
    agent.wait_open("vcan0")
    idle = memory_kb(car, agent)
    sender = car.start(f"exec can_burst vcan0 {RATE} {RATE * SECONDS}")
    car.run(f"sleep {SECONDS - 2}")
    busy = memory_kb(car, agent)
    sent, took = sender.wait(60).out.split()
    status = agent.drain(60)
    assert int(sent) == RATE * SECONDS == car.statistic("vcan0", "tx_packets")
    assert float(took) < SECONDS * 1.1, f"this host is too busy: the sender needed {took} s"
    assert status["frames_received"] == RATE * SECONDS
    assert [status[k] for k in ("frames_dropped", "frames_dropped_socket", "samples_dropped",
                                "samples_dropped_front", "batches_dropped")] == [0] * 5
    assert status["samples_acked"] == 2 * RATE * SECONDS == car.samples_at_relay()
    turned = 0  # samples that are stored as older than one that was before them on the bus
    for i in range(8):
        got = [p["value"] for p in history(car.stack, f"vcan0.Burst{i}.Count")["points"]]
        assert sorted(got) == [*range(i, RATE * SECONDS, 8)]  # each once
        turned += sum(a > b for a, b in zip(got, got[1:]))
    code, status = agent.stop()
    assert code == 0
    note(f"{sent} frames in {took} s, {status['bytes_published'] / int(sent) / 2:.2f} bytes a sample; "
         f"resident {idle} KiB idle, {busy} KiB at {RATE} frames/s"
         + (f"; {turned} times turned around" if turned else ""))
