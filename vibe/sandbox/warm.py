"""Boxes that stand ready: started before anyone asks, with what an app's command imports imported.

Each hangs on a pipe of this process, and no other process can have it; so it is claimed by taking
it out of a list here, once, and never returned. It holds nothing of any app until then.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from vibe.errors import BoxLost, EngineFault
from vibe.sandbox.box import PipeBox
from vibe.sandbox.engine import Box, BoxSpec, Engine, Packages, Posture

Programs = Mapping[tuple[str, ...], Sequence[str]]
"""Commands that may be run in a box, each with the modules it imports in any case."""

USE_S = 3600.0
"""The longest use of a box that stood ready."""
AGE_S = 1800.0
"""A box that nobody claimed for so long makes way for one of today's image."""
RECENT_S = 60.0
"""As many boxes stand ready as were asked for in this time, at least one and at most the limit."""
IDLE_S = 600.0
"""None stands ready when none was asked for in this time."""
ROUND_S = 2.0
"""How often it looks whether too many or too few stand ready."""
PAUSE_S = 30.0
"""After a box that could not be started."""
REST_S = 5.0
"""After a box was handed out, its app has the processor for so long; then another is made ready."""


class WarmEngine:
    """`engine.Engine` over another: a box of it that stands ready, if there is one that fits, else
    one that it starts. Ended by `close`, which closes the other too."""

    def __init__(
        self,
        engine: Engine,
        programs: Programs,
        most: int,
        room: Callable[[int], bool],
        *,
        idle_s: float = IDLE_S,
        rest_s: float = REST_S,
    ) -> None:
        """At most `most` stand ready, while `room` says that nobody else needs the memory of so
        many boxes."""
        self.name = engine.name
        self._engine, self._programs, self._most, self._room = engine, programs, most, room
        self._idle_s, self._rest_s = idle_s, rest_s
        self._ready: deque[tuple[float, PipeBox]] = deque()
        self._asked: dict[str, float] = {}
        """When each app asked last."""
        self._starting = 0
        self._handed_out = float("-inf")
        self._look = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def packages(self) -> Packages:
        return self._engine.packages

    @property
    def ready(self) -> int:
        """How many boxes stand ready."""
        return len(self._ready)

    @property
    def wanted(self) -> int:
        """How many should stand ready: one for each app that asked lately, at least one."""
        now = time.monotonic()
        self._asked = {app: at for app, at in self._asked.items() if now - at <= self._idle_s}
        recent = sum(now - at < RECENT_S for at in self._asked.values())
        return min(self._most, max(1, recent)) if self._asked else 0

    def expect(self, app: str) -> None:
        """Says that this app will soon want a box."""
        self._asked[app] = time.monotonic()
        if self._keeper is None and self._most:
            self._keeper = asyncio.create_task(self._keep())
        self._look.set()

    async def start(self, spec: BoxSpec) -> Box:
        if spec.image != "python":
            return await self._engine.start(spec)
        try:
            if not spec.packages and spec.lifetime_s <= USE_S:
                while (box := self._taken(spec)) is not None:
                    try:
                        await box.claim(spec.app, spec.lifetime_s, spec.programs)
                    except BoxLost:
                        await self._end(box)
                    except BaseException:
                        await self._end(box)
                        raise
                    else:
                        return box
            self._starting += 1
            try:
                return await self._engine.start(spec)
            finally:
                self._starting -= 1
        finally:
            self._handed_out = time.monotonic()
            self.expect(spec.app)

    async def image(self, image_id: str, recipe: str) -> str:
        return await self._engine.image(image_id, recipe)

    async def probe(self) -> Posture:
        return await self._engine.probe()

    async def sweep(self) -> list[str]:
        return await self._engine.sweep()

    async def close(self) -> None:
        self._most = 0
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._engine.close()

    def _taken(self, spec: BoxSpec) -> PipeBox | None:
        """A box that stood ready, which nobody else gets any more."""
        for entry in list(self._ready):
            _, box = entry
            if not spec.image_id or spec.image_id == box.image:
                self._ready.remove(entry)
                return box
        return None

    async def _keep(self) -> None:
        """Starts and ends boxes as they are wanted, one at a time, until it is cancelled."""
        while True:
            self._look.clear()
            wait = ROUND_S
            try:
                await self._drop()
                if len(self._ready) < self._wanted(len(self._ready) + 1) and not self._starting:
                    # whoever has just got one comes first: this would take its processor
                    rest = self._handed_out + self._rest_s - time.monotonic()
                    if rest <= 0.0:
                        await self._add()
                        continue
                    wait = min(wait, rest)
            except EngineFault:
                wait = PAUSE_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._look.wait()
            if wait == PAUSE_S and self._look.is_set():
                await asyncio.sleep(ROUND_S)

    def _wanted(self, count: int) -> int:
        """How many should stand ready, none without room for `count`."""
        return self.wanted if self._room(count) else 0

    async def _drop(self) -> None:
        """Ends those that are lost, old, or more than are wanted."""
        now = time.monotonic()
        for entry in list(self._ready):
            since, box = entry
            too_many = len(self._ready) > self._wanted(len(self._ready))
            if entry in self._ready and (too_many or box.lost or now - since > AGE_S):
                self._ready.remove(entry)
                await self._end(box)

    async def _add(self) -> None:
        box = await self._engine.start(BoxSpec(lifetime_s=AGE_S + USE_S))
        assert isinstance(box, PipeBox), "every engine's boxes are on a pipe"
        try:
            for argv, modules in self._programs.items():
                await box.prepare(argv, modules)
        except BaseException:
            await self._end(box)
            raise
        self._ready.append((time.monotonic(), box))

    async def _end(self, box: PipeBox) -> None:
        with contextlib.suppress(EngineFault):
            await box.stop()
