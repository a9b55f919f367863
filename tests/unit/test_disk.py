"""What lies on the disk, and what a clean-up takes away: real folders, real images."""

from __future__ import annotations

import contextlib
import io
import tarfile
import uuid
from dataclasses import replace

import docker
import pytest
from docker.errors import ImageNotFound, NotFound

from vibe import disk
from vibe.archive import Archive
from vibe.disk import Use
from vibe.errors import UserError
from vibe.sandbox import volumes


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "gallery")


def made(archive, status, **more):
    app = archive.create(f"a {status} thing", kind="web", model="m", data={"a.csv": b"x" * 5000})
    archive.save(replace(app, status=status, **more))
    return app.id


def part(archive, name) -> Use:
    return next(use for use in disk.used(archive) if use.part == name)


def test_only_builds_without_a_program_that_nobody_keeps_could_go(archive):
    failed = made(archive, "failed")
    made(archive, "failed", keep=True)
    made(archive, "building")
    use = part(archive, "apps")
    assert [thing.id for thing in use.removable] == [failed]
    assert use.count == 3
    assert use.size > 15_000
    assert use.removable[0].size > 5000


def test_a_clean_up_of_apps_moves_them_to_the_trash_and_one_of_the_trash_deletes(archive):
    failed = made(archive, "failed")
    disk.clean(archive, "apps", [failed])
    assert [app.id for app in archive.trash()] == [failed]
    lines = disk.clean(archive, "trash", [failed])
    assert "gone for good" in lines[0]
    assert part(archive, "trash") == Use("trash", 0, 0)


def test_what_has_come_to_life_since_stays(archive):
    failed = made(archive, "failed")
    archive.save(replace(archive.load(failed), status="building"))
    assert disk.clean(archive, "apps", [failed, "no-such-app-000000"]) == []
    assert archive.load(failed)


def test_an_unknown_part_is_refused(archive):
    with pytest.raises(UserError):
        disk.clean(archive, "everything", [])


@pytest.mark.docker
def test_an_image_of_an_older_version_goes_unless_an_app_is_pinned_to_it(archive):
    tag = f"vibe-python:test{uuid.uuid4().hex[:8]}"
    with contextlib.closing(docker.from_env(timeout=60)) as client:
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as tar:
            lines = f"FROM scratch\nLABEL vibe.image=none vibe.test={tag}\nCOPY x /x\n".encode()
            for name, content in {"Dockerfile": lines, "x": b"x"}.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        client.images.build(
            fileobj=io.BytesIO(context.getvalue()), custom_context=True, tag=tag, rm=True
        )
        try:
            identity = client.images.get(tag).id
            app = made(archive, "ready", pins={"image": identity})
            assert identity not in {thing.id for thing in part(archive, "images").removable}
            archive.discard(app)
            archive.purge(app)
            found = {thing.id: thing for thing in part(archive, "images").removable}
            assert found[identity].words == tag
            assert disk.clean(archive, "images", [identity]) == [f"{tag}: gone"]
            with pytest.raises(ImageNotFound):
                client.images.get(tag)
        finally:
            with contextlib.suppress(ImageNotFound):
                client.images.remove(tag)


@pytest.mark.docker
def test_installed_packages_go_unless_an_app_is_locked_to_them(archive):
    key = uuid.uuid4().hex * 2
    labels = {volumes.LABEL: key, "vibe.bytes": "70000", "vibe.modules": "folium branca"}
    with contextlib.closing(docker.from_env(timeout=60)) as client:
        try:
            for name in volumes.names(key):
                client.volumes.create(name, labels=labels)
            app = made(archive, "ready", pins={"lock": key})
            assert key not in {thing.id for thing in part(archive, "packages").removable}
            archive.discard(app)
            archive.purge(app)
            found = {thing.id: thing for thing in part(archive, "packages").removable}
            assert (found[key].words, found[key].size) == ("folium, branca", 70_000)
            assert disk.clean(archive, "packages", [key]) == ["folium, branca: gone"]
            left = {volume.name for volume in client.volumes.list()}
            assert not left & set(volumes.names(key))
        finally:
            for name in volumes.names(key):
                with contextlib.suppress(NotFound):
                    client.volumes.get(name).remove()
