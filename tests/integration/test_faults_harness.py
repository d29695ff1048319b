"""tests/faults can fail: a short run is good, and with one row of the relay's log changed it is not."""

import argparse
import re
import shutil
import sqlite3
import subprocess
import sys

import pytest
from conftest import ROOT

FAULTS = ROOT / "tests" / "faults"
sys.path.insert(0, str(FAULTS))

from faults import make_schedule  # noqa: E402
from report import verdict  # noqa: E402
from world import World  # noqa: E402

KINDS = ["agent-kill", "relay-kill", "net-reset"]


@pytest.fixture(scope="module")
def world(bin_dir, tmp_path_factory):
    """Seconds of load and faults, drained and not yet judged."""
    folder = tmp_path_factory.mktemp("faults")
    args = argparse.Namespace(bin=bin_dir, seed=5, minutes=0.2, agents=1, only=KINDS,
                              lying_sync=False)
    w = World(args, folder)
    try:
        w.run()
        yield w
    finally:
        w.fleet.close()


@pytest.fixture
def log(world, tmp_path):
    """The relay's log, to be changed; put back after the test."""
    path = world.fleet.relay.folder / "stream.db"
    safe = tmp_path / "stream.db"
    shutil.copyfile(path, safe)
    with sqlite3.connect(path) as db:
        yield db
    db.close()
    for file in path.parent.glob("stream.db-*"):
        file.unlink()
    shutil.copyfile(safe, path)


def judged(world, capsys):
    """(good, {word: number} of the closing line)"""
    capsys.readouterr()
    world.fleet.troubles.clear()
    good = verdict(world, world.judge())
    line = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"faults: injected=\d+ accepted=\d+ delivered=\d+ gaps=\d+ lost=\d+ "
                        r"duplicated=\d+", line), line
    return good, {k: int(v) for k, v in (w.split("=") for w in line.split()[1:])}


def a_row(log):
    """(id, samples) of a row in the middle of the log, so not of an agent's last words."""
    return log.execute("SELECT id, samples FROM batch WHERE samples > 2 ORDER BY id LIMIT 1 OFFSET "
                       "(SELECT count(*) / 2 FROM batch)").fetchone()


def test_nothing_is_lost(world, capsys):
    good, said = judged(world, capsys)
    assert good and said["injected"] > 0
    assert said["accepted"] == said["delivered"] > 100
    assert said["lost"] == said["duplicated"] == 0


def test_a_row_that_is_missing_is_found(world, log, capsys):
    row, samples = a_row(log)
    log.execute("DELETE FROM batch WHERE id = ?", (row,))
    log.commit()
    good, said = judged(world, capsys)
    assert not good and said["lost"] == samples and said["duplicated"] == 0
    assert said["accepted"] == said["delivered"] + samples


def test_a_row_that_comes_twice_is_found(world, log, capsys):
    """Under another seq, so that no key of the table says it."""
    row, samples = a_row(log)
    names = [r[1] for r in log.execute("PRAGMA table_info(batch)") if r[1] not in ("id", "seq")]
    log.execute(f"INSERT INTO batch (seq, {', '.join(names)}) SELECT seq + 100000, "
                f"{', '.join(names)} FROM batch WHERE id = ?", (row,))
    log.commit()
    good, said = judged(world, capsys)
    assert not good and said["duplicated"] == samples and said["lost"] == 0


def test_a_row_with_other_frames_is_found(world, log, capsys):
    """The body of another row of its class, and then of another class."""
    row, samples = a_row(log)
    same = "SELECT body FROM batch WHERE samples > 2 AND id <> ? AND class {} (SELECT class FROM batch " \
           "WHERE id = ?) LIMIT 1"
    for word in ("=", "<>"):
        body, = log.execute(same.format(word), (row, row)).fetchone()
        log.execute("UPDATE batch SET body = ? WHERE id = ?", (body, row))
        log.commit()
        good, said = judged(world, capsys)
        assert not good and said["lost"] >= samples
        assert (said["duplicated"] > 0) == (word == "=")


def test_a_run_of_nothing_fails(world, capsys):
    injected = dict(world.injected)
    world.injected.clear()
    try:
        good, said = judged(world, capsys)
        assert not good and said["injected"] == 0
    finally:
        world.injected.update(injected)


def test_disks_that_lie_fail(bin_dir, tmp_path):
    """Syncs that do nothing, and power cuts: what was stored is gone, and the run says so."""
    run = subprocess.run([FAULTS / "run", "--bin", bin_dir, "--seed", "2", "--minutes", "0.25",
                          "--agents", "1", "--only", "agent-power", "--lying-sync",
                          "--folder", tmp_path / "run"], text=True, capture_output=True, timeout=180)
    assert run.returncode == 1, run.stdout + run.stderr
    assert int(re.search(r" lost=(\d+) ", run.stdout.splitlines()[-1])[1]) > 0, run.stdout
    assert "are lost" in run.stdout


def test_schedule_comes_from_the_seed():
    assert make_schedule(7, 60, 2) == make_schedule(7, 60, 2) != make_schedule(8, 60, 2)
