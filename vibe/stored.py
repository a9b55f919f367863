"""The files kept beside an app's code: what the person attached, and what the app wrote."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vibe.durable import PART, write_whole
from vibe.errors import ModelFault, UserError
from vibe.paths import MAX_FILES, safe_files, safe_path

MAX_BYTES = 64 << 20
"""What one app's attached files, or the files of one run, may have together."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One file that an app wrote, or that was attached to it."""

    name: str
    """Relative to its folder."""
    size: int
    """Bytes."""


def attachable(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files under their safe names. Raises UserError when they can't be attached."""
    try:
        safe = safe_files(files)
        safe_files({f"data/{name}": content for name, content in safe.items()})
    except ModelFault as fault:
        raise UserError(fault.message, "Rename or leave out that file.") from fault
    size = sum(len(content) for content in safe.values())
    if size > MAX_BYTES:
        raise UserError(
            f"The attached files have {size / 2**20:,.0f} MB together; "
            f"{MAX_BYTES >> 20} MB are the most.",
            "Attach less, or a part of it.",
        )
    return safe


def keep(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Writes files below `folder`; older ones of the same names are replaced.

    Returns the names that were left out: unsafe ones, those that a link or a folder stands in the
    way of, and what is over MAX_FILES or MAX_BYTES. Raises OSError when the disk refuses.
    """
    left_out: list[str] = []
    size = kept = 0
    for name, content in files.items():
        try:
            path = folder / safe_path(name)
            if size + len(content) > MAX_BYTES or kept == MAX_FILES or _linked(path, folder):
                left_out.append(name)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
            size, kept = size + len(content), kept + 1
        except (ModelFault, FileExistsError, IsADirectoryError, NotADirectoryError):
            left_out.append(name)
    return left_out


def kept(folder: Path) -> list[tuple[str, Path]]:
    """Relative name and place of every regular file below a folder, by name; links are not
    followed."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            if path.is_file() and not path.is_symlink() and not name.endswith(PART):
                found.append((path.relative_to(folder).as_posix(), path))
    return sorted(found)


def receipt(folder: Path) -> list[str]:
    """A line with files and bytes for each thing in an app's folder, and one for all of it."""
    lines: list[str] = []
    total = count = 0
    for path in sorted(folder.iterdir()):
        inside = [path]
        if path.is_dir() and not path.is_symlink():
            inside = [Path(place) / name for place, _, names in os.walk(path) for name in names]
            lines.append(f"{path.name}/: {len(inside)} files, {_size(inside):,} bytes")
        elif path.name != ".lock":
            lines.append(f"{path.name}: {_size(inside):,} bytes")
        total, count = total + _size(inside), count + len(inside)
    return [*lines, f"{folder.name}: {count} files, {total:,} bytes, gone for good"]


def _size(files: list[Path]) -> int:
    return sum(file.lstat().st_size for file in files)


def _linked(path: Path, folder: Path) -> bool:
    """Whether a link lies between `folder` (itself included) and the file's own name."""
    return any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(folder))
