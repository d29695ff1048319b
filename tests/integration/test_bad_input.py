"""Bad input: a clear message that names where, and nothing else is lost."""

import json
import os
import pathlib
import re
import subprocess

import pytest
from conftest import DEVICE, DRIVE_DBC, VEHICLE, decoded, drive_conf
from helpers import assert_all_stored, drain
from stack import wait_for


def test_log_with_half_a_line_and_garbage(car, drive_log):
    lines = drive_log.read_text().splitlines(keepends=True)
    bad = car.folder / "bad.log"
    bad.write_text("".join(lines[:1000]) + "(1700000000.5) can0 12\n" + "\x00\xff\x01garbage\n"
                   + "x" * 5000 + "\n" + "".join(lines[1000:2000]) + lines[2000][:20])
    good = car.folder / "good.log"
    good.write_text("".join(lines[:2000]))
    expected = decoded(car, good)
    r = car.towline("decode", "--catalog", car.catalog, bad)
    assert f"{bad}:1001:" in r.stderr and f"{bad}:1002:" in r.stderr
    assert f"{bad}:1003:" in r.stderr and f"{bad}:2004:" in r.stderr and "truncated" in r.stderr
    agent = car.start_agent(drive_conf(car, bad))
    status = drain(car, agent)
    assert status["lines_bad"] == 4
    assert "bad.log:1001" in agent.log_text()
    assert_all_stored(car, expected)


def test_dbc_with_garbage_in_the_middle(stack):
    text = DRIVE_DBC["can0"].read_text()
    head, bo, tail = text.partition("\nBO_ ")
    middle = tail.index("\nBO_ ")
    bad = stack.folder / "bad.dbc"
    bad.write_bytes((head + bo + tail[:middle]).encode() + b"\n\x80\x81 %%% garbage ((( \n"
                    + tail[middle:].encode())
    line = (head + bo + tail[:middle]).count("\n") + 2
    good = json.loads(stack.towline("catalog", "show", "--json",
                                    stack.build_catalog("good", {"can0": DRIVE_DBC["can0"]})).stdout)
    out = stack.folder / "bad.catalog"
    r = stack.towline("catalog", "build", "--dbc", f"can0={bad}", "-o", out)
    assert f"{bad}:{line}:" in r.stderr
    shown = json.loads(stack.towline("catalog", "show", "--json", out).stdout)
    assert shown["messages"] == good["messages"]


def test_random_bytes_as_payload(car, drive_log):
    topic = f"tl/1/up/0/{VEHICLE}/{DEVICE}/bulk"
    for size in (0, 1, 7, 100, 5000):
        subprocess.run(["mosquitto_pub", "-p", str(car.broker_port), "-V", "5", "-q", "1",
                        "-t", topic, *(["-s"] if size else ["-n"])], input=os.urandom(size),
                       check=True)
    subprocess.run(["mosquitto_pub", "-p", str(car.broker_port), "-q", "1",
                    "-t", "tl/1/up/not/a/topic", "-m", "x"], check=True)
    wait_for("the refusals",
             lambda: car.metric("towline_relay_batches_total", result="invalid") >= 5)
    assert topic in car.relay.log_text()
    drain(car, car.start_agent(drive_conf(car, drive_log)))
    assert_all_stored(car, decoded(car, drive_log))


def peak_kib(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(next(x for x in status.splitlines() if x.startswith("VmHWM")).split()[1])


def test_a_huge_message_is_kept_from_the_relay(car, drive_log):
    """Larger than any batch that can be read: the broker knows not to forward it."""
    drain(car, car.start_agent(drive_conf(car, drive_log)))
    before = peak_kib(car.relay)
    publish = ["mosquitto_pub", "-p", str(car.broker_port), "-V", "5", "-q", "1",
               "-t", f"tl/1/up/0/{VEHICLE}/{DEVICE}/bulk"]
    big = car.folder / "big"
    big.write_bytes(bytes(40 << 20))
    subprocess.run([*publish, "-f", big], check=True)
    subprocess.run([*publish, "-m", "behind it"], check=True)
    wait_for("what was behind it",
             lambda: car.metric("towline_relay_batches_total", result="invalid") == 1)
    assert peak_kib(car.relay) - before < 20 << 10
    assert car.metric("towline_relay_broker_disconnects_total") == 0
    assert_all_stored(car, decoded(car, drive_log))


def test_catalog_unknown_to_the_relay_waits_for_it(stack, drive_log):
    """Stored and acknowledged; decoded once the catalog is there."""
    stack.start_broker()
    stack.start_relay()
    stack.catalog = stack.build_catalog("drive", DRIVE_DBC)
    stack.add_vehicle(VEHICLE, DEVICE)
    drain(stack, stack.start_agent(drive_conf(stack, drive_log)))
    assert stack.metric("towline_relay_samples_total") == 0
    assert stack.get(f"/v1/vehicles/{VEHICLE}/state").json()["signals"] == []
    stack.towline("catalog", "push", stack.catalog)
    expected = decoded(stack, drive_log)
    total = sum(map(len, expected.values()))
    wait_for("the waiting batches", lambda: stack.metric("towline_relay_samples_total") == total)
    assert_all_stored(stack, expected)


def test_unknown_device_keeps_its_data(stack, drive_log):
    stack.start_broker()
    stack.start_relay(ingest={"unknown_retry_s": 1})
    stack.catalog = stack.build_catalog("drive", DRIVE_DBC)
    stack.towline("catalog", "push", stack.catalog)
    agent = stack.start_agent(drive_conf(stack, drive_log, publish={"receipt_timeout_s": 1}))
    wait_for("the refusal", lambda: stack.metric("towline_relay_batches_total",
                                                 result="unknown_device") > 0, process=agent)
    assert DEVICE in stack.relay.log_text()
    stack.add_vehicle(VEHICLE, DEVICE)
    drain(stack, agent, 30)
    assert_all_stored(stack, decoded(stack, drive_log))


@pytest.mark.parametrize("edit, message", [
    (lambda t: t.replace("[mqtt]\n", "[mqtt]\nkeepalives = 3\n"), "keepalives"),
    (lambda t: t + "[nonsense]\nkey = 1\n", "nonsense"),
    (lambda t: t.replace("backoff_min_ms = 100", "backoff_min_ms = soon"), "backoff_min_ms"),
    (lambda t: t.replace("max_age_ms = 1000", "max_age_ms = -1"), "max_age_ms"),
    (lambda t: t.replace("vehicle = ", "#vehicle = "), "vehicle"),
    (lambda t: t.replace("signals = *", "signals = can0.NoSuchMessage.*"), "can0.NoSuchMessage"),
    (lambda t: t.replace("type = replay", "type = telepathy"), "telepathy"),
])
def test_agent_config_errors(stack, drive_log, edit, message):
    stack.catalog = stack.build_catalog("drive", DRIVE_DBC)
    conf = drive_conf(stack, drive_log)
    conf.write_text(edit(conf.read_text()))
    agent = stack.start_agent(conf)
    assert agent.wait(10) in (1, 2)
    assert f"{conf}" in agent.log_text() and message in agent.log_text()


@pytest.mark.parametrize("program", ["towline-agent", "towline-relay"])
def test_print_config_parses_and_explains_every_key(stack, tmp_path, program):
    r = subprocess.run([stack.bin / program, "--print-config"], capture_output=True, text=True)
    assert r.returncode == 0
    required = {"vehicle": "v", "device": "d", "data_dir": tmp_path / "data", "type": "diag",
                "file": stack.build_catalog("drive", DRIVE_DBC), "signals": "*",
                "interface": "can0", "request": "0x7E0", "response": "0x7E8",
                "source": "NAME", "service": "obd_current", "ids": "auto",
                "bitrate": 500000, "fd": "true", "dbitrate": 2000000}
    lines, keys = r.stdout.splitlines(), 0
    for i, line in enumerate(lines):
        key = re.fullmatch(r"#?(\w+) =(.*)", line)
        if key:
            keys += 1
            assert lines[i - 1].startswith("# ") and lines[i - 2].startswith("# "), line
            lines[i] = f"{key[1]} = {required.get(key[1], key[2].strip())}"
        elif re.fullmatch(r"#\[\w+ NAME\]", line):
            lines[i] = line[1:]
    assert keys > 20
    conf = tmp_path / "printed.conf"
    conf.write_text("\n".join(lines) + "\n")
    check = subprocess.run([stack.bin / program, "-c", conf, "--check-config"],
                           capture_output=True, text=True)
    assert check.returncode == 0, check.stderr


def test_relay_config_errors(stack, tmp_path):
    conf = tmp_path / "relay.conf"
    conf.write_text("[relay]\ndata_dir = data\ncolour = red\n")
    r = subprocess.run([stack.bin / "towline-relay", "-c", conf], capture_output=True, text=True)
    assert r.returncode == 2
    assert f"{conf}:3: unknown key 'colour' in [relay]" in r.stderr
    conf.write_text("[relay]\ndata_dir = data\n[mqtt]\nbackoff_min_ms = 60000\n")
    for check in ([], ["--check-config"]):
        r = subprocess.run([stack.bin / "towline-relay", "-c", conf, *check], capture_output=True,
                           text=True)
        assert r.returncode == 2 and f"{conf}:4: [mqtt] backoff_min_ms" in r.stderr


def test_damaged_catalog(stack, drive_log):
    stack.catalog = stack.build_catalog("drive", DRIVE_DBC)
    data = bytearray(stack.catalog.read_bytes())
    stack.catalog.write_bytes(data[:len(data) // 2])
    agent = stack.start_agent(drive_conf(stack, drive_log))
    assert agent.wait(10) == 1
    assert str(stack.catalog) in agent.log_text()


def test_socketcan_without_an_interface_leaves_the_rest_alone(car, drive_log):
    conf = drive_conf(car, drive_log, agent={"exit_when_drained": False},
                      **{"source missing": {"type": "socketcan", "interface": "can9", "bus": "can0"}})
    agent = car.start_agent(conf)
    expected = decoded(car, drive_log)
    total = sum(map(len, expected.values()))
    wait_for("all to arrive", lambda: car.agent_status(DEVICE).get("samples_acked") == total, 60,
             process=agent)
    assert "can9" in agent.log_text()
    assert agent.stop() == 0
