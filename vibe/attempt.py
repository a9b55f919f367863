"""One attempt of a build: write, read, mend by rule, examine in a box."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vibe import diagnosis, prompts, starters
from vibe.app import Rung, Way
from vibe.archive import Archive
from vibe.browser import Eyes
from vibe.budget import Budget
from vibe.checks import Examination, examine
from vibe.errors import ModelFault
from vibe.events import (
    Answered,
    Asked,
    AttemptEnded,
    AttemptStarted,
    FilesWritten,
    Fixed,
    RungDone,
    Stage,
)
from vibe.fixes import ahead, mend
from vibe.granted import NOTHING, Granted
from vibe.head_start import HeadStart
from vibe.kinds import Kind, kind
from vibe.ladder import ADVICE, EXCUSED
from vibe.model import Model, Prompt, Role
from vibe.narration import Emit
from vibe.plan import Plan, plan_to_yaml
from vibe.running import Running
from vibe.sandbox import lock
from vibe.sandbox.engine import Engine
from vibe.supply import Supplied, Supply
from vibe.writing import write_files

FIXES = 3
"""Fixes by rule in one attempt, each followed by another examination."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of one build: a new app (revision 1) or a change to an old one."""

    app_id: str
    revision: int
    words: str
    """The idea, or the change that is asked for."""
    kind: str | None
    """The kind the user chose, or None for the plan to choose."""
    plan: Mapping[str, Any]
    """The plan so far as data; empty for a new app."""
    files: Mapping[str, str]
    """The app's files so far; empty for a new app."""
    data: Mapping[str, bytes]
    """What the user attached."""
    sample: str = ""
    """What a model is told of it: shape, types and first rows."""
    pictures: tuple[bytes, ...] = ()
    """Attached pictures, made small, for a model that takes pictures."""
    way: Way = "asked"
    wish: str = ""
    """All that the app shall do, in the user's words, where `words` don't say it."""
    report: str = ""
    """With `repair`, what went wrong; with `afresh`, the lessons of earlier tries."""
    granted: Granted = NOTHING
    """What the person allows the app beyond its box."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One reply and what came of it; without files when the reply could not be read."""

    number: int
    files: Mapping[str, str]
    commit: str
    examination: Examination
    packages: tuple[str, ...] = ()
    """What it wants: the plan's packages, and those that a rule added."""

    @property
    def score(self) -> tuple[int, int, int]:
        return self.examination.score

    @property
    def report(self) -> str:
        failed = self.examination.failed
        rungs = self.examination.rungs
        others = [r for r in rungs if not r.passed and r is not failed and r.name != ADVICE]
        return diagnosis.report(failed, self.files, others) if failed else ""


@dataclass(frozen=True, slots=True)
class Workbench:
    """What a build works with."""

    model: Model
    engine: Engine | None
    """None when no boxes can be had: the app is then written and archived, but never run."""
    archive: Archive
    budget: Budget
    stronger: bool = False
    """Whether settings name a stronger model, for when repairs and a fresh start fail."""
    ask: Callable[[Asked], Awaitable[Answered]] | None = None
    """With autonomy `ask`: waits for the person's answer."""
    supply: Supply | None = None
    """Gets the packages that the boxes' image lacks; None when none can be had."""
    two: bool = False
    """With autonomy `free`: two candidates side by side after the first failed behaviour."""
    pictures: bool = False
    """Whether the model takes pictures."""
    serving: Callable[[Running], Awaitable[None]] | None = None
    """Told of an app as soon as it serves, when nothing that its user does can reach its checks."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What one attempt starts from."""

    reason: str
    role: Role
    files: Mapping[str, str]
    report: str = ""
    """What went wrong: the report to repair by, or the lessons for a fresh start."""
    apart: bool = False
    """Whether it runs beside another and should go another way."""


async def make(
    request: Request,
    bench: Workbench,
    plan: Plan,
    number: int,
    trial: Trial,
    eyes: Eyes | None,
    emit: Emit,
) -> Attempt:
    """One attempt: write, read, mend, examine; a reply that can't be read is an attempt too."""
    wanted = kind(plan.kind)
    emit(AttemptStarted(revision=request.revision, attempt=number, reason=trial.reason))
    emit(Stage(name="code", sentence="Writing the code."))
    prompt = _prompt(request, wanted, plan, trial)
    async with HeadStart(
        wanted, request.app_id, plan.packages, bench.engine, bench.supply, emit
    ) as ready:
        try:
            reply = await write_files(prompt, wanted, trial.files, bench.model, bench.budget, emit)
        except ModelFault as fault:
            attempt = _unread(number, fault, emit)
        else:
            files: Mapping[str, str] = {**reply.files, **wanted.scaffold}
            if fix := ahead(wanted, files):
                emit(Fixed(rule=fix.rule, sentence=fix.sentence))
                files = fix.files
            attempt = await examined(request, bench, plan, number, files, eyes, emit, ready)
            attempt = await _mended(request, bench, plan, attempt, eyes, emit, ready)
    emit(ended(request, attempt))
    return attempt


def _unread(number: int, fault: ModelFault, emit: Emit) -> Attempt:
    """The attempt that a reply is which can't be read."""
    rung = Rung("parse", False, fault.message)
    emit(RungDone(name=rung.name, passed=False, sentence=rung.sentence, evidence="", seconds=0.0))
    return Attempt(number, {}, "", Examination((rung,), runs=False))


async def _mended(
    request: Request,
    bench: Workbench,
    plan: Plan,
    attempt: Attempt,
    eyes: Eyes | None,
    emit: Emit,
    ready: HeadStart,
) -> Attempt:
    """The attempt after what rules can mend in it; the same when they can't."""
    try:
        for _ in range(FIXES):
            failed = attempt.examination.failed
            if failed is None:
                break
            fix = mend(
                kind(plan.kind),
                attempt.files,
                failed,
                packages=attempt.packages,
                installs=bench.supply is not None,
            )
            if fix is None:
                break
            emit(Fixed(rule=fix.rule, sentence=fix.sentence))
            plan = replace(plan, packages=(*attempt.packages, *fix.packages))
            tried = await examined(
                request, bench, plan, attempt.number, fix.files, eyes, emit, ready
            )
            if await better(attempt, tried) is attempt:
                break
            attempt = tried
    except BaseException:
        await close(attempt)
        raise
    return attempt


async def examined(
    request: Request,
    bench: Workbench,
    plan: Plan,
    number: int,
    files: Mapping[str, str],
    eyes: Eyes | None,
    emit: Emit,
    ready: HeadStart | None = None,
) -> Attempt:
    """Gets the packages, commits the files with their lock and climbs the ladder with them; with
    `ready`, what was got while they were written."""
    files = {path: text for path, text in files.items() if path != lock.FILE}
    if ready is not None:
        supplied = await ready.supplied(plan.packages)
    else:
        supplied = await bench.supply.get(plan.packages, emit) if bench.supply else Supplied()
    content = {path: text.encode() for path, text in files.items()}
    if supplied.lock is not None:
        content[lock.FILE] = supplied.lock.text.encode()
    message = f"{request.words.strip()}\n\nrevision {request.revision}, attempt {number}"
    commit = await asyncio.to_thread(bench.archive.commit, request.app_id, content, message)
    emit(FilesWritten(files={path: len(data) for path, data in content.items()}, commit=commit))

    async def keep(pictures: Sequence[bytes]) -> list[str]:
        save = bench.archive.save_pictures
        return await asyncio.to_thread(save, request.app_id, request.revision, number, pictures)

    examination = await examine(
        kind(plan.kind),
        files,
        plan,
        engine=bench.engine,
        app_id=request.app_id,
        data=request.data,
        limits=bench.budget.limits,
        eyes=eyes,
        emit=emit,
        keep=keep,
        serving=bench.serving,
        supplied=supplied,
        kept=await asyncio.to_thread(bench.archive.vendored, request.app_id),
        granted=request.granted,
        start=ready.start if ready else None,
    )
    return Attempt(number, files, commit, examination, plan.packages)


def _prompt(request: Request, wanted: Kind, plan: Plan, trial: Trial) -> Prompt:
    """A first call (or a fresh one) writes or changes the code; the others repair it."""
    as_yaml = plan_to_yaml(plan)
    wish = request.wish or request.words
    if trial.role == "repair":
        return prompts.repair(
            wish,
            wanted,
            as_yaml,
            files=trial.files,
            report=trial.report,
            data=request.sample,
            apart=trial.apart,
            granted=request.granted,
        )
    return prompts.code(
        wish,
        wanted,
        as_yaml,
        files=trial.files,
        data=request.sample,
        pictures=request.pictures,
        example=None if trial.files else starters.example(wanted.name, wish),
        lessons=trial.report,
        role=trial.role,
        granted=request.granted,
    )


def blamed(plan: Plan, attempt: Attempt) -> list[str]:
    """The checks that fail, when nothing else does; empty when something else is wrong too."""
    failed = [r for r in attempt.examination.rungs if not r.passed and r.name != ADVICE]
    if any(rung.name != "check" for rung in failed):
        return []
    return [c.name for c in plan.checks if any(r.sentence.startswith(c.name) for r in failed)]


def without_doubtful(attempt: Attempt) -> Attempt:
    """The attempt with its failed checks made advice: told to the person, not counted."""
    rungs = tuple(
        replace(r, name=ADVICE, sentence=f"{r.sentence} {EXCUSED}")
        if r.name == "check" and not r.passed
        else r
        for r in attempt.examination.rungs
    )
    return replace(attempt, examination=replace(attempt.examination, rungs=rungs))


async def better(best: Attempt | None, last: Attempt) -> Attempt | None:
    """The better of two attempts, the newer of equals; the other one's box is closed."""
    if not last.files:
        return best
    if best is None:
        return last
    if last.score < best.score:
        await close(last)
        return best
    await close(best)
    return last


async def close(attempt: Attempt) -> None:
    if attempt.examination.running is not None:
        await attempt.examination.running.stop()


def ended(request: Request, attempt: Attempt) -> AttemptEnded:
    """The event that tells how an attempt ended."""
    failed = attempt.examination.failed
    return AttemptEnded(
        revision=request.revision,
        attempt=attempt.number,
        runs=attempt.examination.runs,
        score=list(attempt.score),
        sentence=failed.sentence if failed else "Everything that was checked holds.",
    )
