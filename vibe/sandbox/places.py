"""Who may have boxes now: places within the machine's memory, in the order they are asked for.

The line is in SQLite, in the gallery, so that every Vibe on it stands in the same one. Whose
process is gone is out of it: each Vibe holds an owner's lock, which dies with it.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from vibe.errors import EngineFault
from vibe.sandbox import owners
from vibe.sandbox.policy import MIB, load
from vibe.settings import SANDBOXES

FILE = ".places.sqlite"
SHARE = 0.75
"""The part of the machine's memory that all boxes may have together by default."""
LOOK_S = 0.2
"""How often those who wait look whether it is their turn."""
BUSY_S = 1.0
"""How long to wait for another process that writes the line, which takes it a millisecond."""

TABLE = """
CREATE TABLE IF NOT EXISTS places (
    number INTEGER PRIMARY KEY, token TEXT, owner TEXT, app TEXT, memory INTEGER, held INTEGER)
"""

Told = Callable[[int], Awaitable[None]]
"""Told how many are before one in the line: once it has to wait, and whenever that changes."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One that stands in the line."""

    app: str
    before: int
    """How many are before it."""


def machine_memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class Places:
    """The places of one gallery, as one Vibe uses them; `close` gives back what it has.

    A line that can't be read or written (a full disk) keeps nobody from working: then nobody waits.
    """

    def __init__(self, gallery: Path, memory: int = 0) -> None:
        """`memory`: bytes for all boxes together; 0: a share of what the machine has."""
        self._gallery, self._path = gallery, gallery / FILE
        self.memory = memory or int(machine_memory() * SHARE)
        images = load(SANDBOXES / "policy.yaml").images
        self._sizes = {name: allowed.memory * MIB for name, allowed in images.items()}
        self._owner: owners.Owner | None = None
        self._returned = asyncio.Event()

    @asynccontextmanager
    async def place(self, app: str, images: Iterable[str], told: Told) -> AsyncIterator[None]:
        """Waits until there is memory for an app's boxes, one of each image, and keeps it.

        What the app has already isn't counted against it (nobody waits for their own preview), and
        one that wants more than there is gets in when nobody else is there."""
        token = self._ask(app, images, held=False)
        try:
            known: int | None = None
            while (before := self._look(token)) is not None:
                if before != known:
                    known = before
                    await told(before)
                self._returned.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._returned.wait()
            yield
        finally:
            self.give_back(token)

    def hold(self, app: str, image: str) -> str:
        """Counts a box that is there already; what to give back when it is gone."""
        return self._ask(app, [image], held=True)

    def give_back(self, token: str) -> None:
        """Safe to call twice."""
        with suppress(sqlite3.Error, OSError), self._line() as line:
            line.execute("DELETE FROM places WHERE token = ?", [token])
        self._returned.set()

    def size(self, image: str) -> int:
        """Bytes of memory that a box of that image may use."""
        return self._sizes[image]

    def spare(self) -> int:
        """Bytes that nobody has; none while anyone waits, or the line can't be read."""
        if not self._path.exists():
            return self.memory
        with suppress(sqlite3.Error, OSError), self._line() as line:
            self._forget_dead(line)
            held = line.execute("SELECT memory, held FROM places").fetchall()
            return self.memory - sum(m for m, _ in held) if all(h for _, h in held) else 0
        return 0

    def waiting(self) -> list[Waiting]:
        """Who stands in the line now, in this Vibe or another on this gallery."""
        if not self._path.exists():
            return []
        with suppress(sqlite3.Error, OSError), self._line() as line:
            self._forget_dead(line)
            rows = line.execute("SELECT app FROM places WHERE NOT held ORDER BY number")
            return [Waiting(app, before) for before, (app,) in enumerate(rows.fetchall())]
        return []

    def close(self) -> None:
        if self._owner is not None:
            with suppress(sqlite3.Error, OSError), self._line() as line:
                line.execute("DELETE FROM places WHERE owner = ?", [self._owner.name])
            self._owner.release()
            self._owner = None

    def _ask(self, app: str, images: Iterable[str], *, held: bool) -> str:
        """A new place at the end of the line; one that is `held` is beside it."""
        token, memory = token_hex(8), sum(self._sizes[image] for image in images)
        with suppress(sqlite3.Error, OSError, EngineFault):
            if self._owner is None:
                self._owner = owners.Owner(self._gallery)
            with self._line() as line:
                line.execute(
                    "INSERT INTO places (token, owner, app, memory, held) VALUES (?, ?, ?, ?, ?)",
                    [token, self._owner.name, app, memory, held],
                )
        return token

    def _look(self, token: str) -> int | None:
        """How many are before that place; None when its turn has come, and it is held."""
        with suppress(sqlite3.Error, OSError), self._line() as line:
            self._forget_dead(line)
            rows = line.execute("SELECT token, app, memory, held FROM places ORDER BY number")
            places = rows.fetchall()
            mine = next((place for place in places if place[0] == token), None)
            if mine is None or mine[3]:
                return None
            _, app, memory, _ = mine
            before = [waits for waits, _, _, is_held in places if not is_held].index(token)
            others = sum(size for _, name, size, is_held in places if is_held and name != app)
            if before or (others and others + memory > self.memory):
                return before
            line.execute("UPDATE places SET held = 1 WHERE token = ?", [token])
        return None

    def _forget_dead(self, line: sqlite3.Connection) -> None:
        for (owner,) in line.execute("SELECT DISTINCT owner FROM places").fetchall():
            if not owners.alive(self._gallery, owner):
                line.execute("DELETE FROM places WHERE owner = ?", [owner])

    @contextmanager
    def _line(self) -> Iterator[sqlite3.Connection]:
        """The line, which nobody else changes meanwhile; a file that is none is made anew."""
        try:
            line = self._opened()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self._path.unlink(missing_ok=True)
            line = self._opened()
        with closing(line):
            yield line
            line.execute("COMMIT")

    def _opened(self) -> sqlite3.Connection:
        line = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            # nothing in here outlives its process, so nothing is worth waiting for the disk
            for option in ("synchronous = OFF", "journal_mode = MEMORY", "secure_delete = ON"):
                line.execute(f"PRAGMA {option}")
            line.execute("BEGIN IMMEDIATE")
            line.execute(TABLE)
        except BaseException:
            line.close()
            raise
        return line
