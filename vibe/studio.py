"""The one facade: create, change, rerun, stop, discard, restore; owns the running builds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from vibe import (
    bundle,
    by_hand,
    diagnosis,
    expiry,
    pinning,
    reach,
    rechecking,
    settings_file,
    versions,
    wheels,
)
from vibe.app import App, Rung, Way
from vibe.archive import Archive
from vibe.boxes import RunningBox, remove_box
from vibe.building import Builds, text_files, texts
from vibe.copies import copied
from vibe.doctor import Finding, examine
from vibe.errors import EngineFault, UserError, VibeError
from vibe.events import (
    Acted,
    Asked,
    Event,
    FilesWritten,
    Finished,
    Notice,
    Requested,
    now,
)
from vibe.going_back import go_back
from vibe.granted import Granted
from vibe.grants import Grants
from vibe.housekeeping import RESTING_S, keep_house
from vibe.kinds import kind as kind_named
from vibe.model import Endpoint, Model, OpenAIModel, Role, find_endpoint
from vibe.model_trial import Tried, try_role
from vibe.previews import Live, Previews
from vibe.purging import purge
from vibe.running import NotServing, Printed, app_box, how_it_ended, open_box, prepare, serve
from vibe.sandbox.engine import Box, Engine, Outcome, OutputSink
from vibe.sandbox.places import Places
from vibe.settings import Settings
from vibe.starters import CONNECT, STARTERS, StarterModel
from vibe.troubles import Trouble

PATIENCE_S = 60.0
"""How long a person waits for a box to run an app in; a build waits as long as it takes."""
GRANTS_S = 5.0
"""How often it is looked whether another Vibe has taken an app's hosts away."""
CLOCK_S = 6 * 3600.0
"""How often apps are looked through for those that have expired; days are what counts."""


class Studio:
    """One per process, used from one event loop: `async with Studio(settings, engine) as studio`.

    Archive reads (list, search, events, files, diff) go to `studio.archive` directly.
    Every method raises NoSuchApp for an unknown id, UserError with a fix for bad input."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine | None,
        *,
        engine_fault: EngineFault | None = None,
        grants: Callable[[Archive], Grants] = Grants,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.engine_fault = engine_fault
        """Why there is no engine, and what to do; None when there is one."""
        self.archive = Archive(settings.gallery, secrets=settings.known_secrets)
        self.line = Places(settings.gallery, int(settings.boxes_gib * (1 << 30)))
        """Who waits for boxes, and who has them."""
        self.previews = Previews(settings, self.archive, self.line)
        self.grants = grants(self.archive)
        self._known = settings.secrets
        """What was secret at the start; secrets of apps come and go."""
        self._using: dict[str, set[asyncio.Task[Any]]] = {}
        """By app, what runs its program beside previews and builds."""
        self._builds = Builds(
            lambda: self.settings,
            lambda: self.engine,
            self.archive,
            self.previews,
            self._place,
            self._model,
            self.grants.of,
        )
        self._opening: dict[str, asyncio.Lock] = {}
        self._saving = asyncio.Lock()
        self._clocks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.archive.recover)
        if self.engine is not None:
            with suppress(EngineFault):  # the house is kept from now on
                await self.engine.sweep()
        house = keep_house(
            self.engine,
            self.archive,
            self.previews,
            self.line,
            lambda: self.settings.idle_minutes * 60.0,
        )
        others = (self._look_at_the_clock(), self._look_at_the_grants())
        self._clocks = [asyncio.create_task(c) for c in (house, *others)]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stops every build and preview; their apps stay as they are in the archive."""
        for clock in self._clocks:
            clock.cancel()
        await asyncio.gather(*self._clocks, return_exceptions=True)
        why = "Vibe was stopped while this was built; nothing is lost."
        builds = [self._builds.stop(app_id, why) for app_id in self._builds]
        await asyncio.gather(*builds, return_exceptions=True)
        await self.previews.close()
        await self.grants.close()
        self.line.close()
        if self.engine is not None:
            await self.engine.close()

    # Building

    async def create(
        self,
        idea: str,
        *,
        kind: str = "auto",
        model: str | None = None,
        autonomy: str | None = None,
        data: Mapping[str, bytes] | None = None,
        remake_of: str = "",
        hosts: Sequence[str] = (),
    ) -> App:
        """Archives a new app and starts building it; returns at once with status `building`.
        `remake_of` is the id of the app that it makes again; `hosts` may be reached from the
        start."""
        idea = self._words(idea, "The idea")
        allowed = reach.hosts(hosts)
        if kind != "auto":
            kind_named(kind)
        app = await asyncio.to_thread(
            self.archive.create, idea, kind=kind, model=model or "", data=data
        )
        app = replace(app, remake_of=remake_of, hosts=tuple(map(str, allowed)))
        if allowed:
            acted = Acted(action="allowed", detail=f"{reach.in_words(allowed)}.")
            await asyncio.to_thread(self.archive.append, app.id, [acted], sync=False)
        return await self._builds.start(app, idea, revision=1, model=model, autonomy=autonomy)

    async def change(self, app_id: str, request: str, *, model: str | None = None) -> App:
        """Starts a new revision. Raises UserError while the app is being built."""
        request = self._words(request, "The request")
        app = await self._made(app_id)
        return await self._builds.start(app, request, revision=len(app.revisions) + 1, model=model)

    async def edit(
        self, app_id: str, files: Mapping[str, bytes], *, base: int | None = None
    ) -> App:
        """Starts a revision of the user's own: the app's whole code is these files. It is examined
        as a model's is, and kept whatever that shows; no model is asked.

        Raises UserError while the app is being built, for files that a model's reply might not have
        either, and when `base` (the revision that was edited) is no longer the newest."""
        app = await self._made(app_id)
        if base is not None and base != app.revisions[-1].number:
            raise UserError(
                f"Revision r{app.revisions[-1].number} was made while you edited r{base}.",
                "Copy what you wrote, look at the newer code, and edit that.",
            )
        texts = by_hand.edited(files, kind_named(app.kind), self.settings.limits.reply_bytes)
        words = by_hand.described(await text_files(self.archive, app), texts)
        number = len(app.revisions) + 1
        return await self._builds.start(
            app, words, revision=number, model=None, way="edited", files=texts
        )

    def troubles(self, app_id: str) -> list[Trouble]:
        """What went wrong while the app was used here, the newest first."""
        return self.previews.troubles.of(app_id)

    async def repair(self, app_id: str, key: str, *, model: str | None = None) -> App:
        """Starts a revision that mends one of the app's `troubles`, told to the model as a short
        report. Raises UserError when there is no such trouble any more."""
        app = await self._made(app_id)
        trouble = next((t for t in self.troubles(app_id) if t.key == key), None)
        if trouble is None:
            raise UserError("This error is no longer known.", "Use the app until it happens again.")
        app = await self._repaired(app, trouble.rung, model)
        self.previews.troubles.forget(app_id)
        return app

    async def repair_edit(self, app_id: str, failed: Rung, *, model: str | None = None) -> App:
        """Starts a revision in which a model mends what a person's own edit failed at. Raises
        UserError when the newest revision is none."""
        app = await self._made(app_id)
        if app.revisions[-1].way != "edited":
            raise UserError("This app was changed since.", "Ask for the change in words.")
        return await self._repaired(app, failed, model)

    async def _repaired(self, app: App, failed: Rung, model: str | None) -> App:
        return await self._builds.start(
            app,
            f"Repair: {failed.sentence}",
            revision=len(app.revisions) + 1,
            model=model,
            way="repair",
            report=diagnosis.report(failed, await text_files(self.archive, app)),
        )

    async def afresh(self, app_id: str, *, model: str | None = None) -> App:
        """Starts a revision that is written anew from the same plan: the model sees none of the
        code, and one line about each thing that went wrong before."""
        app = await asyncio.to_thread(self.archive.load, app_id)
        events = await asyncio.to_thread(self.archive.events, app_id)
        return await self._builds.start(
            app,
            "Try a different approach",
            revision=len(app.revisions) + 1,
            model=model,
            way="afresh",
            report=versions.lessons(events),
        )

    async def remake(self, app_id: str, *, model: str) -> App:
        """Starts a new app from the same words and data with that model, to be put beside the one
        there is; each knows of the other."""
        app = await asyncio.to_thread(self.archive.load, app_id)
        name = model.strip()
        if not name or len(name) > 200 or not name.isprintable():
            raise UserError("This is no model's name.", "Name one that your endpoint lists.")
        made = await self.create(
            versions.wish(app),
            kind=app.kind,
            model=name,
            data=await asyncio.to_thread(self.archive.data, app_id),
            remake_of=app_id,
        )
        app = await asyncio.to_thread(self.archive.load, app_id)
        await asyncio.to_thread(self.archive.save, replace(app, remakes=(*app.remakes, made.id)))
        return made

    async def remix(
        self,
        app_id: str,
        idea: str,
        *,
        model: str | None = None,
        autonomy: str | None = None,
        data: Mapping[str, bytes] | None = None,
    ) -> App:
        """Starts a new app that begins as a copy of another's newest revision, changed to what the
        idea asks for; the other one stays as it is."""
        idea = self._words(idea, "The idea")
        app = await asyncio.to_thread(copied, self.archive, app_id, idea, data or {})
        return await self._builds.start(app, idea, revision=2, model=model, autonomy=autonomy)

    async def resume(self, app_id: str, *, model: str | None = None) -> App:
        """Builds the last request again after a stop, a failure or an interruption."""
        app = await asyncio.to_thread(self.archive.load, app_id)
        asked = Requested(revision=1, text=app.idea, kind=app.kind, model="", autonomy="")
        commit = ""
        for event in await asyncio.to_thread(self.archive.events, app_id):
            if isinstance(event, Requested):
                asked, commit = event, ""
            elif isinstance(event, FilesWritten):
                commit = event.commit
        files: dict[str, str] | None = None
        if asked.way == "edited":
            if not commit:
                raise UserError("This edit was not kept.", "Edit the code again.")
            files = texts(await asyncio.to_thread(self.archive.files, app_id, commit))
        # A revision that was kept stays; what is asked for once more becomes another.
        kept = any(revision.number == asked.revision for revision in app.revisions)
        return await self._builds.start(
            app,
            asked.text,
            revision=len(app.revisions) + 1 if kept and asked.way == "edited" else asked.revision,
            model=model or (asked.model if app.remake_of and asked.revision == 1 else None),
            way=asked.way,
            report=asked.report,
            files=files,
        )

    async def stop(self, app_id: str) -> None:
        """Cancels a running build; its box is gone when this returns. No build: does nothing."""
        await self._builds.stop(app_id)

    def building(self, app_id: str) -> bool:
        """Whether this process is building that app now."""
        return app_id in self._builds

    def question(self, app_id: str) -> Asked | None:
        """What the app's build waits for an answer to, if it does (autonomy `ask`)."""
        return self._builds.question(app_id)

    async def answer(self, app_id: str, yes: bool, text: str = "") -> None:
        """Answers the build's question; for a plan, `text` is the plan as YAML, edited or not.

        Raises UserError when nothing is asked, or when the edited plan can't be read."""
        await self._builds.answer(app_id, yes, text)

    async def wait(self, app_id: str) -> Finished:
        """The end of the build that is running (or that ran last)."""
        return await self._builds.wait(app_id)

    def follow(self, app_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
        """The app's events from number `after` on: those there are, then the new ones as they
        come, until its build (if one is going on in this process) has ended."""
        return self._builds.follow(app_id, after)

    # Running

    async def run(self, app_id: str, *, revision: int | None = None, fresh: bool = False) -> Live:
        """The app's preview: the running one, or (also with `fresh`) a new box from the archived
        code, with no model call. Raises UserError for a script kind, EngineFault."""
        async with self._opening.setdefault(app_id, asyncio.Lock()), self._in_use(app_id):
            app = await asyncio.to_thread(self.archive.load, app_id)
            granted = self.grants.of(app)
            chosen = versions.revision(app, revision)
            live = self.live(app_id)
            if live and not fresh and live.revision == chosen.number:
                return live
            kind = kind_named(app.kind)
            if not kind.serves:
                raise UserError(
                    "This app is a script: it has no page to open.", "Run it with arguments."
                )
            files = await asyncio.to_thread(self.archive.files, app_id, chosen.commit)
            data = await asyncio.to_thread(self.archive.data, app_id)
            output: list[Event] = []
            async with self._place(app_id, "python", patience_s=PATIENCE_S):
                box = await self._box(app, files, data, output, granted)
                try:
                    start_s = self.settings.limits.start_s
                    running = await serve(
                        box, kind, start_s=start_s, emit=output.append, hosts=granted.hosts
                    )
                except NotServing as failure:
                    await box.stop()
                    self.previews.troubles.add(
                        app_id, chosen.number, failure.sentence, failure.evidence
                    )
                    raise UserError(
                        failure.sentence, "Ask for a repair, or see its log."
                    ) from failure
                except BaseException:
                    await box.stop()
                    raise
                output.append(Acted(action="run", detail=f"revision {chosen.number}"))
                await asyncio.to_thread(self.archive.append, app_id, output, sync=False)
                await asyncio.to_thread(self.archive.save, replace(app, used=now()))
                return await self.previews.show(app_id, chosen.number, running)

    async def run_script(
        self,
        app_id: str,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        on_output: OutputSink | None = None,
    ) -> Outcome:
        """Runs a script app in a new box; files it writes to results/ go to the archive."""
        app = await asyncio.to_thread(self.archive.load, app_id)
        kind = kind_named(app.kind)
        if kind.serves:
            raise UserError("This app has a page, it is not a script.", "Open its preview.")
        chosen = versions.revision(app, None)
        files = await asyncio.to_thread(self.archive.files, app_id, chosen.commit)
        data = await asyncio.to_thread(self.archive.data, app_id)
        output: list[Event] = []
        async with self._in_use(app_id), self._place(app_id, "python", patience_s=PATIENCE_S):
            box = await self._box(app, files, data, output, self.grants.of(app))
            try:
                printed = Printed(output.append)

                def both(stream: Literal["stdout", "stderr"], data: bytes) -> None:
                    printed(stream, data)
                    if on_output:
                        on_output(stream, data)

                outcome = await prepare(box, kind, wall_s=self.settings.limits.run_s)
                if outcome is not None and not outcome.ok:
                    both("stderr", outcome.stderr + outcome.stdout)
                else:
                    outcome = await box.run(
                        [*kind.argv(), *argv],
                        env=kind.env,
                        stdin=stdin,
                        wall_s=self.settings.limits.seconds,
                        on_output=both,
                    )
                left_out = await self.previews.keep_results(app_id, box)
            finally:
                await box.stop()
        self.previews.troubles.forget(app_id)
        if outcome.how == "error" and "Traceback (most recent call last)" in printed.tail:
            said = f"Run with {list(argv) or 'no arguments'}, it crashed: {how_it_ended(outcome)}."
            self.previews.troubles.add(app_id, chosen.number, said, printed.tail)
        if left_out:
            output.append(Acted(action="results", detail=f"Not kept: {'; '.join(left_out)}"))
        output.append(Acted(action="run", detail=f"{how_it_ended(outcome)}: {list(argv)}"))
        await asyncio.to_thread(self.archive.append, app_id, output, sync=False)
        await asyncio.to_thread(self.archive.save, replace(app, used=now()))
        return outcome

    async def _box(
        self,
        app: App,
        files: Mapping[str, bytes],
        data: Mapping[str, bytes],
        output: list[Event],
        granted: Granted,
    ) -> Box:
        """A box like the one the app first worked in; what differs is in its transcript."""
        engine = self._engine()
        ground = await pinning.ready(engine, self.archive.root, app, files, output.append)
        kind = kind_named(app.kind)
        return await open_box(
            engine.start,
            app_box(
                kind,
                app.id,
                output.append,
                packages=ground.packages,
                image_id=ground.image_id,
            ),
            files,
            data,
            output.append,
            kind=kind,
            kept=await asyncio.to_thread(self.archive.vendored, app.id),
            granted=granted,
        )

    async def check(self, app_id: str) -> App:
        """Runs the app's checks again, without a model; the app with its new verdict. Raises
        UserError while it is being built."""
        app = await asyncio.to_thread(self.archive.load, app_id)
        with self.archive.claim(app_id):
            async with (
                self._in_use(app_id),
                self._place(app_id, "python", "browser", patience_s=PATIENCE_S),
            ):
                return await rechecking.recheck(
                    self._engine(), self.archive, app, self.settings.limits, self.grants.of(app)
                )

    async def wheels(self, app_id: str) -> dict[str, bytes]:
        """The app's packages as files for a bundle, by name; none when the box's own are enough.
        Raises NoPackages when they can't be had."""
        app = await asyncio.to_thread(self.archive.load, app_id)
        wanted = await asyncio.to_thread(bundle.locked, self.archive, app)
        if wanted is None:
            return {}
        came = await asyncio.to_thread(wheels.read, self.archive.root / app_id)
        if wheels.complete(came, wanted):
            return came
        return await self._engine().packages.wheels(wanted)

    @asynccontextmanager
    async def _place(
        self, app_id: str, *images: str, patience_s: float | None = None
    ) -> AsyncIterator[float]:
        """Keeps memory for the app's boxes; gives the seconds it waited for that, which its
        transcript tells. Raises UserError after `patience_s`."""
        since = time.monotonic()
        waited = False

        async def told(before: int) -> None:
            nonlocal waited
            waited = True
            turn = f"{before} before you" if before else "you are next"
            await self._notice(app_id, f"Waiting for a free box: {turn}.")
            await self.previews.make_room(app_id, RESTING_S)

        async with AsyncExitStack() as place:
            try:
                async with asyncio.timeout(patience_s):
                    if self.engine is not None:
                        await place.enter_async_context(self.line.place(app_id, images, told))
            except TimeoutError:
                raise UserError(
                    "No box is free: other apps have all the memory that boxes may use.",
                    "Close a running app, or wait for a build; Settings shows both.",
                ) from None
            if waited:
                await self._notice(
                    app_id, f"A box is free, {time.monotonic() - since:.0f} s later."
                )
            yield time.monotonic() - since

    async def _notice(self, app_id: str, text: str) -> None:
        await asyncio.to_thread(self.archive.append, app_id, [Notice(text=text)], sync=False)
        self._builds.changed(app_id)

    def live(self, app_id: str) -> Live | None:
        """The app's running preview, if there is one."""
        return self.previews.of(app_id)

    async def close_preview(self, app_id: str) -> None:
        """Stops the app's preview, keeping what it wrote to results/."""
        live = self.live(app_id)
        if live is not None:
            await self.previews.end(live)

    async def keep_results(self, app_id: str) -> None:
        """Archives what the running app has written to results/ so far; it goes on running."""
        live = self.live(app_id)
        if live is not None:
            await self.previews.keep_results(app_id, live.box)

    # What an app is allowed

    async def allow(self, app_id: str, hosts: Sequence[str]) -> App:
        """Lets the app reach these hosts and no other; none takes every host and secret away. What
        runs of it is ended at once. Raises UserError for a name that can't be allowed."""
        allowed = tuple(map(str, reach.hosts(hosts)))
        app = await asyncio.to_thread(self.archive.load, app_id)
        if app.hosts == allowed:
            return app
        if set(allowed) > set(app.hosts):
            self._refuse_while_building(app_id)
        app = replace(app, hosts=allowed, secrets=app.secrets if allowed else ())
        words = f"{reach.in_words(reach.recorded(allowed))}."
        await self._regranted(app, Acted(action="allowed", detail=words))
        if not allowed:
            self.grants.forget(app_id)
            self._masks()
        return app

    async def give(self, app_id: str, name: str, value: str) -> App:
        """Gives the app a secret in the environment variable `name`, kept in memory alone; its
        boxes have it from the next one on. Raises UserError for an app that may reach no host."""
        name, value = reach.variable(name), reach.secret(value)
        app = await asyncio.to_thread(self.archive.load, app_id)
        if not reach.recorded(app.hosts):
            raise UserError(
                "This app may reach no host, so it gets no secrets.", "Allow it a host first."
            )
        if app.kind != "auto" and kind_named(app.kind).vendor:
            raise UserError(
                "This app is pages alone: what they know, everyone who opens them knows.",
                "Ask for an app with a program, such as a Flask app, to keep a secret in.",
            )
        names = reach.variables([*app.secrets, name])
        if name not in names:
            raise UserError(f"{reach.MOST} secrets are the most for one app.")
        self._refuse_while_building(app_id)
        self.grants.give(app_id, name, value)
        self._masks()
        app = replace(app, secrets=names)
        await self._regranted(
            app, Acted(action="given", detail=f"{name}, for as long as Vibe runs")
        )
        return app

    async def take_back(self, app_id: str, name: str) -> App:
        """Forgets one of the app's secrets, and that it wants one of that name."""
        app = await asyncio.to_thread(self.archive.load, app_id)
        if name not in app.secrets:
            return app
        app = replace(app, secrets=tuple(n for n in app.secrets if n != name))
        await self._regranted(app, Acted(action="taken back", detail=name[:80]))
        self.grants.forget(app_id, name)
        self._masks()
        return app

    def granted(self, app: App) -> Granted:
        """The hosts that the app may reach now, and which of its secrets are given."""
        return self.grants.of(app)

    def refusals(self, app_id: str) -> list[str]:
        """What the app's programs asked to reach in vain, in sentences."""
        return self.grants.refusals(app_id)

    async def _regranted(self, app: App, acted: Acted) -> None:
        """Writes what an app is granted now, and ends whatever runs with what it was before."""
        record = await asyncio.to_thread(self.archive.load, app.id)
        record = replace(record, hosts=app.hosts, secrets=app.secrets)
        await asyncio.to_thread(self.archive.save, record)
        await asyncio.to_thread(self.archive.append, app.id, [acted], sync=True)
        await self._end_all(app.id)

    async def _end_all(self, app_id: str) -> None:
        """Cuts the app's connections at once, then ends all that runs of it."""
        boxes = await self.grants.cut(app_id)
        await self._builds.stop(app_id)
        using = self._using.pop(app_id, set())
        for task in using:
            task.cancel()
        await asyncio.gather(*using, return_exceptions=True)
        await self.close_preview(app_id)
        for box in boxes:
            with suppress(EngineFault):  # the engine's sweep removes it
                await box.stop()

    def _masks(self) -> None:
        """Has the secrets of apps masked wherever Vibe's own are."""
        secrets = (*self._known, *self.grants.values())
        self.settings = replace(self.settings, secrets=secrets)
        self.archive.mask(self.settings.known_secrets)
        self.previews.troubles.mask(self.settings.known_secrets)

    async def _look_at_the_grants(self) -> None:
        """Ends what runs of apps for which another Vibe on this gallery has changed the hosts."""
        while True:
            await asyncio.sleep(GRANTS_S)
            changed = set(await self.grants.changed())
            for live in self.previews.all():
                if live.hosts != await self.grants.hosts(live.app_id):
                    changed.add(live.app_id)
            for app_id in changed:
                with suppress(VibeError):
                    await self._end_all(app_id)

    @asynccontextmanager
    async def _in_use(self, app_id: str) -> AsyncIterator[None]:
        """Something that runs the app's program, until what the app may have changes: then it is
        ended, which raises UserError."""
        task = asyncio.current_task()
        assert task is not None, "the studio is used from tasks"
        using = self._using.setdefault(app_id, set())
        using.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if self._using.get(app_id) is using:
                raise
            task.uncancel()
            raise UserError(
                "It was ended: what the app may reach has changed.", "Start it again."
            ) from None
        finally:
            using.discard(task)

    def _refuse_while_building(self, app_id: str) -> None:
        if app_id in self._builds:
            raise UserError("This app is being built.", "Wait for it, or stop it.")

    # The gallery

    async def discard(self, app_id: str) -> App:
        """Stops everything of the app and moves it to the trash; its secrets are forgotten."""
        await self._end_all(app_id)
        self.grants.forget(app_id)
        self._masks()
        return await asyncio.to_thread(self.archive.discard, app_id)

    async def restore(self, app_id: str) -> App:
        """Brings a discarded app back from the trash."""
        return await asyncio.to_thread(self.archive.restore, app_id)

    async def purge(self, app_id: str) -> list[str]:
        """Deletes a discarded app for good; returns the receipt, a line for each thing gone."""
        return await asyncio.to_thread(purge, self.archive, app_id)

    async def duplicate(self, app_id: str) -> App:
        """A new app from the present revision of another, ready at once."""
        return await asyncio.to_thread(self.archive.duplicate, app_id)

    async def keep(self, app_id: str, yes: bool = True) -> App:
        """Keeps an app for good, or lets it expire from now on. Not while it is being built."""
        if app_id in self._builds:
            raise UserError("This app is being built.", "Wait for it, or stop it.")
        return await asyncio.to_thread(self.archive.keep, app_id, yes)

    async def expire(self, at: datetime) -> list[App]:
        """Discards what is unused for too long at that time, and empties the trash of what has
        been there too long; what runs here counts as used. Returns what was discarded."""
        running = {live.app_id for live in self.previews.all()}
        await asyncio.to_thread(expiry.use, self.archive, running, at)
        days = self.settings.expiry_days
        gone = await asyncio.to_thread(
            partial(expiry.expire, self.archive, days, at=at, running={*running, *self._builds})
        )
        for app in gone:
            self.grants.forget(app.id)
        self._masks()
        days = self.settings.trash_days
        delete = partial(purge, self.archive)
        await asyncio.to_thread(partial(expiry.empty, self.archive, days, at=at, purge=delete))
        return gone

    async def _look_at_the_clock(self) -> None:
        """Lets apps expire at the start, and then every so often."""
        while True:
            with suppress(UserError):  # a disk that refuses: the next time
                await self.expire(datetime.now(UTC))
            await asyncio.sleep(CLOCK_S)

    async def go_back(self, app_id: str, revision: int, *, way: Way = "restored") -> App:
        """Makes an earlier revision the newest one again, with its plan and picture: appended, so
        nothing is lost. Raises UserError while the app is being built, here or elsewhere."""
        if app_id in self._builds:
            raise UserError("This app is being built.", "Wait for it, or stop it.")
        return await asyncio.to_thread(go_back, self.archive, app_id, revision, way)

    async def undo(self, app_id: str) -> App:
        """Goes back to the revision before the newest one; again, to the one before that. Raises
        UserError when there is none."""
        app = await self._made(app_id)
        target = versions.before(app)
        if target is None:
            raise UserError("There is nothing to undo: this is the first version.")
        return await self.go_back(app_id, target.number, way="undone")

    # Models

    async def endpoint(self) -> Endpoint | None:
        """The model endpoint that would be used now, None when there is none."""
        return await find_endpoint(self.settings)

    async def try_role(self, role: Role) -> Tried:
        """Asks that role's model for one word, now."""
        return await try_role(self.settings, role)

    # Upkeep

    async def examine(self) -> list[Finding]:
        """The doctor's findings, with the self-test of the engine."""
        return await examine(self.settings, self.engine)

    async def change_settings(self, changes: Mapping[str, Any]) -> Settings:
        """Writes these values to the settings file (None takes one out) and uses them from the
        next build on. Raises UserError, having changed nothing, for what can't be set there."""
        async with self._saving:
            changed = await asyncio.to_thread(settings_file.change, changes)
            named = {name: getattr(changed, name) for name in changes}
            self.settings = replace(self.settings, **named)
        return self.settings

    async def stop_box(self, box: RunningBox) -> None:
        """Ends a box, and with it the preview or the build that it works for."""
        live = self.live(box.app)
        if live is not None and live.box.id == box.id:
            await self.previews.end(live)
        elif box.app in self._builds:
            await self.stop(box.app)
        await asyncio.to_thread(remove_box, self.settings.gallery, box.id)

    async def _model(self, app: App, words: str, name: str | None) -> Model:
        """The model of one build: the endpoint's, else the starter that fits the idea."""
        endpoint = None if name == STARTERS else await find_endpoint(self.settings)
        if endpoint is not None:
            # A remake is by one model, whatever the settings give each role.
            alone = bool(app.remake_of and name)
            settings = replace(self.settings, roles={}) if alone else self.settings
            return OpenAIModel(endpoint, settings, model=name)
        if app.remake_of:
            raise UserError("No model is connected, so none can make this again.", CONNECT)
        line = versions.lineage(app.revisions)
        if any(revision.way == "edited" for revision in line):
            raise UserError(
                "You edited this app by hand, and a starter would write over that.",
                f"A model can change it. {CONNECT}",
            )
        changes = [revision.request for revision in line[1:]]
        if words != app.idea:
            changes.append(words)
        return StarterModel.for_idea(app.idea, app.kind, changes)

    def _engine(self) -> Engine:
        if self.engine is None:
            raise self.engine_fault or EngineFault("There is no sandbox engine.", "`vibe doctor`")
        return self.engine

    def _words(self, text: str, what: str) -> str:
        """The text without odd control characters. Raises UserError when empty or too long."""
        text = "".join(c for c in text if c.isprintable() or c in "\n\t").strip()
        if not text:
            raise UserError(f"{what} is empty.", "Say in a sentence what the program should do.")
        size, most = len(text.encode()), self.settings.limits.idea_bytes
        if size > most:
            raise UserError(
                f"{what} is {size:,} bytes long; {most:,} are the most.",
                "Say it shorter, and attach long material as a file.",
            )
        return text

    async def _made(self, app_id: str) -> App:
        """The app. Raises UserError when it has no revision yet."""
        app = await asyncio.to_thread(self.archive.load, app_id)
        if not app.revisions:
            raise UserError(
                "There is no version of this app to change yet.", "Build it again first."
            )
        return app
