"""The man pages say what the programs say, no more and no less."""

import pathlib
import re
import subprocess
import sys

import pytest

from conftest import DRIVE_DBC

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ("agent/towline-agent.8", "agent/towline-agent.conf.5", "relay/towline-relay.8",
         "relay/towline-relay.conf.5", "tools/cli/towline.1")


def rendered(page):
    out = subprocess.run(["mandoc", "-T", "ascii", ROOT / page], check=True, capture_output=True,
                         text=True).stdout
    return re.sub(".\b", "", out)


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def helped(program, *words):
    return subprocess.run([program, *words, "--help"], check=True, capture_output=True,
                          text=True).stdout


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_well_made(page):
    """Only that mandoc finds pages which are not installed here is not held against one."""
    out = subprocess.run(["mandoc", "-T", "lint", "-W", "style", ROOT / page], capture_output=True,
                         text=True)
    said = [s for s in (out.stdout + out.stderr).splitlines()
            if "referenced manual not found" not in s and "mandoc.db" not in s]
    assert said == []


def test_keys_are_those_of_the_programs(bin_dir):
    run = subprocess.run([sys.executable, ROOT / "tools" / "manconf", "--check", bin_dir],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_key_that_is_missing_is_found(bin_dir, tmp_path):
    """The check of the pages can fail: a program with a key more."""
    for name in ("towline-agent", "towline-relay"):
        fake = tmp_path / name
        fake.write_text(f'#!/bin/sh\n"{bin_dir}/{name}" --print-config\n'
                        'printf "\\n# New\\n# Must be true or false.\\nnew = true\\n"\n')
        fake.chmod(0o755)
    run = subprocess.run([sys.executable, ROOT / "tools" / "manconf", "--check", tmp_path],
                         capture_output=True, text=True)
    assert run.returncode == 1 and run.stdout.count("is behind") == 2, run.stdout + run.stderr


@pytest.mark.parametrize("program, page", [("towline-agent", "agent/towline-agent.8"),
                                           ("towline-relay", "relay/towline-relay.8")])
def test_options_of_daemons(bin_dir, program, page):
    assert options(rendered(page)) == options(helped(bin_dir / program))


def test_options_of_the_command_line(bin_dir):
    towline = bin_dir / "towline"
    listed = helped(towline).partition("Commands:\n")[2].partition("\n\n")[0]
    commands = re.findall(r"^  (\w+) ", listed, re.MULTILINE)
    assert {"vehicle", "decode", "can"} <= set(commands)
    page = rendered("tools/cli/towline.1")
    for command in commands:
        assert re.search(rf"^ +(towline )?{command} ", page, re.MULTILINE), command
    said = set().union(*(options(helped(towline, c)) for c in commands)) | {"--help"}
    assert options(page) == said


@pytest.mark.parametrize("program", ["towline-agent", "towline-relay"])
def test_configurations_of_the_packages_are_right(bin_dir, program, tmp_path):
    """The files in /etc: every key is known, and what is missing is said to be."""
    part = program.removeprefix("towline-")
    conf = ROOT / "targets" / "debian" / part / f"{part}.conf"
    text = conf.read_text()
    if part == "agent":
        run = subprocess.run([bin_dir / program, "-c", conf, "--check-config"],
                             capture_output=True, text=True)
        assert run.returncode == 2 and "vehicle" in run.stderr, run.stderr
        text = re.sub(r"^#(vehicle|device) =", r"\1 = x", text, flags=re.MULTILINE)
        text = re.sub(r"^#(?=\[(source|collect)|type|interface|signals|mode|period)", "", text,
                      flags=re.MULTILINE)
    filled = tmp_path / conf.name
    filled.write_text(text)
    run = subprocess.run([bin_dir / program, "-c", filled, "--check-config"], capture_output=True,
                         text=True)
    if part == "agent":  # all keys are read before the catalog is
        assert run.returncode == 2 and "/etc/towline/catalog" in run.stderr, run.stderr
    else:
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("written_out", [None, "can0", "truck"])
def test_the_example_is_right(bin_dir, written_out, tmp_path):
    """agent.conf as it is, and with all that is commented out; truck stands in place of can0."""
    catalog = tmp_path / "catalog"
    dbcs = [f"{bus}={path}" for bus, path in DRIVE_DBC.items()]
    dbcs.append(f"can0={ROOT / 'agent' / 'diag' / 'obd2.dbc'}")
    subprocess.run([bin_dir / "towline", "catalog", "build", "-q", "-o", catalog, "--bus-status",
                    *(word for dbc in dbcs for word in ("--dbc", dbc))], check=True)
    text = (ROOT / "agent" / "agent.conf").read_text().replace("/etc/towline/catalog", str(catalog))
    if written_out:
        text = re.sub(r"^#(?=\[|\w+ = )", "", text, flags=re.MULTILINE)
        without = {"can0": ("source truck", "poll hours"), "truck": ("source can0",)}
        for section in without[written_out]:
            text, n = re.subn(rf"^\[{section}\]\n(\w.*\n)+", "", text, flags=re.MULTILINE)
            assert n == 1
    conf = tmp_path / "agent.conf"
    conf.write_text(text)
    run = subprocess.run([bin_dir / "towline-agent", "-c", conf, "--check-config"],
                         capture_output=True, text=True)
    assert run.returncode == 0 and "fine, " in run.stdout, run.stdout + run.stderr
