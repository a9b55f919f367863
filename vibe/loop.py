"""The build loop: an async generator of events, from an idea to a verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from vibe import looking, prompts, samples
from vibe.app import Rung, Verdict
from vibe.attempt import (
    Attempt,
    Request,
    Trial,
    Workbench,
    better,
    blamed,
    close,
    make,
    without_doubtful,
)
from vibe.browser import Eyes
from vibe.budget import OverBudget
from vibe.errors import UserError
from vibe.events import (
    Answered,
    Asked,
    DataRead,
    Event,
    Notice,
    PlanMade,
    RepairAsked,
    Stage,
    VerdictReached,
)
from vibe.kinds import kind
from vibe.model import Role
from vibe.narration import Emit, Narration
from vibe.plan import Plan, plan_from_data, plan_to_data, plan_to_yaml, read_plan
from vibe.repairs import Repairs
from vibe.running import Running
from vibe.verdict import judge
from vibe.writing import write_plan

BEHAVIOUR = ("errors", "controls", "check")
"""Rungs that show wrong behaviour, where trying two ways at once pays; crashes mend in place."""
PICTURES = 4
"""Attached pictures that a model is shown."""


@dataclass(frozen=True, slots=True)
class Built:
    """The end of a build: the plan and the best attempt (None when no reply could be read)."""

    plan: Plan
    best: Attempt | None
    attempts: int
    verdict: Verdict

    @property
    def running(self) -> Running | None:
        return self.best.examination.running if self.best else None


async def build(
    request: Request, bench: Workbench, hand_over: Callable[[Built], Awaitable[None]]
) -> AsyncGenerator[Event, None]:
    """Plans, writes, runs and repairs until the app works or the budget ends.

    `hand_over` is given the result once, before the verdict's event; a serving app's box is then
    the receiver's. Raises UserError and ModelFault (no plan, or the model can't be used at all) and
    EngineFault (boxes can't be started); every attempt until then is in the archive.
    """
    best: Attempt | None = None
    eyes: Eyes | None = None
    number = 0
    try:
        if request.data:
            yield Stage(name="data", sentence="Reading what you attached.")
            seen = await samples.read_samples(request.data, bench.engine, request.app_id)
            yield DataRead(files=samples.to_data(seen))
            pictures = tuple(sample.picture for sample in seen if sample.picture)[:PICTURES]
            shown = pictures if bench.pictures else ()
            request = replace(request, sample=samples.told(seen), pictures=shown)
        keeps_plan = request.way in ("repair", "afresh") and bool(request.plan)
        if keeps_plan:
            plan = plan_from_data(dict(request.plan))
        else:
            yield Stage(name="plan", sentence="Making a plan.")
            planning = Narration(
                lambda emit: _plan(request, bench, emit), seconds=bench.budget.seconds_left
            )
            async for event in planning:
                yield event
            plan = planning.result
        yield PlanMade(plan=plan_to_data(plan))
        if bench.ask is not None and not keeps_plan:
            question = Asked(what="plan", text=plan_to_yaml(plan))
            yield question
            answer = await _answer(bench, question)
            yield answer
            if not answer.yes:
                raise UserError("You did not want this plan.", "Say the idea in other words.")
            if answer.text.strip() and answer.text != question.text:
                plan, notes = read_plan(answer.text, forced_kind=request.kind)
                for note in notes:
                    yield Notice(text=note)
                yield PlanMade(plan=plan_to_data(plan))
        if bench.engine is not None and kind(plan.kind).serves:
            eyes = looking.eyes(kind(plan.kind), bench.engine, request.app_id)

        repairs = Repairs(stronger=bench.stronger)
        trials = [_first(request)]
        line: Attempt | None = None  # the best attempt since the last fresh start
        while number < bench.budget.limits.attempts:
            trying = _trying(request, bench, plan, number, trials, eyes)
            try:
                async for event in trying:
                    yield event
            except (OverBudget, TimeoutError, UserError) as over:
                if best is None and isinstance(over, UserError):
                    raise
                yield Notice(text=_why_it_ends(over, bench))
                break
            number += len(trials)
            last, *others = sorted(trying.result, key=lambda attempt: attempt.score, reverse=True)
            if repairs.doubtful(doubted := blamed(plan, last)):
                names = ", ".join(doubted)
                yield Notice(
                    text=f"Two independent builds fail only here, so it is advice: {names}."
                )
                last = without_doubtful(last)
            for attempt in (*others, last):
                best = await better(best, attempt)
            failed = last.examination.failed
            if failed is None or bench.engine is None:
                break
            if line is None or (last.files and last.score >= line.score):
                line = last
            following, told = _next(request, repairs, failed, last, line)
            yield told
            if following is None:
                break
            if bench.ask is not None:
                question = Asked(what="repair", text=last.report)
                yield question
                answer = await _answer(bench, question)
                yield answer
                if not answer.yes:
                    break
            if following.role != "repair":
                line = None
            trials = [following]
            if (
                bench.two
                and failed.name in BEHAVIOUR
                and number + 2 <= bench.budget.limits.attempts
            ):
                trials.append(replace(following, reason="another way to mend the same", apart=True))
                bench = replace(bench, two=False)

        verdict = judge(kind(plan.kind), plan, best.examination if best else None, bench.engine)
        if best is not None and best.files:
            plan = replace(plan, packages=best.packages)
        await hand_over(Built(plan, best, number, verdict))
        best = None
        yield VerdictReached(
            state=verdict.state,
            sentence=verdict.sentence,
            verified=list(verdict.verified),
            unverified=list(verdict.unverified),
            isolation=verdict.isolation,
        )
    finally:
        if best is not None:
            await close(best)
        if eyes is not None:
            await eyes.close()


async def _answer(bench: Workbench, question: Asked) -> Answered:
    """The person's answer; the time they take is not the build's."""
    assert bench.ask is not None
    since = time.monotonic()
    try:
        return await bench.ask(question)
    finally:
        bench.budget.pause(time.monotonic() - since)


async def _plan(request: Request, bench: Workbench, emit: Emit) -> Plan:
    so_far = plan_to_yaml(plan_from_data(dict(request.plan))) if request.plan else ""
    prompt = prompts.plan(
        request.wish or request.words,
        forced_kind=request.kind,
        current_plan=so_far,
        data=request.sample,
        pictures=request.pictures,
        granted=request.granted,
    )
    return await write_plan(prompt, request.kind, bench.model, bench.budget, emit)


def _first(request: Request) -> Trial:
    """What the first attempt starts from."""
    if request.way == "repair":
        return Trial("an error while it was used", "repair", request.files, request.report)
    if request.way == "afresh":
        return Trial("another approach, from nothing", "code", request.files, request.report)
    return Trial("the first try", "code", request.files)


def _next(
    request: Request, repairs: Repairs, failed: Rung, last: Attempt, line: Attempt
) -> tuple[Trial | None, Event]:
    """What to try after a failure, None for nothing more, and the event that says so."""
    move = repairs.after(failed, sum(last.score[1:]))
    if move == "stop":
        return None, Notice(text="The failures repeat themselves, so another try would not help.")
    if move == "repair":
        # A repair that made things worse is rolled back: the next one starts from the best.
        files = line.files or request.files
        report = line.report
        if not last.files and last is not line:  # it could not be read, and what failed still does
            report = f"{last.report}\n\nThe program has not changed. What it failed on:\n\n{report}"
        return Trial(failed.sentence, "repair", files, report), RepairAsked(report=report)
    role: Role = "stronger" if move == "stronger" else "code"
    who = "a stronger model starts" if move == "stronger" else "it starts"
    reason = f"repairing got nowhere, so {who} afresh"
    lessons = [request.report] if request.way == "afresh" and request.report else []
    return (
        Trial(reason, role, request.files, "\n".join([*lessons, *repairs.lessons])),
        Notice(text=f"Repairing got nowhere; {who} afresh, knowing what went wrong."),
    )


def _trying(
    request: Request,
    bench: Workbench,
    plan: Plan,
    number: int,
    trials: Sequence[Trial],
    eyes: Eyes | None,
) -> Narration[list[Attempt]]:
    """One attempt, or two side by side; the second one's events are told after the first's."""

    async def work(emit: Emit) -> list[Attempt]:
        bench.budget.check()
        told: list[list[Event]] = [[] for _ in trials]
        emits = [emit, *(events.append for events in told[1:])]
        tasks = [
            asyncio.create_task(make(request, bench, plan, number + at, trial, eyes, told_to))
            for at, (trial, told_to) in enumerate(zip(trials, emits, strict=True), 1)
        ]
        try:
            attempts = await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                if not task.cancelling():  # a second time would break off its giving back of boxes
                    task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Attempt):
                    await close(ended)
            raise
        for event in (event for events in told[1:] for event in events):
            emit(event)
        return attempts

    return Narration(work, seconds=bench.budget.seconds_left)


def _why_it_ends(over: Exception, bench: Workbench) -> str:
    if isinstance(over, TimeoutError):
        return f"The build ends here: {bench.budget.limits.seconds:.0f} seconds are over."
    return f"The build ends here: {over}"
