"""From a bus log to the relay's API, over a real Mosquitto, every sample counted."""

import datetime
import gzip
import json
import signal

import pytest
from conftest import DEVICE, ROOT, VEHICLE, decoded, drive_conf, replay
from helpers import (assert_all_stored, assert_history, assert_same, drain, empty_log, history,
                     points, same, sanitized, to_ms)
from stack import wait_for


def test_every_sample_arrives_once_and_exact(car, drive_log):
    expected = decoded(car, drive_log)
    assert len(expected) > 100
    status = drain(car, car.start_agent(drive_conf(car, drive_log)))
    total = sum(map(len, expected.values()))
    assert status["samples_accepted"] == status["samples_acked"] == total
    assert status["outbox_rows"] == 0
    assert_all_stored(car, expected)


def test_readme_explains_every_counter(car, drive_log):
    status = drain(car, car.start_agent(drive_conf(car, drive_log)))
    readme = (ROOT / "agent" / "README.md").read_text()
    assert len(status) > 50
    assert [name for name in status if f"`{name}`" not in readme] == []


def test_state_is_the_last_sample_of_each_signal(car, drive_log):
    expected = decoded(car, drive_log)
    drain(car, car.start_agent(drive_conf(car, drive_log)))
    state = json.loads(car.towline("state", VEHICLE, "--json").stdout)
    got = {s["signal"]: (to_ms(s["time"]), s["value"]) for s in state["signals"]}
    assert got.keys() == expected.keys()
    for path, samples in expected.items():
        assert_same([got[path]], samples[-1:], path)


def test_chosen_signals_only(car, drive_log):
    everything = decoded(car, drive_log)
    bus, message, _ = sorted(everything)[0].split(".")
    wanted = f"{bus}.{message}.*"
    drain(car, car.start_agent(drive_conf(car, drive_log,
                                          **{"collect all": {"signals": wanted,
                                                             "mode": "every"}})))
    assert_all_stored(car, {p: s for p, s in everything.items()
                            if p.startswith(f"{bus}.{message}.")})


def test_on_change_sends_changes_alone(car, drive_log):
    drain(car, car.start_agent(drive_conf(car, drive_log,
                                          **{"collect all": {"signals": "*",
                                                             "mode": "change"}})))
    changes = {}
    for path, samples in decoded(car, drive_log).items():
        kept = changes.setdefault(path, [])
        for sample in samples:
            if not kept or kept[-1][1] != sample[1]:
                kept.append(sample)
    assert_all_stored(car, changes)


def test_period_thins_out(car, drive_log):
    drain(car, car.start_agent(drive_conf(car, drive_log,
                                          **{"collect all": {"signals": "*", "mode": "period",
                                                             "period_ms": 1000}})))
    for path, samples in decoded(car, drive_log).items():
        got = points(car, path)
        assert len(got) <= 11
        for sample in got:
            assert any(same(sample, s) for s in samples), path
        if len(samples) >= 500:
            assert len(got) >= 9, path


def test_gzip_log(car, drive_log):
    packed = car.folder / "drive.log.gz"
    packed.write_bytes(gzip.compress(drive_log.read_bytes()))
    expected = decoded(car, packed)
    assert expected == decoded(car, drive_log)
    drain(car, car.start_agent(drive_conf(car, packed)))
    assert_all_stored(car, expected)


def test_real_speed_takes_real_time(car, drive_log):
    short = car.folder / "short.log"
    lines = drive_log.read_text().splitlines(keepends=True)
    first = float(lines[0][1:lines[0].index(")")])
    short.write_text("".join(l for l in lines if float(l[1:l.index(")")]) < first + 2))
    expected = decoded(car, short)
    started = datetime.datetime.now()
    drain(car, car.start_agent(drive_conf(car, short, source={"speed": "1"})))
    assert (datetime.datetime.now() - started).total_seconds() > 1.9
    assert_all_stored(car, expected)


def test_sigterm_stores_the_open_batch(car, drive_log):
    expected = decoded(car, drive_log)
    conf = drive_conf(car, drive_log, agent={"exit_when_drained": False},
                      batch={"max_age_ms": 600000, "max_samples": 65536})
    agent = car.start_agent(conf)
    total = sum(map(len, expected.values()))
    wait_for("all to be decoded",
             lambda: car.agent_status(DEVICE).get("samples_decoded") == total, process=agent)
    assert agent.stop(10 if sanitized(car.bin / "towline-agent") else 2.5) == 0
    assert car.agent_status(DEVICE)["samples_accepted"] == total
    drain(car, car.start_agent(drive_conf(car, empty_log(car))))
    assert_all_stored(car, expected)


def test_sighup_reloads_and_says_what_it_cannot(car, drive_log):
    fifo_log = car.folder / "loop.log"
    fifo_log.write_bytes(drive_log.read_bytes())
    conf = drive_conf(car, fifo_log, agent={"exit_when_drained": False},
                      source={"speed": "1", "loop": True})
    agent = car.start_agent(conf)
    wait_for("the first batch", lambda: car.agent_status(DEVICE).get("samples_acked"),
             process=agent)
    text = conf.read_text().replace("log_level = info\n", "")
    conf.write_text(text.replace("[agent]\n", "[agent]\nlog_level = debug\n")
                    .replace("backoff_min_ms = 100\n", "backoff_min_ms = 200\n"))
    agent.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: "log_level" in agent.log_text(), process=agent)
    wait_for("a word on backoff_min_ms", lambda: "backoff_min_ms" in agent.log_text(),
             process=agent)
    conf.write_text(text + "nonsense = 1\n")
    agent.send_signal(signal.SIGHUP)
    wait_for("the error", lambda: "nonsense" in agent.log_text(), process=agent)
    before = car.agent_status(DEVICE)["samples_acked"]
    wait_for("it to go on", lambda: car.agent_status(DEVICE)["samples_acked"] > before,
             process=agent)
    assert agent.stop() == 0


def test_live_events(car, drive_log):
    tail = car.spawn("tail", [car.bin / "towline", "tail", VEHICLE, "--relay", car.relay_url,
                              "--seconds", "60"], stdout=open(car.folder / "tail.out", "wb"))
    wait_for("the subscriber", lambda: car.metric("towline_relay_sse_clients") == 1, process=tail)
    drain(car, car.start_agent(drive_conf(car, drive_log)))
    out = car.folder / "tail.out"
    seen = wait_for("events", lambda: {l.split()[2] for l in out.read_text().splitlines()
                                       if len(l.split()) > 3})
    assert seen <= set(decoded(car, drive_log))
    tail.stop()


def test_history_downsamples(car, drive_log):
    expected = decoded(car, drive_log)
    drain(car, car.start_agent(drive_conf(car, drive_log)))
    path, samples = max(expected.items(), key=lambda item: len(item[1]))
    h = history(car, path, max_points=20, **{"from": samples[0][0] - 100},
                to=samples[-1][0] + 100)
    assert h["samples"] == len(samples) and h["bucket_ms"] > 0
    assert 10 <= len(h["points"]) <= 20
    assert sum(p["count"] for p in h["points"]) == len(samples)
    values = [v for _, v in samples]
    assert min(p["min"] for p in h["points"]) == pytest.approx(min(values), rel=1e-14)
    assert max(p["max"] for p in h["points"]) == pytest.approx(max(values), rel=1e-14)
    assert h["points"][-1]["last"] == pytest.approx(values[-1], rel=1e-14)
    mean = sum(p["mean"] * p["count"] for p in h["points"]) / len(samples)
    assert mean == pytest.approx(sum(values) / len(values), rel=1e-9)
    out = car.towline("history", VEHICLE, path, "--points", "20", "--csv", "--from",
                      samples[0][0] - 100, "--to", samples[-1][0] + 100).stdout
    assert len(out.splitlines()) == len(h["points"]) + 1


def test_two_vehicles_do_not_mix(car, drive_log):
    other = "3f2b8c52-6d0f-4b7e-9a51-000000000002"
    car.add_vehicle(other, "tcu-2", name="the other one")
    half = car.folder / "half.log"
    lines = drive_log.read_text().splitlines(keepends=True)
    half.write_text("".join(lines[:len(lines) // 2]))
    agents = [car.start_agent(drive_conf(car, drive_log)),
              car.start_agent(car.agent_conf(other, "tcu-2", car.catalog, replay(half),
                                             agent={"exit_when_drained": True}))]
    for agent in agents:
        assert agent.wait(90) == 0, agent.log_tail()
    whole, part = decoded(car, drive_log), decoded(car, half)
    assert_history(car, whole)
    total = sum(map(len, whole.values())) + sum(map(len, part.values()))
    assert car.metric("towline_relay_samples_total") == total
    shown = json.loads(car.towline("vehicle", "show", other, "--json").stdout)
    assert shown["devices"][0]["samples"] == sum(map(len, part.values()))
