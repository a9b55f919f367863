"""An engine of each sort and a box on it, for the contract that all must keep; a package index and
engines that have packages from it; exported apps."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.exported import Exported, exports
from tests.engines.hatter import Packaged
from tests.engines.package_index import Index, served
from vibe.sandbox import volumes
from vibe.sandbox.bubblewrap import BubblewrapEngine
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import Box, BoxSpec, Engine
from vibe.sandbox.packages import PackageSource

OPENERS = {"docker": DockerEngine.open, "bubblewrap": BubblewrapEngine.open}
EACH = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in OPENERS]
OpenWith = Callable[..., Awaitable[Packaged]]
"""Opens one with packages from a source: `await open_with(source)`."""


@pytest.fixture(params=EACH)
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


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the boxes' user can reach, which isn't so of pytest's."""
    with tempfile.TemporaryDirectory(prefix="vibe-packages-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(params=EACH)
async def open_with(
    request: pytest.FixtureRequest, place: Path, tmp_path: Path
) -> AsyncIterator[OpenWith]:
    """Opens engines that have packages from a source. Afterwards they are closed, and what they
    kept is gone, but for volumes that are whole."""
    opened: list[Packaged] = []

    async def open_one(source: PackageSource, gallery: Path = tmp_path) -> Packaged:
        engine: Packaged = await OPENERS[request.param](gallery=gallery, source=source)
        if isinstance(engine, BubblewrapEngine):  # its folders are the test's own
            engine._store = replace(engine._store, place=place / "packages")
            engine.packages._store = engine._store
        opened.append(engine)
        return engine

    yield open_one
    for engine in opened:
        if isinstance(engine, DockerEngine):
            for path in tmp_path.glob("*/installing/*"):
                await volumes.remove(engine._client, path.name)
        await engine.close()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """An app of each kind, written by a starter and exported both ways."""
    return exports(tmp_path_factory.mktemp("exports"))
