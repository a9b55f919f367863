import asyncio

import pytest

from vibe.events import Event, Notice
from vibe.narration import Emit, Narration


async def test_events_come_as_they_are_told_and_then_the_result() -> None:
    async def work(emit: Emit) -> int:
        emit(Notice(text="one"))
        await asyncio.sleep(0)
        emit(Notice(text="two"))
        return 7

    narration = Narration(work, seconds=5)
    assert [event.text async for event in narration] == ["one", "two"]  # type: ignore[attr-defined]
    assert narration.result == 7


async def test_what_the_work_raises_the_loop_raises_after_its_events() -> None:
    async def work(emit: Emit) -> None:
        emit(Notice(text="before"))
        raise KeyError("lost")

    seen: list[Event] = []

    async def read() -> None:
        async for event in Narration(work, seconds=5):
            seen.append(event)

    with pytest.raises(KeyError):
        await read()
    assert len(seen) == 1


async def test_work_that_takes_too_long_is_cancelled_and_raises_a_timeout() -> None:
    ended = asyncio.Event()

    async def work(emit: Emit) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        _ = [event async for event in Narration(work, seconds=0.05)]
    assert ended.is_set()


async def test_cancelling_the_reader_ends_the_work_before_it_returns() -> None:
    ended = asyncio.Event()

    async def work(emit: Emit) -> None:
        emit(Notice(text="go"))
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def read() -> None:
        async for _ in Narration(work, seconds=60):
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
