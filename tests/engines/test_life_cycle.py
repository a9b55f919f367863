"""Builds and previews that share a machine: who waits, who makes room, what is cleared away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import docker
import pytest

from tests.engines.test_docker import another_process, boxes, nothing_left
from tests.scripted import ScriptedModel, code, plan
from vibe import housekeeping
from vibe.app import App
from vibe.events import Acted, Notice
from vibe.model import Model
from vibe.sandbox.docker import DockerEngine
from vibe.settings import Limits, Settings
from vibe.studio import Studio

pytestmark = pytest.mark.docker

HELLO = code(index_html="<!doctype html><html><body><h1>Hello</h1></body></html>")
GREETS = code(main_py="print('hi')")


class Scripted(Studio):
    """A studio whose builds each have replies of their own, given once `go` is set."""

    def __init__(self, settings: Settings, engine: DockerEngine) -> None:
        super().__init__(settings, engine)
        self.go = asyncio.Event()
        self.replies: dict[str, list[str]] = {}

    async def _model(self, app: App, words: str, name: str | None) -> Model:
        return Gated(self.go, *self.replies[app.idea])


class Gated(ScriptedModel):
    def __init__(self, go: asyncio.Event, *replies: str) -> None:
        super().__init__(*replies)
        self._go = go

    async def reply(self, prompt):  # type: ignore[no-untyped-def]
        await self._go.wait()
        async for piece in super().reply(prompt):
            yield piece


@asynccontextmanager
async def opened(gallery: Path, **named: object) -> AsyncIterator[Scripted]:
    engine = await DockerEngine.open(gallery=gallery)
    settings = Settings(gallery=gallery, limits=Limits(attempts=1), **named)  # type: ignore[arg-type]
    async with Scripted(settings, engine) as studio:
        yield studio


@pytest.fixture
def client() -> docker.APIClient:
    api = docker.APIClient(version="auto")
    yield api
    api.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.05)


def notices(studio: Studio, app: App) -> list[str]:
    return [e.text for e in studio.archive.events(app.id) if isinstance(e, Notice)]


async def test_builds_wait_their_turn_visibly_and_one_that_is_stopped_leaves_the_line(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, boxes_gib=3.0) as studio:
        words = ("one", "two", "three")
        studio.replies = {word: [plan("script"), GREETS] for word in words}
        one = await studio.create("one")
        await until(lambda: bool(studio.line.waiting()) or studio.building(one.id))
        two = await studio.create("two")
        await until(lambda: [w.app for w in studio.line.waiting()] == [two.id])
        three = await studio.create("three")
        await until(lambda: [w.app for w in studio.line.waiting()] == [two.id, three.id])
        await until(lambda: notices(studio, three) == ["Waiting for a free box: 1 before you."])
        await studio.stop(two.id)
        assert studio.archive.load(two.id).status == "stopped"
        assert [w.app for w in studio.line.waiting()] == [three.id]
        studio.go.set()
        ends = [await studio.wait(app.id) for app in (one, three)]
        assert [end.status for end in ends] == ["ready", "ready"]
        assert notices(studio, one) == []
        said = notices(studio, three)
        assert said[1] == "Waiting for a free box: you are next."
        assert said[-1].startswith("A box is free, ")
        await studio.resume(two.id)
        assert (await studio.wait(two.id)).status == "ready"
    assert boxes_of(tmp_path) == []


def boxes_of(gallery: Path) -> list[str]:
    api = docker.APIClient(version="auto")
    try:
        return boxes(api, gallery)
    finally:
        api.close()


async def test_a_preview_that_rests_makes_room_and_one_that_idles_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vibe.studio.RESTING_S", 0.0)
    async with opened(tmp_path, boxes_gib=3.0) as studio:
        studio.go.set()
        studio.replies = {word: [plan("web"), HELLO] for word in ("one", "two")}
        one, two = await studio.create("one"), None
        assert (await studio.wait(one.id)).status == "ready"
        two = await studio.create("two")
        assert (await studio.wait(two.id)).status == "ready"
        assert studio.live(one.id) is None
        assert _why_ended(studio, one) == "It made room for an app that waited for a free box."
        live = studio.live(two.id)
        assert live is not None
        await studio.previews.end_idle(3600)
        assert studio.live(two.id) is live
        await studio.previews.end_idle(0)
        assert studio.live(two.id) is None
        assert boxes_of(tmp_path) == []
        assert "Nobody used it" in _why_ended(studio, two)
        assert (await studio.run(two.id)).token != live.token


def _why_ended(studio: Studio, app: App) -> str:
    acted = [e for e in studio.archive.events(app.id) if isinstance(e, Acted)]
    return next(e.detail for e in reversed(acted) if e.action == "ended")


async def test_a_running_vibe_clears_away_what_a_killed_one_left_and_nothing_else(
    client: docker.APIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three boxes of a Vibe that is killed, one of them frozen so that it can't end by itself."""
    monkeypatch.setattr(housekeeping, "ROUND_S", 0.3)
    here, there = tmp_path / "here", tmp_path / "there"
    async with (
        another_process(there) as (_, foreign),
        another_process(here, count=3) as (process, frozen),
        opened(here) as studio,
    ):
        assert len(boxes(client, here)) == 3
        building = studio.archive.create("left behind", kind="script", model="")
        (here / building.id / ".lock").touch()
        client.pause(frozen)
        process.kill()
        await process.wait()
        assert await nothing_left(client, here, within_s=30)
        assert boxes(client, there) == [foreign]
        await until(lambda: studio.archive.load(building.id).status == "interrupted")


async def test_a_box_that_its_engine_lost_is_swept_but_none_that_it_is_starting(
    client: docker.APIClient, tmp_path: Path
) -> None:
    from vibe.sandbox.engine import BoxSpec

    engine = await DockerEngine.open(gallery=tmp_path)
    try:
        lost, kept = await engine.start(BoxSpec()), await engine.start(BoxSpec())
        client.pause(lost.id)
        del engine._boxes[lost.id]  # as when Docker hung while it should be removed
        starting = [asyncio.create_task(engine.start(BoxSpec())) for _ in range(3)]
        found: list[str] = []
        while not all(task.done() for task in starting):
            found += await engine.sweep()
        found += await engine.sweep()
        assert found == [lost.id]
        for box in (kept, *[task.result() for task in starting]):
            assert (await box.run(["true"])).ok
    finally:
        await engine.close()
