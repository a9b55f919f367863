"""What the gateway's tests need: a box that is this machine's loopback, and a served gateway."""

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field

import uvicorn

from vibe.gateway import Bounds, Gateway
from vibe.incoming import Incoming
from vibe.settings import Settings

TOKEN = "0123456789abcdef0123456789abcdef"


class SocketStream:
    """Stream over a TCP connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.taken = 0

    async def read(self, limit=65536):
        data = await self.reader.read(limit)
        self.taken += len(data)
        return data

    async def write(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def end(self):
        with contextlib.suppress(OSError):
            self.writer.write_eof()

    async def close(self):
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def quiet(self):
        return not (self.reader._buffer or self.reader.at_eof() or self.writer.is_closing())


class LoopbackBox:
    """As much of a Box as the gateway uses."""

    def __init__(self):
        self.streams = []
        self.fault = None

    async def open_stream(self, port):
        if self.fault:
            raise self.fault
        stream = SocketStream(*await asyncio.open_connection("127.0.0.1", port, limit=65536))
        self.streams.append(stream)
        return stream


@dataclass
class Running:
    """As much of a studio.Live as the gateway uses."""

    port: int
    token: str = TOKEN
    app_id: str = "app-1"
    box: LoopbackBox = field(default_factory=LoopbackBox)
    hosts: tuple = ()


@contextlib.asynccontextmanager
async def served(app, *, sock=None, **options):
    """`app` behind uvicorn in this loop; gives its port."""
    sock = sock or free_socket()
    config = uvicorn.Config(
        app,
        **{
            "http": Incoming,
            "ws": "websockets-sansio",
            "ws_max_size": 64 << 20,
            "ws_per_message_deflate": False,
            "log_config": None,
            "lifespan": "off",
            "server_header": False,
            "timeout_graceful_shutdown": 1,
            **options,
        },
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve(sockets=[sock]))
    port = sock.getsockname()[1]
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        await task


def free_socket():
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    return sock


@contextlib.asynccontextmanager
async def raw_server(answer):
    """A TCP server that hands each connection to `answer(reader, writer)`; gives its port."""
    tasks = set()

    async def connected(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def gateway_to(port, *, live=None, lives=None, assets=None, **bounds):
    """A gateway whose one preview is the server at `port`, or that has all of `lives` by token;
    gives a Preview."""
    live = live or Running(port)
    sock = free_socket()
    here = sock.getsockname()[1]
    told = []
    gateway = Gateway(
        (lives or {live.token: live}).get,
        Settings(port=here),
        Bounds(**bounds),
        failed=lambda live, sentence: told.append(sentence),
        assets=assets,
    )
    async with served(gateway, sock=sock):
        try:
            yield Preview(here, live, gateway, told)
        finally:
            await gateway.close()


@dataclass
class Preview:
    """Where a preview is."""

    port: int
    live: Running
    gateway: Gateway
    told: list = field(default_factory=list)
    """What the gateway said of answers that are errors of the app's."""

    @property
    def host(self):
        return f"{self.live.token}.vibe.localhost:{self.port}"

    @property
    def origin(self):
        return f"http://{self.host}"

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"
