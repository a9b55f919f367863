"""Looks at a served app in the browser box: what it shows, and what its checks give."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from vibe import front_end
from vibe.errors import BoxLost, EngineFault
from vibe.plan import Check, Step
from vibe.running import Running
from vibe.sandbox.engine import Box, BoxSpec, Engine, Outcome, Stream
from vibe.settings import SANDBOXES
from vibe.webp import still

JOBS, OFFERS = 9001, 9002
"""The driver's ports in the browser box; see sandboxes/probes/browser/__main__.py."""
DRIVER = SANDBOXES / "probes" / "browser"
IDLE_OFFERS = 6
"""Connections to the app that are kept ready for Chromium."""
ANSWER_BYTES = 16 << 20
LOOK_S = 60.0
"""How long one look may take; checks come first, then the controls."""
CONTROLS_S = 8.0
START_S = 60.0
"""How long Chromium may take to start; it starts while the model writes."""
PICTURE_BYTES, PICTURE_SIZE = 1 << 19, (640, 640)
CHECK_BYTES, CHECK_SIZE = 48 << 10, (480, 300)
"""Bytes, and width and height, that a picture may have."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class CheckSeen:
    """One check as it went in the browser."""

    name: str
    passed: bool
    steps: tuple[str, ...]
    why: str = ""
    """Expected and actual, when it failed."""
    seen: tuple[str, ...] = ()
    """What each step showed that held, in their order."""
    picture: bytes = b""
    """The page at its end: WebP, at most CHECK_SIZE; empty when there is none."""


@dataclass(frozen=True, slots=True)
class Control:
    """One control and what using it once did: True it changed the page, False it did nothing,
    None it could not be used."""

    label: str
    tag: str
    type: str
    changed: bool | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at an app gave; every list is capped in the box and again here."""

    fault: str
    """Why the look itself failed; empty when it did not."""
    title: str
    text: str
    """The start of the page's text."""
    visible: int
    """Visible elements, up to about 400."""
    exceptions: tuple[str, ...]
    """Exceptions that a Streamlit page shows."""
    console: tuple[str, ...]
    errors: tuple[str, ...]
    failed: tuple[str, ...]
    """Requests that failed: status or reason, and address."""
    notes: tuple[str, ...]
    controls: tuple[Control, ...]
    checks: tuple[CheckSeen, ...]
    blank: bool
    """Whether nearly every pixel has the same colour, also where words should be."""
    width: int
    """Pixels that the page takes on a phone of 390."""
    spoiled: bool
    """Whether the page left the browser in a state in which it is of no further use."""
    unreached: bool
    """Whether no page came at all, which may be the browser's fault and not the app's."""
    desktop: bytes
    """WebP, 640 by 400 pixels; empty when there is none."""
    phone: bytes
    seconds: Mapping[str, float]


class Browser:
    """One browser box, used through one build and never for another app."""

    def __init__(self, box: Box, driver: asyncio.Task[Outcome], jobs: Stream) -> None:
        self._box = box
        self._driver = driver
        self._jobs = jobs
        self._left = b""

    @classmethod
    async def open(cls, engine: Engine, app_id: str, rehearse: int | None = None) -> Self:
        """A started Chromium, whose next page loads Streamlit's front end from that port while
        nobody waits. Raises EngineFault when its box or Chromium does not start."""
        box = await engine.start(BoxSpec(image="browser", app=app_id, lifetime_s=1800.0))
        driver: asyncio.Task[Outcome] | None = None
        try:
            files = {f"driver/{f.name}": f.read_bytes() for f in DRIVER.glob("*.[pj]*")}
            argv = ["python", "-I", "driver"]
            if rehearse:
                front = await asyncio.to_thread(front_end.files)
                files |= {f"front/{path}": content for path, content in front.items()}
                argv.append(str(rehearse))
            await box.put(files)
            driver = asyncio.create_task(box.run(argv, wall_s=None))
            async with asyncio.timeout(START_S):
                while True:
                    with suppress(ConnectionError):
                        return cls(box, driver, await box.open_stream(JOBS))
                    if driver.done():
                        said = driver.result().stderr.decode("utf-8", "replace")[-600:]
                        raise EngineFault(f"The browser did not start: {said}", "`vibe doctor`")
                    await asyncio.sleep(0.05)
        except BaseException as error:
            if driver:
                driver.cancel()
            with suppress(EngineFault):
                await box.stop()
            if isinstance(error, TimeoutError):
                raise EngineFault(f"The browser did not start in {START_S:.0f} seconds.") from error
            raise

    async def close(self) -> None:
        with suppress(EngineFault):  # the engine's sweep removes it; what was seen holds
            await self._box.stop()
        self._driver.cancel()
        await asyncio.gather(self._driver, return_exceptions=True)

    async def look(
        self,
        running: Running,
        checks: Sequence[Check],
        files: Mapping[str, bytes],
        *,
        alone: bool = False,
    ) -> Seen:
        """Opens the app, tries its checks and uses its controls.

        `files` are what an upload step may choose from; with `alone` the checks are tried one
        after the other, since what one does another sees. Raises BoxLost when the browser dies.
        """
        job = {
            "port": running.port,
            "seconds": LOOK_S,
            "control_seconds": CONTROLS_S,
            "shared": running.stateless,
            "alone": alone,
            "checks": [
                {"name": c.name, "steps": [[s.action, step_value(s)] for s in c.steps]}
                for c in checks
            ],
            "files": {
                name: base64.b64encode(content).decode()
                for name, content in files.items()
                if len(content) < 2 << 20
            },
        }
        offering = [asyncio.create_task(_offer(self._box, running)) for _ in range(IDLE_OFFERS)]
        try:
            async with asyncio.timeout(LOOK_S + 15):
                await self._jobs.write(json.dumps(job).encode() + b"\n")
                return read(await self._line(), checks)
        except (TimeoutError, ConnectionError) as error:
            raise BoxLost("The browser did not answer.") from error
        finally:
            for task in offering:
                task.cancel()
            await asyncio.gather(*offering, return_exceptions=True)

    async def _line(self) -> bytes:
        data = self._left
        while b"\n" not in data:
            more = await self._jobs.read()
            if not more or len(data) > ANSWER_BYTES:
                raise BoxLost("The browser ended before it answered.")
            data += more
        line, _, self._left = data.partition(b"\n")
        return line


class Eyes:
    """A build's browser: opened in the background at once, opened again when a page kills it;
    with a port to `rehearse` it gets ready for a Streamlit app there while its model writes."""

    def __init__(self, engine: Engine, app_id: str, rehearse: int | None = None) -> None:
        self._engine = engine
        self._app_id = app_id
        self._rehearse = rehearse
        self._opening = self._open()
        self._used = False
        self._one_at_a_time = asyncio.Lock()

    def _open(self) -> asyncio.Task[Browser]:
        return asyncio.create_task(Browser.open(self._engine, self._app_id, self._rehearse))

    async def look(
        self,
        running: Running,
        checks: Sequence[Check],
        files: Mapping[str, bytes],
        *,
        alone: bool = False,
    ) -> Seen:
        """As Browser.look. Raises BoxLost when the page took the browser down, and EngineFault
        when there is no browser to be had."""
        async with self._one_at_a_time:
            used = self._used
            try:
                seen = await self._look(running, checks, files, alone)
            except BoxLost:
                if not used:
                    raise
            else:
                if not (used and seen.fault and seen.unreached):
                    return seen
            # An earlier page may have left the browser poorly; a fresh one tells.
            return await self._look(running, checks, files, alone)

    async def _look(
        self, running: Running, checks: Sequence[Check], files: Mapping[str, bytes], alone: bool
    ) -> Seen:
        if self._opening.done() and self._opening.exception():
            # It failed while nobody needed it, perhaps long ago: what was in its way may be over.
            self._opening = self._open()
        browser = await asyncio.shield(self._opening)
        self._used = True
        try:
            seen = await browser.look(running, checks, files, alone=alone)
        except (BoxLost, asyncio.CancelledError):  # it may still be at the look nobody waits for
            await self._replace(browser)
            raise
        if seen.spoiled:
            await self._replace(browser)
        return seen

    async def _replace(self, browser: Browser) -> None:
        await browser.close()
        self._opening = self._open()
        self._used = False

    async def close(self) -> None:
        self._opening.cancel()
        for browser in await asyncio.gather(self._opening, return_exceptions=True):
            if isinstance(browser, Browser):
                await browser.close()


async def _offer(browser: Box, running: Running) -> None:
    """Keeps one connection to the app on offer; each that is taken is joined and replaced."""
    joined: set[asyncio.Task[None]] = set()
    try:
        while True:
            offer = await browser.open_stream(OFFERS)
            try:
                taken = await offer.read(1)
            except BaseException:
                await offer.close()
                raise
            if not taken:
                await offer.close()
                await asyncio.sleep(0.2)
                continue
            task = asyncio.create_task(_join(offer, running))
            joined.add(task)
            task.add_done_callback(joined.discard)
    except (ConnectionError, BoxLost):
        return
    finally:
        for task in joined:
            task.cancel()
        await asyncio.gather(*joined, return_exceptions=True)


async def _join(offer: Stream, running: Running) -> None:
    """Joins Chromium's connection with a new stream into the app's box."""
    try:
        app = await running.box.open_stream(running.port)
    except (ConnectionError, BoxLost):
        await offer.close()
        return
    try:
        await asyncio.gather(_pump(offer, app), _pump(app, offer))
    except (ConnectionError, BoxLost):
        pass
    finally:
        await app.close()
        await offer.close()


async def _pump(source: Stream, target: Stream) -> None:
    while data := await source.read():
        await target.write(data)
    await target.end()


def step_value(step: Step) -> Any:
    """A step's value as the driver reads it: text, a number, or field and value."""
    if step.action in ("fill", "select", "upload", "drag"):
        name = {"fill": "with", "select": "option", "upload": "file", "drag": "to"}[step.action]
        return {"field": step.target, name: step.value}
    return step.target or step.value


def read(line: bytes, checks: Sequence[Check]) -> Seen:
    """What the driver says it saw. Raises BoxLost for a line that isn't its."""
    try:
        return _seen(dict(json.loads(line)), checks)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BoxLost("The browser's answer can't be read.") from error


def _seen(answer: dict[str, Any], checks: Sequence[Check]) -> Seen:
    """The driver's answer as typed data; whatever is not as promised is left out."""
    controls = _dicts(answer, "controls")[:40]
    by_name = {str(c.get("name")): c for c in _dicts(answer, "checks")}
    return Seen(
        fault=_text(answer.get("fault")),
        title=_text(answer.get("title")),
        text=_text(answer.get("text")),
        visible=_number(answer.get("visible")),
        exceptions=_texts(answer, "exceptions"),
        console=_texts(answer, "console"),
        errors=_texts(answer, "errors"),
        failed=_texts(answer, "failed"),
        notes=_texts(answer, "notes"),
        controls=tuple(
            Control(
                _text(c.get("label")),
                _text(c.get("tag")),
                _text(c.get("type")),
                c.get("changed") if isinstance(c.get("changed"), bool) else None,
            )
            for c in controls
        ),
        checks=tuple(_check(check, by_name.get(check.name)) for check in checks),
        blank=answer.get("blank") is True,
        width=_number(answer.get("width")),
        spoiled=answer.get("spoiled") is True,
        unreached=answer.get("unreached") is True,
        desktop=_picture(answer.get("desktop")),
        phone=_picture(answer.get("phone")),
        seconds={
            str(k): float(v)
            for k, v in (answer.get("seconds") or {}).items()
            if isinstance(v, int | float)
        },
    )


def _check(check: Check, found: dict[str, Any] | None) -> CheckSeen:
    if found is None:
        return CheckSeen(check.name, False, (), "there was no time left to try it")
    steps = tuple(_text(step) for step in found.get("steps") or [])[:30]
    return CheckSeen(
        check.name,
        found.get("passed") is True,
        steps,
        _text(found.get("why")),
        tuple(text[:300] for text in _texts(found, "seen")),
        _picture(found.get("picture"), CHECK_BYTES, CHECK_SIZE),
    )


def _dicts(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = answer.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _texts(answer: dict[str, Any], name: str) -> tuple[str, ...]:
    value = answer.get(name)
    return tuple(_text(item) for item in value[:20]) if isinstance(value, list) else ()


def _text(value: object) -> str:
    """Text without control characters, which a terminal or a model would take amiss."""
    return _CONTROL.sub(" ", str(value)[:1500]) if value is not None else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _picture(
    value: object, most: int = PICTURE_BYTES, size: tuple[int, int] = PICTURE_SIZE
) -> bytes:
    """A WebP picture's bytes; b"" for anything else, and for one that is larger than promised."""
    if not isinstance(value, str) or len(value) > most * 4 // 3 + 4:
        return b""
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return still(data, size)
