"""The folders that hold installed packages where there is no Docker: whole ones bear their name.

A folder is filled under another name and renamed when it is whole, which the system does in one
step. A box that has it holds a lock on it, which goes with Vibe's process however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vibe.durable import PART, part_of, write_whole
from vibe.errors import Busy, EngineFault
from vibe.sandbox.store import Sealed

CONTENT = "packages"
"""Of a lock's folder: what boxes see."""
SEAL = "sealed.json"
CACHE = "cache"
"""Folder beside them: what fetching keeps."""
_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FolderStore:
    """`store.Store` of folders on this machine."""

    place: Path
    owner: int | None = None
    """User id of the boxes that fill it, where that isn't Vibe's own."""
    mark: str = ""

    async def find(self, key: str) -> Sealed | None:
        return await asyncio.to_thread(self._sealed, key)

    async def make(self, key: str) -> str:
        return str(await asyncio.to_thread(self._made, key))

    async def seal(self, key: str, size: int, modules: tuple[str, ...]) -> None:
        def seal() -> None:
            part, said = self._part(key), {"bytes": size, "modules": modules}
            write_whole(part / SEAL, json.dumps(said).encode())
            part.rename(self.place / key)

        await asyncio.to_thread(seal)

    async def remove(self, key: str) -> None:
        await asyncio.to_thread(self._remove, key)

    async def trim(self, most: int, used: Mapping[str, float]) -> list[str]:
        return await asyncio.to_thread(self._trim, most, used)

    def everything(self) -> list[Sealed]:
        """Every whole folder."""
        if not self.place.is_dir():
            return []
        found = (self._sealed(path.name) for path in self.place.iterdir())
        return [one for one in found if one is not None]

    def in_use(self, key: str) -> bool:
        """Whether a box has it."""
        try:
            with _held(self.place / key, fcntl.LOCK_EX):
                return False
        except Busy:
            return True
        except EngineFault:
            return False

    @contextmanager
    def held(self, key: str) -> Iterator[Path]:
        """What boxes see of that lock's folder; nobody removes it meanwhile. Raises EngineFault
        when it isn't whole."""
        if not _KEY.fullmatch(key):
            raise EngineFault("A box's packages are named by the key of their lock.")
        with _held(self.place / key, fcntl.LOCK_SH):
            yield self.place / key / CONTENT

    @contextmanager
    def cache(self) -> Iterator[Path]:
        """The folder for what fetching keeps; nobody removes it meanwhile."""
        folder = self._own(self.place / CACHE)
        with _held(folder, fcntl.LOCK_SH):
            yield folder

    @contextmanager
    def wheels(self, folder: str) -> Iterator[Path | None]:
        """A folder of wheels as a box can read it: itself, or a copy where others may not look
        into it; None for no folder."""
        if not folder:
            yield None
        elif self.owner is None or _open_to_all(Path(folder)):
            yield Path(folder)
        else:
            copy = part_of(self._shown(self.place) / "wheels")
            try:
                self._shown(copy)
                with _held(copy, fcntl.LOCK_SH):
                    for wheel in Path(folder).glob("*.whl"):
                        shutil.copyfile(wheel, copy / wheel.name)
                        (copy / wheel.name).chmod(0o644)
                    yield copy
            finally:
                shutil.rmtree(copy, ignore_errors=True)

    def _sealed(self, key: str) -> Sealed | None:
        folder = self.place / key
        if not _KEY.fullmatch(key):
            return None
        try:
            said = json.loads((folder / SEAL).read_text("utf-8"))
            made = datetime.fromtimestamp((folder / SEAL).stat().st_mtime, UTC).isoformat()
            modules = tuple(str(name) for name in said["modules"])
            return Sealed(key, int(said["bytes"]), modules, made)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _made(self, key: str) -> Path:
        self._remove(key)
        part = self._shown(self._part(key))
        return self._own(part / CONTENT)

    def _part(self, key: str) -> Path:
        return self.place / f"{key}{PART}"

    def _own(self, folder: Path) -> Path:
        """Makes the folder for the user that boxes run as."""
        self._shown(folder)
        if self.owner is not None:
            os.chown(folder, self.owner, self.owner, follow_symlinks=False)
        return folder

    def _shown(self, folder: Path) -> Path:
        """Makes the folder so that boxes may look into it, whatever this process's mask says."""
        for each in reversed((folder, *folder.parents)):
            if not each.exists():
                each.mkdir()
                each.chmod(0o755)
        return folder

    def _remove(self, key: str) -> None:
        shutil.rmtree(self._part(key), ignore_errors=True)
        with contextlib.suppress(Gone):
            take_away(self.place / key)

    def _trim(self, most: int, used: Mapping[str, float]) -> list[str]:
        kept = sorted(self.everything(), key=lambda one: (used.get(one.key, 0.0), one.made))
        total = sum(one.bytes for one in kept)
        gone: list[str] = []
        for one in kept:
            if total <= most:
                break
            with contextlib.suppress(Busy):
                self._remove(one.key)
                gone.append(one.key)
                total -= one.bytes
        cache = self.place / CACHE
        unwanted = [cache] if _weight(cache) > most else []
        for folder in (*unwanted, *self.place.glob(f".*{PART}")):  # also what a crash has left
            with contextlib.suppress(Busy, Gone):
                take_away(folder)
        return gone


class Gone(EngineFault):
    """There is no such folder."""


@contextmanager
def _held(folder: Path, how: int) -> Iterator[None]:
    """Holds a lock on a folder. Raises Busy when another does, Gone when there is none."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        raise Gone("The app's packages are not installed.", "Run the app again.") from None
    try:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"A box has {folder.name[:12]} at the moment.", "Try it later.") from None
        if not _is(descriptor, folder):
            raise Gone("The app's packages have just been removed.", "Run the app again.")
        yield
    finally:
        os.close(descriptor)


def _is(descriptor: int, folder: Path) -> bool:
    """Whether the folder of that name is still the one that was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.lstat())
    except OSError:
        return False


def take_away(folder: Path) -> None:
    """Takes the folder away at once, then removes what is in it. Raises Busy and Gone."""
    with _held(folder, fcntl.LOCK_EX):
        gone = part_of(folder)
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _open_to_all(folder: Path) -> bool:
    folders = (folder.resolve(), *folder.resolve().parents)
    return all(each.stat().st_mode & 0o005 == 0o005 for each in folders)


def _weight(top: Path) -> int:
    """Bytes below a folder; what vanishes meanwhile weighs nothing."""
    total = 0
    for folder, _, names in os.walk(top):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total
