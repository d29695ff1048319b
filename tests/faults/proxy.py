"""A TCP proxy between a program and its broker, and what goes wrong on the way."""

import asyncio
import random
import socket
import struct
import threading

CHUNK = 16384


class Link:
    """One listening port; all that connects to it goes to the target's.

    Set at any time, from any thread: delay_s, bytes_per_s (0: as fast as it goes), frozen (nothing
    passes, nothing is said), refusing (what connects is closed at once), cut_within (the next so many
    chunks that pass are let through, of the one after only a part, and then the connection ends).
    """

    def __init__(self, name, target, seed):
        self.name, self.target = name, target
        self.random = random.Random(seed)
        self.delay_s = self.bytes_per_s = 0
        self.frozen = self.refusing = False
        self.cut_within = None
        self.cuts = self.stalled = self.accepted = 0
        self.writers = set()
        self.port = None

    def heal(self):
        self.delay_s = self.bytes_per_s = 0
        self.frozen = self.refusing = False
        self.cut_within = None

    # ---- in the proxy's thread ----

    async def listen(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        if self.refusing:
            self.cuts += 1
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self.accepted += 1
        pair = (writer, far_writer)
        self.writers.update(pair)
        try:
            await asyncio.gather(self.pump(reader, far_writer, pair),
                                 self.pump(far_reader, writer, pair))
        finally:
            self.writers.difference_update(pair)
            for w in pair:
                w.transport.abort()

    async def pump(self, reader, writer, pair):
        try:
            while data := await reader.read(CHUNK):
                await self.hold(len(data))
                if self.cut_within is not None:
                    self.cut_within -= 1
                    if self.cut_within < 0:
                        self.cut_within = None
                        self.cuts += 1
                        data = data[:self.random.randrange(len(data))]
                        writer.write(data)
                        await asyncio.wait_for(writer.drain(), 5)
                        break
                writer.write(data)
                await writer.drain()
        except (OSError, asyncio.TimeoutError):
            pass
        for w in pair:
            if not w.transport.is_closing():
                w.close()

    async def hold(self, count):
        if self.delay_s:
            self.stalled += 1
            await asyncio.sleep(self.delay_s)
        if self.bytes_per_s:
            self.stalled += 1
            await asyncio.sleep(count / self.bytes_per_s)
        while self.frozen:
            self.stalled += 1
            await asyncio.sleep(0.02)

    def end_all(self, reset):
        for w in list(self.writers):
            if w.transport.is_closing():
                continue
            if reset:
                w.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                                      struct.pack("ii", 1, 0))
                w.transport.abort()
            else:
                w.close()
            self.cuts += 1


class Proxy:
    """The links and the thread that serves them."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def link(self, name, target, seed):
        link = Link(name, target, seed)
        asyncio.run_coroutine_threadsafe(link.listen(), self.loop).result(10)
        return link

    def end_all(self, link, reset=False):
        self.loop.call_soon_threadsafe(link.end_all, reset)

    def close(self):
        async def stop():
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for t in tasks:
                t.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()
