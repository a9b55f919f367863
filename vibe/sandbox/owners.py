"""Who is alive: each engine object holds a file lock, which the kernel drops when it dies."""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from pathlib import Path

from vibe.errors import EngineFault

FOLDER = ".owners"


def gallery_label(gallery: Path) -> str:
    """A short name for a gallery's place, the same in every process."""
    return hashlib.sha256(os.fsencode(gallery.resolve())).hexdigest()[:16]


class Owner:
    """A held lock `<gallery>/.owners/<name>.lock`; `release` gives it up."""

    def __init__(self, gallery: Path, name: str | None = None) -> None:
        """Raises EngineFault when the gallery can't be written, or another holds that name."""
        self.name = name or uuid.uuid4().hex
        self._folder = gallery / FOLDER
        self._path = self._folder / f"{self.name}.lock"
        # locked before it has its name: a sweep never sees it unlocked
        draft = self._folder / f"{self.name}.{uuid.uuid4().hex}.new"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if alive(gallery, self.name):
                raise EngineFault(f"Another process already owns boxes as {self.name!r}.")
            self._fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(self._path)
        except OSError as error:
            raise EngineFault(
                f"The gallery {gallery} can't be written: {error}.",
                "Set VIBE_GALLERY to a folder that can.",
            ) from error

    def release(self) -> None:
        """Safe to call twice."""
        if self._fd >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = -1


def alive(gallery: Path, name: str) -> bool:
    """Whether the engine object of that name still runs; forgets it when it doesn't."""
    path = gallery / FOLDER / f"{Path(name).name}.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(fd)


def forget_dead(gallery: Path) -> None:
    """Removes the lock files of engine objects that are no more."""
    for path in (gallery / FOLDER).glob("*.lock"):
        alive(gallery, path.stem)
