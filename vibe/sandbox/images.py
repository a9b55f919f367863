"""What the boxes' images are made from, and the names that follow from it; nothing is run here."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.markers import Marker

from vibe.settings import SANDBOXES

ImageName = Literal["python", "browser", "packages", "node", "rust"]
IMAGES: tuple[ImageName, ...] = ("python", "browser", "packages")

ON_DEMAND: tuple[ImageName, ...] = ("node", "rust")
"""Images that are built when the first app needs one."""

LABEL_IMAGE = "vibe.image"
"""On every image of ours: `python`, `browser` or `packages`."""
LABEL_RECIPE = "vibe.recipe"
"""On every image of ours: the digest of the recipe it was built from."""

BASE_SCRIPT = "debian-base.sh"
_COPIED = {
    "python": ("install.sh", "uv-requirements.txt", "python-requirements.txt"),
    "browser": ("debian.sh", "install.sh", "uv-requirements.txt", "browser-requirements.txt"),
    "packages": ("uv.sh", "uv-requirements.txt"),
    "node": ("debian.sh",),
    "rust": ("debian.sh",),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what is in an image."""

    image: ImageName
    base: str
    """The registry's image it builds on where a registry answers."""
    digest: str
    """SHA-256 in hex over the Dockerfile, the files it copies and the base script."""
    dockerfile: Path
    files: tuple[Path, ...]
    """What the build context holds beside the Dockerfile and the CA bundle."""

    @property
    def tag(self) -> str:
        """The image's local name, e.g. `vibe-python:0f3c9a1b2c3d`."""
        return f"vibe-{self.image}:{self.digest[:12]}"


def recipe(image: ImageName, folder: Path = SANDBOXES) -> Recipe:
    """The recipe of one image, read from `folder`."""
    dockerfile = folder / f"{image}.Dockerfile"
    files = tuple(folder / name for name in _COPIED[image])
    text = dockerfile.read_text("utf-8")
    base = next(line for line in text.splitlines() if line.startswith("ARG BASE="))
    return Recipe(
        image=image,
        base=base.removeprefix("ARG BASE=").strip(),
        digest=_digest([dockerfile, *files, folder / BASE_SCRIPT]),
        dockerfile=dockerfile,
        files=files,
    )


def base_tag(folder: Path = SANDBOXES) -> str:
    """The local name of the base image that the base script makes."""
    return f"vibe-base:{_digest([folder / BASE_SCRIPT])[:12]}"


def _digest(paths: list[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        total.update(f"{path.name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def packages(python: str = "") -> dict[str, str]:
    """Name and version of every Python package in the `python` image, from its lock; `python`
    (e.g. 3.11) chooses where versions differ between Pythons."""
    found: dict[str, str] = {}
    for line in constraints():
        pin, _, marker = line.partition(" ; ")
        name, _, version = pin.partition("==")
        full = {"python_version": python, "python_full_version": f"{python}.99"}
        if name not in found or not python or Marker(marker).evaluate(full):
            found[name] = version
    return found


def constraints() -> list[str]:
    """The `python` image's lock without its hashes: `name==version`, some with a marker."""
    lock = (SANDBOXES / "python-requirements.txt").read_text("utf-8")
    return re.findall(r"^([a-z0-9][a-z0-9._-]*==[^\\\n]+?)[ \\]*$", lock, re.M)
