"""An arm64 machine under QEMU's plain emulation: real SocketCAN, no root, no KVM.

    with Machine(image, folder) as m:
        m.run("canup")
        print(m.run("ip -details link show can0").out)

Commands go to the guest through a serial port of their own; they and their output are files in
the folder that the guest sees as /host, so they are there, too, when the machine was killed.
"""

import ctypes
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import time

QEMU = "qemu-system-aarch64"
BOOT_S = 60


class GuestError(Exception):
    pass


class Result:
    def __init__(self, command, code, out):
        self.command, self.code, self.out = command, code, out


def die_with_parent():
    """PR_SET_PDEATHSIG: however python ends, the emulator ends with it."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)


def qemu_argv(image, mode, share=None, disk=None, cpus=2, memory="256M"):
    """image: folder with kernel and initramfs. share: folder for /host. disk: file for /data."""
    argv = [QEMU, "-M", "virt", "-cpu", "cortex-a53", "-accel", "tcg,thread=multi", "-smp", cpus,
            "-m", memory, "-nodefaults", "-no-reboot",
            "-kernel", image / "kernel", "-initrd", image / "initramfs",
            "-append", f"console=ttyAMA0 quiet loglevel=4 panic=-1 towline.mode={mode}",
            "-object", "can-bus,id=canbus0",
            "-device", "kvaser_pci,canbus=canbus0", "-device", "kvaser_pci,canbus=canbus0",
            "-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile=",
            "-device", "virtio-rng-pci", "-display", "none"]
    if share:
        argv += ["-virtfs", f"local,path={share},mount_tag=host,security_model=none"]
    if disk:
        # cache=none would ask for O_DIRECT, which not every file system has; what the guest has
        # flushed is with the host's kernel, and outlives a killed emulator.
        argv += ["-drive", f"file={disk},if=none,id=disk0,format=raw,cache=writeback",
                 "-device", "virtio-blk-pci,drive=disk0"]
    return [str(a) for a in argv]


def make_disk(path, megabytes=64):
    with open(path, "wb") as f:
        f.truncate(megabytes << 20)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", path], check=True)


class Command:
    """One that runs in the guest; several may run at once."""

    def __init__(self, machine, number, text):
        self.machine, self.number, self.text = machine, number, text
        self.code = None

    @property
    def out(self):
        path = self.machine.share / "cmd" / f"{self.number}.out"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait(self, timeout_s=30.0):
        self.machine.pump_until(lambda: self.code is not None, timeout_s,
                                f"the guest to run: {self.text}")
        return Result(self.text, self.code, self.out)

    def running(self):
        self.machine.pump(0)
        return self.code is None


class Machine:
    """folder: receives console.log and share/, which is /host in the guest."""

    def __init__(self, image, folder, disk=None, cpus=2):
        self.image, self.folder, self.disk = pathlib.Path(image), pathlib.Path(folder), disk
        self.share = self.folder / "share"
        (self.share / "cmd").mkdir(parents=True, exist_ok=True)
        self.console = self.folder / "console.log"
        self.commands = {}
        self.last = max((int(p.stem) for p in (self.share / "cmd").glob("*.sh")), default=0)
        self.pending = b""
        self.ready = False
        self.boot(cpus)

    def boot(self, cpus):
        started = time.monotonic()
        ours, theirs = socket.socketpair()
        argv = qemu_argv(self.image, "serve", self.share, self.disk, cpus) + [
            "-serial", "chardev:console", "-chardev",
            f"file,id=console,path={self.console},append=on",
            "-device", "virtio-serial-pci", "-chardev", f"socket,id=cmd,fd={theirs.fileno()}",
            "-device", "virtserialport,chardev=cmd,name=towline.cmd"]
        with open(self.folder / "qemu.log", "ab") as log:
            self.qemu = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         pass_fds=[theirs.fileno()], start_new_session=True,
                                         preexec_fn=die_with_parent)
        theirs.close()
        self.port = ours
        try:
            self.pump_until(lambda: self.ready, BOOT_S, "the guest to boot")
        except BaseException:
            self.kill()
            raise
        self.boot_s = time.monotonic() - started

    # ---- the command port ----

    def pump(self, timeout_s):
        """Takes what the guest has answered."""
        if not select.select([self.port], [], [], timeout_s)[0]:
            return
        data = self.port.recv(4096)
        if not data:
            raise GuestError(f"the emulator ended: {self.tail()}")
        *lines, self.pending = (self.pending + data).split(b"\n")
        for line in lines:
            self.answer(line.decode(errors="replace").split())

    def answer(self, words):
        if words and words[0] == "ready":
            self.ready = True
        elif len(words) == 2 and words[0].isdigit() and int(words[0]) in self.commands:
            self.commands.pop(int(words[0])).code = int(words[1])
        else:
            raise GuestError(f"the guest answered {words}")

    def pump_until(self, condition, timeout_s, what):
        deadline = time.monotonic() + timeout_s
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                raise GuestError(f"waited {timeout_s} s for {what}\n{self.tail()}")
            self.pump(min(left, 0.5))

    def tail(self, lines=15):
        text = ""
        for path in (self.folder / "qemu.log", self.console):
            text += path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    # ---- what a test does ----

    def start(self, text):
        """Starts a shell command in the guest, in a session of its own."""
        self.last += 1
        command = Command(self, self.last, text)
        (self.share / "cmd" / f"{command.number}.sh").write_text(text + "\n")
        self.commands[command.number] = command
        self.port.sendall(b"%d\n" % command.number)
        return command

    def run(self, text, timeout_s=30.0, check=True):
        result = self.start(text).wait(timeout_s)
        if check and result.code != 0:
            raise GuestError(f"guest: {text}: exit {result.code}\n{result.out}")
        return result

    def put(self, path, name=None):
        """Copies a file of the host's into the guest; returns its path there."""
        name = name or pathlib.Path(path).name
        shutil.copyfile(path, self.share / name)
        return f"/host/{name}"

    def write(self, name, text):
        (self.share / name).write_text(text)
        return f"/host/{name}"

    def read(self, name):
        return (self.share / name).read_text(errors="replace")

    # ---- the end ----

    def kill(self):
        """As when the power goes."""
        self.qemu.kill()
        self.qemu.wait()
        self.port.close()

    def close(self):
        if self.qemu.poll() is None:
            self.kill()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
