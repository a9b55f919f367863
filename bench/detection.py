"""How many faults an examination finds, and how often it finds one in a good app.

Every good app is examined as the loop would do it, on real boxes and in the browser box; then the
same with one fault in it. Run: `python bench/detection.py [--quick] [--json] [--only WORD]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from faults import App, Mutant, apps, mutants, starter

from vibe import starters
from vibe.browser import Eyes
from vibe.checks import examine
from vibe.events import Event
from vibe.kinds import kind
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import Engine
from vibe.settings import Limits

AT_ONCE = 2
LIMITS = Limits(run_s=10.0, start_s=30.0)
CLEAN = 2
"""How often every good app is examined: a false alarm may come and go."""
RUNGS = ("static", "start", "pages", "alive", "renders", "errors", "controls", "routes", "run",
         "usage", "check")  # fmt: skip
QUICK = {
    "bill-splitter": ("wrong operator", "dead handler", "unclosed script"),
    "habits": ("undefined name",),
    "guestbook": ("wrong id",),
    "roman-numerals": ("wrong operator", "truncated file", "blank page"),
}


@dataclass(frozen=True, slots=True)
class Result:
    """One examination: of a good app when `fault` is empty."""

    app: str
    kind: str
    fault: str
    where: str
    shown: bool
    rung: str
    """The first rung that failed; empty when all held."""
    sentence: str
    seconds: float
    look: float
    """Seconds in the browser; 0 when it was not looked at."""
    first: bool
    """Whether its browser box had looked at nothing before."""


async def examined(app: App, one: Mutant | None, engine: Engine, eyes: Eyes | None,
                   first: bool) -> Result:  # fmt: skip
    since = time.monotonic()
    told: list[Event] = []
    found = await examine(
        kind(app.plan.kind),
        one.files if one else app.files,
        app.plan,
        engine=engine,
        app_id=f"bench-{app.name}",
        data={},
        limits=LIMITS,
        eyes=eyes,
        emit=told.append,
    )
    seconds = time.monotonic() - since
    if found.running:
        await found.running.stop()
    failed = found.failed
    return Result(
        app.name,
        app.plan.kind,
        one.fault if one else "",
        one.where if one else "",
        one.shown if one else True,
        failed.name if failed else "",
        failed.sentence if failed else "",
        seconds,
        next((rung.seconds for rung in found.rungs if rung.name == "renders"), 0.0),
        first,
    )


async def examined_all(
    work: Iterable[tuple[App, list[Mutant | None]]], engine: Engine, *, loud: bool
) -> list[Result]:
    """Every app's jobs in turn, each app with a browser box of its own; AT_ONCE apps at once."""
    results: list[Result] = []
    slots = asyncio.Semaphore(AT_ONCE)

    async def one_app(app: App, jobs: list[Mutant | None]) -> None:
        async with slots:
            eyes = Eyes(engine, f"bench-{app.name}") if kind(app.plan.kind).serves else None
            try:
                for number, job in enumerate(jobs):
                    result = await examined(app, job, engine, eyes, number == 0)
                    results.append(result)
                    if loud:
                        print(line(result), flush=True)
            finally:
                if eyes:
                    await eyes.close()

    async with asyncio.TaskGroup() as group:
        for app, jobs in work:
            group.create_task(one_app(app, jobs))
    return results


def line(result: Result) -> str:
    state = f"{result.rung}: {result.sentence}" if result.rung else "nothing found"
    return (
        f"{result.seconds:5.1f} s (look {result.look:4.1f})  {result.app:16} "
        f"{result.fault or 'good':18} {state[:150]}   <{result.where[:70]}>"
    )


def jobs(arguments: argparse.Namespace) -> Iterator[tuple[App, list[Mutant | None]]]:
    """What is examined: every good app CLEAN times, then with each of its faults."""
    chosen = apps()
    for app in chosen:
        if arguments.only and arguments.only not in app.name:
            continue
        if arguments.quick:
            if app.name in QUICK:
                first = {m.fault: m for m in reversed(list(mutants(app)))}
                yield app, [None, *(first[fault] for fault in QUICK[app.name])]
            continue
        yield app, [*[None] * CLEAN, *list(mutants(app))[:: arguments.every]]
    if not arguments.only and not arguments.quick:
        for one in starters.all_starters():
            if one.name not in {app.name for app in chosen}:
                yield starter(one.name), [None] * CLEAN


def summary(results: list[Result]) -> dict[str, object]:
    """The numbers: shares of the faults that a person would notice."""
    real = [r for r in results if r.fault and r.shown]
    good = [r for r in results if not r.fault]
    looks = sorted(r.look for r in results if r.look and not r.first)

    def recall(name: str) -> dict[str, float]:
        groups: dict[str, list[bool]] = defaultdict(list)
        for result in real:
            groups[getattr(result, name)].append(bool(result.rung))
        return {key: round(sum(hits) / len(hits), 3) for key, hits in sorted(groups.items())}

    return {
        "recall": round(sum(bool(r.rung) for r in real) / max(1, len(real)), 4),
        "false_alarms": round(sum(bool(r.rung) for r in good) / max(1, len(good)), 4),
        "by_rung": {
            rung: round(sum(r.rung == rung for r in real) / max(1, len(real)), 3) for rung in RUNGS
        },
        "by_fault": recall("fault"),
        "by_kind": recall("kind"),
        "faults": len(real),
        "good": len(good),
        "harmless_reported": sum(bool(r.rung) for r in results if not r.shown),
        "look_by_kind": {
            name: round(statistics.median(times), 2)
            for name in ("web", "flask", "streamlit")
            if (times := [r.look for r in results if r.look and not r.first and r.kind == name])
        },
        "look_p50": round(statistics.median(looks), 2) if looks else None,
        "look_p90": round(looks[int(len(looks) * 0.9)], 2) if looks else None,
    }


def table(results: list[Result], numbers: dict[str, object]) -> str:
    real = [r for r in results if r.fault and r.shown]
    counts: dict[str, int] = defaultdict(int)
    for result in real:
        counts[result.fault] += 1
        counts[result.kind] += 1
    out = [f"{'fault':20} {'n':>4}  found"]
    for name in ("by_fault", "by_kind"):
        for key, share in numbers[name].items():  # type: ignore[attr-defined]
            out.append(f"{key:20} {counts[key]:4}  {share:6.1%}")
        out.append("")
    out += ["found first by rung (share of all faults, and so far)"]
    so_far = 0.0
    for rung, share in numbers["by_rung"].items():  # type: ignore[attr-defined]
        so_far += share
        out.append(f"{rung:20}       {share:6.1%}  {so_far:6.1%}")
    missed = [line(r) for r in real if not r.rung]
    alarms = [line(r) for r in results if not r.fault and r.rung]
    out += ["", f"not found ({len(missed)}):", *missed, f"false alarms ({len(alarms)}):", *alarms]
    out += [
        "",
        f"recall {numbers['recall']:.1%} of {numbers['faults']} faults, false alarms "
        f"{numbers['false_alarms']:.1%} of {numbers['good']} examinations of good apps; "
        f"look after the first: p50 {numbers['look_p50']} s, p90 {numbers['look_p90']} s; "
        f"p50 by kind: {numbers['look_by_kind']}",
    ]
    return "\n".join(out)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few apps and faults, a minute")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--every", type=int, default=1, help="only every n-th fault")
    parser.add_argument("--only", help="only apps with this in their names")
    parser.add_argument("--quiet", action="store_true", help="only the tables")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine = await DockerEngine.open(gallery=Path(folder))
        try:
            results = await examined_all(jobs(arguments), engine, loud=not arguments.quiet)
        finally:
            await engine.close()
    numbers = summary(results)
    print(table(results, numbers))
    if arguments.json:
        print(json.dumps(numbers))


if __name__ == "__main__":
    asyncio.run(main())
