"""What the gateway costs: requests, WebSocket messages and a download, beside the app by itself.

One program is served by uvicorn twice: in a box behind the gateway, and here on the loopback, where
it is reached directly. Program, gateway and client are processes of their own; each connection asks
again as soon as it has its answer. The program answers at once; at one address it works for 1 ms of
processor before, as a page that reads a file or fills a template does. `the pipe alone` is the
floor: questions that the box's runner answers itself, there and back through Docker, as many at
once.
Run: `python bench/gateway.py [--quick] [--json]`. Needs Docker.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import websockets

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.wire.preview_support import Running, free_socket, gateway_to
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import Box, BoxSpec

PROGRAM = b"""
import time
PAGE, PIECE = b"x" * 2000, bytes(1 << 16)
async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message["bytes"]})
    elif scope["type"] == "http":
        ends = time.thread_time() + (0.001 if scope["path"] == "/work" else 0)
        while time.thread_time() < ends:
            pass
        count = 800 if scope["path"] == "/file" else 0
        size = count * len(PIECE) or len(PAGE)
        await send({"type": "http.response.start", "status": 200, "headers": [
            (b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % size)]})
        for _ in range(count):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if count else PAGE})
"""
SERVE = ["-m", "uvicorn", "program:app", "--host", "127.0.0.1", "--log-level", "warning",
         "--http", "h11", "--ws", "websockets-sansio", "--lifespan", "off", "--port"]  # fmt: skip
SIZE = 800 << 16
Floor = Callable[[int, float], Awaitable[float]]


class Place:
    """Where the program is reached."""

    def __init__(self, port: int, host: str = "") -> None:
        self.port, self.host = port, host or f"127.0.0.1:{port}"

    async def get(self, path: str, ends: float) -> list[float]:
        """Seconds of one request after the other, until `ends` (at least one)."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        request = f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode()
        took = []
        while not took or time.monotonic() < ends:
            since = time.monotonic()
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            left = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            while left:
                piece = await reader.read(min(left, 1 << 20))
                assert piece, "the answer was cut short"
                left -= len(piece)
            took.append(time.monotonic() - since)
        writer.close()
        return took

    async def talk(self, seconds: float) -> list[float]:
        """Seconds of one WebSocket message there and back after the other."""
        took = []
        async with websockets.connect(
            f"ws://{self.host}/ws", host="127.0.0.1", port=self.port, compression=None,
            origin=f"http://{self.host}",  # type: ignore[arg-type]
        ) as socket:  # fmt: skip
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                since = time.monotonic()
                await socket.send(b"y" * 1000)
                await socket.recv()
                took.append(time.monotonic() - since)
        return took


async def serve_in_a_box() -> None:
    """As a process of its own: the program in a box, the gateway before it, until killed."""
    with tempfile.TemporaryDirectory() as folder:
        engine = await DockerEngine.open(gallery=Path(folder))
        box = await engine.start(BoxSpec(app="bench"))
        await box.put({"program.py": PROGRAM})
        command = asyncio.create_task(box.run(["python", *SERVE, "8000"], wall_s=None))
        while 8000 not in await box.ports():
            assert not command.done(), command.result().stderr
            await asyncio.sleep(0.05)
        live = Running(8000, box=box)  # type: ignore[arg-type]
        async with gateway_to(8000, live=live, at_once=200) as preview:
            print(json.dumps([preview.port, preview.host]), flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                print(json.dumps(await pings(box, *json.loads(line))), flush=True)
        await engine.close()


async def pings(box: Box, count: int, seconds: float) -> float:
    """Questions to the runner that are answered in a second, so many at once."""
    ends, done = time.monotonic() + seconds, 0

    async def ask() -> None:
        nonlocal done
        while time.monotonic() < ends:
            await box.ping()
            done += 1

    await asyncio.gather(*(ask() for _ in range(count)))
    return done / seconds


@contextlib.asynccontextmanager
async def places() -> AsyncIterator[tuple[dict[str, Place], Floor]]:
    """The program reached directly, and through the gateway; and what asks the runner."""
    with tempfile.TemporaryDirectory() as folder, free_socket() as sock:
        Path(folder, "program.py").write_bytes(PROGRAM)
        port = sock.getsockname()[1]
        sock.close()
        direct = await asyncio.create_subprocess_exec(
            "nice",
            "-n",
            "10",
            sys.executable,
            *SERVE,
            str(port),
            cwd=folder,  # as in a box
        )
        behind = await asyncio.create_subprocess_exec(
            *[sys.executable, __file__, "--serve"],
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert behind.stdout
            there = Place(*json.loads(await behind.stdout.readline()))
            here = Place(port)
            for _ in range(100):
                with contextlib.suppress(OSError):
                    await here.get("/", 0)
                    break
                await asyncio.sleep(0.1)

            async def floor(count: int, seconds: float) -> float:
                assert behind.stdin
                assert behind.stdout
                behind.stdin.write(json.dumps([count, seconds]).encode() + b"\n")
                return float(await behind.stdout.readline())

            yield {"directly": here, "through the gateway": there}, floor
        finally:
            direct.terminate()
            if behind.stdin:
                behind.stdin.close()
            await asyncio.gather(direct.wait(), behind.wait())


async def measure(seconds: float, rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    async with places() as (both, floor):
        for _ in range(rounds):
            for count, path in ((1, "/"), (10, "/"), (50, "/"), (10, "/work")):
                busy = " to an app that works for 1 ms" if path == "/work" else ""
                if not busy:
                    alone = await floor(count, seconds)
                    add(f"{count} at once, the pipe alone: questions a second", alone)
                for way, place in both.items():
                    ends = time.monotonic() + seconds
                    lists = await asyncio.gather(*(place.get(path, ends) for _ in range(count)))
                    took = sorted(one for each in lists for one in each)
                    what = f"{count} connections{busy}, {way}"
                    add(f"{what}: requests a second", len(took) / seconds)
                    add(f"{what}: p50, ms", statistics.median(took) * 1000)
                    add(f"{what}: p99, ms", took[int(len(took) * 0.99)] * 1000)
            for way, place in both.items():
                took = await place.talk(seconds)
                add(f"WebSocket, {way}: messages there and back a second", len(took) / seconds)
                add(f"WebSocket, {way}: p50, ms", statistics.median(took) * 1000)
                once = (await place.get("/file", 0))[0]
                add(f"download of 50 MiB, {way}: MiB/s", SIZE / (1 << 20) / once)
    return {name: round(statistics.median(values), 2) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds of a second each")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve_in_a_box())
        return
    table = asyncio.run(measure(*((1.0, 2) if arguments.quick else (4.0, 5))))
    for name, value in table.items():
        print(f"{name}: {value}")
    print("load average:", *Path("/proc/loadavg").read_text().split()[:3])
    if arguments.json:
        print(json.dumps({"bench": "gateway", "medians": table}))


if __name__ == "__main__":
    main()
