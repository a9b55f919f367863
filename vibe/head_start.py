"""What an attempt needs besides its code, got while that is still being written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from vibe.errors import BoxLost
from vibe.events import Answered, Asked, Event
from vibe.kinds import Kind
from vibe.narration import Emit
from vibe.running import app_box
from vibe.sandbox.engine import Box, BoxSpec, Engine
from vibe.supply import Supplied, Supply


class HeadStart:
    """An attempt's packages, then its box, with its kind's programs half started in it.

    Used with `async with`; a box that nobody took by its end is given back. A question is put at
    once; whatever else there is to tell is told after what is told of the code's writing.
    """

    def __init__(
        self,
        kind: Kind,
        app_id: str,
        packages: Sequence[str],
        engine: Engine | None,
        supply: Supply | None,
        emit: Emit,
    ) -> None:
        self._kind, self._app_id, self._packages = kind, app_id, packages
        self._engine, self._supply = engine, supply
        self._emit = emit
        self._kept: list[Event] | None = []
        """What is still to be told; None once it has been."""
        self._taken = False

    async def __aenter__(self) -> Self:
        self._supplying = asyncio.create_task(self._supplied())
        self._opening = asyncio.create_task(self._opened())
        self._readying = asyncio.create_task(self._ready())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = (self._readying, self._supplying, self._opening)
        for task in tasks:
            task.cancel()
        *_, opened = await asyncio.gather(*tasks, return_exceptions=True)
        if not self._taken and not isinstance(opened, BaseException) and opened[0] is not None:
            await opened[0].stop()

    async def supplied(self, packages: Sequence[str]) -> Supplied:
        """What came of these packages, once they are there; tells all that there was to tell."""
        for event in self._kept or ():
            self._emit(event)
        self._kept = None
        if packages == self._packages:
            return await self._supplying
        return await self._supply.get(packages, self._emit) if self._supply else Supplied()

    async def start(self, spec: BoxSpec) -> Box:
        """The box, if one like that was got ready, and else a new one. Raises EngineFault."""
        assert self._engine is not None, "who has no engine asks for no box"
        if not self._taken:
            box, its = await self._opening
            if box is not None and its == spec:
                self._taken = True
                return box
        return await self._engine.start(spec)

    def _tell(self, event: Event) -> None:
        if self._kept is None or isinstance(event, Asked | Answered):
            self._emit(event)
        else:
            self._kept.append(event)

    async def _supplied(self) -> Supplied:
        if self._supply is None:
            return Supplied()
        return await self._supply.get(self._packages, self._tell)

    async def _opened(self) -> tuple[Box | None, BoxSpec]:
        supplied = await asyncio.shield(self._supplying)
        packages = supplied.lock.key if supplied.lock else ""
        spec = app_box(self._kind, self._app_id, self._tell, packages=packages, probed=True)
        return (await self._engine.start(spec) if self._engine else None), spec

    async def _ready(self) -> None:
        """Half starts the kind's programs; a box that is lost meanwhile is told when it is used."""
        box, _ = await asyncio.shield(self._opening)
        if box is None:
            return
        with contextlib.suppress(BoxLost):
            for argv, modules in self._kind.programs().items():
                await box.prepare(argv, modules)
