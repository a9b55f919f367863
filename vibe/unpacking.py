"""The files of a zip that a stranger made: taken only when every one is what the list says."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vibe.errors import ModelFault, UserError
from vibe.paths import safe_files

MANIFEST = "manifest.json"
NAMES = (
    MANIFEST, "app.json", "events.jsonl", "history.json", "thumb.webp", "transcript.html",
)  # fmt: skip
FOLDERS = ("code/", "history/", "data/", "results/", "pictures/", "thumbs/", "vendor/", "wheels/")
MAX_ZIP = 256 << 20
"""Bytes of the file itself."""
MAX_TOTAL = 256 << 20
"""Bytes of all files in it together: 64 MB attached, 64 MB written, the rest code and words."""
MAX_ENTRIES = 5_000
MAX_LIST = 2 << 20
"""Bytes of the manifest."""
MAX_DIRECTORY = 4 << 20
"""Bytes of the zip's own list, which Python reads whole before one can look."""
MAX_RATIO = 250
"""How many times larger than the zip its files may be together, once they are over FREE."""
FREE = 8 << 20

REASONS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, OSError, ValueError,
    NotImplementedError, RuntimeError, KeyError, TypeError, AttributeError, OverflowError,
)  # fmt: skip
"""What `zipfile` and `json` raise for files that are no good."""


def refused(why: str) -> UserError:
    """The one sentence an import ends with."""
    return UserError(f"This bundle can't be imported: {why}.", "Nothing of it was kept.")


class Unpacked:
    """An opened bundle whose list has been checked against the zip; each file is checked against
    its sum when it is read, and never written anywhere here. Everything raises UserError."""

    def __init__(self, path: Path, newest: int) -> None:
        """`newest` is the newest format that can be read."""
        try:
            if path.stat().st_size > MAX_ZIP:
                raise refused(f"it is larger than {MAX_ZIP >> 20} MB")
            _look_at_the_end(path)
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise UserError(f"There is no file called {path}.", "Check its name.") from None
        except REASONS as error:
            raise refused("it is no zip file, or it is damaged") from error
        try:
            self._entries = self._listed()
            self.manifest = self._manifest(newest)
            self._sums = self._summed()
        except BaseException:
            self._zip.close()
            raise

    def close(self) -> None:
        self._zip.close()

    def names(self, folder: str = "") -> list[str]:
        """The names of all files, or of those in a folder, relative to it."""
        return [name.removeprefix(folder) for name in self._sums if name.startswith(folder)]

    def sums(self) -> Mapping[str, str]:
        """SHA-256 (hex) of each file."""
        return {name: sum_ for name, (_, sum_) in self._sums.items()}

    def read(self, name: str) -> bytes:
        """The content of a file, which is what the manifest says."""
        size, sum_ = self._sums[name]
        content = self._content(name, size)
        if hashlib.sha256(content).hexdigest() != sum_:
            raise refused(f"{name!r} is not what its checksum says")
        return content

    def _listed(self) -> dict[str, zipfile.ZipInfo]:
        """The zip's entries by name, when nothing in their heads speaks against any of them."""
        entries = self._zip.infolist()
        if len(entries) > MAX_ENTRIES:
            raise refused(f"it has {len(entries):,} files; {MAX_ENTRIES:,} are the most")
        total = 0
        found: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            mode = entry.external_attr >> 16
            shown = repr(entry.orig_filename[:80])
            if entry.filename != entry.orig_filename or entry.filename in found:
                raise refused(f"{shown} is in it twice, or has an odd name")
            if entry.is_dir() or (stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
                raise refused(f"{shown} is a link or a folder, not a file")
            if entry.flag_bits & 0x1:
                raise refused(f"{shown} is encrypted")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise refused(f"{shown} is packed in a way that Vibe doesn't read")
            total += entry.file_size
            found[entry.filename] = entry
        packed = sum(entry.compress_size for entry in entries)
        if total > MAX_TOTAL or (total > FREE and total > packed * MAX_RATIO):
            raise refused(f"unpacked it would be {total / 2**20:,.0f} MB, far more than it should")
        try:
            for folder in FOLDERS:
                inside = [name.removeprefix(folder) for name in found if name.startswith(folder)]
                safe_files(dict.fromkeys(inside), most=MAX_ENTRIES)
        except ModelFault as fault:
            raise refused(fault.message.rstrip(".")) from fault
        for name in found:
            if name not in NAMES and not name.startswith(FOLDERS):
                raise refused(f"{name[:80]!r} does not belong in one")
        return found

    def _manifest(self, newest: int) -> dict[str, Any]:
        if MANIFEST not in self._entries:
            raise refused("it has no manifest: it is not a Vibe bundle")
        size = self._entries[MANIFEST].file_size
        if size > MAX_LIST:
            raise refused("its manifest is too large")
        manifest = parsed(self._content(MANIFEST, size), MANIFEST)
        format_ = manifest.get("format") if isinstance(manifest, dict) else None
        if not isinstance(format_, int) or isinstance(format_, bool) or format_ < 1:
            raise refused("its manifest names no format")
        if format_ > newest:
            raise refused(f"it has format {format_}, made by a newer Vibe; this one reads {newest}")
        return dict(manifest)

    def _summed(self) -> dict[str, tuple[int, str]]:
        """Size and checksum of each file, when manifest and zip name the same ones."""
        files = self.manifest.get("files")
        if not isinstance(files, dict) or files.keys() != self._entries.keys() - {MANIFEST}:
            raise refused("its manifest does not list the files that are in it")
        found = {}
        for name, about in files.items():
            size, sum_ = (
                (about.get("size"), about.get("sha256")) if isinstance(about, dict) else ("", "")
            )
            if size != self._entries[name].file_size or not isinstance(sum_, str):
                raise refused(f"{name!r} is not what its manifest says")
            found[name] = (self._entries[name].file_size, sum_)
        return found

    def _content(self, name: str, size: int) -> bytes:
        """Never more than `size` bytes, however many come out."""
        try:
            with self._zip.open(self._entries[name]) as file:
                content = file.read(size)
                if len(content) != size or file.read(1):
                    raise refused(f"{name!r} has another size than it says")
                return content
        except REASONS as error:
            raise refused(f"{name!r} is damaged") from error


def _look_at_the_end(path: Path) -> None:
    """Refuses a zip whose list is huge, or which ends otherwise than the ones Vibe writes."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 42))
        end = file.read()
    if end[-22:-18] != b"PK\5\6" or end[-2:] != b"\0\0" or end[-42:-38] == b"PK\6\7":
        raise refused("it is no zip file of Vibe's, or it is damaged")
    if int.from_bytes(end[-10:-6], "little") > MAX_DIRECTORY:
        raise refused("it has too many files")


def parsed(content: bytes, name: str) -> Any:
    """The JSON of a file, without numbers that are none."""

    def no_number(text: str) -> None:
        raise ValueError(f"{text} is no number")

    try:
        return json.loads(content.decode(), parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        raise refused(f"{name!r} can't be read") from error
