"""The connections to a running app's port: which are used again, and how long one may idle.

An app whose server handles one connection at a time is deaf to all others while one idles. So an
idle connection is given up after a moment's grace, which lets a busy page go on with it, unless the
app has been seen to hold more connections at once than are open now: then it has room for the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from vibe.sandbox.engine import Stream

KEPT = 6
"""How many may idle for longer than the grace; what a browser opens to one host."""


class Connection:
    """A stream to an app. `held`: the app has answered on it, and said that it may go on."""

    __slots__ = ("held", "since", "stream", "used")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.held = self.used = False
        self.since = 0.0


class Connections:
    """Those of one app. `open_stream` connects, and raises as `Box.open_stream` does."""

    def __init__(
        self, open_stream: Callable[[], Awaitable[Stream]], *, grace_s: float, idle_s: float
    ) -> None:
        """`idle_s` is how long one may idle where there is room, `grace_s` how long elsewhere."""
        self._open_stream = open_stream
        self._grace_s, self._idle_s = grace_s, idle_s
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._seen = 1
        self._tidying: asyncio.Task[None] | None = None

    async def take(self, *, fresh: bool = False) -> Connection:
        """A connection for one exchange: one that was used before, unless `fresh`, or a new one.
        It goes back with `give_back`."""
        while not fresh and self._idle:
            connection = self._idle.pop()
            if connection.stream.quiet():
                connection.used = True
                return connection
            await self._drop(connection)
        while self._idle and len(self._open) >= self._seen:
            await self._drop(self._idle.pop(0))  # what is opened now must not wait for it
        connection = Connection(await self._open_stream())
        self._open.add(connection)
        return connection

    def hold(self, connection: Connection) -> None:
        """To be told when the app has begun an answer after which the connection may go on."""
        if not connection.held:
            connection.held = True
            left = sum(not one.stream.quiet() for one in self._idle)
            self._seen = max(self._seen, sum(one.held for one in self._open) - left)

    async def give_back(self, connection: Connection, *, reusable: bool) -> None:
        """Ends an exchange's use of a connection."""
        if not reusable:
            await self._drop(connection)
            return
        connection.since = asyncio.get_running_loop().time()
        self._idle.append(connection)
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.create_task(self._tidy())

    async def close(self) -> None:
        """Gives up those that idle."""
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.wait([self._tidying])
        while self._idle:
            await self._drop(self._idle.pop())

    async def _tidy(self) -> None:
        """Gives up what has idled for too long, until nothing idles."""
        wait = self._grace_s
        while self._idle:
            await asyncio.sleep(wait)
            now, wait = asyncio.get_running_loop().time(), self._idle_s
            for connection in list(self._idle):
                age = now - connection.since
                room = len(self._open) < self._seen and len(self._idle) <= KEPT
                if age < self._grace_s:
                    wait = min(wait, self._grace_s - age)
                elif room and age < self._idle_s and connection.stream.quiet():
                    wait = min(wait, self._idle_s - age)
                elif connection in self._idle:
                    self._idle.remove(connection)
                    await self._drop(connection)
            wait = max(wait, 0.005)

    async def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        await connection.stream.close()
