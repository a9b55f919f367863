"""What a build gets ready while its model still writes, and gives back when nothing comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import docker
import pytest

from tests.scripted import ScriptedModel, code, plan
from vibe.app import App
from vibe.errors import UserError
from vibe.events import BoxStarted, FilesWritten
from vibe.head_start import HeadStart
from vibe.kinds import kind
from vibe.model import Model, Prompt, ReplyEnd
from vibe.running import app_box
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import Box
from vibe.sandbox.owners import gallery_label
from vibe.settings import Limits, Settings
from vibe.studio import Studio

pytestmark = pytest.mark.docker

PAGE = "import streamlit as st\nst.title('Hello')\nst.button('Again')\n"
LIMITS = Limits(attempts=1, start_s=120.0)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[DockerEngine]:
    engine = await DockerEngine.open(gallery=tmp_path)
    yield engine
    await engine.close()


def python_boxes(gallery: Path) -> list[str]:
    """Ids of the gallery's boxes that run an app."""
    client = docker.APIClient()
    try:
        label = f"vibe.gallery={gallery_label(gallery)}"
        found = client.containers(all=True, filters={"label": label})
        return [box["Id"] for box in found if box["Labels"].get("vibe.image") == "python"]
    finally:
        client.close()


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not reached():
            await asyncio.sleep(0.05)


async def until_two_wait(box: Box) -> None:
    async with asyncio.timeout(60):
        while True:
            found = await box.run(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"])
            if found.stdout.count(b"def wait") == 2:
                return


class Watched(ScriptedModel):
    """Gives its code once `ready`, asked while it writes, says yes."""

    def __init__(self, ready: Callable[[], bool], *replies: str | Exception) -> None:
        super().__init__(*replies)
        self._ready = ready

    async def reply(self, prompt: Prompt) -> AsyncIterator[str | ReplyEnd]:
        if self.prompts:
            await until(self._ready)
        async for piece in super().reply(prompt):
            yield piece


class Scripted(Studio):
    model: Model

    async def _model(self, app: App, words: str, name: str | None) -> Model:
        return self.model


async def test_an_app_runs_in_the_box_that_was_opened_while_its_code_was_written(
    tmp_path: Path, engine: DockerEngine
) -> None:
    seen: list[str] = []

    def there() -> bool:
        seen[:] = python_boxes(tmp_path)
        return len(seen) == 1

    async with Scripted(Settings(gallery=tmp_path, limits=LIMITS), engine) as studio:
        studio.model = Watched(there, plan("streamlit"), code(app_py=PAGE))
        app = await studio.create("say hello", kind="streamlit")
        end = await studio.wait(app.id)
        assert end.status == "ready", (end, studio.archive.events(app.id))
        events = studio.archive.events(app.id)
        assert (
            [e.box for e in events if isinstance(e, BoxStarted)] == seen == python_boxes(tmp_path)
        )
        # what was got ready is told after the code, where it is used
        told = [type(e) for e in events if isinstance(e, FilesWritten | BoxStarted)]
        assert told == [FilesWritten, BoxStarted]
    assert python_boxes(tmp_path) == []


async def test_a_build_whose_model_fails_or_is_stopped_gives_the_box_back(
    tmp_path: Path, engine: DockerEngine
) -> None:
    def there() -> bool:
        return len(python_boxes(tmp_path)) == 1

    async with Scripted(Settings(gallery=tmp_path, limits=LIMITS), engine) as studio:
        for replies in ([UserError("The model is gone.")], ["Sorry, no code today."]):
            studio.model = Watched(there, plan("streamlit"), *replies)
            app = await studio.create("say hello", kind="streamlit")
            assert (await studio.wait(app.id)).status == "failed"
            await until(lambda: not python_boxes(tmp_path))  # one that was just starting is ended

        studio.model = Watched(lambda: False, plan("streamlit"), code(app_py=PAGE))
        app = await studio.create("say hello", kind="streamlit")
        await until(there)
        await studio.stop(app.id)
        await until(lambda: not python_boxes(tmp_path))


async def test_what_was_readied_becomes_the_app_and_its_test(engine: DockerEngine) -> None:
    streamlit = kind("streamlit")
    async with HeadStart(streamlit, "it", (), engine, None, lambda event: None) as ready:
        assert (await ready.supplied(())).lock is None
        spec = app_box(streamlit, "it", lambda event: None, probed=True)
        other = await ready.start(app_box(kind("web"), "it", lambda event: None))
        box = await ready.start(spec)
        assert other.id != box.id
        assert (await ready.start(spec)).id != box.id, "a box is used once"
        asked = b"import sys; print(sys.argv, 'streamlit.testing.v1' in sys.modules)"
        await until_two_wait(box)
        first = await box.run(streamlit.probing(), stdin=asked)
        second = await box.run(streamlit.probing(), stdin=asked)
        assert first.stdout == b"['-', 'app.py'] True\n"
        assert second.stdout == b"['-', 'app.py'] False\n"
    assert (await box.run(["true"])).ok, "whoever took it has it still"
    await box.stop()
