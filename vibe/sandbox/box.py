"""A box over a link: commands, files and streams, and the host's own verdict on how they went."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Literal

from vibe.errors import BoxLost, EngineFault, UserError
from vibe.sandbox import files as pipe_files
from vibe.sandbox.engine import Export, How, Outcome, OutputSink
from vibe.sandbox.frames import Kind
from vibe.sandbox.link import Channel, Done, Link

OUTPUT_CAP = 1 << 20
"""Bytes of standard output, and of standard error, that a command may print."""
KILL_S = 5.0
"""How long the runner has to confirm that a command is dead; then the whole box goes."""
ANSWER_S = 10.0
TRANSFER_S = 60.0

Memory = Callable[[bool], Awaitable[bool]]
"""Whether the engine has evidence of a kill for memory that nobody has asked about yet; the
argument says that one is expected, so that it is worth waiting a moment for."""


class PipeBox:
    """`engine.Box` for any engine that gives a link, evidence of memory kills and a removal."""

    def __init__(
        self,
        link: Link,
        *,
        id: str,
        engine: str,
        image: str,
        lifetime_s: float,
        memory: Memory,
        remove: Callable[[], Awaitable[None]],
        name: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`name` writes the app's id on a box that was started without one."""
        self.id, self.engine, self.image = id, engine, image
        self._link, self._memory, self._remove = link, memory, remove
        self._name = name
        self._environment: dict[str, str] = {}
        self._naming: asyncio.Task[None] | None = None
        self.until = time.monotonic() + lifetime_s
        self._stopped = False
        self._prepared: set[tuple[str, ...]] = set()
        self._used = time.monotonic()
        self._removal: asyncio.Task[None] | None = None
        self._watch = asyncio.create_task(self._watch_over())

    async def put(self, files: Mapping[str, bytes]) -> None:
        pieces = list(pipe_files.encode(files))
        channel = await self._link.open("put")
        async with self._bounded(channel, TRANSFER_S):
            for piece in pieces:
                await channel.send(piece)
            channel.end()
            done = await channel.finished()
        if done.failed:
            why = os.strerror(done.code)
            path = ascii(done.text.decode(errors="replace"))[:200]
            if done.code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM):
                raise UserError("The files don't fit in the box.", "Use fewer or smaller files.")
            raise UserError(f"The file {path} can't be written in the box: {why}.")

    def give(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        wall_s: float | None = 30.0,
        on_output: OutputSink | None = None,
    ) -> Outcome:
        began = self._used = time.monotonic()
        left = self.until - began
        given = self._environment | dict(env or {})
        channel = await self._link.open("run", argv=list(argv), env=given)
        output = _Output(on_output)
        feeder = asyncio.create_task(_feed(channel, stdin))
        how: How | None = None
        done: Done | None = None
        try:
            async with asyncio.timeout(left if wall_s is None else min(left, wall_s)):
                while (piece := await channel.receive()) and output.take(*piece):
                    pass
                if output.truncated:
                    how = "output"
                else:
                    done = await channel.finished()
        except TimeoutError:
            how = "timeout"
        except BoxLost:
            how = await self._why_lost()
            if how is None:
                raise
        finally:
            feeder.cancel()
            await self._kill(channel)
        if done:
            how = await self._judge(done, output)
        return Outcome(
            how=how or "error",
            exit_code=None if done is None else (127 if done.failed else done.code),
            stdout=bytes(output.stdout),
            stderr=bytes(output.stderr),
            truncated=output.truncated,
            seconds=time.monotonic() - began,
        )

    async def ports(self) -> tuple[int, ...]:
        channel = await self._link.open("ports")
        async with self._bounded(channel, ANSWER_S):
            text = (await channel.finished()).text
        return struct.unpack(f"!{len(text) // 2}H", text[: len(text) // 2 * 2])

    async def prepare(self, argv: Sequence[str], modules: Sequence[str]) -> None:
        if tuple(argv) in self._prepared:
            return
        self._prepared.add(tuple(argv))
        channel = await self._link.open("spare", argv=list(argv), modules=list(modules))
        try:
            async with asyncio.timeout(TRANSFER_S):
                await channel.finished()
        except TimeoutError:
            pass  # a machine may be that busy; the box does without
        finally:
            channel.close()

    async def claim(self, app: str, lifetime_s: float, programs: Collection[Sequence[str]]) -> None:
        """Gives a box that stood ready its one use: for that app, for so long from now; of what
        was prepared only the commands `programs` are kept. Raises BoxLost."""
        kept = [list(argv) for argv in programs]
        channel = await self._link.open("claim", lifetime_s=lifetime_s, programs=kept)
        async with self._bounded(channel, ANSWER_S):
            await channel.finished()
        self.until = time.monotonic() + lifetime_s
        self._used = time.monotonic()
        self._watch.cancel()
        self._watch = asyncio.create_task(self._watch_over())
        if self._name is not None and app:
            self._naming = asyncio.create_task(self._named(self._name, app))

    async def _named(self, name: Callable[[str], Awaitable[None]], app: str) -> None:
        with contextlib.suppress(EngineFault):  # for people who look; the box works without
            await name(app)

    @property
    def lost(self) -> bool:
        """Whether the box is gone, or about to go."""
        return self._link.lost is not None

    async def ping(self) -> None:
        """Returns when the runner has answered. Raises BoxLost."""
        channel = await self._link.open("ping")
        async with self._bounded(channel, ANSWER_S):
            await channel.finished()

    async def open_stream(self, port: int) -> PipeStream:
        if not 0 < port < 65536:
            raise UserError(f"There is no port {port}.", "Ports are 1 to 65535.")
        channel = await self._link.open("tcp", port=port)
        try:
            async with asyncio.timeout(ANSWER_S):
                await channel.wait(lambda: channel.opened or channel.done is not None)
        except TimeoutError:
            channel.close()
            raise ConnectionError(f"port {port} accepts no connection") from None
        except BaseException:
            channel.close()
            raise
        if not channel.opened:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nothing listens on port {port}")
        return PipeStream(channel, self._use)

    async def accept(self, port: int) -> PipeStream:
        channel = await self._link.open("accept", port=port)
        try:
            await channel.wait(lambda: channel.opened or channel.done is not None)
        except BaseException:
            channel.close()
            raise
        if not channel.opened:
            raise ConnectionError(f"port {port} can't be listened to in the box")
        # what a program does by itself is no use that keeps it open
        return PipeStream(channel, lambda: None)

    def idle_s(self) -> float:
        return time.monotonic() - self._used

    def _use(self) -> None:
        self._used = time.monotonic()

    async def export(self, folder: str = ".", *, max_bytes: int = 64 << 20) -> Export:
        if folder not in (".", "") and (reason := pipe_files.odd(folder)):
            raise UserError(f"The folder {folder[:200]!r} can't be exported: {reason}.")
        reader = pipe_files.ExportReader(max_bytes)
        channel = await self._link.open(
            "export",
            folder=folder,
            max_bytes=max_bytes,
            max_file=pipe_files.MAX_FILE,
            max_files=pipe_files.MAX_FILES,
        )
        async with self._bounded(channel, TRANSFER_S):
            try:
                while piece := await channel.receive():
                    reader.feed(piece[1])
                if (await channel.finished()).failed:
                    raise BoxLost("The box failed to export.")
                return reader.end()
            except BoxLost as error:
                self._link.lose(error.message)
                raise

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.shield(self._end("The box was stopped."))

    async def _watch_over(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.until - time.monotonic()):
                await self._link.gone.wait()
        await asyncio.sleep(0.05)  # at its deadline the runner goes first and tidily
        with contextlib.suppress(EngineFault):
            await asyncio.shield(self._end("The box's time is over."))

    def _end(self, reason: str) -> asyncio.Task[None]:
        self._link.lose(reason)
        if self._removal is None:
            self._removal = asyncio.create_task(self._take_away())
        return self._removal

    async def _take_away(self) -> None:
        try:
            await self._remove()
        finally:
            await self._link.close()
            if self._watch is not asyncio.current_task():
                self._watch.cancel()

    async def _kill(self, channel: Channel) -> None:
        """Sees to it that nothing of a command lives, also when its caller is being cancelled."""
        if channel.done or self._link.lost:
            return
        channel.close()
        try:
            async with asyncio.timeout(KILL_S):
                await channel.finished()
        except TimeoutError:
            await asyncio.shield(self._end("The box couldn't kill a command."))
        except BoxLost:
            pass

    async def _judge(self, done: Done, output: _Output) -> How:
        if done.failed:
            output.stderr += f"can't be started: {os.strerror(done.code)}\n".encode()
            return "error"
        if done.code == 0:
            return "ok"
        killed = done.code in (-signal.SIGKILL, 128 + signal.SIGKILL)
        # the runner's count only says whether it is worth asking; the engine's evidence decides
        counted = done.text.isdigit()
        hint = counted and done.text.strip(b"0") != b""
        if (hint or (killed and not counted)) and await self._memory(hint):
            return "memory"
        return "error"

    async def _why_lost(self) -> How | None:
        """What the end of the box means for a command in it; None when nobody knows."""
        if self._stopped:
            return "killed"
        if time.monotonic() > self.until - 0.5:
            return "timeout"
        return "memory" if await self._memory(True) else None

    @contextlib.asynccontextmanager
    async def _bounded(self, channel: Channel, seconds: float) -> AsyncIterator[None]:
        """Loses the box when it takes longer; closes the channel when the caller is cancelled."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            reason = f"The box gave no answer for {seconds:.0f} s ({channel.purpose})."
            self._link.lose(reason)
            raise BoxLost(reason) from None
        except ConnectionError:
            self._link.lose(f"The box ended a {channel.purpose} early.")
            raise BoxLost(f"The box ended a {channel.purpose} early.") from None
        finally:
            channel.close()


class PipeStream:
    """`engine.Stream` over a channel."""

    def __init__(self, channel: Channel, use: Callable[[], None]) -> None:
        self._channel, self._use = channel, use
        self._rest = b""
        self._closed = False

    async def read(self, limit: int = 65536) -> bytes:
        if not self._rest and not self._closed:
            piece = await self._channel.receive()
            self._rest = piece[1] if piece else b""
            self._use()
        found, self._rest = self._rest[:limit], self._rest[limit:]
        return found

    async def write(self, data: bytes) -> None:
        self._use()
        await self._channel.send(data)

    async def end(self) -> None:
        self._channel.end()

    async def close(self) -> None:
        self._closed, self._rest = True, b""
        self._channel.close()

    def quiet(self) -> bool:
        return not self._rest and self._channel.quiet()


class _Output:
    """A command's output up to the cap."""

    def __init__(self, sink: OutputSink | None) -> None:
        self.stdout, self.stderr = bytearray(), bytearray()
        self.truncated = False
        self._sink = sink

    def take(self, kind: Kind, piece: bytes) -> bool:
        """False once there is more than the cap."""
        name: Literal["stdout", "stderr"] = "stderr" if kind is Kind.ERR else "stdout"
        kept = self.stderr if kind is Kind.ERR else self.stdout
        fits = piece[: OUTPUT_CAP - len(kept)]
        kept += fits
        self.truncated = len(fits) < len(piece)
        if fits and self._sink:
            self._sink(name, fits)
        return not self.truncated


async def _feed(channel: Channel, stdin: bytes) -> None:
    with contextlib.suppress(ConnectionError, BoxLost):
        await channel.send(stdin)
        channel.end()
