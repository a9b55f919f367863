"""When apps that nobody uses or keeps go to the trash by themselves."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import ceil

from vibe.app import App
from vibe.archive import Archive
from vibe.errors import UserError
from vibe.finding import Wanted


def expires(app: App, days: int) -> datetime | None:
    """When the app goes to the trash unless it is used or kept: `days` after its last use.

    None: never, because it is kept or building, days are 0, or nobody knows its last use."""
    if app.keep or app.status == "building" or days <= 0:
        return None
    try:
        used = datetime.fromisoformat(app.used or app.created)
        return (used if used.tzinfo else used.replace(tzinfo=UTC)) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None


def days_left(app: App, days: int, at: datetime) -> int | None:
    """Days until the app expires, a begun one counted whole, 0 when it is due; None: never."""
    end = expires(app, days)
    return None if end is None else max(0, ceil((end - at) / timedelta(days=1)))


def expire(
    archive: Archive, days: int, *, at: datetime, running: Collection[str] = ()
) -> list[App]:
    """Discards what has expired at that time, with the reason in its transcript, and returns it.

    An app that runs, is being built or is kept stays; so does one that the disk refuses to move,
    until the next time."""
    if days <= 0:
        return []
    wanted = Wanted(sort="used", used_before=_written(at - timedelta(days=days)))
    reason = f"not used for {days} days"
    gone: list[App] = []
    for app in archive.find(wanted).apps:
        end = expires(app, days)
        if end is not None and end <= at and app.id not in running:
            with suppress(UserError):
                gone.append(archive.discard(app.id, expired=reason, at=_written(at)))
    return gone


def empty(
    archive: Archive, days: int, *, at: datetime, purge: Callable[[str], object]
) -> list[str]:
    """Deletes for good, with `purge`, what was discarded longer than `days` before that time (0:
    nothing); returns the ids."""
    gone: list[str] = []
    for app in archive.trash() if days > 0 else ():
        with suppress(UserError, ValueError):
            if datetime.fromisoformat(app.discarded or "") + timedelta(days=days) <= at:
                purge(app.id)
                gone.append(app.id)
    return gone


def use(archive: Archive, app_ids: Collection[str], at: datetime) -> None:
    """Marks apps as used at that time; those that are gone are passed over."""
    used = _written(at)
    for app_id in app_ids:
        with suppress(UserError):
            archive.save(replace(archive.load(app_id), used=used))


def _written(at: datetime) -> str:
    """The time as records write it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
