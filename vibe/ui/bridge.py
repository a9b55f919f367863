"""The way from Streamlit's script threads to the studio, which lives in the server's event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import TimeoutError as NotInTime
from typing import Any, ParamSpec, TypeVar

from vibe.app import App, Rung
from vibe.archive import Archive
from vibe.boxes import RunningBox
from vibe.choice import chosen_model
from vibe.doctor import Finding
from vibe.endpoints import NOT_CHAT
from vibe.errors import EngineFault, UserError
from vibe.events import Asked, Finished
from vibe.granted import Granted
from vibe.model import Endpoint, Role
from vibe.model_trial import Tried
from vibe.previews import Live
from vibe.redaction import redact
from vibe.sandbox.engine import Engine, Outcome, OutputSink
from vibe.sandbox.places import Waiting
from vibe.settings import Settings
from vibe.studio import Studio
from vibe.troubles import Trouble

P = ParamSpec("P")
T = TypeVar("T")

PROMPT_S = 30.0
"""How long something that only touches the disk may take."""
BOX_S = 120.0
"""How long something that starts or stops boxes may take."""
CHECK_S = 300.0
"""How long running an app's checks again may take."""
MODEL_S = 30.0
PACKAGES_S = 420.0
"""How long fetching an app's packages for a bundle may take."""


class Bridge:
    """The studio for threads: its methods, blocking; what they raise is raised here.

    A thread that gives up waiting (UserError) cancels what it waited for."""

    def __init__(self, studio: Studio, loop: asyncio.AbstractEventLoop) -> None:
        self._studio = studio
        self._loop = loop
        self._model = (0.0, "")
        self._models: tuple[float, list[str]] = (0.0, [])

    @property
    def settings(self) -> Settings:
        return self._studio.settings

    @property
    def archive(self) -> Archive:
        """Safe to read from any thread."""
        return self._studio.archive

    @property
    def engine(self) -> Engine | None:
        return self._studio.engine

    @property
    def engine_fault(self) -> EngineFault | None:
        """Why there is no engine, and what to do; None when there is one."""
        return self._studio.engine_fault

    def create(
        self,
        idea: str,
        *,
        kind: str = "auto",
        model: str | None = None,
        autonomy: str | None = None,
        data: Mapping[str, bytes] | None = None,
    ) -> App:
        return self._wait(
            self._studio.create(idea, kind=kind, model=model, autonomy=autonomy, data=data)
        )

    def remix(
        self,
        app_id: str,
        idea: str,
        *,
        autonomy: str | None = None,
        data: Mapping[str, bytes] | None = None,
    ) -> App:
        return self._wait(self._studio.remix(app_id, idea, autonomy=autonomy, data=data))

    def keep_results(self, app_id: str) -> None:
        """Fetches what the running app has written to results/ so far."""
        self._wait(self._studio.keep_results(app_id))

    def change(self, app_id: str, request: str, *, model: str | None = None) -> App:
        return self._wait(self._studio.change(app_id, request, model=model))

    def edit(self, app_id: str, files: Mapping[str, bytes], *, base: int | None = None) -> App:
        return self._wait(self._studio.edit(app_id, files, base=base))

    def afresh(self, app_id: str, *, model: str | None = None) -> App:
        return self._wait(self._studio.afresh(app_id, model=model))

    def remake(self, app_id: str, *, model: str) -> App:
        return self._wait(self._studio.remake(app_id, model=model))

    def repair(self, app_id: str, key: str, *, model: str | None = None) -> App:
        return self._wait(self._studio.repair(app_id, key, model=model))

    def repair_edit(self, app_id: str, failed: Rung) -> App:
        return self._wait(self._studio.repair_edit(app_id, failed))

    def troubles(self, app_id: str) -> list[Trouble]:
        return self._wait(_called(self._studio.troubles, app_id))

    def forget_trouble(self, app_id: str, key: str) -> None:
        self._wait(_called(self._studio.previews.troubles.forget, app_id, key))

    def wheels(self, app_id: str) -> dict[str, bytes]:
        """The app's packages as files for a bundle."""
        return self._wait(self._studio.wheels(app_id), PACKAGES_S)

    def undo(self, app_id: str) -> App:
        return self._wait(self._studio.undo(app_id))

    def check(self, app_id: str) -> App:
        return self._wait(self._studio.check(app_id), CHECK_S)

    def resume(self, app_id: str, *, model: str | None = None) -> App:
        return self._wait(self._studio.resume(app_id, model=model))

    def stop(self, app_id: str) -> None:
        self._wait(self._studio.stop(app_id), BOX_S)

    def building(self, app_id: str) -> bool:
        return self._studio.building(app_id)

    def question(self, app_id: str) -> Asked | None:
        return self._studio.question(app_id)

    def answer(self, app_id: str, yes: bool, text: str = "") -> None:
        self._wait(self._studio.answer(app_id, yes, text))

    def wait(self, app_id: str, seconds: float) -> Finished:
        """The end of the build. Raises UserError when it goes on after that many seconds."""
        return self._wait(self._studio.wait(app_id), seconds)

    def run(self, app_id: str, *, revision: int | None = None, fresh: bool = False) -> Live:
        return self._wait(self._studio.run(app_id, revision=revision, fresh=fresh), BOX_S)

    def run_script(
        self,
        app_id: str,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        on_output: OutputSink | None = None,
    ) -> Outcome:
        """`on_output` is called in the server's loop: it must return at once."""
        run = self._studio.run_script(app_id, argv, stdin=stdin, on_output=on_output)
        return self._wait(run, BOX_S + self.settings.limits.seconds)

    def live(self, app_id: str) -> Live | None:
        return self._studio.live(app_id)

    def lives(self) -> list[Live]:
        return self._wait(_called(self._studio.previews.all))

    def waiting(self) -> list[Waiting]:
        """Who stands in the line for boxes, in this Vibe or another on its gallery."""
        return self._wait(_called(self._studio.line.waiting))

    def close_preview(self, app_id: str) -> None:
        self._wait(self._studio.close_preview(app_id), BOX_S)

    def discard(self, app_id: str) -> App:
        return self._wait(self._studio.discard(app_id), BOX_S)

    def restore(self, app_id: str) -> App:
        return self._wait(self._studio.restore(app_id))

    def purge(self, app_id: str) -> list[str]:
        return self._wait(self._studio.purge(app_id), BOX_S)

    def duplicate(self, app_id: str) -> App:
        return self._wait(self._studio.duplicate(app_id))

    def keep(self, app_id: str, yes: bool = True) -> App:
        return self._wait(self._studio.keep(app_id, yes))

    def masked(self, text: str) -> str:
        """What a program printed, without the secrets that it may have been given."""
        return redact(text, self.settings.known_secrets)

    def allow(self, app_id: str, hosts: Sequence[str]) -> App:
        return self._wait(self._studio.allow(app_id, hosts), BOX_S)

    def give(self, app_id: str, name: str, value: str) -> App:
        return self._wait(self._studio.give(app_id, name, value), BOX_S)

    def take_back(self, app_id: str, name: str) -> App:
        return self._wait(self._studio.take_back(app_id, name), BOX_S)

    def granted(self, app: App) -> Granted:
        return self._wait(_called(self._studio.granted, app))

    def refusals(self, app_id: str) -> list[str]:
        return self._wait(_called(self._studio.refusals, app_id))

    def go_back(self, app_id: str, revision: int) -> App:
        return self._wait(self._studio.go_back(app_id, revision))

    def change_settings(self, changes: Mapping[str, Any]) -> None:
        self._wait(self._studio.change_settings(changes))
        self._model, self._models = (0.0, ""), (0.0, [])

    def examine(self) -> list[Finding]:
        return self._wait(self._studio.examine(), BOX_S)

    def try_role(self, role: Role) -> Tried:
        return self._wait(self._studio.try_role(role), BOX_S)

    def endpoint(self) -> Endpoint | None:
        return self._wait(self._studio.endpoint())

    def stop_box(self, box: RunningBox) -> None:
        self._wait(self._studio.stop_box(box), BOX_S)

    def model_names(self) -> list[str]:
        """The models to choose from: those of the settings, then those the endpoint lists that can
        chat; empty without an endpoint. Looked up at most every MODEL_S."""
        looked, names = self._models
        if not looked or time.monotonic() - looked > MODEL_S:
            try:
                endpoint = self._wait(self._studio.endpoint())
            except UserError:
                endpoint = None
            named = [self.settings.model, *self.settings.roles.values()] if endpoint else []
            listed = [n for n in endpoint.models if not NOT_CHAT.search(n)] if endpoint else []
            names = list(dict.fromkeys(name for name in [*named, *listed] if name))
            self._models = (time.monotonic(), names)
        return names

    def model_name(self) -> str:
        """The model a build would use now, or that there is none, in words; looked up at most
        every MODEL_S."""
        looked, words = self._model
        if not words or time.monotonic() - looked > MODEL_S:
            try:
                words = self._wait(chosen_model(self.settings))
            except UserError as error:
                words = error.message
            self._model = (time.monotonic(), words)
        return words

    def _wait(self, doing: Coroutine[Any, Any, T], seconds: float = PROMPT_S) -> T:
        if self._loop.is_closed():
            doing.close()
            raise UserError("Vibe has stopped.", "Start it again: `vibe serve`.")
        future = asyncio.run_coroutine_threadsafe(doing, self._loop)
        try:
            return future.result(seconds)
        except NotInTime:
            if future.done():
                raise
            future.cancel()
            raise UserError(
                f"That took longer than {seconds:.0f} s.", "Try again; `vibe doctor` may know why."
            ) from None


async def _called(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """A plain call, made in the loop: it may look through what the loop changes."""
    return function(*args, **kwargs)


# Streamlit runs its script anew for every click; this module is imported once.
_open: Bridge | None = None


def install(bridge: Bridge | None) -> None:
    """Makes this the process's bridge (None: there is none any more). For the server, and tests."""
    global _open
    _open = bridge


def studio() -> Bridge:
    """The process's bridge. Raises UserError when no server has opened a studio."""
    if _open is None:
        raise UserError("Vibe's server isn't running.", "Start it with `vibe serve`.")
    return _open
