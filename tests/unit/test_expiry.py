"""Apps that nobody uses go to the trash by themselves, never one that is in use or kept."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vibe.app import App
from vibe.archive import Archive
from vibe.events import Acted
from vibe.expiry import days_left, empty, expire, expires, use
from vibe.settings import Settings
from vibe.studio import Studio

NOW = datetime.now(UTC)


def after(days: float) -> datetime:
    return NOW + timedelta(days=days)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "gallery")


def made(archive: Archive, idea: str, **changes: object) -> App:
    app = replace(archive.create(idea, kind="web", model="m"), status="stopped", **changes)
    archive.save(app)
    return app


def test_an_unused_app_goes_after_thirty_days_and_can_be_brought_back(archive):
    app = made(archive, "one")
    assert days_left(app, 30, NOW) in (30, 31)
    assert expire(archive, 30, at=after(29.9)) == []
    assert [gone.id for gone in expire(archive, 30, at=after(30.1))] == [app.id]
    (gone,) = archive.trash()
    assert gone.expires
    back = archive.restore(app.id)
    assert back.expires is None
    assert back.used > app.used, "being brought back counts as use: it does not go at once again"
    assert Acted("discarded", "not used for 30 days").detail in [
        event.detail for event in archive.events(app.id) if isinstance(event, Acted)
    ]


def test_what_is_kept_built_or_running_stays(archive):
    kept = made(archive, "kept", keep=True)
    building = archive.create("building", kind="web", model="m")
    claimed = made(archive, "claimed")
    running = made(archive, "running")
    odd = made(archive, "odd", used="nobody knows")
    with archive.claim(claimed.id):
        assert expire(archive, 30, at=after(3650), running={running.id}) == []
    stays = {app.id for app in archive.list()}
    assert stays == {kept.id, building.id, claimed.id, running.id, odd.id}
    assert expires(kept, 30) is None
    use(archive, [running.id, "gone-000000"], after(3650))
    assert [app.id for app in expire(archive, 30, at=after(3650))] == [claimed.id]


def test_no_days_means_never(archive):
    app = made(archive, "one")
    assert expire(archive, 0, at=after(10_000)) == []
    assert days_left(app, 0, NOW) is None


def test_an_app_that_is_no_longer_kept_has_its_days_again(archive):
    app = archive.keep(made(archive, "one", used="2020-01-01T00:00:00.000Z").id)
    assert archive.load(app.id).keep
    assert archive.keep(app.id, False).used > app.used
    assert expire(archive, 30, at=after(1)) == []


def test_the_trash_is_emptied_of_what_was_there_long_enough(archive):
    app = made(archive, "one")
    archive.discard(app.id)
    assert empty(archive, 7, at=after(6), purge=archive.purge) == []
    assert empty(archive, 0, at=after(600), purge=archive.purge) == []
    assert empty(archive, 7, at=after(8), purge=archive.purge) == [app.id]
    assert archive.trash() == []


async def test_the_studio_looks_at_the_clock_when_it_starts(archive, tmp_path):
    made(archive, "old", used="2020-01-01T00:00:00.000Z")
    new = made(archive, "new")
    async with Studio(Settings(gallery=archive.root), None) as studio:
        while not archive.trash():
            await asyncio.sleep(0.05)
        assert [app.id for app in archive.list()] == [new.id]
        assert [app.id for app in await studio.expire(after(31))] == [new.id]
        assert [app.id for app in archive.trash()] == [new.id], "the other has been there too long"
        assert await studio.expire(after(39)) == []
        assert archive.trash() == []
