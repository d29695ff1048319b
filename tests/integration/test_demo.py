"""The demo ends what it started, however it is ended."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest
from stack import ROOT, wait_for


def processes_of(folder):
    """Command lines that name this folder: broker, relay and agents of a demo."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if str(folder) in line:
            found.append(line)
    return found


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(bin_dir, tmp_path, signo):
    out = tmp_path / "demo.out"
    folders = tmp_path / "t"
    folders.mkdir()
    with open(out, "wb") as f:
        demo = subprocess.Popen([sys.executable, "-B", ROOT / "tools" / "stack" / "demo.py",
                                 "--bin", bin_dir, "--check", "--seconds", "50"], stdout=f,
                                stderr=f, env=dict(os.environ, TMPDIR=str(folders)))
    try:
        wait_for("the vehicles to drive",
                 lambda: demo.poll() is not None or b"drive for 50 s" in out.read_bytes(), 60)
        assert len(processes_of(folders)) >= 4, out.read_text()
        demo.send_signal(signo)
        assert demo.wait(30) == 130, out.read_text()
    finally:
        demo.kill()
        demo.wait()
    assert processes_of(folders) == []
    assert list(folders.iterdir()) == []
    assert out.read_text().endswith("demo: interrupted\n")
