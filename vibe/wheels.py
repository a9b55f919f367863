"""The wheels that came with an app in a bundle, so that it runs on a machine without network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from vibe.errors import UserError
from vibe.sandbox import lock
from vibe.sandbox.downloading import MAX_BYTES, NAME
from vibe.stored import kept

FOLDER = "wheels"
"""Its name in the app's folder, and in a bundle."""


def sound(files: Mapping[str, bytes], locks: Iterable[bytes]) -> dict[str, bytes]:
    """The wheels, when each is one that a lock of the app names by its hash. Raises UserError."""
    allowed: set[str] = set()
    for text in locks:
        read = lock.read(text.decode("utf-8", "replace"))
        allowed |= {hash_ for pin in read.pins for hash_ in pin.hashes}
    for name, content in files.items():
        if not NAME.fullmatch(name) or hashlib.sha256(content).hexdigest() not in allowed:
            raise UserError(f"{name[:80]!r} is no package that its lock names.", "Leave it out.")
    if sum(map(len, files.values())) > MAX_BYTES:
        raise UserError("Its packages are too large.", "Leave them out.")
    return dict(files)


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes them below an app's new folder, where the box that installs can read them. Raises
    OSError when the disk refuses."""
    place = folder / FOLDER
    place.mkdir()
    for name, content in files.items():
        (place / name).write_bytes(content)
        (place / name).chmod(0o644)
    place.chmod(0o755)


def read(folder: Path) -> dict[str, bytes]:
    """The wheels in an app's folder by file name; none when none came with it."""
    place = of(folder)
    return {name: path.read_bytes() for name, path in kept(place)} if place else {}


def complete(files: Mapping[str, bytes], wanted: lock.Lock) -> bool:
    """Whether the wheels are all that a lock names."""
    there = {hashlib.sha256(content).hexdigest() for content in files.values()}
    return all(there & set(pin.hashes) for pin in wanted.pins)


def of(folder: Path) -> Path | None:
    """The folder with the wheels that came with an app; None when none came."""
    place = folder / FOLDER
    return place if place.is_dir() and not place.is_symlink() else None
