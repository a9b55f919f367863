"""A Docker daemon that is restarted, killed, frozen or robbed of its image, and a full disk.

All on one daemon of the tests' own. Whatever happens: an error of Vibe's own kind within a bound,
nothing left in the engine, and the build goes on when it is resumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engines.own_daemon import OwnDaemon, plain_system
from tests.scripted import ScriptedModel, code, plan
from vibe.app import App
from vibe.errors import EngineFault, UserError
from vibe.events import Output
from vibe.model import Model
from vibe.sandbox import docker_client
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import BoxSpec
from vibe.settings import Limits, Settings
from vibe.studio import Studio

# when its daemon fails it, docker-py leaves its socket to the garbage collector
pytestmark = [
    pytest.mark.docker,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SLEEPS = code(main_py="import time\nprint('good night', flush=True)\ntime.sleep(60)")
GREETS = code(main_py="print('hi')")
WRITES = code(
    main_py="""import os, sys
os.makedirs("results", exist_ok=True)
said = " ".join([*sys.argv[1:], open("data/in.txt").read()])
open("results/out.txt", "w").write(said)
print(said)"""
)
BOUND_S = 60


class Scripted(Studio):
    """Each build takes its replies from the front of a list."""

    script: ScriptedModel

    async def _model(self, app: App, words: str, name: str | None) -> Model:
        return self.script


@pytest.fixture(scope="module")
def system() -> bytes:
    return plain_system()


@pytest.fixture(scope="module")
def own(system: bytes) -> Iterator[OwnDaemon]:
    if os.geteuid() != 0:
        pytest.skip("a second Docker daemon can only be started by root")
    daemon = OwnDaemon(Path(tempfile.mkdtemp(prefix="vibe-dockerd-")))
    before = os.environ.get("DOCKER_HOST")
    try:
        daemon.start()
        daemon.give_image(system)
        os.environ["DOCKER_HOST"] = daemon.host
        yield daemon
    finally:
        os.environ.pop("DOCKER_HOST", None)
        if before is not None:
            os.environ["DOCKER_HOST"] = before
        daemon.clear()


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


@asynccontextmanager
async def opened(gallery: Path) -> AsyncIterator[Scripted]:
    engine = await DockerEngine.open(gallery=gallery)
    limits = Limits(attempts=1, run_s=50.0)
    async with Scripted(Settings(gallery=gallery, limits=limits), engine) as studio:
        yield studio


async def sleeping(studio: Scripted) -> App:
    """An app whose build is in the middle of its program's trial run."""
    studio.script = ScriptedModel(plan("script"), SLEEPS)
    app = await studio.create("sleep well")
    async with asyncio.timeout(BOUND_S):
        while not any(isinstance(e, Output) for e in studio.archive.events(app.id)):
            assert studio.building(app.id), studio.archive.events(app.id)[-1]
            await asyncio.sleep(0.05)
    return app


async def resumed(studio: Scripted, app: App) -> None:
    studio.script = ScriptedModel(plan("script"), GREETS)
    await studio.resume(app.id)
    async with asyncio.timeout(BOUND_S):
        end = await studio.wait(app.id)
    assert (end.status, end.fix) == ("ready", ""), end


async def nothing_left(studio: Scripted, own: OwnDaemon) -> None:
    assert studio.engine is not None
    until = time.monotonic() + 30
    while own.containers():
        assert time.monotonic() < until
        await studio.engine.sweep()
        await asyncio.sleep(0.2)


async def test_a_daemon_that_is_restarted_costs_a_build_its_box_and_no_more(
    own: OwnDaemon, tmp_path: Path
) -> None:
    async with opened(tmp_path) as studio:
        app = await sleeping(studio)
        await asyncio.to_thread(own.stop)
        async with asyncio.timeout(BOUND_S):
            end = await studio.wait(app.id)
        assert end.status == "failed"
        assert "Docker" in end.sentence
        assert "Start Docker" in end.fix
        await asyncio.to_thread(own.start)
        await nothing_left(studio, own)
        await resumed(studio, app)
    assert own.containers() == []


async def test_a_daemon_that_hangs_is_a_fault_within_a_bound_and_leaves_nothing(
    own: OwnDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_client, "CALL_S", 3)
    async with opened(tmp_path) as studio:
        assert studio.engine is not None
        app = await sleeping(studio)
        own.send(signal.SIGSTOP)
        try:
            async with asyncio.timeout(BOUND_S):
                start, sweep, _ = await asyncio.gather(
                    studio.engine.start(BoxSpec()),
                    studio.engine.sweep(),
                    studio.stop(app.id),
                    return_exceptions=True,
                )
            for fault in (start, sweep):
                assert isinstance(fault, EngineFault)
                assert "no answer" in fault.message
            assert studio.archive.load(app.id).status in ("stopped", "failed")
        finally:
            own.send(signal.SIGCONT)
        await nothing_left(studio, own)
        await resumed(studio, app)
    assert own.containers() == []


async def test_an_image_that_is_deleted_under_us_is_named_and_set_up_again(
    own: OwnDaemon, tmp_path: Path, system: bytes
) -> None:
    async with opened(tmp_path) as studio:
        assert studio.engine is not None
        box = await studio.engine.start(BoxSpec())
        await asyncio.to_thread(own.take_image)
        try:
            assert (await box.run(["python3", "-c", "print(1)"])).ok, "what runs goes on"
            studio.script = ScriptedModel(plan("script"), GREETS)
            app = await studio.create("say hi")
            end = await studio.wait(app.id)
            assert end.status == "failed"
            assert "vibe setup" in end.fix
            await box.stop()
        finally:
            await asyncio.to_thread(own.give_image, system)
        await resumed(studio, app)
    assert own.containers() == []


async def test_a_full_disk_stops_a_build_with_words_and_it_goes_on_when_there_is_room(
    own: OwnDaemon, tmp_path: Path
) -> None:
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(gallery)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        async with opened(gallery) as studio:
            app = await sleeping(studio)
            filler = gallery / "filler"
            _fill(filler)
            async with asyncio.timeout(BOUND_S):
                await studio.stop(app.id)
            assert not studio.building(app.id)
            assert own.containers() == []
            with pytest.raises(UserError, match="disk is full"):
                await studio.create("another")
            with pytest.raises(UserError, match="disk is full"):
                await studio.resume(app.id)
            assert studio.line.waiting() == []
            filler.unlink()
            await resumed(studio, app)
            assert own.containers() == []
    finally:
        subprocess.run(["umount", "--lazy", str(gallery)], check=True, capture_output=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


async def test_a_discarded_app_leaves_everything_as_it_was_before_it(
    own: OwnDaemon, tmp_path: Path
) -> None:
    """Byte for byte; of SQLite's files what is in them, and no trace of the app between it."""
    async with opened(tmp_path) as studio:
        studio.script = ScriptedModel(plan("script"), "no code at all")
        other = await studio.create("another one, which stays")
        await studio.wait(other.id)
        studio.archive.list()
    (tmp_path / ".trash").mkdir()  # the trash itself stays, empty
    before = inventory(own, tmp_path)
    async with opened(tmp_path) as studio:
        studio.script = ScriptedModel(plan("script", "Aardvark"), WRITES)
        app = await studio.create("count the aardvarks", data={"in.txt": b"aardvark"})
        assert (await studio.wait(app.id)).status == "ready"
        assert (await studio.run_script(app.id, ["7"])).ok
        assert studio.archive.read_result(app.id, "out.txt") == b"7 aardvark"
        assert studio.archive.search("aardvark")
        assert inventory(own, tmp_path) != before
        await studio.discard(app.id)
        receipt = await studio.purge(app.id)
        assert studio.archive.list() == [studio.archive.load(other.id)]
    assert inventory(own, tmp_path) == before
    for name in ("containers", "volumes", "recipe", "image", "code/", "results/", "events.jsonl"):
        assert any(line.startswith(name) for line in receipt), (name, receipt)
    assert receipt[-1].startswith(app.id)


def inventory(own: OwnDaemon, gallery: Path) -> dict[str, Any]:
    """Everything that an app could leave: in the engine, and below the gallery."""
    with contextlib.closing(own.client()) as client:
        found: dict[str, Any] = {
            "containers": sorted(c["Id"] for c in client.containers(all=True)),
            "volumes": sorted(v["Name"] for v in client.volumes()["Volumes"] or []),
            "networks": sorted(n["Id"] for n in client.networks()),
            "images": sorted((i["Id"], *i["RepoTags"]) for i in client.images(all=True)),
        }
    for path in sorted(gallery.rglob("*")):
        name = path.relative_to(gallery).as_posix()
        if path.suffix == ".sqlite":
            found[name] = rows(path), b"aardvark" in path.read_bytes().lower()
        else:
            found[name] = path.read_bytes() if path.is_file() else "folder"
    return found


def rows(path: Path) -> list[Any]:
    """What is in a database, without how its search tables are laid out."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]
        ours = [n for n in names if n in ("apps", "records", "texts", "places")]
        return [(n, sorted(map(repr, database.execute(f"SELECT * FROM {n}")))) for n in ours]
