"""The builds that go on in this process: begun, followed, asked, stopped and archived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from functools import partial

from vibe import by_hand, pinning, rechecking, versions
from vibe.app import App, Revision, Spent, Way
from vibe.archive import Archive
from vibe.attempt import Request, Workbench
from vibe.budget import Budget
from vibe.errors import ModelFault, UserError, VibeError
from vibe.events import Answered, Asked, Event, Finished, Requested, now
from vibe.granted import Granted
from vibe.keeping import Keeper
from vibe.kinds import kind as kind_named
from vibe.loop import Built, build
from vibe.model import Model
from vibe.plan import plan_to_data, read_plan
from vibe.previews import Previews
from vibe.redaction import redact
from vibe.sandbox import lock
from vibe.sandbox.engine import Engine
from vibe.settings import Settings
from vibe.supply import Supply

Place = Callable[..., AbstractAsyncContextManager[float]]
"""Keeps memory for an app's boxes of these images; gives the seconds it waited for that."""
Choose = Callable[[App, str, str | None], Coroutine[None, None, Model]]
"""The model that an app's words go to, given the name that was asked for."""


@dataclass(slots=True)
class _Build:
    """One build that goes on in this process."""

    task: asyncio.Task[Finished]
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    question: Asked | None = None
    """What the build waits for an answer to."""
    asked: list[Asked] = field(default_factory=list)
    """Every question so far."""
    answer: asyncio.Future[Answered] | None = None
    stopped: str = "You stopped it."
    """What is said of a stop."""


class Builds:
    """One per studio; whatever happens to a build, it ends with Finished in the archive."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        engine: Callable[[], Engine | None],
        archive: Archive,
        previews: Previews,
        place: Place,
        choose: Choose,
        granted: Callable[[App], Granted],
    ) -> None:
        self._settings = settings
        self._engine_now = engine
        self._archive = archive
        self._previews = previews
        self._place = place
        self._choose = choose
        self._granted = granted
        self._going: dict[str, _Build] = {}

    @property
    def _engine(self) -> Engine | None:
        return self._engine_now()

    def __contains__(self, app_id: str) -> bool:
        return app_id in self._going

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._going))

    def changed(self, app_id: str) -> None:
        """Tells those who follow the app's build that there is something new in the archive."""
        if going := self._going.get(app_id):
            going.changed.set()

    async def stop(self, app_id: str, why: str = "") -> None:
        """Cancels a running build; its box is gone when this returns. No build: does nothing.
        `why` is told when it was not the person who wanted it."""
        going = self._going.get(app_id)
        if going is None:
            await asyncio.to_thread(self._archive.load, app_id)
            return
        going.stopped = why or going.stopped
        going.task.cancel()
        await asyncio.gather(going.task, return_exceptions=True)

    def question(self, app_id: str) -> Asked | None:
        """What the app's build waits for an answer to, if it does (autonomy `ask`)."""
        going = self._going.get(app_id)
        return going.question if going else None

    async def answer(self, app_id: str, yes: bool, text: str = "") -> None:
        """Answers the build's question; for a plan, `text` is the plan as YAML, edited or not.

        Raises UserError when nothing is asked, or when the edited plan can't be read."""
        going = self._going.get(app_id)
        if going is None or going.question is None or going.answer is None:
            raise UserError("This app's build asks nothing right now.", "Look at its timeline.")
        if yes and going.question.what == "plan" and text.strip():
            try:
                read_plan(text, forced_kind=None)
            except ModelFault as fault:
                raise UserError(
                    "This plan can't be read.",
                    "Keep its shape: title, kind, summary, packages and checks, as YAML.",
                ) from fault
        if not going.answer.done():
            going.answer.set_result(Answered(what=going.question.what, yes=yes, text=text))

    async def wait(self, app_id: str) -> Finished:
        """The end of the build that is running (or that ran last)."""
        end: Finished | None = None
        async with aclosing(self.follow(app_id)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    end = event
        if end is None:
            raise UserError("This app has never been built.", "`vibe resume` builds it.")
        return end

    async def follow(self, app_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
        """The app's events from number `after` on: those there are, then the new ones as they
        come, until its build (if one is going on in this process) has ended."""
        place = 0
        while True:
            going = self._going.get(app_id)
            if going:
                going.changed.clear()
            events, place = await asyncio.to_thread(self._archive.events_on, app_id, place)
            for event in events[after:]:
                yield event
            after = max(0, after - len(events))
            if going is None:
                return
            if going is self._going.get(app_id):
                await going.changed.wait()

    async def start(
        self,
        app: App,
        words: str,
        *,
        revision: int,
        model: str | None,
        autonomy: str | None = None,
        way: str = "asked",
        report: str = "",
        files: Mapping[str, str] | None = None,
    ) -> App:
        """Begins the build of a revision; with `files` it is those, and no model writes any."""
        if app.id in self._going:
            raise UserError("This app is being built already.", "Wait for it, or stop it.")
        claim = AsyncExitStack()
        claim.enter_context(self._archive.claim(app.id))
        try:
            app = replace(app, status="building", used=now())
            await asyncio.to_thread(self._archive.save, app)
            asked = Requested(
                revision=revision,
                text=words,
                kind=app.kind,
                model="you" if files is not None else model or self._settings().model,
                autonomy=autonomy or self._settings().autonomy,
                way=way,
                report=redact(report, self._settings().known_secrets),
            )
            await asyncio.to_thread(self._archive.append, app.id, [asked], sync=True)
        except BaseException:
            await claim.aclose()
            raise
        task = asyncio.create_task(self._build(app, asked, model, files, claim))
        self._going[app.id] = _Build(task)
        return app

    async def _build(
        self,
        app: App,
        asked: Requested,
        model_name: str | None,
        files: Mapping[str, str] | None,
        claim: AsyncExitStack,
    ) -> Finished:
        """A build as a task: whatever happens, it ends with Finished in the archive."""
        budget = Budget(self._settings().limits, self._settings().prices)
        end = Finished(status="stopped", sentence="Stopped.")
        try:
            model: Model = by_hand.You()
            if files is None:
                model = await self._choose(app, asked.text, model_name)
            async with self._place(app.id, "python", "browser") as waited:
                budget.pause(waited)
                end = await self._through(app, asked, model, files, budget)
        except VibeError as error:
            end = Finished(status="failed", sentence=error.message, fix=error.fix)
        except asyncio.CancelledError:
            going = self._going.get(app.id)
            said = going.stopped if going else "It was stopped."
            end = Finished(status="stopped", sentence=said)
        except Exception as bug:
            end = Finished(
                status="failed", sentence=f"Vibe itself failed: {type(bug).__name__}: {bug}"
            )
            raise
        finally:
            await asyncio.shield(self._finish(app.id, end, budget.spent, claim))
        return end

    async def _finish(
        self, app_id: str, end: Finished, spent: Spent, claim: AsyncExitStack
    ) -> None:
        """Writes the end of a build; even a full disk must not keep the build's claim."""
        try:
            app = await asyncio.to_thread(self._archive.load, app_id)
            app = replace(app, status=end.status, spent=app.spent.plus(spent), used=now())
            await asyncio.to_thread(self._archive.save, app)
            await asyncio.to_thread(self._archive.append, app_id, [end], sync=True)
        finally:
            going = self._going.pop(app_id, None)
            if going:
                going.changed.set()
            await claim.aclose()

    def _put(self, app_id: str, question: Asked) -> None:
        """Puts a question before the person, once."""
        going = self._going[app_id]
        if question not in going.asked:
            going.asked.append(question)
            going.question = question
            going.answer = asyncio.get_running_loop().create_future()

    async def _answered(self, app_id: str, question: Asked) -> Answered:
        """Waits for the person's answer. The question's event may be on its way still, or have
        been told before."""
        self._put(app_id, question)
        going = self._going[app_id]
        assert going.answer is not None, "a question that is waited for is put"
        try:
            return await going.answer
        finally:
            going.question = going.answer = None

    async def _through(
        self,
        app: App,
        asked: Requested,
        model: Model,
        files: Mapping[str, str] | None,
        budget: Budget,
    ) -> Finished:
        """Drives the loop and archives what it tells."""
        way = way_of(asked)
        if files is None:
            new = asked.revision == 1 or way == "afresh"
            files = {} if new else await text_files(self._archive, app)
        request = Request(
            app_id=app.id,
            revision=asked.revision,
            words=asked.text,
            kind=app.kind if app.kind != "auto" else None,
            plan=app.plan if asked.revision > 1 or way != "asked" else {},
            files=files,
            data=await asyncio.to_thread(self._archive.data, app.id),
            way=way,
            wish=versions.wish(app) if way in ("repair", "afresh") else "",
            report=asked.report,
            granted=self._granted(app),
        )
        ends: list[Finished] = []

        async def hand_over(built: Built) -> None:
            ends.append(await self._keep(app, asked, model, built))

        stronger = "stronger" in self._settings().roles
        answered = partial(self._answered, app.id)
        ask = answered if asked.autonomy == "ask" else None
        unsure = answered if asked.autonomy != "free" else None
        supply = Supply(
            self._engine, self._settings().packages, unsure, lambda: budget.seconds_left / 2
        )
        two = asked.autonomy == "free"
        names = {self._settings().roles.get(role, model.name) for role in ("plan", "code")}
        bench = Workbench(
            model,
            self._engine,
            self._archive,
            budget,
            stronger,
            ask,
            supply,
            two,
            pictures=all(map(self._settings().takes_pictures, names)),
            serving=partial(self._previews.show_early, app.id, asked.revision),
        )

        async def keep(events: Sequence[Event], sync: bool) -> None:
            await asyncio.to_thread(self._archive.append, app.id, events, sync=sync)
            self._going[app.id].changed.set()

        way_of_building = by_hand.build if way == "edited" else build
        building = way_of_building(request, bench, hand_over)
        async with Keeper(keep) as keeper, aclosing(building) as events:
            async for event in events:
                if isinstance(event, Asked):
                    self._put(app.id, event)
                await keeper.take(event)
        return ends[0]

    async def _keep(self, app: App, asked: Requested, model: Model, built: Built) -> Finished:
        """Archives a build's result and puts a serving app before the user."""
        verdict, best, revision, way = built.verdict, built.best, asked.revision, way_of(asked)
        record = await asyncio.to_thread(self._archive.load, app.id)
        if way != "edited":
            record = replace(record, title=built.plan.title, model=model.name)
        if best is None:
            await asyncio.to_thread(self._archive.save, replace(record, verdict=verdict))
            return Finished(status="failed", sentence=verdict.sentence)
        runs = best.examination.runs
        kept = Revision(
            number=revision,
            request=asked.text,
            commit=best.commit,
            attempts=built.attempts,
            verdict=verdict,
            created=now(),
            way=way,
            model=model.name,
        )
        earlier = tuple(r for r in record.revisions if r.number < revision)
        if runs or not earlier or self._engine is None or way == "edited":
            await asyncio.to_thread(self._archive.tag, app.id, revision, best.commit)
            pins = record.pins
            if runs and not pins:
                pins = await asyncio.to_thread(
                    pinning.pins, self._archive.root, kind_named(built.plan.kind), best.examination
                )
            if runs:
                kind, files = kind_named(built.plan.kind), best.files
                await asyncio.to_thread(pinning.keep_libraries, self._archive, app.id, kind, files)
            record = replace(
                record,
                kind=built.plan.kind,
                plan=record.plan
                if way == "edited"
                else plan_to_data(replace(built.plan, packages=best.packages)),
                verdict=verdict,
                revisions=(*earlier, kept),
                pins=pins,
                seen=now() if rechecking.works(verdict) else record.seen,
            )
        await asyncio.to_thread(self._archive.save, record)
        if best.examination.picture:
            await asyncio.to_thread(
                self._archive.save_thumb, app.id, best.examination.picture, revision
            )
        last_two_and_best = {built.attempts - 1, built.attempts, best.number}
        await asyncio.to_thread(self._archive.keep_pictures, app.id, revision, last_two_and_best)
        if built.running is not None:
            await self._previews.show(app.id, revision, built.running)
        if runs:
            return Finished(status="ready", sentence=verdict.sentence)
        if way == "edited":
            return Finished(
                status="failed", sentence=f"Your edit is kept as r{revision}. {verdict.sentence}"
            )
        if earlier and self._engine is not None:
            sentence = (
                f"The change did not work: {verdict.sentence} Revision {earlier[-1].number} stays."
            )
            return Finished(status="failed", sentence=sentence)
        return Finished(status="failed", sentence=verdict.sentence)


async def text_files(archive: Archive, app: App) -> dict[str, str]:
    """The newest revision's files that are text; others stay out of prompts and replies."""
    return texts(await asyncio.to_thread(archive.files, app.id, app.revisions[-1].commit))


def texts(files: Mapping[str, bytes]) -> dict[str, str]:
    """Files as the model may see and write them: without the lock, which is ours."""
    return {
        path: data.decode("utf-8", "replace") for path, data in files.items() if path != lock.FILE
    }


def way_of(asked: Requested) -> Way:
    """A request's way; one that this version doesn't know is like any request in words."""
    known: dict[str, Way] = {"edited": "edited", "repair": "repair", "afresh": "afresh"}
    return known.get(asked.way, "asked")
