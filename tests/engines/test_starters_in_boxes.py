"""Every starter, made from its own example idea, works in real boxes with all its checks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from vibe import settings
from vibe.sandbox.docker import DockerEngine
from vibe.starters import Starter, all_starters
from vibe.studio import Studio

pytestmark = pytest.mark.docker


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    engine = await DockerEngine.open(gallery=tmp_path)
    chosen = settings.load({"VIBE_SETTINGS": "/none"}, gallery=tmp_path)
    # how fast this machine starts an app is nothing that is tested here
    chosen = replace(chosen, limits=replace(chosen.limits, start_s=120.0))
    async with Studio(chosen, engine) as studio:
        yield studio


@pytest.mark.parametrize("starter", all_starters(), ids=lambda starter: starter.name)
async def test_a_starter_made_from_its_example_works(starter: Starter, studio: Studio) -> None:
    app = await studio.create(starter.example)
    end = await studio.wait(app.id)
    made = studio.archive.load(app.id)
    assert made.model == f"starter: {starter.name}"
    assert made.verdict is not None
    assert made.verdict.state == "works", made.verdict
    assert end.status == made.status == "ready"
    assert made.revisions[0].attempts == 1
