"""The exchanges under way, looked at together: has the browser left, does the app take too long?

Timers and a listener for each request would cost more than all else that is done for it; most
exchanges are over before anyone looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

from vibe.upstream import BadAnswer, Exchange

LOOK_S = 0.05


class Exchanges:
    """Those of one gateway."""

    def __init__(self) -> None:
        self._under_way: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(
        self, exchange: Exchange, listening: Callable[[], Coroutine[Any, Any, None]], *, soon: bool
    ) -> Watched:
        """For use with `async with`, see Watched."""
        return Watched(self, exchange, listening, soon)

    def add(self, one: Watched) -> None:
        self._under_way.add(one)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def remove(self, one: Watched) -> None:
        self._under_way.discard(one)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for one in list(self._under_way):
            one.look(loop.time())
        self._timer = loop.call_later(LOOK_S, self._look) if self._under_way else None


class Watched:
    """Ends the block without an error when `listening`, which runs beside it, returns: the browser
    has left. Ends it with BadAnswer when the app lets the exchange's deadline pass. `listening`
    begins when `listen` is called, or else `soon`."""

    def __init__(
        self,
        exchanges: Exchanges,
        exchange: Exchange,
        listening: Callable[[], Coroutine[Any, Any, None]],
        soon: bool,
    ) -> None:
        self._exchanges, self._exchange = exchanges, exchange
        self._listening, self._soon = listening, soon
        self._task: asyncio.Task[None] | None = None
        self._seen = self._left = self._late = self._over = False

    async def __aenter__(self) -> Watched:
        block = asyncio.current_task()
        assert block
        self._block, self._cancelling = block, block.cancelling()
        self._exchanges.add(self)
        return self

    def listen(self) -> None:
        """Has it begin now."""
        self._task = asyncio.create_task(self._listen())

    def look(self, now: float) -> None:
        """Called every LOOK_S."""
        if self._late or self._left:
            return
        if now >= self._exchange.deadline:
            self._late = True
            self._block.cancel()
        elif self._task is None and self._seen and self._soon:
            self.listen()
        self._seen = True

    async def _listen(self) -> None:
        try:
            await self._listening()
        finally:
            if not (self._over or self._late):
                self._left = True
                self._block.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._over = True
        self._exchanges.remove(self)
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
        if not (self._left or self._late):
            return False
        ours = self._block.uncancel() <= self._cancelling and kind is asyncio.CancelledError
        if self._task is not None and not self._task.cancelled():
            self._task.result()
        if ours and self._late:
            raise BadAnswer(self._exchange.lateness) from None
        return ours
