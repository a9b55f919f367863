"""Clears away, while Vibe runs, what nobody owns or uses: boxes, builds, previews."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from vibe.archive import Archive
from vibe.errors import VibeError
from vibe.previews import Previews
from vibe.sandbox.engine import Engine
from vibe.sandbox.places import Places

ROUND_S = 10.0
"""How often it looks around: what a killed Vibe left is gone well within 30 s."""
RESTING_S = 10.0
"""A preview that nobody used for so long makes room when someone waits."""


async def keep_house(
    engine: Engine | None,
    archive: Archive,
    previews: Previews,
    line: Places,
    idle_s: Callable[[], float],
) -> None:
    """Goes round until it is cancelled. `idle_s` gives the seconds after which a preview that
    nobody uses is ended, 0 for never."""
    while True:
        await asyncio.sleep(ROUND_S)
        with suppress(VibeError):  # an engine or disk that fails now is asked again
            if engine is not None:
                await engine.sweep()
        with suppress(VibeError):
            await asyncio.to_thread(archive.recover)
        if seconds := idle_s():
            await previews.end_idle(seconds)
        if waiting := line.waiting():
            await previews.make_room(waiting[0].app, RESTING_S)
