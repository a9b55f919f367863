"""The file of an app's transcript: one event a line, only ever added to."""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock

from vibe.durable import sync_folder
from vibe.events import Event, Finished, Output, ReplyText, from_json, to_json
from vibe.redaction import redact_data, redact_pieces

TAIL = 4096
"""Characters of a stream that are remembered, to know a secret by its second half."""


def append(path: Path, events: Iterable[Event], *, sync: bool) -> None:
    """Adds the events in one write, after what any other thread or process adds; with `sync` they
    are on the disk when this returns.

    A line that an earlier writer left torn is ended first. When the disk refuses, nothing is
    added and OSError is raised.
    """
    lines = (to_json(event).replace("\n", " ") + "\n" for event in events)
    content = "".join(lines).encode("utf-8", "replace")
    if not content:
        return
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            content = b"\n" + content
        try:
            written = 0
            while written < len(content):
                written += os.write(file, content[written:])
            if sync:
                os.fsync(file)
        except OSError:
            os.ftruncate(file, size)
            raise
    finally:
        os.close(file)
    if sync and not size:
        sync_folder(path.parent)


def read(path: Path, after: int = 0) -> list[Event]:
    """The events from number `after` on; none when there is no file. A last line that is still
    being written, or was torn, is left out."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    lines = [line for line in content.split(b"\n")[:-1] if line]
    return [from_json(line.decode("utf-8", "replace")) for line in lines[after:]]


def read_on(path: Path, place: int) -> tuple[list[Event], int]:
    """The events from byte `place` on, and the place where the next one will begin; a last line
    that is still being written is left for then."""
    try:
        with path.open("rb") as file:
            file.seek(place)
            content = file.read()
    except FileNotFoundError:
        return [], place
    whole = content[: content.rfind(b"\n") + 1]
    lines = [line for line in whole.split(b"\n") if line]
    return [from_json(line.decode("utf-8", "replace")) for line in lines], place + len(whole)


class Redactor:
    """Masks secrets in the events of many apps, remembering the end of each app's streams."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secrets)
        self._tails: dict[tuple[str, str], str] = {}
        self._lock = Lock()

    def mask(self, secrets: Sequence[str]) -> None:
        """Masks these from now on instead of those of before."""
        self._secrets = tuple(secrets)

    def redacted(self, app_id: str, events: Iterable[Event]) -> list[Event]:
        """As many events, without secrets; of a streamed text also those that span events."""
        masked: list[Event] = []
        streams: dict[str, list[int]] = {}
        for event in events:
            if isinstance(event, ReplyText | Output):
                stream: str = event.stream if isinstance(event, Output) else "reply"
                streams.setdefault(stream, []).append(len(masked))
                masked.append(event)
                continue
            fields = {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
            masked.append(dataclasses.replace(event, **redact_data(fields, self._secrets)))
        with self._lock:
            for stream, places in streams.items():
                texts = [getattr(masked[place], "text", "") for place in places]
                before = self._tails.get((app_id, stream), "")
                pieces = redact_pieces(texts, self._secrets, before)
                for place, piece in zip(places, pieces, strict=True):
                    masked[place] = dataclasses.replace(masked[place], text=piece)  # type: ignore[call-arg]
                self._tails[app_id, stream] = (before + "".join(texts))[-TAIL:]
            if any(isinstance(event, Finished) for event in masked):
                for stream in ("reply", "stdout", "stderr"):
                    self._tails.pop((app_id, stream), None)
        return masked
