"""Packages with bubblewrap: by the same rules, in folders, against the same small index."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.package_index import Index, source
from tests.scripted import ScriptedModel, code
from vibe.app import App
from vibe.bundle import export_bundle, import_bundle
from vibe.errors import Busy, EngineFault, NoPackages
from vibe.events import Asked, PackageReady
from vibe.model import Model
from vibe.sandbox.bubblewrap import BubblewrapEngine
from vibe.sandbox.engine import BoxSpec
from vibe.sandbox.index_environment import index_environment
from vibe.sandbox.lock import FILE, Lock, Pin, read
from vibe.sandbox.packages import PackageSource
from vibe.settings import Limits, PackageRules, Settings
from vibe.studio import Studio

pytestmark = pytest.mark.bubblewrap


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the boxes' user can reach, which isn't so of pytest's."""
    with tempfile.TemporaryDirectory(prefix="vibe-packages-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def opened(place: Path, gallery: Path, source: PackageSource) -> BubblewrapEngine:
    """An engine whose folders of packages are the test's own."""
    engine = await BubblewrapEngine.open(gallery=gallery, source=source)
    engine._store = replace(engine._store, place=place / "packages")
    engine.packages._store = engine._store
    return engine


@pytest.fixture
async def engine(place: Path, tmp_path: Path, index: Index) -> AsyncIterator[BubblewrapEngine]:
    engine = await opened(place, tmp_path, source(index, tmp_path / "cache"))
    yield engine
    await engine.close()


def left(engine: BubblewrapEngine, lock: Lock) -> list[str]:
    """What there is of the lock's folder."""
    return [path.name for path in engine._store.place.glob(f"*{lock.key[:60]}*")]


async def imported(engine: BubblewrapEngine, lock: Lock, program: str) -> str:
    box = await engine.start(BoxSpec(app="t", lifetime_s=60, packages=lock.key))
    try:
        outcome = await box.run(["python", "-c", program])
    finally:
        await box.stop()
    return (outcome.stdout + outcome.stderr).decode()


async def test_names_become_a_locked_folder_that_boxes_can_only_read(
    engine: BubblewrapEngine, index: Index, tmp_path: Path
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


async def test_the_box_that_fetches_sees_nothing_of_the_machine_but_its_network(
    engine: BubblewrapEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hush-hush-hush")
    (tmp_path / "mine.txt").write_text("mine")
    target = await engine._store.make("a" * 64)
    box = await engine._fetcher(index_environment({}), target, 60)
    looking = (
        "import os, pathlib; print(sorted(os.environ), os.getuid(), os.listdir('/'))\n"
        "print([p for p in ('/home', '/root', '/run', '/var/lib') if os.path.exists(p)])\n"
        f"print(os.path.exists({str(tmp_path / 'mine.txt')!r}))\n"
        "for place in ('/usr/x', '/etc/x', '/opt/vibe/x', '/x', '/packages/x', '/cache/x'):\n"
        "    try: pathlib.Path(place).write_text('x'); print(place)\n"
        "    except OSError: pass\n"
        "print([l for l in open('/proc/self/status') if l[:6] in ('CapEff', 'NoNewP', 'Seccom')])\n"
    )
    try:
        said = (await box.run(["python", "-c", looking])).stdout.decode()
    finally:
        await box.stop()
        await engine._store.remove("a" * 64)
    lines = said.splitlines()
    assert "OPENAI" not in said
    assert "10001" in lines[0]
    assert (lines[1], lines[2]) == ("[]", "False")
    assert lines[3:5] == ["/packages/x", "/cache/x"]
    assert "CapEff:\\t0000000000000000" in lines[5]
    assert "NoNewPrivs:\\t1" in lines[5]
    assert "Seccomp:\\t2" in lines[5]


@pytest.mark.parametrize(
    ("names", "said", "blamed"),
    [
        (["vibe-test-nowhere", "vibe-test-hat"], "no package called vibe-test-nowhere",
         ("vibe-test-nowhere",)),
        (["vibe-test-source"], "vibe-test-source has no wheel", ("vibe-test-source",)),
        (["vibe-test-hat", "vibe-test-cap"], "can't be had together",
         ("vibe-test-hat", "vibe-test-cap")),
        (["vibe-test-old"], "pandas", ("vibe-test-old",)),
        (["vibe-test-huge"], "weigh 3,000 MB", ("vibe-test-huge",)),
        (["vibe-test-private"], "refuses access", ()),
    ],
)  # fmt: skip
async def test_what_can_t_be_resolved_says_why_and_whom_to_blame(
    engine: BubblewrapEngine, names: list[str], said: str, blamed: tuple[str, ...]
) -> None:
    with pytest.raises(NoPackages) as caught:
        await engine.packages.resolve(names)
    assert said in caught.value.message
    assert caught.value.blamed == blamed
    assert "hush-9" not in caught.value.message + caught.value.evidence


async def test_what_is_denied_or_too_many_is_refused_before_anything_is_fetched(
    place: Path, tmp_path: Path, index: Index
) -> None:
    for number, (rules, said) in enumerate(
        [({"count": 1}, "2 packages"), ({"denied": ("vibe-test-brim",)}, "brim is not allowed")]
    ):
        engine = await opened(place, tmp_path, source(index, tmp_path / str(number), **rules))
        try:
            with pytest.raises(NoPackages, match=said):
                await engine.packages.resolve(["vibe-test-hat"])
            pins = tuple(Pin(f"vibe-test-{name}", "1.0", ("0" * 64,)) for name in ("brim", "hat"))
            foreign = Lock("3.11", "x86_64", ("vibe-test-hat",), pins)
            with pytest.raises(NoPackages, match=said):
                await engine.packages.install(foreign, lambda *said: None)
        finally:
            await engine.close()


async def test_an_index_that_breaks_off_leaves_no_folder_and_a_second_try_succeeds(
    engine: BubblewrapEngine, index: Index
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


async def test_a_set_that_unpacks_too_far_or_fills_the_disk_or_is_stopped_leaves_nothing(
    place: Path, tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await opened(place, tmp_path, source(index, tmp_path / "cache", bytes=1_000_000))
    try:
        lock = await engine.packages.resolve(["vibe-test-bomb"])
        with pytest.raises(NoPackages, match="far larger than they said"):
            await engine.packages.install(lock, lambda *said: None)
        assert left(engine, lock) == []
        going = asyncio.create_task(engine.packages.install(lock, lambda *said: None))
        while not left(engine, lock) and not going.done():
            await asyncio.sleep(0.02)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        assert left(engine, lock) == []
        monkeypatch.setattr("vibe.sandbox.packages.RESERVE", 1 << 60)
        with pytest.raises(NoPackages, match="disk is nearly full"):
            await engine.packages.install(lock, lambda *said: None)
        assert left(engine, lock) == []
        assert engine._boxes == {}
    finally:
        await engine.close()


async def test_without_the_index_a_known_set_is_had_and_another_says_there_is_no_network(
    place: Path, engine: BubblewrapEngine, index: Index, tmp_path: Path
) -> None:
    lock = await engine.packages.install(
        await engine.packages.resolve(["vibe-test-brim"]), lambda *said: None
    )
    deaf = Index(index.folder, port=9)
    offline = await opened(place, tmp_path, source(deaf, tmp_path / "cache"))
    try:
        assert await offline.packages.install(lock, lambda *said: None) == lock
        with pytest.raises(NoPackages, match="can't be reached") as caught:
            await offline.packages.resolve(["vibe-test-hat"])
        assert caught.value.fix
    finally:
        await offline.close()


@pytest.mark.parametrize("mode", [0o755, 0o700])
async def test_a_folder_of_wheels_needs_no_index_whoever_may_look_into_it(
    place: Path, tmp_path: Path, index: Index, mode: int
) -> None:
    wheels = place / "wheels"
    wheels.mkdir()
    for path in index.folder.glob("*.whl"):
        (wheels / path.name).write_bytes(path.read_bytes())
    engine = await opened(
        place,
        tmp_path,
        PackageSource(
            PackageRules(),
            {"PIP_FIND_LINKS": str(wheels), "PIP_NO_INDEX": "1", "PIP_INDEX_URL": index.address},
            tmp_path / "cache",
        ),
    )
    wheels.chmod(mode)
    index.asked.clear()
    try:
        lock = await engine.packages.resolve(["vibe-test-hat"])
        lock = await engine.packages.install(lock, lambda *said: None)
        assert "1.0" in await imported(engine, lock, "import vibe_test_hat as t; print(t.VERSION)")
        assert index.asked == []
    finally:
        await engine.close()
    assert not list(engine._store.place.glob(".wheels*"))


async def test_packages_that_a_box_has_stay_and_the_others_go_the_oldest_first(
    engine: BubblewrapEngine,
) -> None:
    locks = [
        await engine.packages.install(await engine.packages.resolve([name]), lambda *said: None)
        for name in ("vibe-test-hat", "vibe-test-brim", "vibe-test-torn")
    ]
    held, old, fresh = (lock.key for lock in locks)
    used = {held: 1.0, old: 2.0, fresh: 3.0}
    total = sum(one.bytes for one in engine._store.everything())
    box = await engine.start(BoxSpec(app="t", lifetime_s=120, packages=held))
    try:
        assert await engine._store.trim(total, used) == []
        assert await engine._store.trim(total - 1, used) == [old]
        with pytest.raises(Busy):
            await engine._store.remove(held)
        assert (await box.run(["python", "-c", "import vibe_test_hat"])).ok
    finally:
        await box.stop()
    await engine._store.remove(held)
    assert left(engine, locks[0]) == []


PLAN = """```yaml
title: Hatter
kind: script
summary: A test.
packages: [vibe-test-hat, vibe-test-nowhere, os, pandas]
checks:
  - {name: Says hat, args: [], stdout: ["hat 1.0"]}
```"""
MAIN = "import vibe_test_hat\nprint('hat', vibe_test_hat.VERSION)\n"


class Scripted(Studio):
    async def _model(self, app: App, words: str, name: str | None) -> Model:
        return ScriptedModel(PLAN, code(main_py=MAIN))


async def test_an_app_gets_its_packages_runs_again_and_takes_them_to_another_machine(
    place: Path, tmp_path: Path, engine: BubblewrapEngine
) -> None:
    settings = Settings(gallery=tmp_path, limits=Limits(attempts=1))
    studio = Scripted(settings, engine)
    app = await studio.create("a hat", autonomy="fix")
    told = []
    async for event in studio.follow(app.id):
        if isinstance(event, Asked):
            await studio.answer(app.id, "vibe-test-hat" in event.text)
        if isinstance(event, PackageReady):
            told.append(event.name)
    app = studio.archive.load(app.id)
    assert app.status == "ready"
    assert sorted(told) == ["vibe-test-brim", "vibe-test-hat"]
    lock = read(studio.archive.files(app.id)[FILE].decode())
    assert app.pins["lock"] == lock.key
    assert (await studio.run_script(app.id, [])).stdout == b"hat 1.0\n"
    await engine._store.remove(lock.key)
    assert (await studio.check(app.id)).seen is not None

    found = await studio.wheels(app.id)
    bundle = export_bundle(studio.archive, app.id, tmp_path / "hat.vibe", packages=found)
    nowhere = PackageSource(PackageRules(), {"PIP_NO_INDEX": "1"}, tmp_path / "another")
    (tmp_path / "away").mkdir()
    away = await opened(place, tmp_path / "away", nowhere)
    other = Scripted(replace(settings, gallery=tmp_path / "away"), away)
    try:
        came = import_bundle(other.archive, bundle)
        assert (await other.run_script(came.id, [])).stdout == b"hat 1.0\n"
    finally:
        await away.close()
