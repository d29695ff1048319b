"""What the system tests share: one emulated machine, and for each test a broker and a relay on the
host. targets/qemu-arm64/run test starts them; it sets TOWLINE_QEMU_IMAGE and TOWLINE_BIN_DIR.
"""

import fcntl
import json
import os
import pathlib
import re
import shutil
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
for folder in ("tools/stack", "targets/qemu-arm64", "tests/integration"):
    sys.path.append(str(ROOT / folder))

from stack import Stack  # noqa: E402
from vm import GuestError, Machine  # noqa: E402

VEHICLE = "3f2b8c52-6d0f-4b7e-9a51-000000000001"
DEVICE = "tcu-1"

from car import Car  # noqa: E402


@pytest.fixture(scope="session")
def image():
    path = pathlib.Path(os.environ.get("TOWLINE_QEMU_IMAGE", ROOT / "build" / "qemu-arm64"))
    assert (path / "initramfs").exists(), f"{path}: run targets/qemu-arm64/run build first"
    return path.resolve()


@pytest.fixture(scope="session")
def bin_dir():
    path = pathlib.Path(os.environ.get("TOWLINE_BIN_DIR", ROOT / "build" / "dev" / "bin"))
    assert (path / "towline").exists(), f"{path} has no towline: build first, or set TOWLINE_BIN_DIR"
    return path.resolve()


class Shared:
    """The machine that tests share for as long as it answers."""

    def __init__(self, image, folder):
        self.image, self.folder, self.machine, self.boots = image, folder, None, 0

    def get(self):
        try:
            if self.machine:
                self.machine.run("true", timeout_s=10)
        except (GuestError, OSError):
            self.machine.close()
            self.machine = None
        if not self.machine:
            self.boots += 1
            self.machine = Machine(self.image, self.folder / f"boot-{self.boots}")
        return self.machine

    def close(self):
        if self.machine:
            self.machine.close()


@pytest.fixture(scope="session")
def shared(image, tmp_path_factory):
    s = Shared(image, tmp_path_factory.mktemp("machine"))
    yield s
    s.close()


# What a test leaves behind in a machine that others use, too.
CLEAN = """
pids=$(cat /run/test.pids 2>/dev/null)
for pid in $pids; do kill -9 $pid; done 2>/dev/null
for pid in $pids; do while [ -d /proc/$pid ]; do usleep 10000; done; done
rm -rf /run/test.pids /run/test
for i in can0 can1; do ip link set $i down; ip link set $i type can restart-ms 0 listen-only off; done
for i in $(ls /sys/class/net); do
	case $i in lo|eth0|can0|can1) ;; *) ip link delete $i || ip link set $i down ;; esac
done 2>/dev/null
true
"""


@pytest.fixture
def guest(shared):
    machine = shared.get()
    console = machine.console.stat().st_size
    yield machine
    machine.console_from = console
    try:
        machine.run(CLEAN)
    except (GuestError, OSError):
        machine.close()


def folder_name(item):
    """Of its file, with parameters and all, but nothing that a shell takes for its own."""
    return re.sub(r"\W+", "_", f"{item.path.stem}_{item.name}").strip("_")


@pytest.fixture
def stack(bin_dir, tmp_path):
    with Stack(bin_dir, tmp_path / "stack") as s:
        yield s


@pytest.fixture
def car(stack, guest, request):
    """A broker and a relay on the host, and a vehicle whose agent runs in the guest."""
    stack.start_broker()
    stack.start_relay()
    return Car(stack, guest, folder_name(request.node))


# ---- one line a test ----

def keep(item):
    """What the failed test has left: console, logs, status, the relay's folder."""
    kept = ROOT / "build" / "qemu-arm64" / "failed" / folder_name(item)
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    tmp = item.funcargs.get("tmp_path")
    if tmp and tmp.exists():
        shutil.copytree(tmp, kept, dirs_exist_ok=True, symlinks=True)
    machine = item.funcargs.get("guest")
    if machine:
        shutil.copyfile(machine.console, kept / "console.log")
        shutil.copytree(machine.share / folder_name(item), kept / "guest", dirs_exist_ok=True)
    return kept


class Lines:
    def __init__(self):
        self.passed = self.failed = 0

    @staticmethod
    def say(text):
        sys.stdout.write(text + "\n")  # at once: there are two processes
        sys.stdout.flush()

    def result(self, report, what, seconds, notes, kept):
        good = report.outcome == "passed"
        text = f"{'ok  ' if good else 'FAIL'} {what} [{seconds:.1f} s]" + (f" {notes}" if notes else "")
        if good:
            self.passed += 1
        else:
            self.failed += 1
            text += f"\n{report.longrepr}\n     {kept}"
        self.say(text)


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.addinivalue_line("markers", "alone: not beside other tests")
    config.lines = Lines()
    config.pluginmanager.unregister(name="terminalreporter")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    item.started = time.monotonic()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    lines = item.config.lines
    if call.when != "call" and report.outcome == "passed":
        return
    kept = keep(item) if report.outcome != "passed" else None
    what = (item.obj.__doc__ or item.name).splitlines()[0].rstrip(".")
    if hasattr(item, "callspec"):
        what += f" ({item.callspec.id})"
    lines.result(report, what, time.monotonic() - item.started,
                 "; ".join(v for k, v in item.user_properties if k == "note"),
                 f"test {item.name}; kept: {kept.relative_to(ROOT)}" if kept else "")


@pytest.fixture
def note(request):
    """note("text"): said on the test's line."""
    return lambda text: request.node.user_properties.append(("note", text))


def pytest_collectreport(report):
    if report.failed:
        print(f"FAIL {report.nodeid} cannot be read\n{report.longrepr}", flush=True)


def pytest_sessionfinish(session, exitstatus):
    lines = session.config.lines
    result = {"passed": lines.passed, "failed": lines.failed, "collected": session.testscollected}
    if CLAIMS and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        (pathlib.Path(CLAIMS) / f"{os.getpid()}.result").write_text(json.dumps(result))


# ---- several processes (run.py) ----

CLAIMS = os.environ.get("TOWLINE_SYSTEM_CLAIMS")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Leaves a test alone that another process has claimed."""
    if not CLAIMS or nextitem is item.session:
        return None
    try:
        (pathlib.Path(CLAIMS) / f"{folder_name(item)}.claim").touch(exist_ok=False)
    except FileExistsError:
        return True
    # Tests of speed have the host to themselves.
    alone = item.get_closest_marker("alone") is not None
    with open(pathlib.Path(CLAIMS) / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        # Which test comes next here nobody knows: only what the whole session shares stays.
        item.ihook.pytest_runtest_protocol(item=item, nextitem=item.session)
    return True
