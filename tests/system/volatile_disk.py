"""A disk with a volatile cache, for power cuts: a network block device that QEMU takes for its disk.

What is written is read back at once, but is on the disk only after the guest's next flush, or with
force unit access. A power cut leaves of everything else a random part, sector by sector, as a disk
may that writes in an order of its own. Protocol: NBD's doc/proto.md, fixed newstyle, simple replies.
"""

import os
import pathlib
import shutil
import socket
import struct
import tempfile
import threading

SECTOR = 512
OPT_EXPORT_NAME, OPT_ABORT, OPT_INFO, OPT_GO = 1, 2, 6, 7
REP_ACK, REP_INFO, REP_UNSUPPORTED = 1, 3, 0x80000001
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 4, 8
FUA = 1


class VolatileDisk:
    """path: the image, which is what is on the disk. One client at a time."""

    def __init__(self, path, random):
        self.path, self.random = path, random
        self.size = os.path.getsize(path)
        self.image = open(path, "r+b", buffering=0)
        self.cache = {}  # sector number -> what is not on the disk yet
        self.flushes = self.cuts = self.lost = self.kept = 0
        self.lock = threading.Lock()
        self.writes_left = None
        self.stopped = threading.Event()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="towline-disk-"))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.folder / "nbd"))
        self.listener.listen()
        self.url = f"nbd:unix:{self.folder}/nbd"
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        self.listener.close()
        self.image.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- the disk ----

    def write(self, offset, data):
        for i in range(0, len(data), SECTOR):
            self.cache[(offset + i) // SECTOR] = data[i:i + SECTOR]

    def read(self, offset, length):
        data = bytearray(os.pread(self.image.fileno(), length, offset))
        for i in range(0, length, SECTOR):
            cached = self.cache.get((offset + i) // SECTOR)
            if cached:
                data[i:i + SECTOR] = cached
        return bytes(data)

    def persist(self, sectors):
        for n in sectors:
            os.pwrite(self.image.fileno(), self.cache.pop(n), n * SECTOR)

    def stop_after(self, writes):
        """Answers nothing more after so many writes, as soon as some of them are in the cache alone:
        the cut falls between a write and its flush."""
        self.stopped.clear()
        self.writes_left = writes

    def cut(self):
        """The power goes. Call it when the client is gone."""
        with self.lock:
            self.writes_left = None
            self.stopped.clear()
            share = self.cuts % 3 / 2.2  # of the first cut's, nothing is kept
            self.cuts += 1
            kept = [n for n in self.cache if self.random.random() < share]
            self.kept += len(kept)
            self.persist(kept)
            self.lost += len(self.cache)
            self.cache.clear()

    # ---- the protocol ----

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client:
                try:
                    if self.negotiate(client):
                        while self.answer(client):
                            pass
                except (ConnectionError, EOFError):
                    pass

    @staticmethod
    def take(client, count):
        data = bytearray()
        while len(data) < count:
            chunk = client.recv(count - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return bytes(data)

    def negotiate(self, client):
        client.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
        self.take(client, 4)
        export = struct.pack(">QH", self.size, HAS_FLAGS | SEND_FLUSH | SEND_FUA)
        while True:
            _, option, length = struct.unpack(">8sII", self.take(client, 16))
            self.take(client, length)

            def reply(kind, data=b"", option=option):
                client.sendall(struct.pack(">QIII", 0x3e889045565a9, option, kind, len(data)) + data)

            if option == OPT_EXPORT_NAME:
                client.sendall(export)
                return True
            if option in (OPT_GO, OPT_INFO):
                reply(REP_INFO, struct.pack(">H", 0) + export)
                reply(REP_ACK)
                if option == OPT_GO:
                    return True
            elif option == OPT_ABORT:
                reply(REP_ACK)
                return False
            else:
                reply(REP_UNSUPPORTED)

    def answer(self, client):
        _, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", self.take(client, 28))
        data = self.take(client, length) if kind == WRITE else b""
        out, error = b"", 0
        with self.lock:
            if kind == DISCONNECT:
                return False
            if self.writes_left == 0 and self.cache:
                self.stopped.set()
            if self.stopped.is_set():
                return True
            if kind == READ:
                out = self.read(offset, length)
            elif kind == WRITE:
                if self.writes_left:
                    self.writes_left -= 1
                self.write(offset, data)
                if flags & FUA:
                    self.persist(range(offset // SECTOR, (offset + length) // SECTOR))
            elif kind == FLUSH:
                self.flushes += 1
                self.persist(list(self.cache))
            else:
                error = 22
        client.sendall(struct.pack(">IIQ", 0x67446698, error, handle) + out)
        return True
