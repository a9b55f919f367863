"""Joins Chromium's connections to the app with those that are on offer from outside the box."""

import asyncio
import contextlib


class Ports:
    """Listens where Chromium looks for the app: 127.0.0.1, on the app's own port."""

    def __init__(self):
        self.offers = asyncio.Queue()
        self.listener = self.port = self.answer = None

    async def offered(self, reader, writer):
        await self.offers.put((reader, writer))

    async def asked(self, reader, writer):
        """Chromium wants a connection to the app: the next living offer becomes it (one byte
        tells the far side to begin)."""
        try:
            async with asyncio.timeout(10):
                far_reader, far_writer = await self.offers.get()
                while far_reader.at_eof():  # an offer of the look before this one
                    far_writer.close()
                    far_reader, far_writer = await self.offers.get()
        except TimeoutError:
            writer.close()
            return
        far_writer.write(b"!")
        await asyncio.gather(
            pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True
        )

    async def listen(self, port, answer=None):
        """Has Chromium's connections to that port answered by the app, or by `answer`."""
        self.answer = answer or self.asked
        if self.port == port:
            return
        if self.listener:
            self.listener.close()
        self.listener = await asyncio.start_server(
            lambda reader, writer: self.answer(reader, writer), "127.0.0.1", port
        )
        self.port = port


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        with contextlib.suppress(OSError):
            if writer.can_write_eof():
                writer.write_eof()
            else:
                writer.close()
