"""Runs an attempt and climbs the ladder: what was seen, rung by rung."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vibe import cdn, libraries, vendored
from vibe.app import Rung
from vibe.browser import Eyes, Seen
from vibe.errors import BoxLost
from vibe.granted import NOTHING as NO_GRANT
from vibe.granted import Granted
from vibe.kinds import Kind
from vibe.ladder import ADVICE, Ladder, probe
from vibe.looking import NONE_USED, Keep, look, seeing
from vibe.modules import package_of
from vibe.plan import Plan
from vibe.reach import Host
from vibe.running import (
    Emit,
    NotServing,
    Running,
    Start,
    app_box,
    how_it_ended,
    open_box,
    prepare,
    serve,
)
from vibe.sandbox import web
from vibe.sandbox.engine import Box, Engine
from vibe.sandbox.lock import Lock
from vibe.settings import Limits
from vibe.sharing import keeps_no_files, shares_nothing
from vibe.supply import Supplied
from vibe.text_faults import text_faults
from vibe.trying import try_script

NOTHING = Supplied()


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything one attempt showed; `running` is set when it serves and is left running."""

    rungs: tuple[Rung, ...]
    runs: bool
    """Whether a person could use it: it serves, or the script ran to its end."""
    running: Running | None = None
    engine: str = ""
    image: str = ""
    """Id of the image it ran on."""
    picture: bytes = b""
    """The page as a WebP of 640 by 400 pixels; empty for scripts and pages nobody saw."""
    looked: bool = False
    """Whether a browser has used it."""
    lock: Lock | None = None
    """The packages it had beside the image's own."""
    python: str = ""
    """Version of the Python it ran on, e.g. 3.11.2."""

    @property
    def failed(self) -> Rung | None:
        """The first rung that failed; checks come last, and advice is none."""
        return next((r for r in self.rungs if not r.passed and r.name != ADVICE), None)

    @property
    def score(self) -> tuple[int, int, int]:
        """(runs, rungs passed, checks passed): the greater is the better attempt."""
        checks = sum(rung.passed for rung in self.rungs if rung.name == "check")
        rest = sum(rung.passed for rung in self.rungs if rung.name not in ("check", ADVICE))
        return int(self.runs), rest, checks


async def examine(
    kind: Kind,
    files: Mapping[str, str],
    plan: Plan,
    *,
    engine: Engine | None,
    app_id: str,
    data: Mapping[str, bytes],
    limits: Limits,
    eyes: Eyes | None,
    emit: Emit,
    keep: Keep | None = None,
    serving: Callable[[Running], Awaitable[None]] | None = None,
    supplied: Supplied = NOTHING,
    image_id: str = "",
    kept: Mapping[str, bytes] = vendored.NONE,
    granted: Granted = NO_GRANT,
    start: Start | None = None,
) -> Examination:
    """Runs one attempt in a fresh box (of that very image, if an id is given) with the packages it
    was supplied with, the libraries `kept` for its pages and what it was granted, and looks at it
    with `eyes` when it has a page; `keep` gets the pictures. The box is what `start` gives, or the
    engine.

    `serving` is told of an app that serves, before anything uses it. Raises EngineFault when the
    box, not the app, failed.
    """
    ladder = Ladder(emit)
    python: list[str] = []
    if supplied.rung is not None:
        ladder.rungs.append(supplied.rung)
    ladder.stage("static", "Reading the code before it runs.")
    if faults := text_faults(files, kind.entry) + kind.faults(files):
        ladder.done("static", False, faults[0], "\n".join(faults))
        return Examination(tuple(ladder.rungs), runs=False)
    if engine is None:
        return Examination(tuple(ladder.rungs), runs=False)
    ladder.stage("box", "Starting a box.")
    content = {path: text.encode() for path, text in files.items()}
    packages = supplied.lock.key if supplied.lock else ""
    spec = app_box(kind, app_id, emit, packages=packages, image_id=image_id, probed=True)
    box = await open_box(
        start or engine.start, spec, content, data, emit, kind=kind, kept=kept, granted=granted
    )
    running: Running | None = None
    seen: Seen | None = None
    runs = False
    try:
        if await _static(ladder, box, python):
            if supplied.rung and not supplied.rung.passed:
                # the program finds all that it imports: it does without what could not be had
                ladder.rungs[0] = replace(supplied.rung, name=ADVICE)
            if kind.vendor:
                _libraries(ladder, files, granted.hosts)
            ready = await _prepared(ladder, box, kind, limits)
            if not ready:
                runs = False
            elif kind.serves:
                running = await _started(ladder, box, kind, limits, granted.hosts)
                if running is not None and serving and shares_nothing(kind, files):
                    await serving(running)
                if running is not None:
                    seen = await _used(ladder, running, kind, files, eyes, plan, data, keep)
                    failed = {rung.name for rung in ladder.rungs if not rung.passed}
                    runs = not failed & {"pages", "renders", "alive"}
            else:
                runs = await try_script(ladder, box, plan, kind, files, limits)
    except BoxLost as lost:
        await engine.sweep()  # raises when the engine itself is gone: not the program's fault
        ladder.done("alive", False, "The box ended while the program ran.", lost.message)
        runs = False
    finally:
        if not runs or not kind.serves:
            await (running.stop() if running else box.stop())
            running = None
    picture = seen.desktop if seen else b""
    return Examination(
        tuple(ladder.rungs),
        runs,
        running,
        box.engine,
        box.image,
        picture,
        seen is not None,
        supplied.lock,
        "".join(python),
    )


async def _prepared(ladder: Ladder, box: Box, kind: Kind, limits: Limits) -> bool:
    """Compiles or checks what isn't Python, where the kind does that first."""
    outcome = await prepare(box, kind, wall_s=limits.run_s)
    if outcome is None:
        return True
    if outcome.ok:
        return ladder.done("prepare", True, f"`{kind.prepare[0]}` accepts the code.")
    said = (outcome.stderr + b"\n" + outcome.stdout).decode("utf-8", "replace")[:8000]
    lines = [line for line in said.splitlines() if re.search(r"\b(?:\w*[eE]rror)\b", line)]
    first = f": {lines[0].strip()[:200]}" if lines else f": {how_it_ended(outcome)}"
    return ladder.done("prepare", False, f"`{kind.prepare[0]}` refuses the code{first}", said)


def _libraries(ladder: Ladder, files: Mapping[str, str], hosts: tuple[Host, ...]) -> None:
    """Tells what a page loads from hosts that it can't reach, and what there is instead."""
    if not (lines := cdn.remote(files, hosts)):
        return
    count = "a file" if len(lines) == 1 else f"{len(lines)} files"
    sentence = f"The page needs {count} from another host, and there is no network: {lines[0]}."
    instead = libraries.told() or "none; write it in plain HTML, CSS and JavaScript"
    evidence = "\n".join([*lines, "", "The libraries that there are, and how they load:", instead])
    ladder.done("libraries", False, sentence, evidence)


async def _static(ladder: Ladder, box: Box, python: list[str]) -> bool:
    """Compiles every Python file and resolves its imports, in the box and with its Python, whose
    version is added to `python`."""
    found = await probe(box, "static.py")
    if found is None:
        return ladder.done("static", True, "The code could not be read ahead of running it.")
    if re.fullmatch(r"3\.\d{1,2}\.\d{1,2}", version := str(found.get("python", ""))):
        python.append(version)
    faults = [
        f'  File "{f["file"]}", line {f["line"]}\n    {f["text"]}\n{f["message"]}'
        for f in found["syntax"]
    ]
    if faults:
        first = found["syntax"][0]
        sentence = f"{first['file']} has a syntax error in line {first['line']}: {first['message']}"
        return ladder.done("static", False, sentence, "\n".join(faults))
    if missing := found["missing"]:
        lines = [f'  File "{m["file"]}", line {m["line"]}: import {m["module"]}' for m in missing]
        return ladder.done(
            "static", False, _missing([str(m["module"]) for m in missing]), "\n".join(lines)
        )
    if undefined := found["undefined"]:
        lines = [
            f'  File "{u["file"]}", line {u["line"]}\n    {u["text"]}\n'
            f"NameError: name {u['name']!r} is not defined"
            for u in undefined
        ]
        first = undefined[0]
        where = f"{first['file']}, line {first['line']}"
        sentence = f"{where} uses {first['name']!r}, which is defined nowhere."
        return ladder.done("static", False, sentence, "\n".join(lines))
    return ladder.done("static", True, "Every file compiles and every import is there.")


def _missing(modules: list[str]) -> str:
    """What is not there, what it would come with, and what there is instead."""
    told = []
    for module in dict.fromkeys(modules):
        package = package_of(module)
        told.append(
            f"{module} (of the package {package}, which is not installed)" if package else module
        )
    return (
        f"The box has no module named {', '.join(told)}; use what the kind's rules list, "
        "or do without."
    )


async def _started(
    ladder: Ladder, box: Box, kind: Kind, limits: Limits, hosts: tuple[Host, ...]
) -> Running | None:
    """The rung start; the app once it serves."""
    ladder.stage("start", "Starting the program.")
    try:
        running = await serve(box, kind, start_s=limits.start_s, emit=ladder.emit, hosts=hosts)
    except NotServing as failure:
        ladder.done("start", False, failure.sentence, failure.evidence)
        return None
    ladder.done("start", True, f"It serves on port {running.port}.")
    return running


async def _used(
    ladder: Ladder,
    running: Running,
    kind: Kind,
    files: Mapping[str, str],
    eyes: Eyes | None,
    plan: Plan,
    data: Mapping[str, bytes],
    keep: Keep | None,
) -> Seen | None:
    """The rungs pages and alive, and then the browser's; what the browser saw."""
    ladder.stage("pages", "Opening its pages.")
    looking: asyncio.Task[Seen] | None = None
    if eyes is not None and kind.name == "streamlit" and keeps_no_files(files):
        # AppTest runs the program in a process of its own, so a browser need not wait for its end
        looking = asyncio.create_task(seeing(kind, running, eyes, plan, data))
    try:
        if not await _pages(ladder, running, kind, looking) or not _alive(ladder, running):
            return None
        if eyes is None:
            return None
        seen = looking or seeing(kind, running, eyes, plan, data)
        return await look(ladder, kind, running, seen, plan, keep)
    finally:
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)


async def _pages(
    ladder: Ladder, running: Running, kind: Kind, looking: asyncio.Task[Seen] | None
) -> bool:
    if kind.name != "streamlit":
        return await _front_page(ladder, running.box, running)
    found = await probe(running.box, "apptest.py", kind.entry, wall_s=60.0)
    if looking is not None and (found is None or found["late"]):
        await asyncio.wait([looking])  # it had not the processor and the memory to itself
        found = await probe(running.box, "apptest.py", kind.entry, wall_s=60.0)
    return _apptest(ladder, found)


def _alive(ladder: Ladder, running: Running) -> bool:
    if running.command.done():
        sentence = f"It stopped serving: {how_it_ended(running.command.result())}."
        return ladder.done("alive", False, sentence, running.printed.tail)
    return ladder.done("alive", True, "It is still running.")


async def _front_page(ladder: Ladder, box: Box, running: Running) -> bool:
    try:
        status, body = await web.get(box, running.port, "/")
    except ConnectionError as error:
        sentence = f"Its front page does not answer: {error}."
        return ladder.done("pages", False, sentence, running.printed.tail)
    if status >= 400:
        text = body.decode("utf-8", "replace")
        evidence = f"{running.printed.tail}\n{text[:1500]}"
        return ladder.done("pages", False, f"GET / answers with status {status}.", evidence)
    if not body.strip():
        return ladder.done("pages", False, "Its front page is empty.", running.printed.tail)
    return ladder.done("pages", True, f"Its front page answers ({len(body):,} bytes).")


def _apptest(ladder: Ladder, found: dict[str, Any] | None) -> bool:
    if found is None:
        return ladder.done("pages", False, "Streamlit's own test could not open the app.")
    if found["exceptions"]:
        first = found["exceptions"][0]
        what = ": ".join(part for part in (first["type"], first["message"]) if part)
        evidence = "\n\n".join(
            f"While {e['doing']}:\n{e['stack']}\n{e['type']} {e['message']}".rstrip()
            for e in found["exceptions"]
        )
        return ladder.done("pages", False, f"It fails while {first['doing']}: {what}", evidence)
    if not found["elements"]:
        return ladder.done("pages", False, "The app opens without an error but shows nothing.")
    used = f", and using {len(found['used'])} of its controls," if found["used"] else ""
    pages = f" with {len(found['pages'])} more pages" if found.get("pages") else ""
    sentence = (
        f"It shows {found['elements']} elements; opening it{pages}{used} raises no exception."
    )
    return ladder.done("pages", True, sentence)


def facts(examination: Examination) -> tuple[str, ...]:
    """What was seen to be so, a phrase each, for the verdict."""
    phrases = {
        "packages": "its packages are there",
        "static": "the code compiles and finds its imports",
        "prepare": "its compiler or interpreter accepts the code",
        "start": "it starts and answers",
        "pages": "its page opens without an error",
        "alive": "it keeps running",
        "renders": "a browser shows its page",
        "errors": "the page has no errors",
        "controls": "its controls do something",
        "routes": "every page it has answers",
        "run": "it runs to its end without an error",
        "usage": "it explains itself with --help",
    }
    return tuple(
        phrases.get(rung.name, rung.sentence)
        for rung in examination.rungs
        if rung.passed and rung.name != ADVICE and rung.sentence != NONE_USED
    )
