"""What the build loop makes of a model that is wrong k times, and of one that is never right.

Whole builds on real boxes and in the browser, with an oracle for a model. Run:
`python bench/repair.py [--quick] [--json]`. Wasted rounds are repairs in place that were asked for
after the same failure had come twice in a row; a fresh start is none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from faults import App, Files, apps, mutants
from oracle import Oracle

from vibe import diagnosis
from vibe.app import Rung
from vibe.archive import Archive
from vibe.budget import Budget
from vibe.events import AttemptEnded, AttemptStarted, Event, RepairAsked, RungDone, VerdictReached
from vibe.kinds import kind
from vibe.loop import Built, Request, Workbench, build
from vibe.sandbox.docker import DockerEngine
from vibe.settings import Limits

AT_ONCE = 2
CHOSEN = ("roman-numerals", "invoice-total", "bill-splitter", "tic-tac-toe", "recipes", "savings")
QUICK = ("roman-numerals", "bill-splitter")
WRONG = ("wrong operator", "undefined name", "wrong id", "deleted statement")
"""The faults that the oracle's wrong answers have, one after the other."""


@dataclass(frozen=True, slots=True)
class Case:
    """One build to make."""

    name: str
    app: App
    wrong: tuple[Files, ...]
    k: int
    """How many of its answers are wrong; -1 for all, -2 for one that a rule mends."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one build went."""

    case: Case
    state: str
    attempts: int
    calls: int
    seconds: float
    wasted: int
    worse: bool
    within: bool


def cases(names: Sequence[str]) -> Iterator[Case]:
    for app in apps():
        if app.name not in names:
            continue
        found = {m.fault: m for m in reversed(list(mutants(app))) if m.shown}
        wrong = [found[fault].files for fault in WRONG]
        for k in range(3):
            yield Case(f"wrong {k} times", app, tuple(wrong[:k]), k)
        yield Case("the same mistake twice", app, (wrong[0], wrong[0]), 2)
        yield Case("never right, one mistake", app, (wrong[0],), -1)
        yield Case("never right, many mistakes", app, tuple(wrong), -1)
        for fault, files in mendable(app):
            yield Case(fault, app, (files,), -2)


def mendable(app: App) -> Iterator[tuple[str, Files]]:
    """What rules should mend without a model."""
    entry = kind(app.plan.kind).entry
    text = app.files[entry]
    if entry.endswith(".py"):
        quotes = text.replace('"""', "\0").replace('"', "\u201d").replace("\0", '"""')
        yield "curly quotes", {**app.files, entry: quotes}
        at = text.index("\n    ")
        tabbed = text[:at] + text[at:].replace("\n    ", "\n\t", 1)
        yield "tabs", {**app.files, entry: tabbed}
    if "@st.cache_data" in text:
        stale = text.replace("@st.cache_data", "@st.cache(allow_output_mutation=True)")
        yield "stale API", {**app.files, entry: stale}
    if 'src="game.js"' in text:
        yield "asset misnamed", {**app.files, entry: text.replace("game.js", "js/main.js")}
    if app.plan.kind == "flask":
        yield "own server", {**app.files, entry: f"{text}\n\napp.run(port=8080)\n"}


async def built(case: Case, engine: DockerEngine, folder: Path, limits: Limits) -> Outcome:
    archive = Archive(folder)
    app = archive.create(case.app.name, kind="auto", model="oracle", data=None)
    model = Oracle(case.app, case.wrong or (case.app.files,), never=case.k == -1)
    if case.k == 0:
        model = Oracle(case.app, ())
    ends: list[Built] = []

    async def hand_over(end: Built) -> None:
        ends.append(end)
        if end.running:
            await end.running.stop()

    budget = Budget(limits)
    bench = Workbench(model, engine, archive, budget)
    request = Request(app.id, 1, case.app.plan.title, None, {}, {}, {})
    events = [event async for event in build(request, bench, hand_over)]
    spent = budget.spent
    scores = [event.score for event in events if isinstance(event, AttemptEnded)]
    best = list(ends[0].best.score) if ends[0].best else []
    return Outcome(
        case,
        next(event.state for event in events if isinstance(event, VerdictReached)),
        ends[0].attempts,
        spent.calls,
        spent.seconds,
        wasted(events),
        bool(scores) and best < max(scores),
        spent.calls <= limits.calls
        and spent.prompt_tokens + spent.completion_tokens <= limits.tokens * 1.5
        and spent.seconds <= limits.seconds + 15
        and ends[0].attempts <= limits.attempts,
    )


def wasted(events: Sequence[Event]) -> int:
    """Repairs in place that were asked for after a failure had come twice in their line."""
    line: list[str] = []
    failed: Rung | None = None
    count = 0
    for event in events:
        if isinstance(event, RungDone) and not event.passed and failed is None:
            failed = Rung(event.name, False, event.sentence, event.evidence)
        elif isinstance(event, AttemptStarted):
            failed = None
            if "afresh" in event.reason or "fresh" in event.reason:
                line = []
        elif isinstance(event, AttemptEnded) and failed is not None:
            line.append(diagnosis.signature(failed))
        elif isinstance(event, RepairAsked):
            count += len(line) != len(set(line))
    return count


def summary(outcomes: Sequence[Outcome]) -> dict[str, object]:
    able = [o for o in outcomes if o.case.k >= 0]
    rules = [o for o in outcomes if o.case.k == -2]
    return {
        "works_by_round": {
            str(n): round(
                sum(o.state == "works" and o.attempts <= n for o in able) / max(1, len(able)), 3
            )
            for n in range(1, 6)
        },
        "wasted_rounds": max((o.wasted for o in outcomes), default=0),
        "returned_worse": sum(o.worse for o in outcomes),
        "within_budget": round(sum(o.within for o in outcomes) / max(1, len(outcomes)), 3),
        "fixed_without_model": round(
            sum(o.state == "works" and o.calls == 2 for o in rules) / max(1, len(rules)), 3
        ),
        "builds": len(outcomes),
        "calls_p50": statistics.median(o.calls for o in outcomes),
        "seconds_p50": round(statistics.median(o.seconds for o in outcomes), 1),
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two apps, about a minute")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    arguments = parser.parse_args()
    todo = list(cases(QUICK if arguments.quick else CHOSEN))
    if arguments.quick:
        todo = [c for c in todo if c.app.plan.kind == "script" or c.k in (0, 1)]
    outcomes: list[Outcome] = []
    slots = asyncio.Semaphore(AT_ONCE)
    with tempfile.TemporaryDirectory() as folder:
        engine = await DockerEngine.open(gallery=Path(folder))

        async def one(case: Case, at: int) -> None:
            async with slots:
                outcome = await built(case, engine, Path(folder) / str(at), Limits())
                outcomes.append(outcome)
                print(
                    f"{outcome.seconds:6.1f} s {outcome.attempts:2} attempts {outcome.calls:2} "
                    f"calls  {outcome.state:10} {case.app.name:16} {case.name}"
                    f"{'  WASTED ' + str(outcome.wasted) if outcome.wasted else ''}"
                    f"{'  WORSE' if outcome.worse else ''}"
                    f"{'' if outcome.within else '  OVER BUDGET'}",
                    flush=True,
                )

        try:
            async with asyncio.TaskGroup() as group:
                for at, case in enumerate(todo):
                    group.create_task(one(case, at))
        finally:
            await engine.close()
    numbers = summary(outcomes)
    print()
    for name, value in numbers.items():
        print(f"{name:22} {value}")
    if arguments.json:
        print(json.dumps(numbers))


if __name__ == "__main__":
    asyncio.run(main())
