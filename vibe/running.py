"""Puts an app's files in a box, starts its command and waits until it serves."""

from __future__ import annotations

import asyncio
import codecs
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from vibe import vendored
from vibe.busy import load, patience
from vibe.errors import BoxLost
from vibe.events import BoxStarted, Event, Fixed, Output, Stage
from vibe.granted import NOTHING, Granted
from vibe.kinds import Kind
from vibe.reach import Host
from vibe.sandbox import web
from vibe.sandbox.engine import Box, BoxSpec, Outcome

Emit = Callable[[Event], None]
Start = Callable[[BoxSpec], Awaitable[Box]]
"""Gives a started box: an engine's own `start`, or one that has such a box ready."""

TRANSCRIPT_OUTPUT = 64 * 1024
"""Characters of a program's output that go into the transcript, per command."""
TAIL_LINES = 80
LIFETIME_S = 3600.0
"""How long an app's box may live."""


class Printed:
    """What a command prints: events up to a cap, and always the last lines."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._left = TRANSCRIPT_OUTPUT
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {"stdout": decoder("replace"), "stderr": decoder("replace")}
        self._tail: deque[str] = deque(maxlen=TAIL_LINES * 4)
        self.listener: Callable[[str, str], None] | None = None
        """Gets the stream and the text of whatever is printed from now on."""

    def __call__(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        text = self._decoders[stream].decode(data)
        if not text:
            return
        self._tail.append(text[-8000:])
        if self.listener is not None:
            self.listener(stream, text)
        if self._left > 0:
            shown = text[: self._left]
            self._left -= len(shown)
            self._emit(Output(stream=stream, text=shown))
            if self._left <= 0:
                self._emit(Output(stream=stream, text="\n… more output is not kept …\n"))

    @property
    def tail(self) -> str:
        """The last lines, at most TAIL_LINES and 8 kB."""
        return "\n".join("".join(self._tail).splitlines()[-TAIL_LINES:])[-8000:]


@dataclass(frozen=True, slots=True)
class Running:
    """An app that serves in a box."""

    box: Box
    port: int
    command: asyncio.Task[Outcome]
    """The app's own process; done when it has ended."""
    printed: Printed
    stateless: bool = False
    """Whether two pages of one browser never meet (Streamlit: each has a session of its own)."""
    hosts: tuple[Host, ...] = ()
    """Hosts that its pages may reach from a person's browser."""

    @property
    def until(self) -> float:
        """When its box will be at the end of its life, by the monotonic clock."""
        return self.box.until

    async def stop(self) -> None:
        await self.box.stop()
        self.command.cancel()
        await asyncio.gather(self.command, return_exceptions=True)


class NotServing(Exception):
    """The app's command ran but never served; `sentence` for a person, `evidence` its output."""

    def __init__(self, sentence: str, evidence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.evidence = evidence


def app_box(
    kind: Kind | None,
    app_id: str,
    emit: Emit,
    *,
    lifetime_s: float = LIFETIME_S,
    packages: str = "",
    image_id: str = "",
    probed: bool = False,
) -> BoxSpec:
    """What is asked for when an app of that kind is to run, and, if `probed`, its probe too."""
    programs: tuple[tuple[str, ...], ...] = ()
    if kind is not None:
        programs = tuple(kind.programs()) if probed else (tuple(kind.argv()),)
    return BoxSpec(
        image=kind.image if kind else "python",
        app=app_id,
        lifetime_s=lifetime_s,
        packages=packages,
        image_id=image_id,
        say=_from_threads(emit),
        programs=programs,
    )


async def open_box(
    start: Start,
    spec: BoxSpec,
    files: Mapping[str, bytes],
    data: Mapping[str, bytes],
    emit: Emit,
    *,
    kind: Kind | None = None,
    kept: Mapping[str, bytes] = vendored.NONE,
    granted: Granted = NOTHING,
) -> Box:
    """A started box with the app's files in /work, the libraries that its pages load (first those
    `kept` for it) in /work/vendor, what the user attached in /work/data, which can't be written,
    and what the app was granted."""
    if kind is not None and kind.vendor:
        files = {**await asyncio.to_thread(vendored.needed, files, kept), **files}
    box = await start(spec)
    emit(BoxStarted(box=box.id, engine=box.engine, image=box.image))
    try:
        await box.put({**files, **{f"data/{name}": content for name, content in data.items()}})
        if data:  # a slip must not change what the next run reads; the archive has its own
            await box.run(["chmod", "-R", "a-w", "data"], wall_s=10.0)
        if kind is None or not kind.vendor:  # else nothing in it is the app's own program
            await granted.equip(box)
    except BaseException:
        await box.stop()
        raise
    return box


def _from_threads(emit: Emit) -> Callable[[str], None]:
    """What tells, from any thread, why a box isn't there yet."""
    loop = asyncio.get_running_loop()

    def say(sentence: str) -> None:
        loop.call_soon_threadsafe(emit, Stage(name="image", sentence=sentence))

    return say


async def prepare(box: Box, kind: Kind, *, wall_s: float) -> Outcome | None:
    """How it went to do what a kind does once before its command; None when that is nothing."""
    if not kind.prepare:
        return None
    return await box.run(kind.preparing(), wall_s=wall_s)


async def serve(
    box: Box, kind: Kind, *, start_s: float, emit: Emit, hosts: tuple[Host, ...] = ()
) -> Running:
    """Starts a serving kind's command in `box` and waits until its ready path answers.

    Raises NotServing when the command ends or `start_s` passes first, which is longer on a machine
    that is far too busy; the box is left to the caller. An app that listens on another port than
    its kind's is met there, and an event says so.
    """
    assert kind.port is not None, "only serving kinds are served"
    printed = Printed(emit)
    start_s *= patience(load())
    command = asyncio.create_task(
        box.run(kind.argv(), env=kind.env, wall_s=None, on_output=printed)
    )
    try:
        port = await _ready(box, kind, command, printed, start_s)
    except BaseException:
        command.cancel()
        await asyncio.gather(command, return_exceptions=True)
        raise
    if port != kind.port:
        emit(
            Fixed(
                rule="other port",
                sentence=f"The program listens on port {port}, not {kind.port}; it is met there.",
            )
        )
    stateless = kind.name == "streamlit"
    return Running(box, port, command, printed, stateless, hosts)


async def _ready(
    box: Box, kind: Kind, command: asyncio.Task[Outcome], printed: Printed, start_s: float
) -> int:
    """The port whose ready path answers. Raises NotServing."""
    assert kind.port is not None
    deadline = asyncio.get_running_loop().time() + start_s
    said = "nothing listened"
    while asyncio.get_running_loop().time() < deadline:
        if command.done():
            raise NotServing(_ending(command), printed.tail)
        ports = await box.ports()
        for port in sorted(ports, key=lambda p: p != kind.port)[:3]:
            try:
                status, _ = await web.get(box, port, kind.ready, wall_s=min(10.0, start_s))
            except ConnectionError as error:
                said = f"port {port} is open, but {error}"
                continue
            if status < 400 or port == kind.port:
                return port
        await asyncio.sleep(0.04)
    raise NotServing(
        f"It did not serve anything within {start_s:.0f} seconds ({said}).", printed.tail
    )


def _ending(command: asyncio.Task[Outcome]) -> str:
    if (error := command.exception()) is not None:
        raise error if isinstance(error, BoxLost) else BoxLost(str(error))
    outcome = command.result()
    return f"It ended at once instead of serving: {how_it_ended(outcome)}."


def how_it_ended(outcome: Outcome) -> str:
    """An outcome in words: `exit code 1`, `it used more memory than it may` …"""
    return {
        "ok": "it exited without an error",
        "error": f"exit code {outcome.exit_code}",
        "timeout": f"it was still running after {outcome.seconds:.0f} seconds",
        "memory": "it used more memory than a box has",
        "output": "it printed more than a box may (1 MiB)",
        "killed": "it was stopped",
    }[outcome.how]
