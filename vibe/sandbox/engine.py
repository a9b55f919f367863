"""The engine's edge: what a box is asked for, what it does, and how a command in it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from vibe.sandbox.lock import Lock

How = Literal["ok", "error", "timeout", "memory", "output", "killed"]
"""How a command ended, decided on the host and never from the program's words:
`ok` exit 0 · `error` any other exit or signal · `timeout` ran past its wall time ·
`memory` the memory limit killed it · `output` printed past the cap · `killed` we stopped it."""

OutputSink = Callable[[Literal["stdout", "stderr"], bytes], None]


@dataclass(frozen=True, slots=True)
class BoxSpec:
    """What a caller may choose about a box; everything else comes from policy.yaml."""

    image: Literal["python", "browser", "node", "rust"] = "python"
    app: str = ""
    """Id of the app it runs, for labels."""
    lifetime_s: float = 3600.0
    """Hard deadline: the box removes itself then, whatever Vibe does."""
    packages: str = ""
    """Key of the lock whose installed packages the program can import; empty for none."""
    image_id: str = ""
    """Id of the very image to use; empty for the newest of that name."""
    say: Callable[[str], None] | None = field(default=None, compare=False)
    """Told, from any thread, what starting takes long for: an image that is built now."""
    programs: tuple[tuple[str, ...], ...] = ()
    """The commands it is for, where known; a box that stands ready may have them half started."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one command in a box ended."""

    how: How
    exit_code: int | None
    """Exit status; negative for a signal, as in subprocess; None when it never ended by itself."""
    stdout: bytes
    """At most the cap (1 MiB), from the start."""
    stderr: bytes
    truncated: bool
    seconds: float

    @property
    def ok(self) -> bool:
        return self.how == "ok"


@dataclass(frozen=True, slots=True)
class Export:
    """Regular files that came out of a box, and what was left behind and why."""

    files: Mapping[str, bytes]
    """Relative POSIX path → content; every path is checked by the host."""
    dropped: Sequence[tuple[str, str]] = ()
    """(path, reason) of links, devices, oversize files and odd names."""


@dataclass(frozen=True, slots=True)
class Posture:
    """What an engine's self-test found, for the doctor and the verdict's label."""

    engine: str
    usable: bool
    isolation: str
    """`container (shared kernel)`, `gVisor`, `reduced isolation`."""
    sentence: str
    fix: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


class Stream(Protocol):
    """One byte stream to a port inside a box, with back-pressure both ways."""

    async def read(self, limit: int = 65536) -> bytes:
        """Up to `limit` bytes; b"" at the end. Raises BoxLost if the box goes away."""

    async def write(self, data: bytes) -> None:
        """Sends all of `data`, waiting for the window. Raises BoxLost, or ConnectionError
        when the far side closed."""

    async def end(self) -> None:
        """Half-close: the far side reads end-of-file; reading goes on."""

    async def close(self) -> None:
        """Closes both ways; safe to call twice."""

    def quiet(self) -> bool:
        """Whether it is open, as far as is known here, and nothing has come that wasn't read."""


class Box(Protocol):
    """One running sandbox: used once, never reused. Paths are relative to /work."""

    id: str
    engine: str
    image: str
    """Digest or id of the image it runs, for pins."""

    @property
    def until(self) -> float:
        """When its time will be over, by the monotonic clock."""

    async def put(self, files: Mapping[str, bytes]) -> None:
        """Writes files below /work, making folders. Raises UserError when they don't fit."""

    async def prepare(self, argv: Sequence[str], modules: Sequence[str]) -> None:
        """Has a Python import `modules`, to become the command `argv` (`python -m …` or `python -`,
        with or without further arguments) when that is run. Returns when it has, or can't."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        wall_s: float | None = 30.0,
        on_output: OutputSink | None = None,
    ) -> Outcome:
        """Runs a command in /work to its end; several may run at once. With `wall_s=None` it has
        the box's own deadline. Cancelling the call kills the command and all its children."""

    async def ports(self) -> tuple[int, ...]:
        """TCP ports that something inside listens on right now."""

    async def open_stream(self, port: int) -> Stream:
        """A stream to 127.0.0.1:port inside. Raises ConnectionRefusedError when nothing listens."""

    def give(self, environment: Mapping[str, str]) -> None:
        """What every command that is run from now on has in its environment beside its own."""

    async def accept(self, port: int) -> Stream:
        """The next connection that a program inside makes to 127.0.0.1:port, where the box itself
        listens from the first call on; the same port each time. Raises ConnectionError when a
        program has the port, BoxLost when the box goes away first."""

    async def export(self, folder: str = ".", *, max_bytes: int = 64 << 20) -> Export:
        """Regular files below /work/<folder>."""

    def idle_s(self) -> float:
        """Seconds since a command was begun in it, or a byte went through one of its streams."""

    async def stop(self) -> None:
        """Ends and removes the box, ≤ 1 s; safe to call twice, and after the box died."""


Progress = Callable[[str, str, int, int], None]
"""Told of each package that is there: its name, its version, how many are, of how many."""


class Packages(Protocol):
    """Turns package names into something that boxes can have: resolve, then install."""

    async def resolve(self, names: Sequence[str]) -> Lock:
        """The exact packages that the names need beside the image's own; nothing is installed.
        Raises NoPackages."""

    async def install(self, lock: Lock, told: Progress, wheels: Path | None = None) -> Lock:
        """Returns once boxes can have `BoxSpec(packages=lock.key)`; the lock with its modules.
        What a folder of `wheels` has is taken from there. Raises NoPackages."""

    async def wheels(self, lock: Lock) -> dict[str, bytes]:
        """The lock's wheels by file name, with the hashes that it has. Raises NoPackages."""


class Engine(Protocol):
    """Starts boxes. Made by `await Engine.open(...)`, ended by `close`."""

    name: str

    @property
    def packages(self) -> Packages:
        """What gives its boxes packages beside the image's own."""

    async def image(self, image_id: str, recipe: str) -> str:
        """That image's id if it is there, else the id of the one built from the recipe of that
        digest, else ""."""

    async def probe(self) -> Posture:
        """Whether boxes can be started, and how well they isolate; never raises."""

    async def start(self, spec: BoxSpec) -> Box:
        """A started box whose runner has answered. Raises EngineFault (with a fix)."""

    async def sweep(self) -> list[str]:
        """Removes boxes of this gallery whose owner is dead or has lost them, and whose time is
        over; returns their ids. Raises EngineFault."""

    async def close(self) -> None:
        """Stops every box this engine object started."""
