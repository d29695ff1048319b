"""towline can play on real SocketCAN, held against what candump of can-utils reads."""

import re
import subprocess

import pytest

from stack import Stack, wait_for

from car import Car

FRAMES_OF_A_KIND = """\
(1.000000) vcan0 123#1122334455667788
(1.000000) vcan0 001#
(1.000200) vcan0 12345678#AA
(1.050000) vcan0 7FF#R8
(1.050000) vcan0 00000001#R
(1.100000) vcan0 20000004#0010000000000000
(1.100000) vcan0 123##0AABB
(1.150000) vcan0 123##1AABB
(1.200000) vcan0 12345678##3{}
""".format("5A" * 64)


@pytest.fixture
def bench(bin_dir, tmp_path, guest, request):
    """The guest's buses, without an agent."""
    return Car(Stack(bin_dir, tmp_path / "stack"), guest, request.node.name)


@pytest.fixture
def drive_log(bin_dir, tmp_path):
    """Three seconds of two buses; some of the frames are CAN FD."""
    path = tmp_path / "drive.log"
    subprocess.run([bin_dir / "towline-drive", "--seconds", "3", "--speed", "max", "--seed", "3",
                    "--start", "1700000000", "--out", path], check=True)
    return path


def frames(text):
    """[(seconds, bus, frame)]; candump shows that a frame is CAN FD by bit 2 of its flags."""
    def plain(frame):
        head, fd, rest = frame.partition("##")
        return f"{head}##{int(rest[0], 16) & 3}{rest[1:]}" if fd else frame
    return [(float(t[1:-1]), bus, plain(f)) for t, bus, f in map(str.split, text.splitlines())]


def listen(car, interfaces):
    """candump of all of them by one socket: it keeps their order."""
    dump = car.start(f"exec candump -r 16000000 -L {interfaces} >/run/test/dump")
    wait_for("candump", lambda: " raw" in car.run("cat /proc/net/can/rcvlist_all").out)
    return dump


def heard(car, dump, n):
    def lines():
        return int(car.run("wc -l </run/test/dump").out)
    wait_for(f"{n} frames", lambda: lines() >= n, 60)
    car.signal(dump, "TERM")
    dump.wait()
    return frames(car.run("cat /run/test/dump").out)


def test_play_two_buses(bench, drive_log, note):
    """towline can play: every frame of two buses, in order; a delay is made up for."""
    bench.up("vcan0", "vcan1")
    sent = frames(drive_log.read_text())
    dump = listen(bench, "any")
    done = bench.run(f"""
        towline can play --map can0=vcan0 --map can1=vcan1 {bench.put(drive_log)} &
        sleep 1; kill -STOP $!; sleep 1; kill -CONT $!
        wait $!""", timeout_s=120)
    got = heard(bench, dump, len(sent))
    assert [(b, f) for _, b, f in got] == [("v" + b, f) for _, b, f in sent]
    assert f"{len(sent)} frames in " in done.out
    off = [g - s for (g, *_), (s, *_) in zip(got, sent)]
    delays = sum(max(0, b - a) for a, b in zip(off, off[1:]))
    # However late single frames are on a busy machine: did the delays add up, all of them would be
    # left at the end. And it never runs ahead: no sooner than 100 us before its time.
    left = min(off[-len(off) // 4:]) - min(off[:len(off) // 4])
    assert left < delays / 2
    seconds = float(re.search(r" frames in ([0-9.]+) s", done.out).group(1))
    assert seconds > sent[-1][0] - sent[0][0] - 0.001
    note(f"{len(sent)} frames; delays of {delays:.3f} s, of which {max(0, left):.3f} s are left "
         "at the end")


def test_play_kinds_of_frames(bench):
    """towline can play: remote, extended and CAN FD frames with their flags, from gzip in a pipe."""
    bench.up("vcan0")
    (bench.folder / "log").write_text(FRAMES_OF_A_KIND)
    dump = listen(bench, "vcan0")
    done = bench.run(f"gzip -c {bench.guest_folder}/log | towline can play -")
    expected = [f for _, _, f in frames(FRAMES_OF_A_KIND) if not f.startswith("20000004")]
    assert [f for _, _, f in heard(bench, dump, 8)] == expected
    assert "; skipped 1 error frame\n" in done.out


def as_slcan(frame):
    """123#AABB as the adapter hears it: t1232AABB."""
    ident, data = frame.split("#")
    return f"{'T' if len(ident) == 8 else 't'}{ident}{len(data) // 2}{data}"


def test_play_full_queue(bench, drive_log, note):
    """towline can play --speed max: a queue that is full is waited for, no frame is lost."""
    adapter = bench.slcan("sl0")  # its line is slower than any program
    bench.up("sl0")
    bench.run("ip link set sl0 txqueuelen 10")
    lines = [l for l in drive_log.read_text().splitlines() if " can0 " in l and "##" not in l][:1000]
    (bench.folder / "log").write_text("\n".join(lines) + "\n")
    done = bench.run(f"towline can play --speed max --map can0=sl0 {bench.guest_folder}/log",
                     timeout_s=60)

    def heard_frames():
        return [h for h in adapter.heard() if h[:1] in ("t", "T")]
    wait_for("all frames", lambda: len(heard_frames()) >= len(lines), 20)
    assert heard_frames() == [as_slcan(l.split()[2]) for l in lines]
    assert "queue full" in done.out
    note(done.out.strip().split(": ", 1)[1])


def fails(bench, arguments, *said):
    done = bench.run(f"! towline can play {arguments}", timeout_s=60)
    for text in said:
        assert text in done.out
    return done.out


def test_play_without_the_interface(bench):
    """towline can play: an interface that is missing, down, no CAN or without CAN FD is named first."""
    bench.up("vcan0", "can0")
    bench.run("ip link set vcan0 down; ip link set vcan0 mtu 16; ip link set vcan0 up")
    log = f"{bench.guest_folder}/log"
    (bench.folder / "log").write_text("(1.0) can0 123#00\n(2.0) can9 123#00\n")
    before = bench.statistic("can0", "tx_packets")
    fails(bench, log, "log:2: interface can9: there is no such interface")
    fails(bench, f"--map can0=can0 --map can9=can1 {log}", "interface can1: the interface is down")
    fails(bench, f"--map can0=eth0 {log}", "interface eth0: the interface is not CAN")
    bench.run("ip link set can0 down; ip link set can0 type can listen-only on; ip link set can0 up")
    fails(bench, f"--map can0=can0 {log}", "interface can0: only listens")
    (bench.folder / "log").write_text("(1.0) vcan0 123#00\n(2.0) vcan0 123##0AA\n")
    fails(bench, log, "log:2: a CAN FD frame, but interface vcan0 has no CAN FD")
    assert bench.statistic("can0", "tx_packets") == before
    assert bench.statistic("vcan0", "tx_packets") == 0


def wait_sent(bench, interface, n):
    wait_for(f"{n} frames", lambda: bench.statistic(interface, "tx_packets") >= n, 60)


def test_play_interface_fails(bench):
    """towline can play: an interface that goes down or bus-off meanwhile ends it with the line."""
    bench.up("vcan0")
    (bench.folder / "log").write_text("".join(f"({i / 100}) can0 123#00\n" for i in range(100)))
    log = f"{bench.guest_folder}/log"
    played = bench.start(f"exec towline can play --loop --map can0=vcan0 {log}")
    wait_sent(bench, "vcan0", 10)
    bench.run("ip link set vcan0 down")
    assert played.wait(60).code == 1
    assert ": interface vcan0: the interface is down" in played.out
    sent = int(played.out.split(": vcan0 ")[1].split(";")[0])
    assert sent == bench.statistic("vcan0", "tx_packets")
    assert f"log:{sent % 100 + 1}: " in played.out
    adapter = bench.slcan("sl0")
    bench.up("sl0")
    played = bench.start(f"exec towline can play --loop --map can0=sl0 {log}")
    wait_for("frames", lambda: any(h.startswith("t123") for h in adapter.heard()), 60)
    adapter.say("sb010020")
    assert played.wait(60).code == 1
    assert ": interface sl0: the controller went bus-off" in played.out
    fails(bench, f"--map can0=sl0 {log}", "interface sl0: the controller is bus-off")
    shown = bench.run("! towline can state nocan9 sl0").out
    assert "interface nocan9: there is no such interface" in shown
    assert re.search(r"^sl0 .* bus-off ", shown, re.M)


def test_play_is_ended(bench):
    """towline can play: SIGTERM ends it at once, in good order."""
    bench.up("vcan0")
    (bench.folder / "log").write_text("(1.0) can0 123#00\n(2.0) can0 123#00\n(9999.0) can0 123#00\n")
    played = bench.start(f"exec towline can play --map can0=vcan0 {bench.guest_folder}/log")
    wait_sent(bench, "vcan0", 2)
    bench.signal(played, "TERM")
    assert played.wait(60).code == 0
    assert "ended at line 3, 2 frames in " in played.out
