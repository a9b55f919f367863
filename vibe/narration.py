"""Runs one piece of work as a task and yields the events it tells while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from vibe.events import Event

T = TypeVar("T")
Emit = Callable[[Event], None]


class Narration(Generic[T]):
    """`async for event in narration` gives the work's events; afterwards `result` is its result.

    What the work raises, the loop raises. Leaving the loop early, or being cancelled in it, cancels
    the work and waits for its end; `seconds` bounds it and raises TimeoutError.
    """

    def __init__(self, work: Callable[[Emit], Awaitable[T]], *, seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._result: list[T] = []

    @property
    def result(self) -> T:
        return self._result[0]

    async def __aiter__(self) -> AsyncIterator[Event]:
        told: asyncio.Queue[Event | None] = asyncio.Queue()

        async def run() -> T:
            try:
                async with asyncio.timeout(self._seconds):
                    return await self._work(told.put_nowait)
            finally:
                told.put_nowait(None)

        task = asyncio.create_task(run())
        try:
            while (event := await told.get()) is not None:
                yield event
            self._result.append(await task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
