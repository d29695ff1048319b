"""tests/faults/sim: a seed gives one run, and a relay that drops or doubles a batch is found out."""

import os
import re
import subprocess

import pytest


def simulate(bin_dir, *args, mutate=None):
    """(exit code, {word: value} of the closing lines)"""
    env = {k: v for k, v in os.environ.items() if k != "TOWLINE_SIM_MUTATE"}
    if mutate:
        env["TOWLINE_SIM_MUTATE"] = mutate
    done = subprocess.run([bin_dir / "fault_sim", *args], capture_output=True, text=True, env=env,
                          timeout=300, check=False)
    said = dict(re.findall(r"(\w+)=(\S+)", "\n".join(done.stdout.splitlines()[-2:])))
    assert {"hash", "injected", "lost"} <= said.keys(), done.stdout + done.stderr
    return done, said


def test_a_seed_gives_the_same_run(bin_dir):
    first, said = simulate(bin_dir, "--seed", "7", "--hours", "2")
    assert first.returncode == 0, first.stderr
    assert int(said["injected"]) > 20 and int(said["accepted"]) > 10000
    assert said["lost"] == said["duplicated"] == "0"
    again = simulate(bin_dir, "--seed", "7", "--hours", "2")[1]
    other = simulate(bin_dir, "--seed", "8", "--hours", "2")[1]
    assert (again["hash"], again["events"]) == (said["hash"], said["events"])
    assert other["hash"] != said["hash"]


@pytest.mark.parametrize("how, word", [("drop", "lost"), ("double", "duplicated")])
def test_a_relay_that_is_wrong_is_found_out(bin_dir, how, word):
    done, said = simulate(bin_dir, "--seed", "1", "--hours", "1", mutate=how)
    assert done.returncode == 1
    assert int(said[word]) > 0
    assert "fault_sim --seed 1" in done.stderr
