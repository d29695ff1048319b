"""Processes die and links break; what the agent stored arrives once all the same."""

import re
import signal
import socket
import subprocess
import time

import pytest
from conftest import DEVICE, DRIVE_DBC, VEHICLE, decoded, drive_conf
from helpers import (assert_all_stored, assert_history, assert_same, drain, empty_log,
                     points)
from stack import free_port, wait_for


def test_broker_that_is_not_there(stack, drive_log):
    """The agent says so, stores all, and delivers when the broker comes."""
    stack.catalog = stack.build_catalog("drive", DRIVE_DBC)
    agent = stack.start_agent(drive_conf(stack, drive_log))
    expected = decoded(stack, drive_log)
    total = sum(map(len, expected.values()))
    wait_for("all to be stored",
             lambda: stack.agent_status(DEVICE).get("samples_accepted") == total
             and stack.agent_status(DEVICE)["batches_stored"] > 0, process=agent)
    assert f"127.0.0.1:{stack.broker_port}" in agent.log_text()
    assert agent.poll() is None
    stack.start_broker()
    stack.start_relay()
    stack.add_vehicle(VEHICLE, DEVICE, stack.catalog)
    drain(stack, agent)
    assert_all_stored(stack, expected)


def test_broker_killed_in_the_middle(car, drive_log):
    agent = car.start_agent(drive_conf(car, drive_log, source={"speed": "4"},
                                       batch={"max_age_ms": 100},
                                       publish={"receipt_timeout_s": 1}))
    wait_for("batches", lambda: car.metric("towline_relay_batches_total", result="stored") > 3,
             process=agent)
    car.broker.stop(signo=signal.SIGKILL)
    car.start_broker()
    drain(car, agent)
    assert_all_stored(car, decoded(car, drive_log))


def test_relay_killed_in_the_middle(car, drive_log):
    agent = car.start_agent(drive_conf(car, drive_log, source={"speed": "4"},
                                       batch={"max_age_ms": 100},
                                       publish={"receipt_timeout_s": 1}))
    wait_for("batches", lambda: car.metric("towline_relay_batches_total", result="stored") > 3,
             process=agent)
    car.relay.stop(signo=signal.SIGKILL)
    car.start_relay()
    drain(car, agent)
    expected = decoded(car, drive_log)
    state = {s["signal"] for s in car.get(f"/v1/vehicles/{VEHICLE}/state").json()["signals"]}
    assert state == set(expected)
    assert_history(car, expected)


def test_agent_killed_in_the_middle(car, drive_log):
    """kill -9: what was stored before is delivered after, once."""
    conf = drive_conf(car, drive_log, source={"speed": "4"}, batch={"max_age_ms": 200})
    agent = car.start_agent(conf)
    wait_for("batches", lambda: car.agent_status(DEVICE).get("batches_acked", 0) > 2,
             process=agent)
    agent.stop(signo=signal.SIGKILL)
    drain(car, car.start_agent(drive_conf(car, empty_log(car))))
    expected = decoded(car, drive_log)
    stored = 0
    for path, samples in expected.items():
        got = points(car, path)
        assert_same(got, samples[:len(got)], path)  # the beginning of what the log holds
        stored += len(got)
    assert stored == car.metric("towline_relay_samples_total") > 0
    assert car.metric("towline_relay_batches_total", result="invalid") == 0


def test_relay_that_lost_its_disk_gets_whole_batches(car, drive_log):
    """Batches go short, by what the relay has; when it has it no more, they go whole at once."""
    agent = car.start_agent(drive_conf(car, drive_log, source={"speed": "4"},
                                       batch={"max_age_ms": 100}))
    wait_for("short batches", lambda: car.agent_status(DEVICE).get("batches_short", 0) > 5,
             process=agent)
    assert car.relay.stop() == 0
    for file in (car.folder / "relay").glob("stream.db*"):
        file.unlink()
    began = time.monotonic()
    car.start_relay()
    wait_for("batches", lambda: car.metric("towline_relay_batches_total", result="stored") > 3,
             process=agent)
    assert time.monotonic() - began < 25  # no timeout of a receipt was waited for
    drain(car, agent)
    status = car.agent_status(DEVICE)
    assert status["contexts_lost"] > 0
    assert status["samples_acked"] == status["samples_accepted"]
    assert car.metric("towline_relay_batches_total", result="invalid") == 0
    stored = 0
    for path, samples in decoded(car, drive_log).items():
        got = points(car, path)
        assert_same(got, samples[len(samples) - len(got):], path)  # the rest of the log
        stored += len(got)
    assert stored == car.metric("towline_relay_samples_total") > 0


def test_relay_restart_keeps_state_and_history(car, drive_log):
    drain(car, car.start_agent(drive_conf(car, drive_log)))
    before = car.get(f"/v1/vehicles/{VEHICLE}/state").json()
    assert car.relay.stop() == 0
    car.start_relay()
    assert car.get(f"/v1/vehicles/{VEHICLE}/state").json() == before
    assert_history(car, decoded(car, drive_log))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder],
                       capture_output=True, text=True)
    if r.returncode != 0:
        pytest.skip(f"no right to mount a small file system: {r.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_full_disk_keeps_what_is_stored(car, drive_log, small_disk):
    """No relay listens, so the outbox fills the disk; then space comes back and all is delivered."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (700 << 10))
    data = small_disk / "agent"
    data.mkdir()
    assert car.relay.stop() == 0
    agent = car.start_agent(drive_conf(car, drive_log, agent={"data_dir": data},
                                       batch={"max_age_ms": 100}))
    wait_for("a word on the full disk", lambda: "full" in agent.log_text(), process=agent)
    assert agent.poll() is None, agent.log_tail()
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    car.start_relay()
    drain(car, agent)
    assert_all_stored(car, decoded(car, drive_log))


def test_stop_with_a_full_disk_counts_what_is_lost(car, drive_log, small_disk):
    (small_disk / "ballast").write_bytes(b"x" * (700 << 10))
    data = small_disk / "agent"
    data.mkdir()
    assert car.relay.stop() == 0
    agent = car.start_agent(drive_conf(car, drive_log, agent={"data_dir": data},
                                       source={"loop": True, "speed": "20"},
                                       batch={"max_age_ms": 100}))
    wait_for("waiting sources", lambda: car.agent_status(DEVICE).get("store_busy", 0) > 0,
             60, process=agent)
    began = time.monotonic()
    assert agent.stop() == 0
    assert time.monotonic() - began < 2
    status = car.agent_status(DEVICE)
    assert status["batches_dropped_stop"] > 0 and status["store_failures"] > 0
    assert status["samples_dropped"] > 0 and status["outbox_samples"] > 0
    assert status["samples_dropped"] + status["outbox_samples"] == status["samples_accepted"]
    assert status["samples_accepted"] == status["samples_collected"]
    assert (f"batches_lost class=bulk batches={status['batches_dropped_stop']} "
            f"samples={status['samples_dropped']}") in agent.log_text()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    car.start_relay()
    again = car.start_agent(drive_conf(car, empty_log(car), agent={"data_dir": data}))
    drain(car, again)
    assert car.metric("towline_relay_samples_total") == status["outbox_samples"]
    # The relay is told of the rest.
    assert f"batches_unsaved batches={status['batches_dropped_stop']} " in again.log_text()
    assert car.agent_status(DEVICE)["gaps_published"] == 1


def test_relay_with_a_full_disk_acknowledges_nothing_it_lacks(car, drive_log, small_disk):
    assert car.relay.stop() == 0
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (600 << 10))
    data = small_disk / "relay"
    data.mkdir()
    conf = car.relay_conf(relay={"data_dir": data})
    relay = car.relay = car.spawn("towline-relay", [car.bin / "towline-relay", "-c", conf])
    wait_for("the port", (data / "http.port").exists, process=relay)
    car.relay_url = f"http://127.0.0.1:{int((data / 'http.port').read_text())}"
    wait_for("health", lambda: car.get("/healthz").status == 200, process=relay)
    car.add_vehicle(VEHICLE, DEVICE, car.catalog)
    agent = car.start_agent(drive_conf(car, drive_log, source={"loop": True, "speed": "20"},
                                       agent={"exit_when_drained": False},
                                       batch={"max_age_ms": 100},
                                       publish={"receipt_timeout_s": 1}))
    wait_for("bad health", lambda: car.get("/healthz").status == 503, 60, process=relay)
    assert relay.poll() is None and agent.poll() is None
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=256m", small_disk], check=True)
    wait_for("good health", lambda: car.get("/healthz").status == 200, 60, process=relay)
    assert agent.stop() == 0
    accepted = car.agent_status(DEVICE)["samples_accepted"]
    drain(car, car.start_agent(drive_conf(car, empty_log(car),
                                          publish={"receipt_timeout_s": 1})))
    assert car.metric("towline_relay_samples_total") == accepted > 0


def test_read_only_database(car, drive_log, small_disk):
    data = small_disk / "agent"
    data.mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    agent = car.start_agent(drive_conf(car, drive_log, agent={"data_dir": data}))
    assert agent.wait(10) == 1
    assert str(data) in agent.log_text() and "read-only" in agent.log_text().lower()


def test_corrupt_outbox_is_set_aside(car, drive_log):
    data = car.folder / f"agent-{DEVICE}"
    data.mkdir()
    (data / "outbox.db").write_bytes(b"this is no database" * 1000)
    agent = car.start_agent(drive_conf(car, drive_log))
    drain(car, agent)
    assert_all_stored(car, decoded(car, drive_log))
    aside = list(data.glob("outbox.db.corrupt-*"))
    assert len(aside) == 1 and aside[0].read_bytes().startswith(b"this is no database")
    assert "outbox.db" in agent.log_text()


def test_outbox_damaged_while_running(stack, drive_log):
    """The agent ends; the next one sets the file aside. What can be read of it arrives, and what
    comes then."""
    stack.catalog = stack.build_catalog("drive", DRIVE_DBC)
    agent = stack.start_agent(drive_conf(stack, drive_log, source={"loop": True},
                                         batch={"max_samples": 20000}))
    database = stack.folder / f"agent-{DEVICE}" / "outbox.db"
    wait_for("a large outbox", lambda: database.exists() and database.stat().st_size > 3 << 20,
             60, process=agent)
    with open(database, "r+b") as f:
        f.seek(64 << 10)
        f.write(b"\xa7" * (2 << 20))
    stack.start_broker()
    stack.start_relay()
    stack.add_vehicle(VEHICLE, DEVICE, stack.catalog)
    assert agent.wait(60) == 1
    assert "outbox_corrupt" in agent.log_text()
    again = stack.start_agent(drive_conf(stack, drive_log))
    status = drain(stack, again)
    assert "outbox_set_aside" in again.log_text()
    salvaged = int(re.search(r"outbox_salvaged rows=\d+ samples=(\d+)", again.log_text())[1])
    assert salvaged > 0
    new = sum(map(len, decoded(stack, drive_log).values()))
    assert status["samples_acked"] == salvaged + new
    assert len(list(database.parent.glob("outbox.db.corrupt-*[0-9]"))) == 1


def test_agent_without_standard_files(car, drive_log):
    """No file of its own gets the number that the log is written to."""
    conf = drive_conf(car, drive_log)
    agent = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-',
                            car.bin / "towline-agent", conf], timeout=60)
    assert agent.returncode == 0
    assert (car.folder / f"agent-{DEVICE}" / "agent.lock").read_bytes() == b""
    assert_all_stored(car, decoded(car, drive_log))


def test_agent_goes_on_when_its_log_breaks(car, drive_log):
    conf = drive_conf(car, drive_log)
    agent = subprocess.Popen([car.bin / "towline-agent", "-c", conf], stderr=subprocess.PIPE)
    agent.stderr.close()
    assert agent.wait(60) == 0
    assert_all_stored(car, decoded(car, drive_log))


def test_check_config_knows_the_buses(car):
    conf = car.agent_conf(VEHICLE, DEVICE, car.catalog,
                          {"type": "socketcan", "interface": "can9"})
    r = subprocess.run([car.bin / "towline-agent", "-c", conf, "--check-config"],
                       capture_output=True, text=True)
    assert r.returncode == 2
    assert f"{conf}:" in r.stderr
    assert "interface: no bus of the catalog is 'can9', it has 'can0', 'can1'" in r.stderr


@pytest.mark.parametrize("options", [["--check-config"], []])
def test_a_catalog_that_is_missing_is_named_with_its_key(car, options):
    conf = car.agent_conf(VEHICLE, DEVICE, car.folder / "none", {"type": "replay", "path": "x"})
    r = subprocess.run([car.bin / "towline-agent", "-c", conf, *options], capture_output=True,
                       text=True)
    line = conf.read_text().splitlines().index(f"file = {car.folder / 'none'}") + 1
    assert r.returncode == (2 if options else 1)
    said = f"{conf}:{line}: [catalog] file: {car.folder / 'none'}: No such file"
    assert said in r.stderr, r.stderr


def test_relay_that_comes_late_is_noticed(stack, drive_log):
    """Nobody subscribes and the broker does not say so: seconds, not the receipt timeout."""
    stack.catalog = stack.build_catalog("drive", DRIVE_DBC)
    stack.start_broker()
    agent = stack.start_agent(drive_conf(stack, drive_log, batch={"max_samples": 2000},
                                         publish={"receipt_timeout_s": 60}))
    wait_for("batches", lambda: stack.agent_status(DEVICE).get("batches_published", 0) > 3,
             process=agent)
    stack.start_relay()
    stack.add_vehicle(VEHICLE, DEVICE, stack.catalog)
    drain(stack, agent, 50)  # asks after 15 s to 18 s
    assert_all_stored(stack, decoded(stack, drive_log))


def test_relay_port_in_use(stack):
    stack.start_broker()
    with socket.socket() as s:
        port = free_port()
        s.bind(("127.0.0.1", port))
        s.listen()
        conf = stack.relay_conf(http={"port": port})
        relay = stack.spawn("relay", [stack.bin / "towline-relay", "-c", conf])
        assert relay.wait(10) == 1
    assert f"127.0.0.1:{port}" in relay.log_text() and "in use" in relay.log_text()
