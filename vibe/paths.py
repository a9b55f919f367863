"""Which file names Vibe takes from a model, a person or a box."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TypeVar

from vibe.errors import ModelFault

MAX_FILES = 200
MAX_DEPTH = 10
MAX_PATH_BYTES = 400
MAX_NAME_BYTES = 150
"""Well below the 255 bytes that Linux file systems allow, so that a suffix still fits."""

_ODD_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Control and format characters (bidirectional overrides too), surrogates, line separators."""

_ODD_CHARACTERS = re.compile(r'[\\:*?"<>|]')
"""What Windows can't have in a name, drive letters included: an export must unpack there."""

_GIT_NAME = re.compile(r"\.git(modules)?|git~\d+")
_DEVICE_NAME = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")

Content = TypeVar("Content")


def safe_path(name: str) -> PurePosixPath:
    """The relative path that `name` stands for: `./app.py` is `app.py`, the rest is as written.

    Raises ModelFault, in a sentence that names the path, for anything that could leave the app's
    folder, reach into `.git`, mislead a reader or not be unpacked on another system.
    """
    path = name.removeprefix("./")
    fault = _fault(path)
    if fault:
        raise ModelFault(f"The path {_shown(name)} can't be used: {fault}.")
    return PurePosixPath(path)


def safe_files(files: Mapping[str, Content], *, most: int = MAX_FILES) -> dict[str, Content]:
    """The files under their safe paths, in the order given.

    Raises ModelFault for an unsafe path, for more than `most` files, and for two paths that can't
    both exist: the same one twice (upper and lower case are the same on many disks), or a file
    where another needs a folder.
    """
    if len(files) > most:
        raise ModelFault(f"There are {len(files)} files; {most} are the most.")
    safe: dict[str, Content] = {}
    taken: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name, content in files.items():
        path = safe_path(name)
        folded = _folded(str(path))
        if folded in taken:
            raise ModelFault(f"{_shown(name)} and {_shown(taken[folded])} are the same file.")
        taken[folded] = name
        for parent in path.parents:
            folders[_folded(str(parent))] = name
        safe[str(path)] = content
    for folded in taken.keys() & folders.keys():
        raise ModelFault(
            f"{_shown(taken[folded])} can't be both a file and the folder of "
            f"{_shown(folders[folded])}."
        )
    return safe


def _fault(path: str) -> str:
    """Why the path can't be used, or nothing."""
    if not path:
        return "it is empty"
    if any(unicodedata.category(character) in _ODD_CATEGORIES for character in path):
        return "it has a control character"
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    if _ODD_CHARACTERS.search(path):
        return 'it has one of the characters \\ : * ? " < > |'
    if path.startswith(("/", "~")):
        return "it must be relative to the app's folder"
    parts = path.split("/")
    if len(parts) > MAX_DEPTH:
        return f"it is more than {MAX_DEPTH} folders deep"
    return next((fault for part in parts if (fault := _part_fault(part))), "")


def _part_fault(part: str) -> str:
    if part == "..":
        return "it must stay inside the app's folder"
    if not part or part == ".":
        return "it has an empty part"
    if part != part.strip() or part.endswith("."):
        return "a part of it begins or ends with a space, or ends with a dot"
    if len(part.encode()) > MAX_NAME_BYTES:
        return f"a part of it is longer than {MAX_NAME_BYTES} bytes"
    if _GIT_NAME.fullmatch(_folded(part)):
        return "names of git's own files are taken"
    if _DEVICE_NAME.fullmatch(_folded(part)):
        return "it is the name of a device on Windows"
    return ""


def _folded(path: str) -> str:
    return unicodedata.normalize("NFKC", path).casefold()


def _shown(name: str) -> str:
    """The name, printable and short, for a sentence."""
    return repr(name) if len(name) <= 80 else repr(name[:77]) + "…"
