"""The command line without a relay: catalogs, wrong usage, and output that does not get out."""

import hashlib
import json
import os
import signal
import subprocess

import pytest
from stack import free_port

DBC = """VERSION ""
BO_ 256 ENGINE: 8 ECU
 SG_ Speed : 7|16@0+ (0.25,0) [0|0] "rpm" X
 SG_ Gear : 16|4@1- (1,0) [0|0] "" X
BO_ 2566844672 TRUCK: 8 ECU
 SG_ Level : 0|8@1+ (0.4,0) [0|0] "%" X
CM_ SG_ 256 Speed "of the crankshaft";
VAL_ 256 Gear 0 "neutral" 1 "first";
"""
WRONG = DBC + 'VAL_ 257 Gear 0 "neutral";\n'  # there is no message 257


@pytest.fixture
def towline(bin_dir, tmp_path):
    """Runs it in a folder of its own, with a relay that is not there."""
    env = dict(os.environ, TOWLINE_RELAY=f"http://127.0.0.1:{free_port()}")

    def run(*args, **kwargs):
        kwargs.setdefault("stdout", subprocess.PIPE)
        return subprocess.run([bin_dir / "towline", *args], cwd=tmp_path, env=env,
                              stderr=subprocess.PIPE, text=True, errors="replace", check=False,
                              **kwargs)

    return run


@pytest.fixture
def car(towline, tmp_path):
    """The path of a compiled catalog, beside its DBC."""
    (tmp_path / "car.dbc").write_text(DBC)
    done = towline("catalog", "build", "--dbc", "can0=car.dbc", "-o", "car.catalog")
    assert done.returncode == 0 and done.stderr == ""
    assert "1 buses, 2 messages, 3 signals" in done.stdout
    return tmp_path / "car.catalog"


def fails(done, code, *texts):
    """It ended with code, wrote nothing, and said these."""
    assert done.returncode == code, done.stderr
    assert not done.stdout
    for text in texts:
        assert text in done.stderr


# ---- commands ----

@pytest.mark.parametrize("args, said", [
    ((), "Usage: towline COMMAND"),
    (("fly",), "no command 'fly'"),
    (("\x1b[31mred",), "no command '?[31mred'"),
    (("catalog",), "build, show or push?"),
    (("catalog", "bake"), "'bake' is none of build, show, push"),
    (("catalog", "build"), "needs --dbc BUS=FILE and -o FILE"),
    (("catalog", "build", "--dbc", "can0=car.dbc"), "needs --dbc BUS=FILE and -o FILE"),
    (("catalog", "build", "-o", "out"), "needs --dbc BUS=FILE and -o FILE"),
    (("catalog", "build", "-o", "out", "--dbc"), "no value after '--dbc'"),
    (("catalog", "build", "--frobnicate"), "unknown option '--frobnicate'"),
    (("catalog", "build", "--dbc", "can0=car.dbc", "-o", "out", "more"), "'more' is not expected"),
    (("catalog", "build", "-o", "out", *["--dbc", "can0=car.dbc"] * 257),
     "more than 256 DBC files"),
    (("catalog", "build", "--dbc", "car.dbc", "-o", "out"), "'car.dbc' is not BUS=FILE"),
    (("catalog", "build", "--dbc", "can0=", "-o", "out"), "'can0=' is not BUS=FILE"),
    (("catalog", "build", "--dbc", "=car.dbc", "-o", "out"), "is not the name of a bus"),
    (("catalog", "build", "--dbc", "can 0=car.dbc", "-o", "out"),
     "'can 0' in 'can 0=car.dbc' is not the name of a bus"),
    (("catalog", "show"), "show needs the FILE of a catalog"),
    (("catalog", "show", "a", "b"), "'b' is not expected"),
    (("catalog", "show", "--yaml", "a"), "unknown option '--yaml'"),
    (("catalog", "push"), "push needs the FILE of a catalog"),
    (("catalog", "push", "a", "b"), "push needs the FILE of a catalog"),
    (("catalog", "push", "--frobnicate", "a"), "--frobnicate"),
    (("decode",), "expected one LOG, got 0"),
    (("decode", "a.log", "b.log"), "expected one LOG, got 2"),
    (("decode", "a.log"), "expected --dbc BUS=FILE or --catalog FILE"),
    (("decode", "--dbc", "can0=x", "--catalog", "y", "a.log"),
     "expected --dbc BUS=FILE or --catalog FILE"),
    (("decode", "--dbc", "car.dbc", "a.log"), "'car.dbc' is not BUS=FILE"),
    (("decode", *["--dbc", "can0=x"] * 65, "a.log"), "more than 64 --dbc"),
    (("decode", "--catalog"), "--catalog"),
    (("can",), "play or state?"),
    (("can", "fly"), "'fly' is none of play, state"),
    (("can", "state", "--frobnicate"), "unknown option '--frobnicate'"),
    (("can", "play"), "expected one LOG, got 0"),
    (("can", "play", "a.log", "b.log"), "expected one LOG, got 2"),
    (("can", "play", "--frobnicate", "a.log"), "unknown option '--frobnicate'"),
    (("can", "play", "--map", "can0", "a.log"), "--map 'can0': not BUS=INTERFACE"),
    (("can", "play", "--map", "=can0", "a.log"), "--map '=can0': not BUS=INTERFACE"),
    (("can", "play", "--map", "can0=", "a.log"), "--map 'can0=': not BUS=INTERFACE"),
    (("can", "play", "--map", "b" * 16 + "=can0", "a.log"), "a bus has at most 15 bytes"),
    (("can", "play", "--map", "can0=" + "i" * 16, "a.log"),
     "an interface has at most 15 bytes"),
    (("can", "play", "--map", "a=can0", "--map", "a=can1", "a.log"),
     "--map 'a=can1': bus a is mapped already"),
    (("can", "play", *[x for i in range(17) for x in ("--map", f"b{i}=can0")], "a.log"),
     "more than 16 --map"),
    (("can", "play", "--speed", "fast", "a.log"),
     "--speed 'fast': not max or a number from 0.001 to 100000"),
    (("can", "play", "--speed", "0", "a.log"), "--speed '0': not max"),
    (("can", "play", "--from", "soon", "a.log"), "--from 'soon': not a number of seconds"),
    (("can", "play", "--from", "-1", "a.log"), "--from '-1': not a number of seconds"),
    (("can", "play", "--max-gap", "inf", "a.log"), "--max-gap 'inf': not a number of seconds"),
    (("can", "play", "--from", "3", "--to", "2.5", "a.log"), "--to is before --from"),
    (("can", "play", "--count", "0", "a.log"), "--count 0: not a number from 1 to 2147483647"),
    (("vehicle",), "add, list, show, remove, add-device"),
    (("vehicle", "fly"), "'fly' with 0 argument(s)"),
    (("vehicle", "show"), "'show' with 0 argument(s)"),
    (("vehicle", "add", "--part", "65536"), "--part 65536: not a number from 0 to 65535"),
    (("vehicle", "add", "--id", "\udcff"), "not UTF-8"),
    (("vehicle", "add", "--name", "\udcff"), "not UTF-8"),
    (("vehicle", "add", "--device", "\udcff"), "not UTF-8"),
    (("vehicle", "add-device", "v", "\udcff"), "not UTF-8"),
    (("vehicle", "add-device", "v" * 600, "d"), "too long"),
    (("vehicle", "list", "--relay", "ftp://x"), "'ftp://x' does not begin with http://"),
    (("state",), "which vehicle?"),
    (("state", "v", "--interval", "0"), "--interval '0': not 0.1 to 3600 seconds"),
    (("history", "v"), "give a vehicle and a signal"),
    (("history", "v", "s", "--from", "yesterday"), "--from 'yesterday': not a time"),
    (("history", "v", "s", "--points", "10001"), "--points 10001: not a number from 1 to 10000"),
    (("tail", "--seconds", "0"), "--seconds 0: not a number from 1 to 86400"),
    (("tail", "v", "w"), "at most one vehicle"),
    (("tail", "v" * 600), "too long"),
])
def test_wrong_usage(towline, args, said):
    done = towline(*args)
    fails(done, 2, said)
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("command", ["vehicle", "state", "history", "tail", "decode", "catalog",
                                     "can"])
def test_help_of_each_command(towline, command):
    assert command in towline("--help").stdout
    done = towline(command, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"Usage: towline {command}")
    assert done.stderr == ""


@pytest.mark.parametrize("args", [
    ("vehicle", "list"), ("state", "v"), ("history", "v", "s"), ("tail",),
    ("catalog", "push", "car.catalog"),
])
def test_no_relay(towline, car, args):
    fails(towline(*args), 4, "no answer from the relay at http://127.0.0.1:")


# ---- catalog build ----

@pytest.mark.parametrize("content, said", [
    (None, "in.dbc: cannot be opened: No such file or directory"),
    (b"", "in.dbc: there is no message in it"),
    (b"nothing of a DBC\n", "in.dbc: there is no message in it"),
    ("VERSION".encode("utf-16"), "in.dbc: the text is UTF-16; save it as UTF-8"),
])
def test_a_file_that_gives_no_catalog(towline, tmp_path, content, said):
    if content is not None:
        (tmp_path / "in.dbc").write_bytes(content)
    fails(towline("catalog", "build", "--dbc", "can0=in.dbc", "-o", "out"), 1, said)
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.tmp").exists()


def test_a_folder_is_no_dbc(towline, tmp_path):
    fails(towline("catalog", "build", "--dbc", f"can0={tmp_path}", "-o", "out"), 1,
          f"{tmp_path}: cannot be read: Is a directory")


def test_what_was_skipped_is_said_with_its_line(towline, tmp_path):
    (tmp_path / "in.dbc").write_text(WRONG)
    done = towline("catalog", "build", "--dbc", "can0=in.dbc", "-o", "out")
    assert done.returncode == 0
    assert done.stderr == "in.dbc:9: error: VAL_: message 0x101 is unknown: skipped\n"
    assert "1 errors, 0 warnings" in done.stdout
    done = towline("catalog", "build", "-q", "--dbc", "can0=in.dbc", "-o", "out")
    assert done.returncode == 0 and done.stderr == "" and "1 errors" in done.stdout


def test_strict_leaves_the_catalog_as_it_was(towline, car, tmp_path):
    before = car.read_bytes()
    (tmp_path / "in.dbc").write_text(WRONG.replace("Speed", "Velocity"))
    done = towline("catalog", "build", "--strict", "--dbc", "can0=in.dbc", "-o", car)
    fails(done, 1, "1 errors, nothing written (--strict)")
    assert car.read_bytes() == before
    assert towline("catalog", "build", "--dbc", "can0=in.dbc", "-o", car).returncode == 0
    assert car.read_bytes() != before


def test_equal_input_gives_equal_bytes(towline, car, tmp_path):
    again = tmp_path / "again"
    assert towline("catalog", "build", "--dbc", "can0=car.dbc", "--output", again).returncode == 0
    assert again.read_bytes() == car.read_bytes()


def test_output_that_cannot_be_written(towline, car, tmp_path):
    fails(towline("catalog", "build", "--dbc", "can0=car.dbc", "-o", "none/out"), 1,
          "none/out.tmp: cannot be written: No such file or directory")
    (tmp_path / "folder").mkdir()
    fails(towline("catalog", "build", "--dbc", "can0=car.dbc", "-o", "folder"), 1,
          "folder: cannot be written: Is a directory")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["car.catalog", "car.dbc", "folder"]


# ---- catalog show and push ----

@pytest.mark.parametrize("command", ["show", "push"])
def test_catalogs_that_are_none(towline, car, tmp_path, command):
    fails(towline("catalog", command, "none.catalog"), 3, "none.catalog")
    for name, content in ("empty", b""), ("rubbish", b"rubbish" * 99), \
            ("short", car.read_bytes()[:-1]):
        (tmp_path / name).write_bytes(content)
        fails(towline("catalog", command, name), 1, "towline: catalog: ", name)
    fails(towline("catalog", command, tmp_path), 1, str(tmp_path))


def test_show(towline, car):
    done = towline("catalog", "show", car)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert [l.split() for l in lines[2:6]] == [["buses", "can0"], ["messages", "2"],
                                               ["signals", "3"],
                                               ["bytes", str(car.stat().st_size)]]
    assert [l.split() for l in lines[8:]] == [
        ["can0", "100", "ENGINE", "Speed", "7|16@0+", "unsigned", "0.25", "0", "rpm"],
        ["can0", "100", "ENGINE", "Gear", "16|4@1-", "signed", "1", "0", "2"],
        ["can0", "18FEF100", "TRUCK", "Level", "0|8@1+", "unsigned", "0.4", "0", "%"]]


def test_show_json(towline, car):
    shown = json.loads(towline("catalog", "show", "--json", car).stdout)
    assert shown["buses"] == ["can0"] and shown["signals"] == 3
    digest = hashlib.sha256(car.read_bytes()).digest()
    assert shown["sha256"] == digest.hex()
    assert shown["id"] == f"{int.from_bytes(digest[:8], 'little'):016x}"
    engine = shown["messages"][0]
    assert (engine["name"], engine["id"], engine["extended"]) == ("ENGINE", 256, False)
    speed, gear = engine["signals"]
    assert (speed["factor"], speed["unit"], speed["comment"]) == (0.25, "rpm", "of the crankshaft")
    assert gear["choices"] == [{"raw": 0, "text": "neutral"}, {"raw": 1, "text": "first"}]


def test_a_unit_does_not_steer_the_terminal(towline, tmp_path):
    (tmp_path / "in.dbc").write_text(DBC.replace("rpm", "r\npm\x9b"), encoding="utf-8")
    assert towline("catalog", "build", "--dbc", "can0=in.dbc", "-o", "out").returncode == 0
    shown = towline("catalog", "show", "out").stdout
    assert "r?pm??" in shown and "\x9b" not in shown


# ---- decode ----

def test_decode_names_the_file_that_is_missing(towline, car, tmp_path):
    (tmp_path / "a.log").write_text("(1.0) can0 100#0FA0\n")
    fails(towline("decode", "--catalog", "none.catalog", "a.log"), 1, "none.catalog")
    fails(towline("decode", "--catalog", "car.dbc", "a.log"), 1, "car.dbc")
    fails(towline("decode", "--dbc", "can0=none.dbc", "a.log"), 1, "none.dbc")
    fails(towline("decode", "--catalog", car, "none.log"), 1, "none.log")
    fails(towline("decode", "--catalog", car, tmp_path), 1, str(tmp_path))
    fails(towline("decode", "--catalog", car, "-o", "none/out", "a.log"), 1, "none/out")


# ---- can play ----

NO_CAN = "this kernel has no SocketCAN with CAN_RAW"


def test_play_names_what_is_missing(towline, tmp_path):
    (tmp_path / "a.log").write_text("rubbish\n(1.0) nocan9 100#0FA0\n")
    fails(towline("can", "play", "none.log"), 1, "none.log: No such file or directory")
    fails(towline("can", "play", tmp_path), 1, f"{tmp_path}: Is a directory")
    fails(towline("can", "play", "--loop", "-", stdin=subprocess.DEVNULL), 1,
          "stdin: not a regular file, so it cannot loop")
    done = towline("can", "play", "a.log")
    fails(done, 1, "a.log:2: interface nocan9: ")
    assert NO_CAN in done.stderr or "there is no such interface" in done.stderr
    done = towline("can", "play", "--map", "can0=lo", "a.log")
    fails(done, 1, "interface lo: ")
    assert NO_CAN in done.stderr or "the interface is not CAN" in done.stderr


def test_play_of_nothing(towline, tmp_path):
    (tmp_path / "a.log").write_text("rubbish\n" * 30)
    done = towline("can", "play", "a.log")
    assert done.returncode == 1
    assert done.stdout == "a.log: 0 frames in 0.000 s; skipped 30 bad lines\n"
    lines = done.stderr.splitlines()
    assert len(lines) == 22
    assert lines[19] == "towline: can play: a.log:20: column 1: expected '(' and a time"
    assert lines[20] == "towline: can play: further bad lines are not shown"
    assert lines[21] == "towline: can play: a.log: no log of candump -l"
    done = towline("can", "play", "-q", "a.log")
    assert done.returncode == 1
    assert done.stderr == "towline: can play: a.log: no log of candump -l\n"
    (tmp_path / "a.log").write_text("# nothing yet\n\n")
    done = towline("can", "play", "a.log")
    assert done.returncode == 0 and done.stderr == ""
    (tmp_path / "a.log").write_text("rubbish\n(1.0) can0 20000004#0000000000000000\n")
    done = towline("can", "play", "-q", "a.log")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == "a.log: 0 frames in 0.000 s; skipped 1 error frame, 1 bad line\n"


# What candump shows without -l, with and without its times.
@pytest.mark.parametrize("line", ["  can0  123   [2]  11 22",
                                  " (1436509052.249713)  can0  123   [2]  11 22",
                                  " (2015-07-10 08:17:32.249713)  can0  123  [02]  11 22"])
def test_a_log_for_people(towline, car, tmp_path, line):
    (tmp_path / "a.log").write_text(line + "\n")
    for name, command in ("can play", ()), ("decode", ("--catalog", car)):
        done = towline(*name.split(), *command, "a.log")
        assert done.returncode == 1
        said = done.stderr.splitlines()
        assert said[0].endswith(
            "a.log:1: what candump shows on a screen; record logs with candump -l")
        assert said[-1] == f"towline: {name}: a.log: no log of candump -l"


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_play_is_ended_while_it_waits(bin_dir, signo):
    p = subprocess.Popen([bin_dir / "towline", "can", "play", "-"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.stdin.write("rubbish\n")
    p.stdin.flush()
    assert p.stderr.readline() == "towline: can play: stdin:1: column 1: expected '(' and a time\n"
    p.send_signal(signo)
    assert p.wait(30) == 0
    assert p.stdout.read() == "stdin: ended at line 1, 0 frames in 0.000 s; skipped 1 bad line\n"
    for stream in p.stdin, p.stdout, p.stderr:
        stream.close()


def test_state_of_what_is_no_can_interface(towline):
    fails(towline("can", "state", "nocan9"), 3,
          "can state: interface nocan9: there is no such interface")
    fails(towline("can", "state", "--json", "lo"), 3,
          "can state: interface lo: the interface is not CAN")
    fails(towline("can", "state", "i" * 300), 3, "there is no such interface")
    fails(towline("can", "state", "nocan8", "nocan9"), 3, "interface nocan8: ", "interface nocan9: ")


# ---- output that does not get out ----

@pytest.mark.parametrize("args", [
    ("--help",), ("--version",), ("catalog", "--help"), ("catalog", "show", "car.catalog"),
    ("catalog", "show", "--json", "car.catalog"),
    ("catalog", "build", "--dbc", "can0=car.dbc", "-o", "again"),
    ("decode", "-q", "--catalog", "car.catalog", "a.log"),
])
def test_full_standard_output(towline, car, tmp_path, args):
    (tmp_path / "a.log").write_text("(1.0) can0 100#0FA0\n")
    with open("/dev/full", "w", encoding="ascii") as full:
        done = towline(*args, stdout=full)
    assert done.returncode == 1
    assert "standard output: No space left on device" in done.stderr


def test_a_reader_that_has_enough(bin_dir, car, tmp_path):
    """As `towline decode | head -1`: quiet, by SIGPIPE."""
    (tmp_path / "a.log").write_text("(1.0) can0 100#0FA0\n" * 100000)
    p = subprocess.Popen([bin_dir / "towline", "decode", "-q", "--catalog", car,
                          tmp_path / "a.log"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.stdout.readline().startswith(b"frame,")
    p.stdout.close()
    assert p.wait(30) == -signal.SIGPIPE
    assert p.stderr.read() == b""
    p.stderr.close()
