"""The libraries that an app's pages load: first those it once worked with, kept beside its code."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from vibe import libraries
from vibe.durable import write_whole
from vibe.errors import ModelFault, UserError
from vibe.libraries import VENDOR
from vibe.paths import safe_files

FILE = "vendor.zip"
"""Its name in the app's folder."""
MANIFEST = f"{VENDOR}/manifest.json"
"""Says name, version, licence and integrity of each library."""
MAX_BYTES = 32 << 20
"""Bytes of one app's libraries, unpacked; all that Vibe has are 5 MB together."""
MAX_FILES = 1_000
NONE: Mapping[str, bytes] = MappingProxyType({})


def needed(
    files: Mapping[str, bytes], kept: Mapping[str, bytes] = NONE, place: Path | None = None
) -> dict[str, bytes]:
    """What the pages among `files` load from `vendor/`, by path, with a manifest; empty when they
    load nothing. What is `kept` goes before what the machine has now, library by library, and a
    file of the app's own is never replaced."""
    pages = (".html", ".htm", ".js", ".mjs", ".css")
    text = b"\n".join(content for path, content in files.items() if path.endswith(pages))
    named = {name.decode() for name in re.findall(rb"\bvendor/([\w.-]+)/", text)}
    found = {path: content for path, content in kept.items() if _library(path) in named}
    held = {_library(path) for path in found}
    told = [entry for entry in listed(kept) if entry["name"].rpartition("/")[2] in held]
    for each in libraries.there(place):
        if each.name in named - held:
            found |= libraries.files_of(each, place)
            told.append(
                {"name": each.package, "version": each.version, "licence": each.licence,
                 "integrity": each.integrity}
            )  # fmt: skip
    if found:
        found[MANIFEST] = _manifest(told)
    return {path: content for path, content in found.items() if path not in files}


def joined(kept: Mapping[str, bytes], more: Mapping[str, bytes]) -> dict[str, bytes]:
    """Both, with what is kept before the other, and one manifest of all; empty for nothing."""
    entries = {entry["name"]: entry for files in (more, kept) for entry in listed(files)}
    found = {**more, **kept}
    return found | {MANIFEST: _manifest(list(entries.values()))} if found else {}


def listed(files: Mapping[str, bytes]) -> list[dict[str, str]]:
    """What a manifest among the files says of each library, as far as it can be read."""
    try:
        told = json.loads(files.get(MANIFEST, b"[]"))
    except (ValueError, RecursionError):
        return []
    return [
        {str(key): str(value) for key, value in entry.items()}
        for entry in (told if isinstance(told, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("name"), str)
    ]


def sound(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files, when all may be kept: they may have come from a stranger. Raises UserError."""
    try:
        found = safe_files(files, most=MAX_FILES)
    except ModelFault as fault:
        raise UserError(fault.message, "Its libraries can't be kept here.") from fault
    outside = any(not name.startswith(f"{VENDOR}/") for name in found)
    if outside or sum(map(len, found.values())) > MAX_BYTES:
        raise UserError(
            f"An app's libraries are files of {VENDOR}/ that have {MAX_BYTES >> 20} MB together.",
            "Its libraries can't be kept here.",
        )
    return found


def read(folder: Path) -> dict[str, bytes]:
    """The files kept in an app's folder, by their place beside its page; none when none are, or
    when they are damaged."""
    path = folder / FILE
    if path.is_symlink() or not path.is_file():
        return {}
    try:
        with zipfile.ZipFile(path) as packed:
            entries = packed.infolist()
            if sum(entry.file_size for entry in entries) > MAX_BYTES:
                return {}
            return sound({entry.filename: packed.read(entry) for entry in entries})
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, UserError):
        return {}


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Keeps these files in place of those before. Raises UserError for odd ones, OSError when the
    disk refuses."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in sound(files).items():
            packed.writestr(name, content)
    write_whole(folder / FILE, buffer.getvalue())


def _library(path: str) -> str:
    """The folder of the library that a path is in, or nothing."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else ""


def _manifest(entries: Sequence[Mapping[str, str]]) -> bytes:
    return f"{json.dumps(entries, indent=2)}\n".encode()
