"""An engine of each sort and a box on it, for the contract that all must keep; a package index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.engines.package_index import Index, served
from vibe.sandbox.bubblewrap import BubblewrapEngine
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import Box, BoxSpec, Engine

OPENERS = {"docker": DockerEngine.open, "bubblewrap": BubblewrapEngine.open}


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in OPENERS])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine with a gallery of its own; its boxes are gone afterwards."""
    engine = await OPENERS[request.param](gallery=tmp_path)
    try:
        yield engine
    finally:
        await engine.close()


@pytest.fixture
async def box(engine: Engine) -> AsyncIterator[Box]:
    """A fresh box."""
    box = await engine.start(BoxSpec(app="contract", lifetime_s=120))
    yield box
    await box.stop()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """A package index on this machine."""
    with served(tmp_path_factory.mktemp("wheels")) as found:
        yield found
