"""The apps that run before a person: each under a token, until its box ends or makes room."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass

from vibe.archive import Archive
from vibe.errors import EngineFault, NoSuchApp
from vibe.events import Acted, Output, now
from vibe.running import Running, how_it_ended
from vibe.sandbox.engine import Box
from vibe.settings import Settings
from vibe.troubles import Troubles

MOST = 6
"""How many previews run at once; the one opened longest ago makes room."""


@dataclass(frozen=True, slots=True)
class Live:
    """A running app that can be previewed."""

    app_id: str
    revision: int
    token: str
    """128 random bits in hex: the first label of the preview's host name. Dies with the box."""
    url: str
    """The preview's address, e.g. http://<token>.vibe.localhost:8501/"""
    port: int
    """What the gateway opens streams to, inside the box."""
    running: Running
    started: str

    @property
    def box(self) -> Box:
        return self.running.box


class Previews:
    """The running previews of one studio."""

    def __init__(self, settings: Settings, archive: Archive) -> None:
        self._settings = settings
        self._archive = archive
        self._lives: dict[str, Live] = {}
        self._watchers: set[asyncio.Task[None]] = set()
        self.troubles = Troubles([settings.api_key])

    def of(self, app_id: str) -> Live | None:
        """The app's running preview, if there is one."""
        return next((live for live in self._lives.values() if live.app_id == app_id), None)

    def all(self) -> list[Live]:
        """Every running preview, the one opened longest ago first."""
        return list(self._lives.values())

    def by_token(self, token: str) -> Live | None:
        """What a token stands for, for the gateway; None once its box is gone."""
        return self._lives.get(token)

    async def close(self) -> None:
        """Ends them all, at once."""
        await asyncio.gather(*map(self.end, self.all()), return_exceptions=True)
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    async def show(self, app_id: str, revision: int, running: Running) -> Live:
        """Gives a serving app a token; the preview it replaces is closed only now."""
        token = secrets.token_hex(16)
        before = self.of(app_id)
        live = Live(
            app_id, revision, token, self._settings.preview(token), running.port, running, now()
        )
        self._lives[token] = live
        self.troubles.forget(app_id)  # a program that begins anew has none yet
        running.printed.listener = self.troubles.listener(app_id, revision)
        if before is not None:
            await self.end(before)
        while len(self._lives) > MOST:
            await self.end(next(iter(self._lives.values())))
        watcher = asyncio.create_task(self._watch(live))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        return live

    async def _watch(self, live: Live) -> None:
        """Ends a preview whose program ended by itself, and says so in the transcript."""
        await asyncio.wait([live.running.command])
        if live.token not in self._lives:
            return
        command = live.running.command
        lost = command.cancelled() or command.exception() is not None
        ended = "its box ended" if lost else how_it_ended(command.result())
        said = [Output(stream="stderr", text=live.running.printed.tail[-4000:])]
        acted = Acted(action="ended", detail=f"The program ended by itself: {ended}.")
        if not lost:
            tail = live.running.printed.tail
            self.troubles.add(live.app_id, live.revision, acted.detail, tail, symptom=True)
        await self.end(live)
        with suppress(NoSuchApp):
            await asyncio.to_thread(self._archive.append, live.app_id, [*said, acted], sync=False)

    async def end(self, live: Live) -> None:
        if self._lives.pop(live.token, None) is None:
            return
        try:
            await self.keep_results(live.app_id, live.box)
        finally:
            await live.running.stop()

    def failed(self, live: Live, sentence: str) -> None:
        """Remembers an answer that the gateway could not use."""
        self.troubles.answered(live.app_id, live.revision, sentence)

    async def keep_results(self, app_id: str, box: Box) -> None:
        """Keeps what the program wrote to results/; a dead box or a full disk loses only that."""
        with suppress(EngineFault, NoSuchApp):
            async with asyncio.timeout(10):
                written = await box.export("results")
            files = {name.removeprefix("results/"): data for name, data in written.files.items()}
            if files:
                await asyncio.to_thread(self._archive.save_results, app_id, files)
