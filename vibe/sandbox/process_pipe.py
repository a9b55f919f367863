"""The one pipe over a process of this machine: its standard input, output and error."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

KEPT = 4096
"""Bytes of what it writes to standard error that are kept, for diagnostics."""


class ProcessPipe:
    """`link.Pipe` over a process; made by `await ProcessPipe.start(...)`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self.process = process
        self._in, self._out, self._err = process.stdin, process.stdout, process.stderr
        self._said = b""
        self._handle = _handle(process.pid)
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, argv: Sequence[str], *, descriptors: Sequence[int] = ()) -> ProcessPipe:
        """Starts the program with an empty environment but a PATH. Raises OSError."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 18,
            cwd="/",
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            pass_fds=tuple(descriptors),
            start_new_session=True,
        )
        return cls(process)

    async def read(self) -> bytes:
        return await self._out.read(1 << 18)

    def write(self, data: bytes) -> None:
        self._in.write(data)

    async def drain(self) -> None:
        await self._in.drain()

    def waiting(self) -> int:
        return self._in.transport.get_write_buffer_size()

    def close(self) -> None:
        if not self._in.is_closing():
            self._in.transport.abort()

    def diagnostics(self) -> str:
        return self._said.decode(errors="replace")

    async def end(self) -> None:
        """Kills the process and returns once it is gone; safe to call twice."""
        if self._handle is not None:
            # Process.kill would first look whether it has ended, and so take that from asyncio
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            os.close(self._handle)
            self._handle = None
        self.close()
        await self.process.wait()
        self._listening.cancel()
        await asyncio.wait([self._listening])

    async def _listen(self) -> None:
        while data := await self._err.read(KEPT):
            self._said = (self._said + data)[-KEPT:]


def _handle(pid: int) -> int | None:
    """A descriptor that stands for this process alone; None when it is gone already."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
