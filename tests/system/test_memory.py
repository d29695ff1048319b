"""What the agent takes on a real arm64 kernel: emulation of a program alone cannot say."""

import re
import subprocess

from car import DRIVE_CAN0

LIMIT_KIB = 10 * 1024


def test_resident_memory(car, bin_dir, tmp_path, note):
    """Under a simulated car's can0 at its real speed the agent stays below 10 MiB resident."""
    both, log = tmp_path / "both.log", tmp_path / "drive.log"
    subprocess.run([bin_dir / "towline-drive", "--seconds", "10", "--speed", "max", "--seed", "7",
                    "--start", "1700000000", "--out", both], check=True)
    log.write_text("".join(line for line in both.open() if " can0 " in line and "##" not in line))
    sent = len(log.read_text().splitlines())
    car.register({"can0": DRIVE_CAN0})
    car.up("can0", "can1")
    agent = car.conf({"can1": {"bus": "can0"}}).start()
    agent.wait_open("can1")
    car.run(f"canplayer -I {car.put(log)} can0=can0", timeout_s=60)
    status = agent.drain()
    memory = car.run("cat /proc/$(pidof towline-agent)/status").out
    peak, rss = (int(re.search(rf"{key}:\s+(\d+) kB", memory).group(1))
                 for key in ("VmHWM", "VmRSS"))
    assert status["frames_received"] == sent and status["frames_dropped"] == 0
    assert agent.stop()[0] == 0
    assert peak < LIMIT_KIB, memory
    note(f"{rss / 1024:.1f} MiB resident, {peak / 1024:.1f} MiB at most, {sent} frames")
