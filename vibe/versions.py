"""The versions of an app: which revisions led to which, and every attempt by a name like `r2.1`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vibe import events as ev
from vibe.app import App, Revision
from vibe.errors import UserError

MOST_LESSONS = 12
"""Lines of what went wrong before; the newest ones."""


@dataclass(frozen=True, slots=True)
class Version:
    """One commit of an app's code that a person may want to look at."""

    name: str
    """`r2` for a revision, `r2.1` for the first attempt at it; `r2.1b` when it was tried again."""
    commit: str
    revision: int
    words: str
    """What was asked for, or how the attempt ended."""


def lineage(revisions: Sequence[Revision], number: int | None = None) -> tuple[Revision, ...]:
    """The revisions that led to that one (by default the newest), itself last, without those that
    going back has left behind."""
    led_to: dict[int, tuple[Revision, ...]] = {}
    line: tuple[Revision, ...] = ()
    for revision in revisions:
        line = led_to.get(revision.source, (*line, revision))
        led_to[revision.number] = line
    return led_to.get(number, line) if number is not None else line


def wish(app: App) -> str:
    """All that the user asked for in words, up to the newest revision."""
    changes = [r.request for r in lineage(app.revisions) if r.way == "asked"][1:]
    if not changes:
        return app.idea
    return "\n".join([app.idea, "", "Later asked for:", *(f"- {change}" for change in changes)])


def before(app: App) -> Revision | None:
    """What Undo brings back: the revision before the newest; after an Undo, the one before that."""
    if not app.revisions:
        return None
    last = app.revisions[-1]
    number = (last.source if last.way == "undone" else last.number) - 1
    return next((r for r in app.revisions if r.number == number), None)


def versions(app: App, events: Iterable[ev.Event]) -> list[Version]:
    """Every revision and every attempt that wrote files, in the order they were made."""
    kept = {revision.number: revision for revision in app.revisions}
    found: list[Version] = []
    taken: set[str] = set()
    revision = attempt = 0
    commit = ""

    def add(words: str) -> None:
        if not commit:
            return
        name = f"r{revision}.{attempt}"
        if name in taken:
            name = next(f"{name}{c}" for c in _letters() if f"{name}{c}" not in taken)
        taken.add(name)
        found.append(Version(name, commit, revision, words))

    for event in events:
        match event:
            case ev.AttemptStarted():
                revision, attempt, commit = event.revision, event.attempt, ""
            case ev.FilesWritten():
                commit = event.commit
            case ev.AttemptEnded():
                add(event.sentence)
                commit = ""
            case ev.Finished():
                add(event.sentence)
                commit = ""
    last = max((v.revision for v in found), default=0)
    order: list[Version] = []
    for number in range(1, max([last, *kept]) + 1 if found or kept else 1):
        order += [version for version in found if version.revision == number]
        if number in kept:
            one = kept[number]
            order.append(Version(f"r{number}", one.commit, number, one.request))
    return order


def named(name: str, among: Sequence[Version]) -> Version:
    """The version of that name; `2` is `r2`. Raises UserError with the names there are."""
    wanted = name if name.startswith("r") else f"r{name}"
    for version in among:
        if version.name == wanted:
            return version
    known = ", ".join(version.name for version in among[-12:]) or "none yet"
    raise UserError(f"There is no version {name[:40]!r} of this app.", f"There are: {known}.")


def plan_of(
    revisions: Sequence[Revision], number: int, events: Iterable[ev.Event]
) -> dict[str, Any]:
    """The plan that a revision was made by, or the last one before it; empty when none is known."""
    plans: dict[int, dict[str, Any]] = {}
    building = 0
    for event in events:
        if isinstance(event, ev.Requested):
            building = event.revision
        elif isinstance(event, ev.PlanMade):
            plans[building] = event.plan
    line = lineage(revisions, number)
    return next((plans[r.number] for r in reversed(line) if r.number in plans), {})


def lessons(events: Iterable[ev.Event]) -> str:
    """What went wrong in all builds so far, one line each, the newest last."""
    lines: dict[str, None] = {}
    for event in events:
        line = ""
        if isinstance(event, ev.RungDone) and not event.passed:
            line = f"- {event.name}: {' '.join(event.sentence.split())[:200]}"
        elif isinstance(event, ev.Requested) and event.way == "repair":
            line = f"- while it was used: {' '.join(event.text.split())[:200]}"
        if line:
            lines.pop(line, None)
            lines[line] = None
    return "\n".join(list(lines)[-MOST_LESSONS:])


def number_of(name: str) -> int:
    """The revision's number in `r3` or `3`. Raises UserError."""
    found = re.fullmatch(r"r?(\d{1,6})", name.strip())
    if not found:
        raise UserError(f"{name[:40]!r} is no revision.", "Revisions are r1, r2 …")
    return int(found[1])


def _letters() -> Iterable[str]:
    yield from "bcdefghijklmnopqrstuvwxyz"
    yield from (f"-{number}" for number in range(27, 10_000))


def revision(app: App, number: int | None) -> Revision:
    """That revision, by default the newest. Raises UserError when there is none."""
    if not app.revisions:
        raise UserError("There is no program in this app yet.", "Build it again first.")
    if number is None:
        return app.revisions[-1]
    for revision in app.revisions:
        if revision.number == number:
            return revision
    raise UserError(f"There is no revision r{number}.", f"They are r1 to r{len(app.revisions)}.")
