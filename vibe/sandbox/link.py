"""The host end of the one pipe: channels with credit, over bytes that are hostile until checked.

A `Link` reads one pipe in one task, checks every frame against the state of its channel, and hands
it to that channel, whose buffer never exceeds WINDOW. Anything unknown, ill-timed or oversized
loses the box: the link closes and every call on it raises BoxLost with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vibe.errors import BoxLost, UserError
from vibe.sandbox.frames import PAYLOAD, VERSION, WINDOW, Decoder, Kind, bootstrap, encode

CHANNELS = 256
"""How many may be open at once; more wait."""
BACKLOG = 4 << 20
"""Bytes that may wait for a box that doesn't read; only credit and closes can add up to it."""
SMALL = 1024
"""Bytes of a piece that is kept together with the next one, when nobody has taken it yet."""
_DONE = struct.Struct("!Bi")
_U32 = struct.Struct("!I")
_ALLOWED = {
    "ping": {Kind.DONE},
    "ports": {Kind.DONE},
    "spare": {Kind.DONE},
    "claim": {Kind.DONE},
    "put": {Kind.CREDIT, Kind.DONE},
    "run": {Kind.DATA, Kind.ERR, Kind.CREDIT, Kind.DONE},
    "export": {Kind.DATA, Kind.DONE},
    "tcp": {Kind.OPENED, Kind.DATA, Kind.CREDIT, Kind.END, Kind.DONE},
    "accept": {Kind.OPENED, Kind.DATA, Kind.CREDIT, Kind.END, Kind.DONE},
}
"""Which frames the box may send on a channel opened for each purpose."""
_STREAMS = ("tcp", "accept")
"""Purposes whose channels are byte streams, once the box has said that they are open."""


class Pipe(Protocol):
    """Bytes to and from a runner; an engine makes one per box."""

    async def read(self) -> bytes:
        """What came, b"" at the end. Raises OSError or BoxLost."""

    def write(self, data: bytes) -> None:
        """Queues all of `data`."""

    async def drain(self) -> None:
        """Waits until the queue is short again. Raises OSError when the far side is gone."""

    def waiting(self) -> int:
        """Bytes in the queue."""

    def close(self) -> None:
        """Closes both ways at once; safe to call twice."""

    def diagnostics(self) -> str:
        """The last of what the runner wrote to standard error."""


@dataclass(frozen=True, slots=True)
class Done:
    """A channel's last frame."""

    failed: bool
    code: int
    """An errno when it failed; else an exit status, where there is one."""
    text: bytes


class Channel:
    """One thing asked of the box; made by `Link.open`."""

    def __init__(self, link: Link, number: int, purpose: str) -> None:
        self.id, self.purpose = number, purpose
        self.done: Done | None = None
        self.opened = False
        self._link = link
        self._pieces: deque[tuple[Kind, bytes]] = deque()
        self._may_send = WINDOW
        self._may_come = WINDOW
        self._eaten = 0
        self._ended = self._closing = self._sent_end = False
        self._waiters: set[asyncio.Future[None]] = set()

    async def wait(self, ready: Callable[[], bool]) -> None:
        """Until `ready()`. Raises BoxLost when the link is lost first."""
        while not ready():
            if self._link.lost:
                raise BoxLost(self._link.lost.message, self._link.lost.fix)
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    def wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def receive(self) -> tuple[Kind, bytes] | None:
        """The next piece (DATA, or ERR for standard error); None at the end."""
        await self.wait(lambda: bool(self._pieces or self._ended or self.done))
        if not self._pieces:
            return None
        kind, piece = self._pieces.popleft()
        self._eaten += len(piece)
        if self._eaten >= WINDOW // 4 and not (self.done or self._ended or self._closing):
            self._may_come += self._eaten
            self._link.post(Kind.CREDIT, self.id, _U32.pack(self._eaten))
            self._eaten = 0
        return kind, piece

    async def send(self, data: bytes) -> None:
        """All of `data`, as the box makes room. Raises ConnectionError when the far side closed."""
        view = memoryview(data)
        while view:
            await self.wait(lambda: bool(self._may_send or self.done or self._closing))
            if self.done or self._closing or self._sent_end:
                raise BrokenPipeError("the far side is closed")
            piece = bytes(view[: min(self._may_send, PAYLOAD)])
            view = view[len(piece) :]
            self._may_send -= len(piece)
            await self._link.send(Kind.DATA, self.id, piece)

    def end(self) -> None:
        """No more data from here."""
        if not (self.done or self._closing or self._sent_end):
            self._sent_end = True
            self._link.post(Kind.END, self.id)

    def close(self) -> None:
        """Asks for the end; what still comes is thrown away."""
        if not (self.done or self._closing):
            self._closing = True
            self._link.post(Kind.CLOSE, self.id)
        self._pieces.clear()
        self.wake()

    def quiet(self) -> bool:
        """Whether it is open both ways and nothing waits to be received."""
        over = self._ended or self.done or self._closing or self._sent_end or self._link.lost
        return not (self._pieces or over)

    async def finished(self) -> Done:
        """How it ended."""
        await self.wait(lambda: self.done is not None)
        assert self.done is not None
        return self.done

    def take(self, kind: Kind, payload: bytes) -> None:
        """A frame from the box. Raises BoxLost for one that can't come now."""
        if kind not in _ALLOWED[self.purpose]:
            raise BoxLost(f"The box sent {kind.name} on a {self.purpose} channel.")
        if kind is Kind.DONE:
            if len(payload) < _DONE.size:
                raise BoxLost("The box sent a broken DONE.")
            flag, code = _DONE.unpack_from(payload)
            self.done = Done(flag != 0, code, payload[_DONE.size :])
        elif kind is Kind.CREDIT:
            amount = _U32.unpack(payload)[0] if len(payload) == _U32.size else 0
            self._may_send += amount
            if not amount or self._may_send > WINDOW:
                raise BoxLost("The box gave credit it never had.")
        elif kind is Kind.OPENED:
            if self.opened or payload:
                raise BoxLost("The box opened a stream twice.")
            self.opened = True
        elif self._ended or (self.purpose in _STREAMS and not self.opened):
            raise BoxLost(f"The box sent {kind.name} outside a stream.")
        elif kind is Kind.END:
            self._ended = True
        else:
            self._may_come -= len(payload)
            if self._may_come < 0 or not payload:
                raise BoxLost("The box sent more than it may.")
            if not self._closing:
                self._keep(kind, payload)
        self.wake()

    def _keep(self, kind: Kind, payload: bytes) -> None:
        """Small pieces become one: a quarter of a million of a byte each would weigh megabytes."""
        last = self._pieces[-1] if self._pieces else (kind, b"")
        if last[0] is kind and 0 < len(last[1]) < SMALL and len(payload) < SMALL:
            self._pieces[-1] = (kind, last[1] + payload)
        else:
            self._pieces.append((kind, payload))


class Link:
    """A runner at the far end of a pipe. Made by `await Link.start(...)`, ended by `close`."""

    def __init__(self, pipe: Pipe) -> None:
        self.lost: BoxLost | None = None
        """Why the link is no more; None while it stands."""
        self.gone = asyncio.Event()
        self._pipe = pipe
        self._frames: list[bytes] = []
        self._unsent = 0
        """Bytes of those."""
        self._channels: dict[int, Channel] = {}
        self._next = 1
        self._slots = asyncio.Semaphore(CHANNELS)
        self._sending = asyncio.Lock()
        self._hello = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, pipe: Pipe, *, lifetime_s: float, within_s: float = 20.0) -> Link:
        """Sends the runner down the pipe and waits for its answer. Raises BoxLost."""
        link = cls(pipe)
        link._reader = asyncio.create_task(link._read())
        try:
            pipe.write(bootstrap(runner_source()))
            link.post(Kind.HELLO, 0, json.dumps({"lifetime_s": lifetime_s}).encode())
            async with asyncio.timeout(within_s):
                await link._hello.wait()
        except TimeoutError:
            link.lose(f"The box's runner said nothing for {within_s:.0f} s.")
        except BaseException:
            await link.close()
            raise
        if link.lost:
            await link.close()
            raise link.lost
        return link

    async def open(self, purpose: str, **wanted: Any) -> Channel:
        """A new channel. Raises BoxLost, and UserError when the request itself is too long."""
        payload = json.dumps({"do": purpose, **wanted}).encode()
        if len(payload) > PAYLOAD:
            raise UserError(
                "The command is too long for a box.", "Pass long input in a file or on its stdin."
            )
        await self._slots.acquire()
        if self.lost:
            self._slots.release()
            raise BoxLost(self.lost.message, self.lost.fix)
        channel = Channel(self, self._next, purpose)
        self._next += 1
        self._channels[channel.id] = channel
        self.post(Kind.OPEN, channel.id, payload)
        return channel

    def post(self, kind: Kind, channel: int, payload: bytes = b"") -> None:
        """Queues a small frame; a lost link swallows it."""
        if self.lost:
            return
        if not self._frames:
            # Each piece of the pipe passes through two programs: what is said at once goes at once.
            asyncio.get_running_loop().call_soon(self._flush)
        frame = encode(kind, channel, payload)
        self._frames.append(frame)
        self._unsent += len(frame)
        if self._unsent + self._pipe.waiting() > BACKLOG:
            self.lose("The box doesn't read its pipe.")

    def _flush(self) -> None:
        if self._frames and not self.lost:
            self._pipe.write(b"".join(self._frames))
        self._frames.clear()
        self._unsent = 0

    async def send(self, kind: Kind, channel: int, payload: bytes) -> None:
        """Queues a frame when the queue is short. Raises BoxLost."""
        if self._sending.locked() or self._unsent + self._pipe.waiting() > PAYLOAD:
            async with self._sending:
                self._flush()
                try:
                    await self._pipe.drain()
                except OSError as error:
                    self.lose(f"The pipe to the box broke: {error}.")
                self.post(kind, channel, payload)
        else:
            self.post(kind, channel, payload)
        if self.lost:
            raise BoxLost(self.lost.message, self.lost.fix)

    def lose(self, reason: str) -> None:
        """Ends the link; whoever waits on it gets BoxLost."""
        if self.lost:
            return
        said = self._pipe.diagnostics().strip().splitlines()
        self.lost = BoxLost(f"{reason} It said: {said[-1][:300]!r}." if said else reason)
        self._pipe.close()
        self._hello.set()
        self.gone.set()
        for channel in self._channels.values():
            self._slots.release()
            channel.wake()
        self._channels.clear()

    async def close(self) -> None:
        """Closes the pipe, which ends the runner."""
        self.lose("The box was stopped.")
        if self._reader and self._reader is not asyncio.current_task():
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader

    async def _read(self) -> None:
        decoder = Decoder()
        try:
            while data := await self._pipe.read():
                for kind, number, payload in decoder.feed(data):
                    self._take(kind, number, payload)
                if self.lost:
                    return
            self.lose("The box ended.")
        except BoxLost as error:
            self.lose(error.message)
        except OSError as error:
            self.lose(f"The pipe to the box broke: {error}.")
        finally:
            self.lose("The box is no longer listened to.")

    def _take(self, kind: Kind, number: int, payload: bytes) -> None:
        if not self._hello.is_set():
            if kind is not Kind.HELLO or number or payload != _U32.pack(VERSION):
                raise BoxLost("What answered in the box is not Vibe's runner.")
            self._hello.set()
            return
        channel = self._channels.get(number)
        if channel is None:
            raise BoxLost(f"The box sent {kind.name} on a channel that isn't open.")
        channel.take(kind, payload)
        if channel.done:
            del self._channels[number]
            self._slots.release()


def runner_source() -> bytes:
    """The runner, as it goes down the pipe."""
    return Path(__file__).with_name("runner.py").read_bytes()
