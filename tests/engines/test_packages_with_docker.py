"""Packages with Docker: in volumes, from indexes and folders, and for apps that come and go."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import ssl
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from tests.engines.conftest import OpenWith
from tests.engines.hatter import Hatter, Packaged, imported, left, read_lock
from tests.engines.package_index import Index, source, wheel
from vibe.bundle import export_bundle, import_bundle
from vibe.errors import EngineFault, NoPackages
from vibe.events import Asked, Event, Notice, PackageReady
from vibe.sandbox import images, volumes
from vibe.sandbox.engine import BoxSpec
from vibe.sandbox.lock import FILE, read
from vibe.sandbox.packages import PackageSource, StoredPackages
from vibe.settings import Limits, PackageRules, Settings

pytestmark = [
    pytest.mark.docker,
    pytest.mark.parametrize("open_with", ["docker"], indirect=True),
]


@pytest.fixture
async def engine(open_with: OpenWith, index: Index, tmp_path: Path) -> Packaged:
    """An engine that has packages from the index."""
    return await open_with(source(index, tmp_path / "cache"))


@pytest.mark.parametrize(
    ("rules", "version"),
    [({}, "1.0"), ({"minimum_age_days": 0}, "2.0"), ({"latest": "2021-01-01"}, "1.0"),
     ({"minimum_age_days": 0, "latest": "2021-01-01"}, "1.0")],
)  # fmt: skip
async def test_a_release_too_young_or_after_the_latest_date_is_passed_over(
    open_with: OpenWith, tmp_path: Path, index: Index, rules: dict[str, object], version: str
) -> None:
    engine = await open_with(source(index, tmp_path / "cache", **rules))
    lock = await engine.packages.resolve(["vibe-test-fresh"])
    assert lock.versions == {"vibe-test-fresh": version}
    # What the index says no date of is no reason to take today's release of another.
    both = await engine.packages.resolve(["vibe-test-fresh", "vibe-test-hat"])
    assert (both.versions["vibe-test-fresh"], len(both.pins)) == (version, 3)


async def test_a_package_with_young_releases_only_says_so(
    open_with: OpenWith, tmp_path: Path, index: Index
) -> None:
    engine = await open_with(source(index, tmp_path / "cache", latest="2019-01-01"))
    for names in (["vibe-test-fresh"], ["vibe-test-fresh", "vibe-test-hat"]):
        with pytest.raises(NoPackages, match="release of vibe-test-fresh is too new") as caught:
            await engine.packages.resolve(names)
        assert caught.value.blamed == ("vibe-test-fresh",)


async def test_an_index_with_a_certificate_that_nobody_vouches_for_is_not_believed(
    open_with: OpenWith, tmp_path: Path
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
    engine = await open_with(own)
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
    tmp_path: Path, engine: Packaged, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vibe.sandbox.packages.RESERVE", 0)  # so that it is found out too late
    lock = await engine.packages.resolve(["vibe-test-bomb"])
    await volumes.remove(engine._client, lock.key)
    small = StoredPackages(
        SmallDisk(engine._client), engine._fetcher, source(index, tmp_path / "small")
    )
    with pytest.raises(NoPackages, match="The disk is full, so the packages were not installed"):
        await small.install(lock, lambda *said: None)
    assert left(engine, lock) == []


async def test_a_folder_of_wheels_needs_no_index(
    open_with: OpenWith, tmp_path: Path, index: Index
) -> None:
    environ = {"PIP_FIND_LINKS": str(index.folder), "PIP_NO_INDEX": "1"}
    environ["PIP_INDEX_URL"] = index.address
    index.asked.clear()
    folder = PackageSource(PackageRules(), environ, tmp_path / "cache")
    engine = await open_with(folder)
    lock = await engine.packages.resolve(["vibe-test-hat"])
    assert [pin.name for pin in lock.pins] == ["vibe-test-brim", "vibe-test-hat"]
    assert index.asked == []


@pytest.mark.alone  # it weighs all volumes of the machine
async def test_the_volume_used_longest_ago_goes_first_and_one_that_a_box_has_stays(
    engine: Packaged, tmp_path: Path
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
        assert left(engine, locks[1]) == []
    finally:
        await box.stop()
    # It comes back from its lock.
    await engine.packages.install(locks[1], lambda *said: None)
    assert "2.1" in await imported(engine, locks[1], "import vibe_test_brim as b; print(b.VERSION)")


async def test_a_volume_that_was_never_sealed_is_not_given_to_a_box(
    engine: Packaged,
) -> None:
    key = "e" * 64
    await volumes.make(engine._client, key)
    with pytest.raises(Exception, match="not installed"):
        await engine.start(BoxSpec(app="t", packages=key))
    assert await volumes.find(engine._client, key) is None
    await volumes.remove(engine._client, key)


async def test_an_unknown_package_is_asked_about_installed_archived_and_there_again_at_a_rerun(
    tmp_path: Path, engine: Packaged
) -> None:
    settings = Settings(gallery=tmp_path, limits=Limits(attempts=1))
    studio = Hatter(settings, engine)
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
    other = Hatter(elsewhere, engine)
    archive = other.archive
    came = import_bundle(archive, bundle)
    archive.save(replace(came, pins={**came.pins, "packages": {"numpy": "1.0"}}))
    await volumes.remove(engine._client, app.pins["lock"])
    assert (await other.run_script(came.id, [])).stdout == b"hat 1.0\n"
    assert "numpy 1.0 →" in [e.text for e in archive.events(came.id) if isinstance(e, Notice)][-1]
    assert (await other.check(came.id)).seen is not None


async def test_a_bundle_with_its_packages_runs_where_no_index_is(
    open_with: OpenWith, tmp_path: Path, engine: Packaged, index: Index
) -> None:
    settings = Settings(gallery=tmp_path, limits=Limits(attempts=1))
    settings = replace(settings, packages=PackageRules(allowed=("vibe-test-hat",)))
    studio = Hatter(settings, engine)
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
    away = await open_with(nowhere, tmp_path / "away")
    other = Hatter(replace(settings, gallery=tmp_path / "away"), away)
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
