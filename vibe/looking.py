"""The rungs that a browser climbs: shown, without errors, controls that work, checks that hold."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace

from vibe import reach
from vibe.browser import CheckSeen, Eyes, Seen
from vibe.busy import load, too_busy
from vibe.errors import BoxLost, EngineFault
from vibe.events import Notice
from vibe.evidence import steps_seen
from vibe.kinds import Kind
from vibe.ladder import ADVICE, Ladder, probe
from vibe.plan import Check, Plan
from vibe.running import Running, how_it_ended
from vibe.sandbox.engine import Engine

Keep = Callable[[Sequence[bytes]], Awaitable[list[str]]]
"""Puts pictures away and gives their names, empty for an empty one."""
PHONE = 390
"""Pixels of the phone that pages are also looked at with."""
NONE_USED = "No control was used: there is none, or none that could be."
IDLE_WORDS = re.compile(
    r"\b(reset|clear|pause|stop|undo|redo|cancel|next|prev\w*|back|delete|remove|close|hide|submit"
    r"|copy|save|print|share|full ?screen|mute|refresh|reload|update|apply|sort|filter"
    r"|search|find|shuffle)\b|^\W*$",
    re.I,
)
"""Buttons that may rightly do nothing visible, even after the others have been used."""
OUT_OF_REACH = re.compile(r"failed to fetch|network ?error|load failed|net::ERR_", re.I)
"""How a page's own errors name a host that did not answer."""
PROVES_NOTHING = {"open", "not_see", "wait", "reload", "press"}
"""Steps that an empty page passes."""


def eyes(kind: Kind, engine: Engine, app_id: str) -> Eyes:
    """A browser for a build that has a model to wait for, which gets ready meanwhile."""
    return Eyes(engine, app_id, kind.port if kind.name == "streamlit" else None)


def seeing(
    kind: Kind, running: Running, eyes: Eyes, plan: Plan, files: Mapping[str, bytes]
) -> Coroutine[None, None, Seen]:
    """A browser's look at the app, with its checks; `files` are what they may upload."""
    # What one visitor of a server does, the next one sees; pages and Streamlit's sessions are apart
    alone = kind.name not in ("web", "slides", "notebook", "streamlit")
    return eyes.look(running, plan.checks, files, alone=alone)


async def look(
    ladder: Ladder,
    kind: Kind,
    running: Running,
    looking: Awaitable[Seen],
    plan: Plan,
    keep: Keep | None = None,
) -> Seen | None:
    """Climbs the browser's rungs; None when there was no browser to look with. `keep` puts
    pictures away and gives their names."""
    ladder.stage("checks", "Using it in a browser.")
    try:
        seen = await looking
    except BoxLost as lost:
        ladder.done("renders", False, "The page brings the browser down.", lost.message)
        return None
    except EngineFault as fault:
        ladder.emit(Notice(text=f"Nobody looked at it: {fault.message}"))
        return None
    if (late := took_long(seen)) and too_busy(load()):
        ladder.emit(Notice(text=f"Nobody looked at it: {late}, but this machine is too busy."))
        return None
    taken = [seen.desktop, seen.phone, *(check.picture for check in seen.checks)]
    names = await keep(taken) if keep else [""] * len(taken)
    if not _renders(ladder, seen, running, (names[0], names[1])):
        return seen
    if running.command.done():
        sentence = f"It ends while it is used: {how_it_ended(running.command.result())}."
        ladder.done("alive", False, sentence, running.printed.tail)
        return seen
    seen, missed = without_missed(seen, running.hosts)
    if missed:
        out = ", ".join(missed)
        ladder.emit(Notice(text=f"The browser that checks apps has no network: it missed {out}."))
    _errors(ladder, seen, running, missed)
    dead = dead_controls(seen)
    ladder.done(
        _counted("controls", not dead, missed),
        not dead,
        f"Nothing happens on: {', '.join(dead)}." if dead else _controls_sentence(seen),
        "\n".join(f"{c.label!r} ({c.tag}): changed={c.changed}" for c in seen.controls),
    )
    if kind.name in ("flask", "fastapi"):
        await _routes(ladder, kind, running)
    for check, found, name in zip(plan.checks, seen.checks, names[2:], strict=True):
        _check(ladder, check, found, name, missed)
    return seen


def without_missed(seen: Seen, hosts: Sequence[reach.Host]) -> tuple[Seen, list[str]]:
    """What was seen without what failed only because the browser's box has no network, and those
    of the app's own `hosts` that its page asked in vain: that says nothing about the app."""
    missed: set[str] = set()

    def ours(line: str, schemes: str) -> bool:
        address = re.search(rf"(?:{schemes})://[^\s'\"<>]+", line)
        asked = reach.of_address(address[0]) if address else None
        if asked is None or asked not in hosts:
            return False
        missed.add(str(asked))
        return True

    failed = tuple(line for line in seen.failed if not ours(line, "https|wss"))
    console = tuple(line for line in seen.console if not ours(line, "wss"))
    if not missed:
        return seen, []
    console = tuple(line for line in console if not OUT_OF_REACH.search(line))
    errors = tuple(line for line in seen.errors if not OUT_OF_REACH.search(line))
    return replace(seen, failed=failed, console=console, errors=errors), sorted(missed)


def took_long(seen: Seen) -> str:
    """How the page, or one of its checks, ran out of time; empty when nothing did."""
    hung = (check.why for check in seen.checks if check.why.startswith("the page hangs"))
    return seen.fault if "seconds" in seen.fault else next(hung, "")


def _counted(name: str, passed: bool, missed: Sequence[str]) -> str:
    """The rung's name; a failure that a host out of reach may explain is told and not counted."""
    return ADVICE if missed and not passed else name


def _renders(ladder: Ladder, seen: Seen, running: Running, pictures: tuple[str, str]) -> bool:
    said = "\n".join((*seen.errors, *seen.console, *seen.failed))
    if seen.fault:
        sentence = f"The page can't be used: {seen.fault}."
        return ladder.done("renders", False, sentence, said or running.printed.tail)
    if not seen_something(seen):
        return ladder.done("renders", False, "The page is blank.", said, pictures=pictures)
    if seen.blank:
        sentence = "The page looks blank: all of it has one colour, though there is text in it."
        return ladder.done("renders", False, sentence, said, pictures=pictures)
    if seen.width > PHONE + 10:
        text = f"On a phone it is {seen.width} pixels wide, so it must be scrolled sideways."
        ladder.emit(Notice(text=text))
    sentence = f"The page shows {seen.visible} elements."
    return ladder.done("renders", True, sentence, pictures=pictures)


def _errors(ladder: Ladder, seen: Seen, running: Running, missed: Sequence[str]) -> None:
    faults = [*seen.exceptions, *seen.errors, *seen.console, *seen.failed]
    if not faults:
        ladder.done("errors", True, "The page has no errors.")
        return
    count = "an error" if len(faults) == 1 else f"{len(faults)} errors"
    evidence = "\n".join(faults)
    if any(re.match(r"5\d\d ", failed) for failed in seen.failed):
        evidence = f"{running.printed.tail[-4000:]}\n{evidence}"  # the server's own traceback
    said = faults[0].splitlines()[0][:200] if faults[0].strip() else ""
    name = _counted("errors", False, missed)
    ladder.done(name, False, f"The page has {count}: {said}", evidence)


async def _routes(ladder: Ladder, kind: Kind, running: Running) -> None:
    """Whether each page that is linked or has a route answers."""
    found = await probe(running.box, "routes.py", str(running.port), kind.entry, wall_s=60.0)
    pages = [page for page in (found or {}).get("pages", []) if isinstance(page, dict)]
    bad = [
        page
        for page in pages
        if not page["status"]
        or page["status"] >= 500
        or (page["status"] == 404 and page["from"] != "a route")
    ]
    if not bad:
        if len(pages) > 1:
            ladder.done("routes", True, f"All {len(pages)} pages it links to or serves answer.")
        return
    first = bad[0]
    said = f"with status {first['status']}" if first["status"] else "nothing within 6 seconds"
    where = "" if first["from"] in ("a route", "the start") else f" (linked from {first['from']})"
    lines = [f"{page['status']} {page['path']}" for page in bad]
    evidence = "\n".join([*lines, running.printed.tail[-5000:]])
    ladder.done("routes", False, f"The page {first['path']}{where} answers {said}.", evidence)


def _check(
    ladder: Ladder, check: Check, found: CheckSeen, picture: str, missed: Sequence[str]
) -> None:
    name = ADVICE if proves_nothing(check) else _counted("check", found.passed, missed)
    sentence = check.name if found.passed else f"{check.name}: {found.why}"
    ladder.done(
        name,
        found.passed,
        sentence[:600],
        "\n".join((*found.steps, found.why)),
        steps=steps_seen(check, found),
        pictures=(picture,),
    )


def proves_nothing(check: Check) -> bool:
    """Whether an empty page would pass it, so that it can't count."""
    return all(step.action in PROVES_NOTHING for step in check.steps)


def seen_something(seen: Seen) -> bool:
    """Whether the page showed anything at all."""
    return not seen.fault and seen.visible > 0 and bool(seen.text.strip() or seen.visible > 3)


def dead_controls(seen: Seen) -> list[str]:
    """Buttons that changed nothing when used, that no passed check has used, and that have no
    live like: a card of a game may rightly be locked while its neighbours are open."""
    used = " ".join(" ".join(check.steps) for check in seen.checks if check.passed).casefold()
    live = {_shape(c.label) for c in seen.controls if c.changed and _numbered(c.label)}
    return [
        repr(control.label)
        for control in seen.controls
        if control.changed is False
        and (control.tag in ("button", "summary") or control.type in ("button", "submit"))
        and not IDLE_WORDS.search(control.label)
        and f"click: {control.label.casefold()}" not in used
        and _shape(control.label) not in live
    ][:5]


def _numbered(label: str) -> bool:
    return any(sign.isdigit() for sign in label)


def _shape(label: str) -> str:
    """A label with its numbers masked: equal for `Card 3` and `Card 12`."""
    return re.sub(r"\d+", "0", label.casefold())


def _controls_sentence(seen: Seen) -> str:
    live = sum(control.changed is True for control in seen.controls)
    if not live:
        return NONE_USED
    return f"{live} of {len(seen.controls)} controls changed the page when used."
