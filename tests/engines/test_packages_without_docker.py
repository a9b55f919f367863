"""Packages with bubblewrap: by the same rules, in folders, against the same small index."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.conftest import OpenWith
from tests.engines.hatter import Hatter, Packaged, imported, left
from tests.engines.package_index import Index, source
from vibe.bundle import export_bundle, import_bundle
from vibe.errors import Busy
from vibe.events import Asked, PackageReady
from vibe.sandbox.engine import BoxSpec
from vibe.sandbox.index_environment import index_environment
from vibe.sandbox.lock import FILE, read
from vibe.sandbox.packages import PackageSource
from vibe.settings import Limits, PackageRules, Settings

pytestmark = [
    pytest.mark.bubblewrap,
    pytest.mark.parametrize("open_with", ["bubblewrap"], indirect=True),
]


@pytest.fixture
async def engine(open_with: OpenWith, index: Index, tmp_path: Path) -> Packaged:
    """An engine that has packages from the index."""
    return await open_with(source(index, tmp_path / "cache"))


async def test_the_box_that_fetches_sees_nothing_of_the_machine_but_its_network(
    engine: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


@pytest.mark.parametrize("mode", [0o755, 0o700])
async def test_a_folder_of_wheels_needs_no_index_whoever_may_look_into_it(
    open_with: OpenWith, place: Path, tmp_path: Path, index: Index, mode: int
) -> None:
    wheels = place / "wheels"
    wheels.mkdir()
    for path in index.folder.glob("*.whl"):
        (wheels / path.name).write_bytes(path.read_bytes())
    environ = {"PIP_FIND_LINKS": str(wheels), "PIP_NO_INDEX": "1", "PIP_INDEX_URL": index.address}
    engine = await open_with(PackageSource(PackageRules(), environ, tmp_path / "cache"))
    wheels.chmod(mode)
    index.asked.clear()
    lock = await engine.packages.resolve(["vibe-test-hat"])
    lock = await engine.packages.install(lock, lambda *said: None)
    assert "1.0" in await imported(engine, lock, "import vibe_test_hat as t; print(t.VERSION)")
    assert index.asked == []
    assert not list(engine._store.place.glob(".wheels*"))


async def test_packages_that_a_box_has_stay_and_the_others_go_the_oldest_first(
    engine: Packaged,
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


async def test_an_app_gets_its_packages_runs_again_and_takes_them_to_another_machine(
    open_with: OpenWith, tmp_path: Path, engine: Packaged
) -> None:
    settings = Settings(gallery=tmp_path, limits=Limits(attempts=1))
    studio = Hatter(settings, engine)
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
    away = await open_with(nowhere, tmp_path / "away")
    other = Hatter(replace(settings, gallery=tmp_path / "away"), away)
    came = import_bundle(other.archive, bundle)
    assert (await other.run_script(came.id, [])).stdout == b"hat 1.0\n"
