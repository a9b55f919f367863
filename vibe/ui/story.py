"""The transcript folded into what a timeline shows, a few events at a time.

A transcript has thousands of events, most of them pieces of a reply. A `Story` is kept in the
session and takes each event once, so that a tick of the screen costs what is new and no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from vibe import events as ev
from vibe.app import Rung, StepSeen
from vibe.fences import blocks, tidy

OUTPUT_PIECES = 2000
"""How many pieces of program output are kept of one attempt, from the end."""

WRITING = ("plan", "code", "parse")
"""Stages before anything is checked."""


@dataclass(slots=True)
class Draft:
    """One file as far as the reply has come."""

    path: str
    text: str
    whole: bool


@dataclass(slots=True)
class Reply:
    """One model call."""

    role: str
    model: str
    messages: list[dict[str, str]] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    ended: ev.ReplyEnded | None = None

    @property
    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces[:] = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


@dataclass(slots=True)
class Attempt:
    """One model reply and what came of it."""

    number: int
    reason: str
    replies: list[Reply] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    commit: str = ""
    stages: list[ev.Stage] = field(default_factory=list)
    """The ones that check something."""
    rungs: list[Rung] = field(default_factory=list)
    examined: int = 0
    """Rungs that were climbed before a rule mended the code."""
    fixes: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    engine: str = ""
    output: list[ev.Output] = field(default_factory=list)
    report: str = ""
    ended: ev.AttemptEnded | None = None

    @property
    def writing(self) -> bool:
        """Whether a reply of this attempt is still coming."""
        return bool(self.replies) and self.replies[-1].ended is None

    @property
    def reply(self) -> str:
        """Everything the model wrote, continuations included."""
        return "".join(reply.text for reply in self.replies)

    @property
    def problem(self) -> Rung | None:
        """What failed first."""
        return next((rung for rung in self.rungs if not rung.passed), None)


@dataclass(slots=True)
class Build:
    """What one request led to."""

    revision: int
    text: str
    kind: str
    model: str
    began: str
    planning: list[Reply] = field(default_factory=list)
    plan: dict[str, Any] = field(default_factory=dict)
    stage: ev.Stage | None = None
    attempts: list[Attempt] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    verdict: ev.VerdictReached | None = None
    finished: ev.Finished | None = None
    latest: str = ""
    way: str = "asked"
    report: str = ""
    again: Attempt | None = None
    """What was seen when its checks were run again, without the model."""
    checked: ev.Acted | None = None
    """How that ended."""

    @property
    def attempt(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def replies(self) -> list[Reply]:
        return [*self.planning, *(r for attempt in self.attempts for r in attempt.replies)]

    @property
    def tokens(self) -> int:
        ends = (reply.ended for reply in self.replies)
        return sum(end.prompt_tokens + end.completion_tokens for end in ends if end)

    @property
    def money(self) -> float:
        """What the calls with a known price cost; 0 when no price is known."""
        return sum(reply.ended.money or 0.0 for reply in self.replies if reply.ended)


class Story:
    """An app's builds so far, and how many events they were made of."""

    def __init__(self) -> None:
        self.taken = 0
        self.place = 0
        """Where in the transcript the next look begins."""
        self.builds: list[Build] = []
        self.data: dict[str, dict[str, Any]] = {}
        """What was seen of the attached files, by name (see DataRead)."""
        self.acted: ev.Acted | None = None
        """The last thing done to the app outside a build, since its last build."""

    @property
    def build(self) -> Build | None:
        return self.builds[-1] if self.builds else None

    def take(self, events: Iterable[ev.Event]) -> None:
        """Folds in the events that follow the ones taken before."""
        for event in events:
            self.taken += 1
            if isinstance(event, ev.Acted):
                self.acted = event
                if event.action == "checked" and self.build:
                    self.build.checked = event
            elif isinstance(event, ev.DataRead):
                self.data |= {str(file.get("name")): file for file in event.files if file}
            elif isinstance(event, ev.Requested):
                self.acted = None
                self.builds.append(
                    Build(
                        event.revision,
                        event.text,
                        event.kind,
                        event.model,
                        event.at,
                        way=event.way,
                        report=event.report,
                    )
                )
            elif self.builds:
                self._fold(self.builds[-1], event)

    def _fold(self, build: Build, event: ev.Event) -> None:
        attempt = build.attempt
        if not isinstance(event, ev.Acted | ev.Unknown):
            build.latest = event.at
        match event:
            case ev.RungDone() if build.finished:
                if build.again is None or build.checked:
                    build.again, build.checked = Attempt(0, ""), None
                _fold_attempt(build.again, event)
            case ev.ReplyText():
                replies = attempt.replies if attempt else build.planning
                if replies:
                    replies[-1].pieces.append(event.text)
            case ev.PromptSent():
                (attempt.replies if attempt else build.planning).append(
                    Reply(event.role, event.model, event.messages)
                )
            case ev.ReplyEnded():
                replies = attempt.replies if attempt else build.planning
                if replies:
                    replies[-1].ended = event
            case ev.PlanMade():
                build.plan = event.plan
            case ev.AttemptStarted():
                build.attempts.append(Attempt(event.attempt, event.reason))
            case ev.VerdictReached():
                build.verdict = event
            case ev.Finished():
                build.finished = event
            case ev.Notice():
                (attempt or build).notices.append(event.text)
            case ev.Stage():
                build.stage = event
                if attempt and event.name not in WRITING:
                    attempt.stages.append(event)
            case _:
                if attempt:
                    _fold_attempt(attempt, event)


def _fold_attempt(attempt: Attempt, event: ev.Event) -> None:
    match event:
        case ev.FilesWritten():
            attempt.files, attempt.commit = event.files, event.commit
            attempt.examined = len(attempt.rungs)
        case ev.RungDone():
            attempt.rungs.append(
                Rung(
                    event.name,
                    event.passed,
                    event.sentence,
                    event.evidence,
                    event.seconds,
                    _steps(event.steps),
                    tuple(map(str, event.pictures)),
                )
            )
        case ev.Fixed():
            attempt.fixes.append(event.sentence)
        case ev.PackageReady(name=name, version=version, done=done, of=of):
            said = f"{name} {version} is there ({done} of {of})."
            attempt.stages.append(ev.Stage(name="packages", sentence=said))
        case ev.BoxStarted():
            attempt.engine = event.engine
        case ev.Output():
            attempt.output.append(event)
            if len(attempt.output) > 2 * OUTPUT_PIECES:
                del attempt.output[:-OUTPUT_PIECES]
        case ev.RepairAsked():
            attempt.report = event.report
        case ev.AttemptEnded():
            attempt.ended = event


def _steps(told: list[Any]) -> tuple[StepSeen, ...]:
    """A check's steps, from a transcript that may have been written by hand."""
    return tuple(
        StepSeen(
            str(step.get("step", "")),
            passed if isinstance(passed := step.get("passed"), bool) else None,
            str(step.get("seen", "")),
        )
        for step in told
        if isinstance(step, dict)
    )


def drafts(reply: str) -> list[Draft]:
    """The files in a reply that may still be coming; fences without a path are left out."""
    found = blocks(tidy(reply), whole=False)
    return [Draft(block.path, block.text, block.closed) for block in found if block.path]


def language(path: str) -> str | None:
    """What `st.code` calls the language of a file."""
    suffix = path.rpartition(".")[2].lower()
    known = {"py": "python", "js": "javascript", "md": "markdown", "yml": "yaml", "htm": "html"}
    plain_names = ("html", "css", "json", "yaml", "toml", "sql", "svg", "xml", "csv", "sh")
    return known.get(suffix, suffix if suffix in plain_names else None)
