"""`towline decode` against what an independent decoder makes of real bus logs.

Every decoded signal of the truth files: raw equal, value within 1e-9 relative, no row missing and none
extra; and count, extremes, sums, first and last of every signal over the whole logs.
"""

import csv
import functools
import io
import lzma
import math
import re
import subprocess

import pytest

from conftest import ROOT, SHARED_DATA

REL = 1e-9
TRUTH_FRAMES = 20000  # of *.truth20k.csv

OBD2 = ROOT / "tests" / "data" / "obd2.dbc"

# log, DBC by bus, truth
CASES = {
    "audi_gps": ("audi_gps_obd/audi.candump.log.xz", {"can2": "audi_gps_obd/canmod-gps.dbc"},
                 "audi_gps_obd/audi_gps.truth20k.csv.xz", "audi_gps_obd/audi_gps.stats.csv"),
    "j1939_gps": ("j1939_gps/j1939_gps.candump.log.xz",
                  {"can1": "j1939_gps/CSS-Electronics-SAE-J1939-DEMO.dbc",
                   "can2": "j1939_gps/canmod-gps.dbc"},
                  "j1939_gps/j1939_gps.truth20k.csv.xz", "j1939_gps/j1939_gps.stats.csv"),
    "j1939_truck": ("j1939_truck/truck.candump.log.xz",
                    {"can1": "j1939_truck/CSS-Electronics-SAE-J1939-DEMO.dbc"},
                    "j1939_truck/j1939_truck.truth20k.csv.xz",
                    "j1939_truck/j1939_truck.stats.csv"),
    "rav4": ("rav4_2017/rav4_2017.candump.log.xz",
             {"can0": "rav4_2017/toyota_new_mc_pt_generated.dbc",
              "can1": "rav4_2017/toyota_adas.dbc"},
             "rav4_2017/rav4_2017.truth20k.csv.xz", "rav4_2017/rav4_2017.stats.csv"),
    "subaru": ("subaru/subaru.candump.log.xz",
               {"can0": "subaru/subaru_forester_2017_generated.dbc"},
               "subaru/subaru.truth20k.csv.xz", "subaru/subaru.stats.csv"),
    "subaru_owndbc": ("subaru/subaru.candump.log.xz", {"can0": "subaru/sample_can_spec.dbc"},
                      "subaru/subaru_owndbc.truth20k.csv.xz", "subaru/subaru_owndbc.stats.csv"),
    "canfd": ("synthetic/canfd.SYNTHETIC.candump.log.xz",
              {"can0": "synthetic/hyundai_canfd_generated.dbc"},
              "synthetic/canfd.truth.csv.xz", None),
    "model3_mux": ("synthetic/model3_mux.SYNTHETIC.candump.log.xz",
                   {"can0": "synthetic/Model3CAN.dbc"},
                   "synthetic/model3_mux.truth.csv.xz", None),
    "kona_uds": ("uds_isotp/kona_uds.candump.log.xz", {"can1": "uds_isotp/tp_uds.dbc"},
                 "uds_isotp/kona_uds.truth.csv.xz", None),
    "leaf_uds": ("uds_isotp/leaf_uds.candump.log.xz", {"can1": "uds_isotp/tp_uds_nissan.dbc"},
                 "uds_isotp/leaf_uds.truth.csv", None),
    "audi_obd": ("audi_gps_obd/audi.candump.log.xz", {"can1": OBD2},
                 "audi_gps_obd/audi_obd.truth.csv.xz", None),
}


def opened(path):
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8", newline="")
    return open(path, encoding="utf-8", newline="")


def close(ours, theirs):
    return ours == theirs or math.isclose(ours, theirs, rel_tol=REL, abs_tol=0)


@functools.lru_cache(maxsize=2)
def decode(towline, case):
    """Rows of `towline decode` over a whole log, which goes in through its standard input."""
    log, dbcs, _, _ = CASES[case]
    command = [towline, "decode", "-q", "-"]
    for bus, dbc in dbcs.items():
        command += ["--dbc", f"{bus}={SHARED_DATA / dbc}"]
    with lzma.open(SHARED_DATA / log) as f:
        done = subprocess.run(command, input=f.read(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    rows = list(csv.reader(io.StringIO(done.stdout.decode())))
    assert rows[0] == "frame,timestamp,bus,id,message,signal,raw,value".split(",")
    return rows[1:]


def compare(ours, truth):
    """Both: key -> (raw, value) texts."""
    missing = [k for k in truth if k not in ours]
    extra = [k for k in ours if k not in truth]
    assert not missing, f"{len(missing)} rows missing, first {missing[0]}"
    assert not extra, f"{len(extra)} rows extra, first {extra[0]}"
    for key, (raw, value) in truth.items():
        assert int(ours[key][0]) == int(raw), f"raw of {key}"
        assert close(float(ours[key][1]), float(value)), \
            f"value of {key}: {ours[key][1]}, expected {value}"


def keyed(pairs):
    """As a dict; a key that comes twice would hide a row."""
    result = {}
    for key, row in pairs:
        assert key not in result, f"twice: {key}"
        result[key] = row
    return result


# The truth's decoder lost the signals of one message: its multiplexor has a name that is longer than 32
# bytes (SystemSignalLongSymbol), and the signals that it selects refer to it by the short one. What the
# DBC says is plain, so for this message their truth is worked out here, from its SG_ lines.
LOST_BY_TRUTH = {"model3_mux": {"id": 0x201, "rows": 376}}


def multiplexed_rows(dbc, log, can_id):
    """(frame, signal) -> (raw, value) of the signals m0, m1... of an unsigned little-endian message."""
    text = dbc.read_text(encoding="utf-8", errors="replace")
    message = re.search(rf"^BO_ {can_id} .*?\n(?=\n)", text, re.M | re.S)[0]
    mux = re.search(r"SG_ \w+ M : (\d+)\|(\d+)@1\+", message)
    signals = re.findall(r"SG_ (\w+) m(\d+) : (\d+)\|(\d+)@1([+-]) \(([^,]+),([^)]+)\)", message)
    long_names = dict(re.findall(rf'SystemSignalLongSymbol" SG_ {can_id} (\w+) "(\w+)"', text))
    rows = {}
    with lzma.open(log, "rt") as f:
        for number, line in enumerate(f, 1):
            frame_id, data = line.split()[2].split("#")
            if int(frame_id, 16) != can_id:
                continue
            bits = int.from_bytes(bytes.fromhex(data), "little")
            selected = bits >> int(mux[1]) & ((1 << int(mux[2])) - 1)
            for name, value, start, length, sign, factor, offset in signals:
                if int(value) != selected:
                    continue
                raw = bits >> int(start) & ((1 << int(length)) - 1)
                if sign == "-" and raw >> (int(length) - 1):
                    raw -= 1 << int(length)
                rows[str(number), long_names.get(name, name)] = \
                    (str(raw), str(raw * float(factor) + float(offset)))
    return rows


def add_lost(case, truth):
    lost = LOST_BY_TRUTH[case]
    log, dbcs, _, _ = CASES[case]
    heads = {k[0]: k[:5] for k in truth if int(k[3], 16) == lost["id"]}
    added = {heads[frame] + (signal,): row for (frame, signal), row in multiplexed_rows(
        SHARED_DATA / dbcs["can0"], SHARED_DATA / log, lost["id"]).items()}
    assert len(added) == lost["rows"] and not added.keys() & truth.keys()
    return truth | added


@pytest.mark.parametrize("case", [c for c in CASES if c not in ("kona_uds", "leaf_uds", "audi_obd")])
def test_every_row(bin_dir, shared_data, case):
    truth_file = shared_data / CASES[case][2]
    limit = TRUTH_FRAMES if "truth20k" in truth_file.name else math.inf
    ours = keyed((tuple(r[:6]), (r[6], r[7])) for r in decode(bin_dir / "towline", case)
                 if int(r[0]) <= limit)
    with opened(truth_file) as f:
        truth = keyed(((t["frame"], t["timestamp"], t["bus"], t["id"], t["message"], t["signal"]),
                       (t["raw"], t["value"])) for t in csv.DictReader(f))
    assert truth
    if case in LOST_BY_TRUTH:
        truth = add_lost(case, truth)
    compare(ours, truth)


@pytest.mark.parametrize("case", ["kona_uds", "leaf_uds"])
def test_isotp(bin_dir, shared_data, case):
    """Reassembled payloads: the row carries the time of the frame that completed them."""
    ours = keyed(((r[1], r[2], r[3], r[4], r[5]), (r[6], r[7]))
                 for r in decode(bin_dir / "towline", case))
    with opened(shared_data / CASES[case][2]) as f:
        truth = keyed(((t["timestamp_last"], t["bus"], t["id"], t["message"], t["signal"]),
                       (t["raw"], t["value"])) for t in csv.DictReader(f))
    assert truth
    compare(ours, truth)


def test_obd(bin_dir, shared_data):
    """OBD-II answers, by our own DBC of SAE J1979: service and PID select the signal."""
    assert OBD2.exists()
    rows = decode(bin_dir / "towline", "audi_obd")
    with opened(shared_data / CASES["audi_obd"][2]) as f:
        wanted = list(csv.DictReader(f))
    names = {t["signal"].removeprefix("Vehicle.OBD.") for t in wanted}
    truth = keyed(((t["timestamp"], t["bus"], t["id"], t["signal"].removeprefix("Vehicle.OBD.")),
                   (t["raw"], t["value"])) for t in wanted)
    ours = keyed(((r[1], r[2], r[3], r[5]), (r[6], r[7])) for r in rows if r[5] in names)
    assert truth
    compare(ours, truth)
    # What else we print of these frames can only be what selected the signal.
    selecting = {r[5] for r in rows} - names
    assert len(selecting) <= 4, f"signals that the truth has not: {sorted(selecting)}"
    pids = {r[0]: int(r[6]) for r in rows if "pid" in r[5].lower()}
    signal_of = {r[0]: r[5] for r in rows if r[5] in names}
    expected = {t["signal"].removeprefix("Vehicle.OBD."): int(t["pid"], 16) for t in wanted}
    assert all(pids[frame] == expected[name] for frame, name in signal_of.items())


def merged(stats):
    """Rows of a stats file by signal; the length classes `full` and `short` as one."""
    result = {}
    for s in stats:
        key = (s["bus"], s["id"], s["message"], s["signal"])
        new = {"count": int(s["count"]), "min": float(s["min"]), "max": float(s["max"]),
               "sum": float(s["sum"]), "raw_min": int(s["raw_min"]), "raw_max": int(s["raw_max"]),
               "raw_sum": int(s["raw_sum"]), "first": (float(s["first_ts"]), float(s["first"])),
               "last": (float(s["last_ts"]), float(s["last"]))}
        old = result.setdefault(key, new)
        if old is new:
            continue
        for k in ("count", "sum", "raw_sum"):
            old[k] += new[k]
        for k in ("min", "raw_min", "first"):
            old[k] = min(old[k], new[k])
        for k in ("max", "raw_max", "last"):
            old[k] = max(old[k], new[k])
    return result


def summarised(rows):
    series = {}
    for r in rows:
        series.setdefault((r[2], r[3], r[4], r[5]), []).append((r[1], int(r[6]), float(r[7])))
    for key, points in series.items():
        raws = [p[1] for p in points]
        values = [p[2] for p in points]
        yield key, {"count": len(points), "min": min(values), "max": max(values),
                    "sum": math.fsum(values), "magnitude": math.fsum(map(abs, values)),
                    "raw_min": min(raws), "raw_max": max(raws), "raw_sum": sum(raws),
                    "first": (float(points[0][0]), values[0]),
                    "last": (float(points[-1][0]), values[-1])}


@pytest.mark.parametrize("case", [c for c in CASES if CASES[c][3]])
def test_whole_log(bin_dir, shared_data, case):
    ours = dict(summarised(decode(bin_dir / "towline", case)))
    with opened(shared_data / CASES[case][3]) as f:
        truth = merged(csv.DictReader(f))
    assert truth and ours.keys() == truth.keys()
    for key, t in truth.items():
        o = ours[key]
        for k in ("count", "raw_min", "raw_max", "raw_sum"):
            assert o[k] == t[k], f"{k} of {key}"
        for k in ("min", "max"):
            assert close(o[k], t[k]), f"{k} of {key}: {o[k]}, expected {t[k]}"
        # Terms of both signs may cancel: the sum is as exact as its terms.
        assert abs(o["sum"] - t["sum"]) <= REL * o["magnitude"], f"sum of {key}"
        for k in ("first", "last"):
            assert o[k][0] == t[k][0] and close(o[k][1], t[k][1]), f"{k} of {key}"
