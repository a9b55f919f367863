"""The events of a build: frozen records and their JSON lines, which together are the transcript."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

VERSION = 1


def now() -> str:
    """The time as events and records write it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Event:
    """What every event has; `at` is set when it is made."""

    at: str = field(default_factory=now, kw_only=True)


@dataclass(frozen=True, slots=True)
class Requested(Event):
    """The user asked for an app (revision 1) or a change."""

    revision: int
    text: str
    kind: str
    model: str
    autonomy: str
    way: str = "asked"
    """How the revision comes about; see `vibe.app.Way`."""
    report: str = ""
    """What the model is told beside the words: an error to repair, or lessons of earlier tries."""


@dataclass(frozen=True, slots=True)
class DataRead(Event):
    """What was seen of the attached files: of each its name, size, what it is, tables (columns,
    types, first rows, rows in all), first lines, and why it can't be read."""

    files: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class PromptSent(Event):
    """One model call begins; `messages` are role/content pairs, whole. `template` is the prompt's
    template with its version, such as `code.j2 1a2b3c4d`; empty in older transcripts."""

    role: str
    model: str
    messages: list[dict[str, str]]
    template: str = ""


@dataclass(frozen=True, slots=True)
class ReplyText(Event):
    """A piece of the reply as it streams."""

    text: str


@dataclass(frozen=True, slots=True)
class ReplyEnded(Event):
    """The model call is over; the reply is the ReplyText pieces since its PromptSent."""

    finish: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    seconds_to_first: float
    estimated: bool = False
    money: float | None = None


@dataclass(frozen=True, slots=True)
class PlanMade(Event):
    """The plan, as data: title, kind, summary, packages, checks."""

    plan: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AttemptStarted(Event):
    """Attempt `attempt` (1-based) of revision `revision`; `reason` says why there is another."""

    revision: int
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class FilesWritten(Event):
    """The attempt's files, path → size in bytes; `commit` is their commit id."""

    files: dict[str, int]
    commit: str


@dataclass(frozen=True, slots=True)
class Stage(Event):
    """A stage begins: plan, code, parse, static, box, start, alive, pages, run, checks."""

    name: str
    sentence: str


@dataclass(frozen=True, slots=True)
class RungDone(Event):
    """One rung of the ladder passed or failed, with its evidence.

    `steps` are a check's: `step`, `passed` (null: not tried) and `seen`. `pictures` are names in
    the app's pictures/, which may be gone from there; older transcripts have neither.
    """

    name: str
    passed: bool
    sentence: str
    evidence: str
    seconds: float
    steps: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PackageReady(Event):
    """One package of the app's lock is there, the `done`th `of` so many."""

    name: str
    version: str
    done: int
    of: int


@dataclass(frozen=True, slots=True)
class BoxStarted(Event):
    box: str
    engine: str
    image: str


@dataclass(frozen=True, slots=True)
class Output(Event):
    """Something the program printed, decoded with replacement, control characters kept."""

    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True, slots=True)
class Fixed(Event):
    """A rule mended the code without the model."""

    rule: str
    sentence: str


@dataclass(frozen=True, slots=True)
class AttemptEnded(Event):
    """The attempt's score: (rungs passed, checks passed); higher is better."""

    revision: int
    attempt: int
    runs: bool
    score: list[int]
    sentence: str


@dataclass(frozen=True, slots=True)
class RepairAsked(Event):
    """The short report that goes back to the model."""

    report: str


@dataclass(frozen=True, slots=True)
class Asked(Event):
    """The build waits for a yes: with autonomy `ask` to the plan (its YAML) or to a repair (its
    report), and except with `free` to a package that Vibe doesn't know (a sentence)."""

    what: Literal["plan", "repair", "package"]
    text: str


@dataclass(frozen=True, slots=True)
class Answered(Event):
    """The person's answer; for a plan, `text` is the plan as they left it."""

    what: Literal["plan", "repair", "package"]
    yes: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class VerdictReached(Event):
    state: str
    sentence: str
    verified: list[str]
    unverified: list[str]
    isolation: str = ""


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """Something worth saying that is neither progress nor failure."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """The last event of a build. `status` is the app's new status."""

    status: Literal["ready", "failed", "stopped", "interrupted"]
    sentence: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Acted(Event):
    """Something done to the app outside a build: rerun, exported, discarded, restored …"""

    action: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unknown(Event):
    """An event of a newer Vibe, or a line that can't be read; kept as it was."""

    line: str


TYPES: dict[str, type[Event]] = {
    cls.__name__: cls
    for cls in (
        Requested, DataRead, PromptSent, ReplyText, ReplyEnded, PlanMade, AttemptStarted,
        FilesWritten,
        Stage, RungDone, BoxStarted, Output, Fixed, AttemptEnded, RepairAsked, VerdictReached,
        Asked, Answered, Notice, Finished, Acted, PackageReady,
    )
}  # fmt: skip


_HINTS = {name: typing.get_type_hints(cls) for name, cls in TYPES.items()}


def to_json(event: Event) -> str:
    """One line of JSON without its newline: v, type, and the event's own fields."""
    if isinstance(event, Unknown):
        return event.line
    record = {"v": VERSION, "type": type(event).__name__, **dataclasses.asdict(event)}
    # A plan may hold what YAML knows and JSON doesn't, e.g. a date.
    line = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str)
    # Half characters (lone surrogates) become JSON escapes, so that the line can be encoded.
    return line.encode("utf-8", "backslashreplace").decode()


def from_json(line: str) -> Event:
    """The event of one line; `Unknown` for anything this version can't read. Never raises."""
    try:
        record = json.loads(line)
        name = record.pop("type")
        hints = _HINTS[name]
        if record.pop("v") != VERSION:
            return Unknown(line=line)
        values = {key: value for key, value in record.items() if key in hints}
        if not all(_fits(value, hints[key]) for key, value in values.items()):
            return Unknown(line=line)
        return TYPES[name](**values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Unknown(line=line)


def _fits(value: object, hint: Any) -> bool:
    """Whether a JSON value is of the (outer) type that the field promises."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        return value in typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, int | float)
    return isinstance(value, origin or hint)
