"""Packages for apps, by the same rules with every engine, from a small index of the tests' own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.engines.conftest import OpenWith
from tests.engines.hatter import Hatter, Packaged, imported, left
from tests.engines.package_index import Index, source
from vibe.errors import EngineFault, NoPackages
from vibe.sandbox import volumes
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import BoxSpec
from vibe.sandbox.lock import Lock, Pin
from vibe.settings import Limits, Settings


@pytest.fixture
async def engine(open_with: OpenWith, index: Index, tmp_path: Path) -> Packaged:
    """An engine that has packages from the index."""
    return await open_with(source(index, tmp_path / "cache"))


async def removed(engine: Packaged, lock: Lock) -> None:
    if isinstance(engine, DockerEngine):
        await volumes.remove(engine._client, lock.key)
    else:
        await engine._store.remove(lock.key)


async def test_names_become_a_locked_set_that_boxes_can_only_read(
    engine: Packaged, index: Index, tmp_path: Path
) -> None:
    lock = await engine.packages.resolve(["vibe-test-hat"])
    assert lock.versions == {"vibe-test-hat": "1.0", "vibe-test-brim": "2.1"}
    told: list[tuple[object, ...]] = []
    lock = await engine.packages.install(lock, lambda *said: told.append(said))
    assert {said[0] for said in told} == {"vibe-test-hat", "vibe-test-brim"}
    assert lock.modules == ("vibe_test_brim", "vibe_test_hat")
    program = "import vibe_test_hat as h; print(h.VERSION, h.__cached__.startswith('/packages'))"
    assert await imported(engine, lock, program) == "1.0 True\n"
    writing = "open('/packages/vibe_test_hat/__init__.py', 'a')"
    assert "Read-only file system" in await imported(engine, lock, writing)
    compiled = "import os, vibe_test_hat as h; print(os.path.exists(h.__cached__))"
    assert await imported(engine, lock, compiled) == "True\n"
    # Another box has none of it, and one with packages has no network all the same.
    box = await engine.start(BoxSpec(app="t", lifetime_s=60))
    assert (await box.run(["python", "-c", "import vibe_test_hat"])).how == "error"
    await box.stop()
    reaching = f"import socket; socket.create_connection(('127.0.0.1', {index.port}))"
    assert "refused" in await imported(engine, lock, reaching)

    # A second app with the same lock asks the index for nothing, nor does one that knows the names.
    index.asked.clear()
    assert await engine.packages.install(lock, lambda *said: None) == lock
    assert (await engine.packages.resolve(["vibe-test-hat"])).key == lock.key
    assert index.asked == []
    assert any(index.credentials), "the index saw the password"
    remembered = [p.read_text() for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert "hush-9" not in "".join([lock.text, *remembered])


@pytest.mark.parametrize(
    ("names", "said", "blamed"),
    [
        (["vibe-test-nowhere", "vibe-test-hat"], "no package called vibe-test-nowhere",
         ("vibe-test-nowhere",)),
        (["vibe-test-source"], "vibe-test-source has no wheel", ("vibe-test-source",)),
        (["vibe-test-hat", "vibe-test-cap"], "can't be had together",
         ("vibe-test-hat", "vibe-test-cap")),
        (["vibe-test-old"], "pandas", ("vibe-test-old",)),
        (["vibe-test-huge"], "MB are the most (vibe-test-huge 3,000 MB)",
         ("vibe-test-huge",)),
        (["vibe-test-private"], "refuses access", ()),
    ],
)  # fmt: skip
async def test_what_can_t_be_resolved_says_why_and_whom_to_blame(
    engine: Packaged, index: Index, names: list[str], said: str, blamed: tuple[str, ...]
) -> None:
    index.asked.clear()
    with pytest.raises(NoPackages) as caught:
        await engine.packages.resolve(names)
    assert said in caught.value.message
    assert caught.value.blamed == blamed
    assert "hush-9" not in caught.value.message + caught.value.evidence
    assert "127.0.0.1" not in caught.value.evidence
    assert not [path for path in index.asked if path.endswith(".whl")]


async def test_a_set_that_is_too_many_or_denied_is_refused_before_anything_is_fetched(
    open_with: OpenWith, tmp_path: Path, index: Index
) -> None:
    for number, (rules, said) in enumerate(
        [({"count": 1}, "2 packages"), ({"denied": ("vibe-test-brim",)}, "brim is not allowed")]
    ):
        engine = await open_with(source(index, tmp_path / str(number), **rules))
        with pytest.raises(NoPackages, match=said):
            await engine.packages.resolve(["vibe-test-hat"])
        pins = tuple(Pin(f"vibe-test-{name}", "1.0", ("0" * 64,)) for name in ("brim", "hat"))
        foreign = Lock("3.11", "x86_64", ("vibe-test-hat",), pins)
        with pytest.raises(NoPackages, match=said):
            await engine.packages.install(foreign, lambda *said: None)


async def test_an_index_that_breaks_off_leaves_nothing_and_a_second_try_succeeds(
    engine: Packaged, index: Index
) -> None:
    lock = await engine.packages.resolve(["vibe-test-torn"])
    index.broken.add("vibe_test_torn-1.0-py3-none-any.whl")
    try:
        with pytest.raises(NoPackages, match="broke off in the middle"):
            await engine.packages.install(lock, lambda *said: None)
    finally:
        index.broken.clear()
    assert left(engine, lock) == []
    with pytest.raises(EngineFault, match="not installed"):
        await engine.start(BoxSpec(packages=lock.key))
    await engine.packages.install(lock, lambda *said: None)
    assert "1.0" in await imported(engine, lock, "import vibe_test_torn as t; print(t.VERSION)")


async def test_a_package_that_unpacks_to_far_more_than_it_weighs_is_stopped(
    open_with: OpenWith, tmp_path: Path, index: Index
) -> None:
    engine = await open_with(source(index, tmp_path / "cache", bytes=1_000_000))
    lock = await engine.packages.resolve(["vibe-test-bomb"])
    with pytest.raises(NoPackages, match="far larger than they said"):
        await engine.packages.install(lock, lambda *said: None)
    assert left(engine, lock) == []
    assert engine._boxes == {}


async def test_a_cancelled_installation_leaves_neither_files_nor_box(engine: Packaged) -> None:
    lock = await engine.packages.resolve(["vibe-test-bomb"])
    going = asyncio.create_task(engine.packages.install(lock, lambda *said: None))
    while not left(engine, lock) and not going.done():
        await asyncio.sleep(0.02)
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    assert left(engine, lock) == []
    assert engine._boxes == {}


async def test_a_disk_without_room_installs_nothing_and_says_so(
    engine: Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vibe.sandbox.packages.RESERVE", 1 << 60)
    lock = await engine.packages.resolve(["vibe-test-torn"])
    await removed(engine, lock)
    with pytest.raises(NoPackages, match="disk is nearly full"):
        await engine.packages.install(lock, lambda *said: None)
    assert left(engine, lock) == []


async def test_without_the_index_a_known_set_is_had_and_another_says_there_is_no_network(
    open_with: OpenWith, engine: Packaged, index: Index, tmp_path: Path
) -> None:
    lock = await engine.packages.install(
        await engine.packages.resolve(["vibe-test-brim"]), lambda *said: None
    )
    deaf = Index(index.folder, port=9)
    offline = await open_with(source(deaf, tmp_path / "cache"))
    assert await offline.packages.install(lock, lambda *said: None) == lock
    with pytest.raises(NoPackages, match="can't be reached") as caught:
        await offline.packages.resolve(["vibe-test-hat"])
    assert caught.value.fix


async def test_with_free_an_unknown_package_is_refused_and_the_app_says_so(
    tmp_path: Path, engine: Packaged
) -> None:
    settings = Settings(gallery=tmp_path, limits=Limits(attempts=1))
    studio = Hatter(settings, engine)
    app = await studio.create("a hat", autonomy="free")
    end = await studio.wait(app.id)
    assert end.status == "failed"
    assert "vibe-test-hat is a package that Vibe doesn't know" in end.sentence
