"""Places: who waits for boxes, in which order, and what a process that dies leaves of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from vibe.sandbox import places
from vibe.sandbox.places import Places, Waiting

SMALL = ["python"]
PAIR = ["python", "browser"]
ALL = PAIR * 2
GIANT = PAIR * 30
"""One GiB, three, all six that there are, and more than that."""


class Turn:
    """One that asks for a place, holds it until told to go, and remembers what it was told."""

    def __init__(self, line: Places, app: str, *images: str) -> None:
        self.told: list[int] = []
        self.inside = asyncio.Event()
        self.go = asyncio.Event()
        self.task = asyncio.create_task(self._take(line, app, images))

    async def _take(self, line: Places, app: str, images: Sequence[str]) -> None:
        async def tell(before: int) -> None:
            self.told.append(before)

        async with line.place(app, images, tell):
            self.inside.set()
            await self.go.wait()

    async def end(self) -> None:
        self.go.set()
        await self.task


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Places]:
    line = Places(tmp_path, 6 << 30)
    yield line
    line.close()


async def test_who_fits_gets_in_at_once_and_the_others_in_their_order(line: Places) -> None:
    first, second = Turn(line, "a", *PAIR), Turn(line, "b", *PAIR)
    await until(lambda: first.inside.is_set() and second.inside.is_set())
    third, fourth, small = Turn(line, "c", *PAIR), Turn(line, "d", *PAIR), Turn(line, "e", *SMALL)
    await until(lambda: small.told == [2] and fourth.told == [1] and third.told == [0])
    assert line.waiting() == [Waiting("c", 0), Waiting("d", 1), Waiting("e", 2)]
    await second.end()
    await until(third.inside.is_set)
    await until(lambda: small.told == [2, 1] and fourth.told == [1, 0])
    assert not small.inside.is_set(), "a small one doesn't overtake a large one for ever"
    await first.end()
    await until(fourth.inside.is_set)
    for turn in (third, fourth, small):
        await turn.end()
    assert first.told == second.told == []
    assert line.waiting() == []


async def test_who_stops_waiting_leaves_the_line(line: Places) -> None:
    first, second, third = Turn(line, "a", *ALL), Turn(line, "b", *ALL), Turn(line, "c", *ALL)
    await until(lambda: third.told == [1])
    second.task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await second.task
    await until(lambda: third.told == [1, 0])
    await first.end()
    await third.end()


async def test_one_that_wants_more_than_there_is_gets_in_alone(line: Places) -> None:
    small, giant = Turn(line, "a", *SMALL), Turn(line, "b", *GIANT)
    await until(lambda: giant.told == [0])
    await small.end()
    await until(giant.inside.is_set)
    await giant.end()


async def test_an_app_never_waits_for_its_own_preview_but_others_do(line: Places) -> None:
    previews = [line.hold("a", "browser") for _ in range(2)]
    other, own = Turn(line, "b", *PAIR), Turn(line, "a", *PAIR)
    await until(lambda: other.told == [0])
    for preview in previews:
        line.give_back(preview)
    await until(other.inside.is_set)
    await until(own.inside.is_set)
    previews = [line.hold("a", "browser") for _ in range(2)]
    again = Turn(line, "a", *PAIR)
    await until(again.inside.is_set)
    for preview in previews * 2:
        line.give_back(preview)
    for turn in (other, own, again):
        await turn.end()


async def test_the_line_is_shared_by_every_vibe_on_a_gallery_and_a_dead_one_is_out(
    line: Places, tmp_path: Path
) -> None:
    child = os.fork()
    if not child:
        try:
            other = Places(tmp_path, 6 << 30)
            for _ in range(3):
                other.hold("theirs", "browser")
            os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            os._exit(1)
    try:
        assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
        mine = Turn(line, "mine", *SMALL)
        await until(lambda: mine.told == [0])
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    await until(mine.inside.is_set)
    await mine.end()


async def test_another_gallery_has_a_line_of_its_own(line: Places, tmp_path: Path) -> None:
    elsewhere = Places(tmp_path / "elsewhere", 6 << 30)
    first, second = Turn(line, "a", *ALL), Turn(elsewhere, "a", *ALL)
    await until(lambda: first.inside.is_set() and second.inside.is_set())
    await first.end()
    await second.end()
    elsewhere.close()


@pytest.mark.parametrize("content", [b"this is no database " * 100, b""])
async def test_a_damaged_line_is_made_anew(line: Places, tmp_path: Path, content: bytes) -> None:
    (tmp_path / places.FILE).write_bytes(content)
    first, second = Turn(line, "a", *ALL), Turn(line, "b", *ALL)
    await until(lambda: first.inside.is_set() and second.told == [0])
    await first.end()
    await second.end()


async def test_a_line_that_cannot_be_written_keeps_nobody_from_working(
    line: Places, tmp_path: Path
) -> None:
    (tmp_path / places.FILE).mkdir()
    first, second = Turn(line, "a", *ALL), Turn(line, "b", *ALL)
    await until(lambda: first.inside.is_set() and second.inside.is_set())
    assert line.waiting() == []
    await first.end()
    await second.end()


async def test_nothing_of_an_app_stays_in_the_line(line: Places, tmp_path: Path) -> None:
    turn = Turn(line, "aardvark-counter-012345", *SMALL)
    await until(turn.inside.is_set)
    await turn.end()
    assert b"aardvark" not in (tmp_path / places.FILE).read_bytes()
    with contextlib.closing(sqlite3.connect(tmp_path / places.FILE)) as found:
        assert found.execute("SELECT count(*) FROM places").fetchone() == (0,)
