"""Packages for apps: resolved, installed and used against a small index of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from tests.engines.package_index import Index, source, wheel
from tests.scripted import ScriptedModel, code
from vibe.app import App
from vibe.archive import Archive
from vibe.bundle import export_bundle, import_bundle
from vibe.errors import EngineFault, NoPackages
from vibe.events import Asked, Event, Notice, PackageReady
from vibe.model import Model
from vibe.sandbox import images, volumes
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import BoxSpec
from vibe.sandbox.lock import FILE, Lock, Pin, read
from vibe.sandbox.packages import PackageSource, StoredPackages
from vibe.settings import Limits, PackageRules, Settings
from vibe.studio import Studio

pytestmark = pytest.mark.docker


@pytest.fixture
async def engine(tmp_path: Path, index: Index) -> AsyncIterator[DockerEngine]:
    engine = await DockerEngine.open(gallery=tmp_path, source=source(index, tmp_path / "cache"))
    yield engine
    for path in (tmp_path / "cache" / "installing").glob("*"):
        await volumes.remove(engine._client, path.name)
    await engine.close()


def left(lock: Lock) -> list[str]:
    """What there is of the lock's volume."""
    with contextlib.closing(docker.from_env()) as client:
        return [str(v.name) for v in client.volumes.list() if lock.key in str(v.name)]


async def imported(engine: DockerEngine, lock: Lock, program: str) -> str:
    box = await engine.start(BoxSpec(app="t", lifetime_s=60, packages=lock.key))
    try:
        outcome = await box.run(["python", "-c", program])
    finally:
        await box.stop()
    return (outcome.stdout + outcome.stderr).decode()


async def test_names_become_a_locked_volume_that_boxes_can_only_read(
    engine: DockerEngine, index: Index, tmp_path: Path
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
    ],
)  # fmt: skip
async def test_what_can_t_be_resolved_says_why_and_whom_to_blame(
    engine: DockerEngine, names: list[str], said: str, blamed: tuple[str, ...]
) -> None:
    with pytest.raises(NoPackages) as caught:
        await engine.packages.resolve(names)
    assert said in caught.value.message
    assert caught.value.blamed == blamed
    assert "hush-9" not in caught.value.message + caught.value.evidence
    assert "127.0.0.1" not in caught.value.evidence


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vibe-test-huge", r"weigh 3,000 MB, and \d+ MB are the most \(vibe-test-huge 3,000 MB\)"),
        ("vibe-test-private", "refuses access"),
    ],
)
async def test_a_set_of_three_gigabytes_and_a_closed_door_are_told_before_anything_is_fetched(
    engine: DockerEngine, index: Index, name: str, said: str
) -> None:
    index.asked.clear()
    with pytest.raises(NoPackages, match=said) as caught:
        await engine.packages.resolve([name])
    assert "hush-9" not in caught.value.message + caught.value.evidence
    assert not [path for path in index.asked if path.endswith(".whl")]


@pytest.mark.parametrize(
    ("rules", "version"),
    [({}, "1.0"), ({"minimum_age_days": 0}, "2.0"), ({"latest": "2021-01-01"}, "1.0"),
     ({"minimum_age_days": 0, "latest": "2021-01-01"}, "1.0")],
)  # fmt: skip
async def test_a_release_too_young_or_after_the_latest_date_is_passed_over(
    tmp_path: Path, index: Index, rules: dict[str, object], version: str
) -> None:
    engine = await DockerEngine.open(
        gallery=tmp_path, source=source(index, tmp_path / "cache", **rules)
    )
    try:
        lock = await engine.packages.resolve(["vibe-test-fresh"])
        assert lock.versions == {"vibe-test-fresh": version}
        # What the index says no date of is no reason to take today's release of another.
        both = await engine.packages.resolve(["vibe-test-fresh", "vibe-test-hat"])
        assert (both.versions["vibe-test-fresh"], len(both.pins)) == (version, 3)
    finally:
        await engine.close()


async def test_a_package_with_young_releases_only_says_so(tmp_path: Path, index: Index) -> None:
    own = source(index, tmp_path / "cache", latest="2019-01-01")
    engine = await DockerEngine.open(gallery=tmp_path, source=own)
    try:
        for names in (["vibe-test-fresh"], ["vibe-test-fresh", "vibe-test-hat"]):
            with pytest.raises(NoPackages, match="release of vibe-test-fresh is too new") as caught:
                await engine.packages.resolve(names)
            assert caught.value.blamed == ("vibe-test-fresh",)
    finally:
        await engine.close()


async def test_an_index_with_a_certificate_that_nobody_vouches_for_is_not_believed(
    tmp_path: Path,
) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE",
            "-keyout", "key.pem", "-out", "certificate.pem"]  # fmt: skip
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    environ = {"UV_INDEX_URL": f"https://127.0.0.1:{server.server_address[1]}/simple/"}
    own = PackageSource(PackageRules(), environ, tmp_path / "cache")
    engine = await DockerEngine.open(gallery=tmp_path, source=own)
    try:
        with pytest.raises(
            NoPackages, match="certificate that this machine doesn't trust"
        ) as error:
            await engine.packages.resolve(["vibe-test-hat"])
        assert "SSL_CERT_FILE" in error.value.fix
        # With the bundle that vouches for it, it is an index like any other: without that package.
        vouched = {**environ, "SSL_CERT_FILE": str(tmp_path / "certificate.pem")}
        engine.packages._source = replace(own, environ=vouched)
        with pytest.raises(NoPackages, match="no package called"):
            await engine.packages.resolve(["vibe-test-hat"])
    finally:
        await engine.close()
        server.shutdown()
        server.server_close()
        thread.join()


class SmallDisk(volumes.VolumeStore):
    """Volumes on a disk of one megabyte."""

    async def make(self, key: str) -> str:
        await self.remove(key)
        name = volumes.data_name(key)
        await self._client.call(
            self._client.api.create_volume,
            name,
            driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=10001"},
            labels={volumes.LABEL: key},
        )
        return name


async def test_a_disk_that_fills_up_while_they_are_installed_leaves_nothing_and_is_told(
    tmp_path: Path, engine: DockerEngine, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vibe.sandbox.packages.RESERVE", 0)  # so that it is found out too late
    lock = await engine.packages.resolve(["vibe-test-bomb"])
    await volumes.remove(engine._client, lock.key)
    small = StoredPackages(
        SmallDisk(engine._client), engine._fetcher, source(index, tmp_path / "small")
    )
    with pytest.raises(NoPackages, match="The disk is full, so the packages were not installed"):
        await small.install(lock, lambda *said: None)
    assert left(lock) == []


async def test_an_index_that_breaks_off_leaves_no_volume_and_a_second_try_succeeds(
    engine: DockerEngine, index: Index
) -> None:
    lock = await engine.packages.resolve(["vibe-test-torn"])
    index.broken.add("vibe_test_torn-1.0-py3-none-any.whl")
    try:
        with pytest.raises(NoPackages, match="broke off in the middle"):
            await engine.packages.install(lock, lambda *said: None)
    finally:
        index.broken.clear()
    assert left(lock) == []
    await engine.packages.install(lock, lambda *said: None)
    assert "1.0" in await imported(engine, lock, "import vibe_test_torn as t; print(t.VERSION)")


async def test_a_package_that_unpacks_to_far_more_than_it_weighs_is_stopped(
    tmp_path: Path, index: Index
) -> None:
    small = source(index, tmp_path / "cache", bytes=1_000_000)
    engine = await DockerEngine.open(gallery=tmp_path, source=small)
    try:
        lock = await engine.packages.resolve(["vibe-test-bomb"])
        with pytest.raises(NoPackages, match="far larger than they said"):
            await engine.packages.install(lock, lambda *said: None)
        assert left(lock) == []
    finally:
        await engine.close()


async def test_a_set_that_is_too_many_or_denied_is_refused_before_anything_is_fetched(
    tmp_path: Path, index: Index
) -> None:
    for number, (rules, said) in enumerate(
        [({"count": 1}, "2 packages"), ({"denied": ("vibe-test-brim",)}, "brim is not allowed")]
    ):
        refusing = source(index, tmp_path / str(number), **rules)
        engine = await DockerEngine.open(gallery=tmp_path, source=refusing)
        try:
            with pytest.raises(NoPackages, match=said):
                await engine.packages.resolve(["vibe-test-hat"])
            pins = tuple(Pin(f"vibe-test-{name}", "1.0", ("0" * 64,)) for name in ("brim", "hat"))
            foreign = Lock("3.11", "x86_64", ("vibe-test-hat",), pins)
            with pytest.raises(NoPackages, match=said):
                await engine.packages.install(foreign, lambda *said: None)
        finally:
            await engine.close()


async def test_without_the_index_a_known_set_is_had_and_another_says_there_is_no_network(
    engine: DockerEngine, index: Index, tmp_path: Path
) -> None:
    lock = await engine.packages.install(
        await engine.packages.resolve(["vibe-test-brim"]), lambda *said: None
    )
    deaf = Index(index.folder, port=9)
    offline = await DockerEngine.open(gallery=tmp_path, source=source(deaf, tmp_path / "cache"))
    try:
        assert await offline.packages.install(lock, lambda *said: None) == lock
        with pytest.raises(NoPackages, match="can't be reached") as caught:
            await offline.packages.resolve(["vibe-test-hat"])
        assert caught.value.fix
    finally:
        await offline.close()


async def test_a_folder_of_wheels_needs_no_index(tmp_path: Path, index: Index) -> None:
    environ = {"PIP_FIND_LINKS": str(index.folder), "PIP_NO_INDEX": "1"}
    environ["PIP_INDEX_URL"] = index.address
    index.asked.clear()
    folder = PackageSource(PackageRules(), environ, tmp_path / "cache")
    engine = await DockerEngine.open(gallery=tmp_path, source=folder)
    try:
        lock = await engine.packages.resolve(["vibe-test-hat"])
        assert [pin.name for pin in lock.pins] == ["vibe-test-brim", "vibe-test-hat"]
        assert index.asked == []
    finally:
        await engine.close()


async def test_a_cancelled_installation_leaves_neither_volume_nor_box(
    engine: DockerEngine,
) -> None:
    lock = await engine.packages.resolve(["vibe-test-bomb"])
    going = asyncio.create_task(engine.packages.install(lock, lambda *said: None))
    while not left(lock) and not going.done():
        await asyncio.sleep(0.02)
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    assert left(lock) == []


async def test_the_volume_used_longest_ago_goes_first_and_one_that_a_box_has_stays(
    engine: DockerEngine, tmp_path: Path
) -> None:
    client = engine._client
    locks = [
        await engine.packages.install(await engine.packages.resolve([name]), lambda *said: None)
        for name in ("vibe-test-hat", "vibe-test-brim", "vibe-test-torn")
    ]
    held, old, fresh = (lock.key for lock in locks)
    mine = [one for one in await volumes.everything(client) if one.key in (held, old, fresh)]
    weights = {one.key: one.bytes for one in mine}
    # Of other work's volumes, used a moment from now, none is to go.
    used = {one.key: 9e9 for one in await volumes.everything(client)}
    used |= {held: 1.0, old: 2.0, fresh: 3.0}
    total = sum(one.bytes for one in await volumes.everything(client))
    box = await engine.start(BoxSpec(app="t", lifetime_s=120, packages=held))
    try:
        assert weights[old] > 0
        assert await volumes.trim(client, total, used) == []
        assert await volumes.trim(client, total - 1, used) == [old]
        assert left(locks[1]) == []
    finally:
        await box.stop()
    # It comes back from its lock.
    await engine.packages.install(locks[1], lambda *said: None)
    assert "2.1" in await imported(engine, locks[1], "import vibe_test_brim as b; print(b.VERSION)")


async def test_a_disk_without_room_installs_nothing_and_says_so(
    engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vibe.sandbox.packages.RESERVE", 1 << 60)
    lock = await engine.packages.resolve(["vibe-test-torn"])
    await volumes.remove(engine._client, lock.key)
    with pytest.raises(NoPackages, match="disk is nearly full"):
        await engine.packages.install(lock, lambda *said: None)
    assert left(lock) == []


async def test_a_volume_that_was_never_sealed_is_not_given_to_a_box(
    engine: DockerEngine,
) -> None:
    key = "e" * 64
    await volumes.make(engine._client, key)
    with pytest.raises(Exception, match="not installed"):
        await engine.start(BoxSpec(app="t", packages=key))
    assert await volumes.find(engine._client, key) is None
    await volumes.remove(engine._client, key)


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


async def test_an_unknown_package_is_asked_about_installed_archived_and_there_again_at_a_rerun(
    tmp_path: Path, engine: DockerEngine
) -> None:
    settings = Settings(gallery=tmp_path, limits=Limits(attempts=1))
    studio = Scripted(settings, engine)
    app = await studio.create("a hat", autonomy="fix")
    events: list[Event] = []
    async for event in studio.follow(app.id):
        events.append(event)
        if isinstance(event, Asked):
            assert event.what == "package"
            await studio.answer(app.id, "vibe-test-hat" in event.text)
    app = studio.archive.load(app.id)
    assert app.status == "ready", [e for e in events if hasattr(e, "sentence")]
    assert {e.name for e in events if isinstance(e, PackageReady)} == {
        "vibe-test-hat",
        "vibe-test-brim",
    }
    files = studio.archive.files(app.id)
    assert b"vibe-test-hat==1.0" in files[FILE]
    outcome = await studio.run_script(app.id, [])
    assert outcome.stdout == b"hat 1.0\n"

    # Checked again without a model, its time is noted.
    assert (app.pins["lock"], app.seen is not None) == (read(files[FILE].decode()).key, True)
    archive = studio.archive
    archive.save(replace(app, seen="2020-01-01T00:00:00.000Z"))
    checked = await studio.check(app.id)
    assert checked.seen is not None
    assert checked.seen > app.created
    assert checked.verdict is not None
    assert (tmp_path / ".recipes" / app.pins["recipe"] / "python.Dockerfile").is_file()

    # An image of the pinned recipe is as good as the pinned one; without either it says so.
    gone = {"image": "sha256:" + "0" * 64}
    archive.save(replace(app, pins={**app.pins, **gone}))
    assert (await studio.run_script(app.id, [])).stdout == b"hat 1.0\n"
    archive.save(replace(app, pins={**app.pins, **gone, "recipe": "f" * 64}))
    assert (await studio.run_script(app.id, [])).stdout == b"hat 1.0\n"
    notices = [e.text for e in archive.events(app.id) if isinstance(e, Notice)]
    assert "runs on the present image instead of its own" in notices[-1]

    # A recipe that the gallery kept is built again.
    kept = tmp_path / "kept"
    kept.mkdir()
    present = images.recipe("python")
    for path in (*present.files, present.dockerfile.with_name(images.BASE_SCRIPT)):
        shutil.copy(path, kept)
    (kept / "python.Dockerfile").write_text(f"ARG BASE={present.tag}\nFROM ${{BASE}}\n")
    old = images.recipe("python", kept)
    kept.rename(tmp_path / ".recipes" / old.digest)
    archive.save(replace(app, pins={**app.pins, **gone, "recipe": old.digest}))
    try:
        assert (await studio.run_script(app.id, [])).stdout == b"hat 1.0\n"
        notices = [e.text for e in archive.events(app.id) if isinstance(e, Notice)]
        assert "has been built again from its recipe" in notices[-1]
        assert await engine.image(gone["image"], old.digest)
    finally:
        with contextlib.closing(docker.from_env()) as client:
            client.images.remove(old.tag)
    archive.save(app)

    # A bundle has the lock: in another gallery the app gets the same packages, and no others.
    bundle = export_bundle(archive, app.id, tmp_path / "hat.vibe")
    elsewhere = replace(settings, gallery=tmp_path / "elsewhere")
    other = Scripted(elsewhere, engine)
    archive = other.archive
    came = import_bundle(archive, bundle)
    archive.save(replace(came, pins={**came.pins, "packages": {"numpy": "1.0"}}))
    await volumes.remove(engine._client, app.pins["lock"])
    assert (await other.run_script(came.id, [])).stdout == b"hat 1.0\n"
    assert "numpy 1.0 →" in [e.text for e in archive.events(came.id) if isinstance(e, Notice)][-1]
    assert (await other.check(came.id)).seen is not None


async def test_a_bundle_with_its_packages_runs_where_no_index_is(
    tmp_path: Path, engine: DockerEngine, index: Index
) -> None:
    settings = Settings(gallery=tmp_path, limits=Limits(attempts=1))
    settings = replace(settings, packages=PackageRules(allowed=("vibe-test-hat",)))
    studio = Scripted(settings, engine)
    app = await studio.create("a hat", autonomy="fix")
    async for event in studio.follow(app.id):
        if isinstance(event, Asked):
            await studio.answer(app.id, False)
    found = await studio.wheels(app.id)
    assert set(found) == {
        "vibe_test_brim-2.1-py3-none-any.whl",
        "vibe_test_hat-1.0-py3-none-any.whl",
    }
    assert index.asked[-1].endswith(".whl")
    assert index.credentials[-1].startswith("Basic "), "a password opens the files too"
    bundle = export_bundle(studio.archive, app.id, tmp_path / "hat.vibe", packages=found)
    await volumes.remove(engine._client, read_lock(studio.archive, app.id).key)

    # Another machine: it has no index, so nothing of uv's cache counts either.
    nowhere = PackageSource(PackageRules(), {"PIP_NO_INDEX": "1"}, tmp_path / "another")
    away = await DockerEngine.open(gallery=tmp_path / "away", source=nowhere)
    other = Scripted(replace(settings, gallery=tmp_path / "away"), away)
    try:
        came = import_bundle(other.archive, bundle)
        assert (await other.run_script(came.id, [])).stdout == b"hat 1.0\n"
        # They are there for the next bundle too.
        assert await other.wheels(came.id) == found
        # Only the wheel with the locked hash counts, whatever lies in the folder by then.
        key = read_lock(other.archive, came.id).key
        await volumes.remove(away._client, key)
        kept = tmp_path / "away" / came.id / "wheels" / "vibe_test_hat-1.0-py3-none-any.whl"
        shutil.copy(wheel(tmp_path, "vibe-test-hat", "1.0", size=10), kept)
        with pytest.raises(EngineFault):
            await other.run_script(came.id, [])
        assert await volumes.find(away._client, key) is None
    finally:
        await away.close()


def read_lock(archive: Archive, app_id: str) -> Lock:
    return read(archive.files(app_id)[FILE].decode())


async def test_with_free_an_unknown_package_is_refused_and_the_app_says_so(
    tmp_path: Path, engine: DockerEngine
) -> None:
    settings = Settings(gallery=tmp_path, limits=Limits(attempts=1))
    studio = Scripted(settings, engine)
    app = await studio.create("a hat", autonomy="free")
    end = await studio.wait(app.id)
    assert end.status == "failed"
    assert "vibe-test-hat is a package that Vibe doesn't know" in end.sentence
