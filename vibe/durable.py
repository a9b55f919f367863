"""Writes that survive a crash, and one sentence when the disk refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from vibe.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}

PART = ".part"
"""Ending of a file or folder that is being written; what a crash leaves of it is rubbish."""


def part_of(path: Path) -> Path:
    """A new hidden name beside `path`, to write under until it is whole."""
    return path.with_name(f".{path.name[:60]}.{token_hex(4)}{PART}")


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that at any moment either its old or its new content is there.

    Raises OSError, leaving the old content and no rubbish.
    """
    part = part_of(path)
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    sync_folder(path.parent)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files under their relative names below a folder, made if there are any."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable: after a rename, before one counts on it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing(what: str, *, move: str = "set VIBE_GALLERY to another folder") -> Iterator[None]:
    """Turns a disk's refusal into a UserError that says what could not be written, and a fix."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UserError(
                f"{what} could not be written: the disk is full.", f"Free some space, or {move}."
            ) from error
        if error.errno in _REFUSED:
            raise UserError(
                f"{what} could not be written: {error.strerror}.",
                f"Make the folder writable, or {move}.",
            ) from error
        raise UserError(
            f"{what} could not be written: {error}.", f"Mend that, or {move}."
        ) from error
