"""`towline decode` as a person uses it: its options, and logs that are not as they should be."""

import csv
import gzip
import io
import json
import subprocess

import pytest

DBC = """VERSION ""
BO_ 256 ENGINE: 8 ECU
 SG_ Speed : 7|16@0+ (0.25,0) [0|0] "rpm" X
 SG_ Temp : 16|8@1- (1,-40) [0|0] "C" X
 SG_ Big : 0|64@1+ (1,0) [0|0] "" X
BO_ 2566844672 TRUCK: 8 ECU
 SG_ Level : 0|8@1+ (0.4,0) [0|0] "%" X
BO_ 512 TALK: 20 ECU
 SG_ Length : 0|8@1+ (1,0) [0|0] "" X
 SG_ Last : 80|8@1+ (1,0) [0|0] "" X
"""
HEADER = "frame,timestamp,bus,id,message,signal,raw,value"
LOG = """(10.000001) can0 100#0FA05A0000000000
(10.5) can0 100#0FA0
(11.000000) can0 18FEF100#FA
(12.000000) can9 100#0FA05A0000000000
(13.000000) can0 7FF#00
(14.000000) can0 200#100A010203040506
(14.100000) can0 200#21070809AA000000
"""
ROWS = """1,10.000001,can0,100,ENGINE,Speed,4000,1000
1,10.000001,can0,100,ENGINE,Temp,90,50
1,10.000001,can0,100,ENGINE,Big,5939215,5939215
2,10.500000,can0,100,ENGINE,Speed,4000,1000
3,11.000000,can0,18FEF100,TRUCK,Level,250,100
7,14.100000,can0,200,TALK,Length,10,10
7,14.100000,can0,200,TALK,Last,170,170
""".splitlines()


@pytest.fixture
def decode(bin_dir, tmp_path):
    dbc = tmp_path / "car.dbc"
    dbc.write_text(DBC)

    def run(*args, log=LOG, dbcs=(f"can0={dbc}",), stdin=None):
        path = tmp_path / "drive.log"
        path.write_bytes(log.encode() if isinstance(log, str) else log)
        options = [arg for spec in dbcs for arg in ("--dbc", spec)]
        return subprocess.run([bin_dir / "towline", "decode", *options, *args,
                               "-" if stdin is not None else path], input=stdin,
                              capture_output=True, check=False)

    return run


def rows(done):
    lines = done.stdout.decode().splitlines()
    assert lines[0] == HEADER
    return lines[1:]


def test_rows(decode):
    done = decode()
    assert done.returncode == 0
    assert rows(done) == ROWS
    said = done.stderr.decode()
    assert "bus can9: not in the catalog, 1 frames" in said
    assert "not in the catalog: 1 frames of 1 identifiers" in said
    assert "ISO-TP: 1 payloads" in said
    assert "7 frames, 5 in the catalog, 7 samples" in said


def test_quiet(decode):
    done = decode("-q", log="rubbish\n" + LOG)
    assert done.returncode == 0 and done.stderr == b"" and rows(done) == ROWS


def test_gzip_and_standard_input_give_the_same(decode):
    packed = gzip.compress(LOG.encode())
    assert rows(decode(log=packed)) == ROWS
    assert rows(decode(stdin=LOG.encode())) == ROWS
    assert rows(decode(stdin=packed)) == ROWS


def test_output_file(decode, tmp_path):
    out = tmp_path / "out.csv"
    done = decode("-o", str(out))
    assert done.returncode == 0 and done.stdout == b""
    assert out.read_text().splitlines() == [HEADER, *ROWS]


def test_json_says_the_same(decode):
    done = decode("--json")
    objects = [json.loads(line) for line in done.stdout.decode().splitlines()]
    table = list(csv.DictReader(io.StringIO("\n".join([HEADER, *ROWS]))))
    assert len(objects) == len(table)
    for o, t in zip(objects, table):
        assert list(o) == HEADER.split(",")
        assert [str(o[k]) for k in ("frame", "bus", "id", "message", "signal", "raw")] == \
               [t[k] for k in ("frame", "bus", "id", "message", "signal", "raw")]
        assert o["timestamp"] == float(t["timestamp"]) and o["value"] == float(t["value"])


def test_json_integers_that_a_double_cannot_hold(decode):
    done = decode("--json", "--signals", "ENGINE.Big", log="(1.0) can0 100#FFFFFFFFFFFFFFFF\n")
    assert json.loads(done.stdout) == {
        "frame": 1, "timestamp": 1.0, "bus": "can0", "id": "100", "message": "ENGINE",
        "signal": "Big", "raw": "18446744073709551615", "value": 18446744073709551615.0}


@pytest.mark.parametrize("pattern, expected", [
    ("can0.ENGINE.Speed", [0, 3]),
    ("ENGINE.*", [0, 1, 2, 3]),
    ("*.Level, *.*.Temp", [1, 4]),
    ("*", list(range(7))),
])
def test_signals(decode, pattern, expected):
    assert rows(decode("--signals", pattern)) == [ROWS[i] for i in expected]


def test_signal_that_is_not_in_the_catalog(decode):
    done = decode("--signals", "ENGINE.Speed,ENGINE.Sped")
    assert done.returncode == 3 and done.stdout == b""
    assert "no signal matches 'ENGINE.Sped'" in done.stderr.decode()


def test_compiled_catalog(bin_dir, decode, tmp_path):
    (tmp_path / "car.dbc").write_text(DBC)
    catalog = tmp_path / "car.catalog"
    subprocess.run([bin_dir / "towline", "catalog", "build", "--dbc", f"can0={tmp_path}/car.dbc",
                    "-o", catalog], check=True, capture_output=True)
    assert rows(decode("--catalog", str(catalog), dbcs=())) == ROWS


def test_stats(decode):
    done = decode("-q", "--stats")
    table = [line.split() for line in done.stderr.decode().splitlines()]
    assert table == [["bus", "id", "message", "frames", "samples"],
                     ["can0", "100", "ENGINE", "2", "4"],
                     ["can0", "18FEF100", "TRUCK", "1", "1"],
                     ["can0", "200", "TALK", "2", "2"]]


def test_bad_lines_cost_nothing_else(decode, tmp_path):
    lines = LOG.splitlines(keepends=True)
    lines.insert(1, "(10.2) can0 100#0F\xff\n")
    lines.insert(3, "x" * 5000 + "\n")
    lines.append("(15.000000) can0 100#0FA05")
    done = decode(log="".join(lines))
    said = done.stderr.decode()
    assert done.returncode == 0
    assert rows(done) == ROWS
    assert f"{tmp_path}/drive.log:2: column" in said
    assert f"{tmp_path}/drive.log:4: line is longer than 256 bytes" in said
    assert f"{tmp_path}/drive.log:10: " in said and "truncated last line" in said
    assert "skipped 3 bad lines" in said


def test_rubbish_is_not_repeated_for_ever(decode):
    done = decode(log="rubbish\n" * 1000 + LOG)
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) < 40
    assert "skipped 1000 bad lines" in done.stderr.decode()


def test_truncated_gzip(decode):
    packed = gzip.compress(b"".join(b"(%d.000000) can0 100#%04X\n" % (i, i * 7919 % 65536)
                                    for i in range(20000)))
    done = decode(log=packed[:len(packed) // 2])
    assert done.returncode == 1
    assert 1000 < len(rows(done)) < 20000
    assert "the gzip data ends in the middle" in done.stderr.decode()


def test_full_disk(decode):
    done = decode("-o", "/dev/full")
    assert done.returncode == 1
    assert "/dev/full: No space left on device" in done.stderr.decode()


def test_no_such_file(bin_dir, decode, tmp_path):
    done = subprocess.run([bin_dir / "towline", "decode", "--dbc", f"can0={tmp_path}/car.dbc",
                           tmp_path / "none.log"], capture_output=True, check=False)
    assert done.returncode == 1
    assert "none.log: No such file or directory" in done.stderr.decode()
    done = decode(dbcs=("can0=/nonexistent.dbc",))
    assert done.returncode == 1 and "/nonexistent.dbc" in done.stderr.decode()


@pytest.mark.parametrize("args, dbcs", [
    ((), ()),
    (("--catalog", "x"), ("can0=y",)),
    (("another.log",), ("can0=y",)),
    (("--no-such-option",), ("can0=y",)),
])
def test_wrong_usage(decode, args, dbcs):
    done = decode(*args, dbcs=dbcs)
    assert done.returncode == 2
    assert "towline decode --help" in done.stderr.decode()
