"""A whole app in memory, and its code as a new repository: what copies and imports are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vibe.app import App, Spent
from vibe.errors import UserError
from vibe.events import (
    AttemptEnded,
    AttemptStarted,
    Event,
    FilesWritten,
    Finished,
    Notice,
    PlanMade,
    Requested,
    VerdictReached,
    now,
)
from vibe.repository import Repository


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One commit of an app's code."""

    id: str
    """What the record and the transcript call it."""
    files: Mapping[str, bytes]
    message: str
    author: str = ""
    """`Name <email>`; empty: the person of this machine's git configuration."""
    seconds: int | None = None
    """Since 1970, UTC; None: now."""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Whole:
    """Everything there is of an app."""

    app: App
    history: tuple[Snapshot, ...]
    """Oldest first."""
    events: tuple[Event, ...]
    data: Mapping[str, bytes] = field(default_factory=dict)
    results: Mapping[str, bytes] = field(default_factory=dict)
    picture: bytes = b""
    """WebP, or nothing."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """WebP, in pictures/ (of the checks) and thumbs/ (of the revisions)."""
    vendored: Mapping[str, bytes] = field(default_factory=dict)
    """The libraries of its pages, by their place beside them (`vendor/…`)."""
    wheels: Mapping[str, bytes] = field(default_factory=dict)
    """Its packages by file name, when it came with them."""


def write_code(folder: Path, history: Iterable[Snapshot]) -> dict[str, str]:
    """Makes a new repository commit by commit, so that nothing but the files, messages, authors
    and times of the old one gets into it; returns each commit's new id by its old one.

    Raises ModelFault for paths that can't be used, OSError when the disk refuses."""
    repository = Repository(folder)
    ids: dict[str, str] = {}
    for snapshot in history:
        ids[snapshot.id] = commit = repository.commit(
            snapshot.files, snapshot.message, seconds=snapshot.seconds, author=snapshot.author
        )
        for tag in snapshot.tags:
            repository.tag(tag, commit)
    return ids


def renamed(whole: Whole, ids: Mapping[str, str]) -> Whole:
    """The app with its commits called by their new ids."""
    revisions = tuple(replace(r, commit=ids.get(r.commit, r.commit)) for r in whole.app.revisions)
    events = tuple(
        replace(event, commit=ids.get(event.commit, event.commit))
        if isinstance(event, FilesWritten)
        else event
        for event in whole.events
    )
    return replace(whole, app=replace(whole.app, revisions=revisions), events=events)


def copy_of(app: App, whole: Whole) -> Whole:
    """A new app that begins with the present revision of another, and has cost nothing yet.

    Raises UserError when there is none."""
    if not app.revisions:
        raise UserError("There is no version of this app to copy yet.", "Build it again first.")
    revision = app.revisions[-1]
    # All that was asked for: a starter fills its app in from the idea alone.
    asked = [app.idea, *(r.request for r in app.revisions[1:])]
    idea = "\n".join(asked)
    time, verdict = now(), revision.verdict
    files = next((s.files for s in whole.history if s.id == revision.commit), {})
    reason = f"a copy of {app.id}, revision {revision.number}"
    events: tuple[Event, ...] = (
        Requested(1, idea, app.kind, app.model, "fix"),
        Notice(text=f"This is {reason}. No model was asked."),
        *([PlanMade(app.plan)] if app.plan else []),
        AttemptStarted(1, 1, reason),
        FilesWritten({name: len(content) for name, content in files.items()}, revision.commit),
        AttemptEnded(1, 1, True, [], verdict.sentence),
        VerdictReached(
            verdict.state,
            verdict.sentence,
            list(verdict.verified),
            list(verdict.unverified),
            verdict.isolation,
        ),
        Finished("ready", verdict.sentence),
    )
    copied = replace(
        app,
        id="",
        title=f"{app.title} (copy)" if not app.title.endswith("(copy)") else app.title,
        idea=idea,
        status="ready",
        created=time,
        used=time,
        verdict=verdict,
        revisions=(replace(revision, number=1, request=idea, created=time, way="asked", source=0),),
        spent=Spent(),
        keep=False,
        remake_of="",
        remakes=(),
    )
    snapshot = Snapshot(revision.commit, files, f"Copy of {app.id}: {idea}", tags=("r1",))
    return Whole(
        copied,
        (snapshot,),
        events,
        whole.data,
        {},
        whole.picture,
        vendored=whole.vendored,
        wheels=whole.wheels,
    )
