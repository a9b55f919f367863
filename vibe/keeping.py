"""Keeps the events of a build as they come: whole stages at once, streamed text in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from vibe.events import Event, Output, ReplyText

KEPT_EVENTS = 1000
"""Streamed events in one batch, most of them a token; joined, they are one in the transcript."""
KEPT_S = 0.1
"""How long a streamed event waits for others, whether they come or not."""

Keep = Callable[[Sequence[Event], bool], Awaitable[None]]
"""Writes events; True when they must be on the disk before it returns."""


class Keeper:
    """`async with Keeper(keep) as keeper: await keeper.take(event)`.

    An event that isn't streamed is written when `take` returns. Leaving, even by an exception or
    a cancellation, writes the rest. What `keep` raises, a later `take` or the end raises."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._taken: asyncio.Queue[Event | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._taken.put_nowait(None)
        await asyncio.shield(self._writer)

    async def take(self, event: Event) -> None:
        """Keeps the event, at once unless it is streamed."""
        self._taken.put_nowait(event)
        if not _streamed(event):
            written = asyncio.create_task(self._taken.join())
            try:
                await asyncio.wait({written, self._writer}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                written.cancel()
        if self._writer.done():
            self._writer.result()

    async def _write(self) -> None:
        ended = False
        while not ended:
            batch = await self._batch()
            ended = batch[-1] is None
            events = _joined(event for event in batch if event is not None)
            if events:
                await self._keep(events, not _streamed(events[-1]))
            for _ in batch:
                self._taken.task_done()

    async def _batch(self) -> list[Event | None]:
        """Streamed events that come close together, or all up to one that isn't streamed."""
        batch = [await self._taken.get()]
        with suppress(TimeoutError):
            async with asyncio.timeout(KEPT_S):
                while _streamed(batch[-1]) and len(batch) < KEPT_EVENTS:
                    batch.append(await self._taken.get())
        return batch


def _joined(events: Iterable[Event]) -> list[Event]:
    """The same text in as few events as there are changes of stream."""
    joined: list[Event] = []
    for event in events:
        match (joined[-1] if joined else None), event:
            case ReplyText(text=before), ReplyText(text=text):
                joined[-1] = replace(joined[-1], text=before + text)  # type: ignore[call-arg]
            case Output(text=before, stream=one), Output(text=text, stream=other) if one == other:
                joined[-1] = replace(joined[-1], text=before + text)  # type: ignore[call-arg]
            case _:
                joined.append(event)
    return joined


def _streamed(event: Event | None) -> bool:
    return isinstance(event, ReplyText | Output)
