"""Power cuts: what the agent said it stored is there after the next start, and arrives once."""

import os
import random
import sqlite3
import time

import pytest

from car import DATA, Car
from conftest import DEVICE, VEHICLE
from helpers import history
from stack import free_port
from vm import Machine, make_disk
from volatile_disk import VolatileDisk

ROUNDS = 5
ROUND_STEP = 1000000  # frames of round r count from r times this
RATE = 500


@pytest.fixture
def disk(tmp_path):
    seed = int(os.environ.get("TOWLINE_SEED", time.time_ns() % 1000000))
    path = tmp_path / "disk.img"
    make_disk(path)
    d = VolatileDisk(path, random.Random(seed))
    d.seed = seed
    yield d
    d.close()


def arrived(stack):
    """Of each round, the frame numbers that are at the relay, each as often as it is there."""
    rounds = [[] for _ in range(ROUNDS)]
    for i in range(8):
        for p in history(stack, f"vcan0.Burst{i}.Count")["points"]:
            rounds[int(p["value"]) // ROUND_STEP].append(int(p["value"]) % ROUND_STEP)
    return [sorted(r) for r in rounds]


def assert_seqs(stack):
    """The relay's log of batches: every seq from the first to the last of its epoch, once."""
    with sqlite3.connect(f"file:{stack.folder}/relay/stream.db?mode=ro", uri=True) as db:
        rows = db.execute("SELECT epoch, class, min(seq), max(seq), count(*), count(DISTINCT seq) "
                          "FROM batch GROUP BY device, epoch, class").fetchall()
    assert rows
    for epoch, klass, low, high, count, distinct in rows:
        assert (low, count, distinct) == (1, high, high), (epoch, klass, low, high, count)
    return len(rows), sum(r[4] for r in rows)


def run_until_cut(image, folder, stack, disk, number, reachable):
    """Boots, drives, and pulls the plug; returns what the agent had said of its store."""
    writes = disk.random.randint(10, 120)
    with Machine(image, folder, disk=disk.url) as machine:
        car = Car(stack, machine, "power")
        car.catalog = stack.catalog
        car.up("vcan0")
        port = {} if reachable else {"uri": f"mqtt://10.0.2.2:{free_port()}"}
        agent = car.conf({"vcan0": {}}, name=f"round{number}", mqtt=port,
                         agent={"data_dir": "/data/agent"},
                         # Batches to spare: a disk that is slow is no matter of this test.
                         batch={"max_age_ms": 150, "queue": 8}).start()
        agent.wait_log("source_open")
        car.start(f"exec can_burst vcan0 {RATE} 100000 {number * ROUND_STEP}")
        agent.wait("a stored batch", lambda s: s["batches_stored"] > 0)
        disk.stop_after(writes)
        assert disk.stopped.wait(60), f"not {writes} writes in 60 s"
        machine.kill()
        disk.cut()
        assert "corrupt" not in agent.log, agent.tail()
        return agent.status


def test_power_cut(image, stack, disk, tmp_path, note):
    """Power cuts at random moments: nothing that was stored is lost, nothing comes twice."""
    note(f"seed {disk.seed}")
    stack.start_broker()
    stack.start_relay()
    stack.catalog = stack.build_catalog("car", {"vcan0": DATA / "burst.dbc"})
    stack.add_vehicle(VEHICLE, DEVICE, stack.catalog)
    folder = tmp_path / "machine"
    folder.mkdir()
    reachable = [i % 2 == 1 for i in range(ROUNDS)]  # half the rounds only fill the outbox
    stored = [run_until_cut(image, folder, stack, disk, i, reachable[i])["samples_accepted"]
              for i in range(ROUNDS)]
    with Machine(image, folder, disk=disk.url) as machine:
        car = Car(stack, machine, "power")
        car.catalog = stack.catalog
        agent = car.conf({}, name="last", agent={"data_dir": "/data/agent",
                                                 "exit_when_drained": True}).start()
        assert agent.command.wait(60).code == 0, agent.tail()
        status = agent.status
    assert "corrupt" not in agent.log, agent.tail()
    rounds = arrived(stack)
    for number, (frames, said) in enumerate(zip(rounds, stored)):
        assert frames == list(range(len(frames))), f"round {number}: lost or twice"
        assert 2 * len(frames) >= said, f"round {number}: {said} samples were said to be stored"
    total = 2 * sum(map(len, rounds))
    assert total == stack.metric("towline_relay_samples_total")
    assert total == status["lifetime_samples_accepted"] == status["lifetime_samples_acked"]
    epochs, batches = assert_seqs(stack)
    assert epochs == 1
    assert disk.lost > 0, "no cut came between a write and its flush: the disk was of no use"
    note(f"{ROUNDS} cuts, {disk.flushes} flushes, {disk.lost} of {disk.lost + disk.kept} sectors in "
         f"the cache lost; {batches} batches, {total} samples, {sum(stored)} of them said to be stored")
