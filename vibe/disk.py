"""Adds up what Vibe keeps on the disk, and says what each clean-up would remove before it does."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from vibe.archive import Archive
from vibe.errors import Busy, EngineFault, NoSuchApp, UserError, VibeError
from vibe.purging import purge
from vibe.sandbox import lock, volumes
from vibe.sandbox.box_environment import store
from vibe.sandbox.folders import Gone, take_away
from vibe.sandbox.images import IMAGES, LABEL_IMAGE, ON_DEMAND, recipe

ANSWER_S = 120
NO_DOCKER = "No Docker engine answers."
PARTS = ("apps", "trash", "packages", "images")


@dataclass(frozen=True, slots=True)
class Removable:
    """One thing that a clean-up would remove."""

    id: str
    words: str
    size: int
    """Bytes on the disk. Images share parts: removing one may free less."""


@dataclass(frozen=True, slots=True)
class Use:
    """What one part keeps on the disk."""

    part: str
    """One of PARTS."""
    size: int
    count: int
    removable: tuple[Removable, ...] = ()
    problem: str = ""
    """Why it could not be looked at; empty when it could."""


def used(archive: Archive) -> list[Use]:
    """What each part keeps, and what could go. Never raises for an engine that doesn't answer."""
    return [_apps(archive), _trash(archive), _packages(archive), _images(archive)]


def clean(archive: Archive, part: str, ids: Iterable[str]) -> list[str]:
    """Removes those things of a part; returns a line for each that is gone (or why it isn't).

    Only what `used` calls removable at this moment goes: an app that has come to life since stays.
    Apps go to the trash, everything else for good. Raises UserError for an unknown part.
    """
    looks = {
        "apps": lambda: _apps(archive),
        "trash": lambda: _trash(archive),
        "packages": lambda: _packages(archive),
        "images": lambda: _images(archive),
    }
    if part not in looks:
        raise UserError(f"There is no part called {part!r}.", f"They are {', '.join(PARTS)}.")
    wanted = set(ids)
    chosen = [thing for thing in looks[part]().removable if thing.id in wanted]
    if part == "images":
        return _remove_images(chosen)
    if part == "packages":
        return _remove_packages(chosen)
    said = []
    for thing in chosen:
        try:
            if part == "apps":
                archive.discard(thing.id)
                said.append(f"{thing.id}: in the trash")
            else:
                said.append(purge(archive, thing.id)[-1])
        except NoSuchApp:
            continue
        except VibeError as error:
            said.append(f"{thing.id}: stays, {error}")
    return said


def _apps(archive: Archive) -> Use:
    """Removable are those whose build ended without any version, unless they are kept."""
    apps = archive.list()
    empty = [
        Removable(app.id, app.title or app.idea, size_of(archive.root / app.id))
        for app in apps
        if app.status in ("failed", "stopped", "interrupted") and not app.revisions and not app.keep
    ]
    return Use("apps", sum(size_of(archive.root / app.id) for app in apps), len(apps), tuple(empty))


def _trash(archive: Archive) -> Use:
    things = tuple(
        Removable(app.id, app.title or app.idea, size_of(archive.root / ".trash" / app.id))
        for app in archive.trash()
    )
    return Use("trash", sum(thing.size for thing in things), len(things), things)


def _packages(archive: Archive) -> Use:
    """Removable are those that no box has and no app of this gallery is locked to."""
    place, needed, problem = store(), _locks(archive), ""
    whole = place.everything()
    held = {one.key for one in whole if place.in_use(one.key)}
    try:
        with contextlib.closing(docker.from_env(timeout=ANSWER_S)) as client:
            whole += volumes.whole(client.api.volumes(filters={"label": volumes.LABEL}))
            for box in client.api.containers(all=True):
                names = (str(mount.get("Name")) for mount in box.get("Mounts") or [])
                held |= {name.removeprefix(volumes.PREFIX) for name in names}
    except (DockerException, requests.RequestException, OSError):
        problem = "" if whole else NO_DOCKER
    weights = Counter[str]()  # what both engines have is one thing
    for one in whole:
        weights[one.key] += one.bytes
    words = {one.key: ", ".join(one.modules[:6]) or one.key[:12] for one in whole}
    free = tuple(
        Removable(key, words[key], weight)
        for key, weight in weights.items()
        if key not in needed | held
    )
    return Use("packages", weights.total(), len(weights), free, problem)


def _locks(archive: Archive) -> set[str]:
    """Keys of what the apps, and those in the trash, ran with at first and have now."""
    keys = set()
    for folder, apps in (
        (archive.root, archive.list()),
        (archive.root / ".trash", archive.trash()),
    ):
        for app in apps:
            keys.add(str(app.pins.get("lock", "")))
            with contextlib.suppress(OSError, UserError, UnicodeError):
                keys.add(lock.read((folder / app.id / "code" / lock.FILE).read_text("utf-8")).key)
    return keys


def _images(archive: Archive) -> Use:
    """Removable are those of older recipes that no container uses and no app is pinned to."""
    try:
        with contextlib.closing(docker.from_env(timeout=ANSWER_S)) as client:
            found = client.api.images(filters={"label": LABEL_IMAGE})
            current = {recipe(name).tag for name in (*IMAGES, *ON_DEMAND)}
            needed = {c["ImageID"] for c in client.api.containers(all=True)}
    except (DockerException, requests.RequestException, OSError):
        return Use("images", 0, 0, problem=NO_DOCKER)
    needed |= {app.pins.get("image", "") for app in (*archive.list(), *archive.trash())}
    old = tuple(
        Removable(image["Id"], ", ".join(_tags(image)) or _untagged(image), image["Size"])
        for image in found
        if not current & set(_tags(image)) and image["Id"] not in needed
    )
    return Use("images", sum(image["Size"] for image in found), len(found), old)


def _untagged(image: dict[str, Any]) -> str:
    """What an image is called that has lost its name to a newer one."""
    return f"an older {image['Labels'][LABEL_IMAGE]} image ({image['Id'][7:19]})"


def _tags(image: dict[str, list[str] | None]) -> list[str]:
    return [tag for tag in image.get("RepoTags") or [] if tag != "<none>:<none>"]


def _remove_images(images: Iterable[Removable]) -> list[str]:
    said = []
    try:
        with contextlib.closing(docker.from_env(timeout=ANSWER_S)) as client:
            for image in images:
                try:
                    for tag in client.images.get(image.id).tags or [image.id]:
                        client.api.remove_image(tag)
                    said.append(f"{image.words}: gone")
                except APIError as error:
                    said.append(f"{image.words}: stays, {error.explanation or error}")
    except (DockerException, requests.RequestException, OSError) as error:
        raise EngineFault("Docker could not be asked.", "See `vibe doctor`.") from error
    return said


def _remove_packages(locked: Iterable[Removable]) -> list[str]:
    said = []
    with contextlib.ExitStack() as open_:
        client: docker.DockerClient | None = None
        with contextlib.suppress(DockerException, OSError):
            client = docker.from_env(timeout=ANSWER_S)
            open_.callback(client.close)
        for one in locked:
            try:
                with contextlib.suppress(Gone):
                    take_away(store().place / one.id)
                if client is not None:
                    for name in volumes.names(one.id):
                        with contextlib.suppress(NotFound):
                            client.api.remove_volume(name)
                said.append(f"{one.words}: gone")
            except APIError as error:
                said.append(f"{one.words}: stays, {error.explanation or error}")
            except (Busy, DockerException, requests.RequestException, OSError) as error:
                said.append(f"{one.words}: stays, {error}")
    return said


def size_of(folder: Path) -> int:
    """Bytes of every file below a folder; what goes away meanwhile counts as nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(place) / name).lstat().st_size
    return total
