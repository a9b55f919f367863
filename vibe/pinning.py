"""What an app ran on when it first worked, and the same again for a rerun, or the difference."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from vibe import __version__, vendored, wheels
from vibe.app import App
from vibe.archive import Archive
from vibe.checks import Examination
from vibe.durable import write_whole
from vibe.errors import EngineFault, UserError
from vibe.events import Notice, PackageReady, Stage
from vibe.kinds import Kind, kind
from vibe.narration import Emit
from vibe.sandbox import builder, images, lock
from vibe.sandbox.engine import Engine
from vibe.settings import TEMPLATES

RECIPES = ".recipes"
"""Folder in the gallery: the recipe of every image that an app is pinned to, by its digest."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a box needs to be as the app had it."""

    packages: str = ""
    """Key of its installed lock."""
    image_id: str = ""
    lock: lock.Lock | None = None


def pins(gallery: Path, kind: Kind, examination: Examination) -> dict[str, Any]:
    """What goes to app.yaml at the first success; the image's recipe goes to the gallery."""
    recipe = images.recipe(kind.image)
    with contextlib.suppress(OSError):  # without it a rerun uses the image of its time
        _keep_recipe(recipe, gallery)
    short = ".".join(examination.python.split(".")[:2])
    found = {
        "image": examination.image,
        "recipe": recipe.digest,
        "python": examination.python,
        "kind": _digest_of(kind),
        "vibe": __version__,
        "packages": images.packages(short) if kind.image == "python" else {},
    }
    if examination.lock is not None:
        found["lock"] = examination.lock.key
    return found


def keep_libraries(archive: Archive, app_id: str, kind: Kind, files: Mapping[str, str]) -> None:
    """Keeps the libraries that a revision's pages worked with for all its reruns; those that an
    earlier revision brought stay as they are."""
    if not kind.vendor:
        return
    pages = {path: text.encode() for path, text in files.items()}
    with contextlib.suppress(UserError):  # without them a rerun uses those of its time
        archive.keep_vendored(app_id, vendored.needed(pages, archive.vendored(app_id)))


async def ready(
    engine: Engine, gallery: Path, app: App, files: Mapping[str, bytes], emit: Emit
) -> Ground:
    """Returns once the app's image and packages are there; tells what differs from its first run.

    Raises UserError for a lock that Vibe didn't write, EngineFault when its packages are gone and
    can't be had again."""
    image_id = await _image(engine, gallery, app, emit)
    if lock.FILE not in files:
        return Ground(image_id=image_id)
    wanted = lock.read(files[lock.FILE].decode("utf-8", "replace"))

    def told(name: str, version: str, done: int, of: int) -> None:
        emit(PackageReady(name=name, version=version, done=done, of=of))

    came = wheels.of(gallery / app.id)
    wanted = await engine.packages.install(wanted, told, came)
    return Ground(wanted.key, image_id, wanted)


async def _image(engine: Engine, gallery: Path, app: App, emit: Emit) -> str:
    """The id of the app's image, built again if need be; "" for the present one, with a word."""
    pinned, digest = str(app.pins.get("image", "")), str(app.pins.get("recipe", ""))
    if not pinned:
        if "Other versions" in (said := _difference(app)):  # it was imported from another machine
            emit(Notice(text=f"It runs on this machine's image. {said}"))
        return ""
    if found := await engine.image(pinned, digest):
        return found
    folder = gallery / RECIPES / Path(digest).name
    if digest and folder.is_dir() and engine.name == "docker":
        emit(
            Stage(name="image", sentence="Its image is gone and is built again, which takes long.")
        )
        try:
            await asyncio.to_thread(_build, folder, digest, kind(app.kind).image)
            if found := await engine.image(pinned, digest):
                emit(
                    Notice(
                        text="The image it first worked on was gone and has been built again from "
                        "its recipe: the same libraries, on the system as it is today."
                    )
                )
                return found
        except EngineFault as error:
            emit(Notice(text=f"Its image could not be built again. {error.message[:300]}"))
    emit(Notice(text=f"It runs on the present image instead of its own. {_difference(app)}"))
    return ""


def _build(folder: Path, digest: str, image: images.ImageName) -> None:
    """Builds the image of an archived recipe. Raises EngineFault."""
    recipe = images.recipe(image, folder)
    if recipe.digest != digest:
        raise EngineFault("The archived recipe is not as it was.")
    with contextlib.closing(docker.from_env(timeout=builder.QUIET_S)) as client:
        base = builder.ready_base(client, recipe)
        if base is None:
            raise EngineFault("There is no base image for it.", "Run `vibe setup`.")
        builder.build(client, recipe, base)


def _keep_recipe(recipe: images.Recipe, gallery: Path) -> None:
    folder = gallery / RECIPES / recipe.digest
    if folder.is_dir():
        return
    part = folder.with_name(f"{recipe.digest}.part")
    part.mkdir(parents=True, exist_ok=True)
    script = recipe.dockerfile.with_name(images.BASE_SCRIPT)
    for path in (recipe.dockerfile, *recipe.files, script):
        write_whole(part / path.name, path.read_bytes())
    part.rename(folder)


def _difference(app: App) -> str:
    """Which of the image's libraries have another version now."""
    before = app.pins.get("packages")
    python = ".".join(str(app.pins.get("python", "")).split(".")[:2])
    now = images.packages(python)
    if not isinstance(before, dict):
        return ""
    changed = [
        f"{name} {version} → {now.get(name, 'none')}"
        for name, version in sorted(before.items())
        if now.get(name) != version
    ]
    return (
        f"Other versions: {', '.join(changed[:8])}." if changed else "Its libraries are the same."
    )


def _digest_of(kind: Kind) -> str:
    """The kind's version: 12 digits over its kind.yaml."""
    content = (TEMPLATES / "kinds" / kind.name / "kind.yaml").read_bytes()
    return hashlib.sha256(content).hexdigest()[:12]
