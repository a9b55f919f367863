"""The apps that run before a person: each under a token, until its box ends or makes room."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace

from vibe.archive import Archive
from vibe.errors import EngineFault, NoSuchApp, UserError
from vibe.events import Acted, Output, now
from vibe.reach import Host
from vibe.running import Running, how_it_ended
from vibe.sandbox.engine import Box
from vibe.sandbox.places import Places
from vibe.settings import Settings
from vibe.troubles import Troubles

MOST = 6
"""How many previews run at once; the one opened longest ago makes room."""
LAST_S = 60.0
"""Before the end of its box's life a preview is ended, while its results can still be fetched."""
NOTHING_WRITTEN = ("results", "No such file or directory")
"""What a box answers of a folder that the program never made."""


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
    early: bool = False
    """Whether its build still checks it: its box is then the build's, and never stopped here."""

    @property
    def box(self) -> Box:
        return self.running.box

    @property
    def hosts(self) -> tuple[Host, ...]:
        """What its pages may reach beside the app itself."""
        return self.running.hosts


class Previews:
    """The running previews of one studio."""

    def __init__(self, settings: Settings, archive: Archive, line: Places) -> None:
        self._settings = settings
        self._archive = archive
        self._line = line
        self._lives: dict[str, Live] = {}
        self._held: dict[str, str] = {}
        """By token, what is given back to the line when the box is gone."""
        self._watchers: set[asyncio.Task[None]] = set()
        self.troubles = Troubles(settings.known_secrets)

    def of(self, app_id: str) -> Live | None:
        """The app's running preview, if there is one. Any thread may ask."""
        return next((live for live in self.all() if live.app_id == app_id), None)

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
        """Gives a serving app a token; the preview it replaces is closed only now. One that was
        shown early keeps its token, so that whoever uses it notices nothing."""
        before = self.of(app_id)
        if before is not None and before.running is running:
            live = replace(before, revision=revision, early=False)
            self._lives[live.token] = live
        else:
            live = self._opened(app_id, revision, running)
            if before is not None:
                await self.end(before)
        if live.token not in self._held:
            self._held[live.token] = self._line.hold(app_id, "python")
        self.troubles.forget(app_id)  # a program that begins anew has none yet
        running.printed.listener = self.troubles.listener(app_id, revision)
        await self._make_room()
        self._watch_over(live)
        return live

    async def show_early(self, app_id: str, revision: int, running: Running) -> None:
        """Shows an app that its build still checks, unless the app has a preview already. It ends
        with its box, which is the build's to stop."""
        if self.of(app_id) is None:
            self._watch_over(self._opened(app_id, revision, running, early=True))
            await self._make_room()

    def _opened(self, app_id: str, revision: int, running: Running, *, early: bool = False) -> Live:
        token = secrets.token_hex(16)
        url = self._settings.preview(token)
        live = Live(app_id, revision, token, url, running.port, running, now(), early)
        self._lives[token] = live
        return live

    async def _make_room(self) -> None:
        while len(self._lives) > MOST:
            await self.end(next(iter(self._lives.values())))

    def _watch_over(self, live: Live) -> None:
        watcher = asyncio.create_task(self._watch(live))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _watch(self, live: Live) -> None:
        """Ends a preview whose program ended by itself, or whose box is about to reach the end of
        its life, and says so in the transcript."""
        left = live.running.until - asyncio.get_running_loop().time() - LAST_S
        await asyncio.wait([live.running.command], timeout=max(0.0, left))
        if self._lives.get(live.token) is not live:
            return
        if live.early:
            await self.end(live)
            return
        command = live.running.command
        lost = command.done() and (command.cancelled() or command.exception() is not None)
        if lost:
            ended = "The program ended: its box ended."
        elif not command.done():
            ended = "The program was ended: it has run as long as a box may."
        else:
            ended = f"The program ended by itself: {how_it_ended(command.result())}."
        said = [Output(stream="stderr", text=live.running.printed.tail[-4000:])]
        acted = Acted(action="ended", detail=ended)
        if command.done() and not lost:
            tail = live.running.printed.tail
            self.troubles.add(live.app_id, live.revision, acted.detail, tail, symptom=True)
        await self.end(live)
        with suppress(NoSuchApp):
            await asyncio.to_thread(self._archive.append, live.app_id, [*said, acted], sync=False)

    async def end(self, live: Live) -> None:
        if self._lives.pop(live.token, None) is None or live.early:
            return
        try:
            left_out = await self.keep_results(live.app_id, live.box)
            if left_out:
                acted = Acted(action="results", detail=f"Not kept: {'; '.join(left_out)}")
                with suppress(NoSuchApp):
                    await asyncio.to_thread(self._archive.append, live.app_id, [acted], sync=False)
        finally:
            try:
                await live.running.stop()
            finally:
                self._line.give_back(self._held.pop(live.token, ""))

    async def end_idle(self, seconds: float) -> None:
        """Ends those that nobody has used for so long, and says so in their transcripts."""
        for live in self._resting(seconds):
            await self._end_because(live, f"Nobody used it for {seconds / 60:.0f} minutes.")

    async def make_room(self, app_id: str, resting_s: float) -> None:
        """Ends the preview that rests the longest, if one does for that many seconds; never that
        of the app itself, which doesn't wait for it."""
        for live in [live for live in self._resting(resting_s) if live.app_id != app_id][:1]:
            await self._end_because(live, "It made room for an app that waited for a free box.")

    def _resting(self, seconds: float) -> list[Live]:
        found = [live for live in self.all() if not live.early and live.box.idle_s() > seconds]
        return sorted(found, key=lambda live: live.box.idle_s(), reverse=True)

    async def _end_because(self, live: Live, reason: str) -> None:
        with suppress(EngineFault):  # its box is the engine's to remove
            await self.end(live)
        acted = Acted(action="ended", detail=reason)
        with suppress(UserError):
            await asyncio.to_thread(self._archive.append, live.app_id, [acted], sync=False)

    def failed(self, live: Live, sentence: str) -> None:
        """Remembers an answer that the gateway could not use."""
        self.troubles.answered(live.app_id, live.revision, sentence)

    async def keep_results(self, app_id: str, box: Box) -> list[str]:
        """Keeps what the program wrote to results/, and says what was left out and why; a dead
        box or a full disk loses only that."""
        with suppress(EngineFault, UserError, TimeoutError):
            async with asyncio.timeout(10):
                written = await box.export("results")
            files = {name.removeprefix("results/"): data for name, data in written.files.items()}
            left_out = [
                f"{path} ({reason})"
                for path, reason in written.dropped[:20]
                if (path, reason) != NOTHING_WRITTEN
            ]
            if files:
                over = await asyncio.to_thread(self._archive.save_results, app_id, files)
                left_out += [f"{path} (too much together)" for path in over[:20]]
            return left_out
        return []
