"""The pictures of an app's checks, in a folder of its own: named, capped in number, read back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from vibe.durable import write_whole

MOST = 160
"""Pictures that one app may have; the oldest go first. At about 10 kB each: 1.6 MB."""

_NAME = re.compile(r"r(\d{1,6})-(\d{1,6})-\d{1,4}-[0-9a-f]{8}\.webp")


def save(folder: Path, revision: int, attempt: int, pictures: Sequence[bytes]) -> list[str]:
    """Writes each picture under a new name, `r2-1-3-9f86d081.webp` for the third of attempt 1 of
    revision 2; a name stands for the same bytes for ever. Returns the names, empty for an empty
    picture. Raises OSError when the disk refuses."""
    names = []
    for number, content in enumerate(pictures, 1):
        digest = hashlib.sha256(content).hexdigest()[:8]
        names.append(f"r{revision}-{attempt}-{number}-{digest}.webp" if content else "")
    if any(names):
        folder.mkdir(exist_ok=True)
    for name, content in zip(names, pictures, strict=True):
        if name and not (folder / name).exists():
            write_whole(folder / name, content)
    present = sorted(_present(folder), key=lambda path: (path.stat().st_mtime_ns, path.name))
    for path in present[:-MOST]:
        _remove(path)
    return names


def read(folder: Path, name: str) -> bytes | None:
    """A picture's bytes; None when there is none (any more), or the name is not one of ours."""
    path = folder / name
    if not _NAME.fullmatch(name) or path.is_symlink():
        return None
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def is_name(name: str) -> bool:
    """Whether a path below an app's folder is that of a check's picture, or of a revision's."""
    return bool(re.fullmatch(rf"pictures/{_NAME.pattern}|thumbs/r\d{{1,6}}\.webp", name))


def all_of(folder: Path) -> dict[str, bytes]:
    """The pictures of an app's checks and revisions, by their paths below the app's folder."""
    found = [
        path
        for place in ("pictures", "thumbs")
        if not (folder / place).is_symlink()
        for path in sorted((folder / place).glob("*.webp"))
    ]
    names = {path.relative_to(folder).as_posix(): path for path in found if not path.is_symlink()}
    return {name: path.read_bytes() for name, path in names.items() if is_name(name)}


def keep_only(folder: Path, revision: int, attempts: Collection[int]) -> None:
    """Removes a revision's pictures but those of the named attempts."""
    for path in _present(folder):
        found = _NAME.fullmatch(path.name)
        if found and int(found[1]) == revision and int(found[2]) not in attempts:
            _remove(path)


def _present(folder: Path) -> list[Path]:
    if folder.is_symlink() or not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):  # another process was faster
        path.unlink()
