"""The packages that a program imports, as the requirements and the lock of an exported app."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import PurePosixPath

from vibe.modules import canonical, package_of
from vibe.settings import SANDBOXES

KIND_PACKAGES = {
    "streamlit": {"streamlit"},
    "flask": {"flask"},
    "fastapi": {"fastapi", "uvicorn", "python-multipart", "jinja2"},
}
"""What runs a kind's program, imported or not."""

UNSAID = (
    ("pandas", rb"(?i)excel", "openpyxl"),
    ("pandas", rb"\.style\b", "jinja2"),
    ("pandas", rb"\.plot[.(]", "matplotlib"),
    ("plotly", rb"\bexpress\b", "numpy"),
)
"""What a package imports by itself, without needing it always: when code has such a pattern."""

_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!_-]{0,60}")


def requirements(kind: str, files: Mapping[str, bytes], pins: Mapping[str, object]) -> str:
    """A requirements file: a line for each package, at its pinned version where `pins` (package →
    version) has one; empty when the program needs none.

    A package that Vibe's own image didn't have is only named in a comment: a model makes names
    up, and such a name may have been taken by someone with bad intent.
    """
    pinned = {canonical(name): str(version) for name, version in pins.items()}
    lines = []
    for package in _needed(kind, files):
        version = pinned.get(package, "")
        if _VERSION.fullmatch(version):
            lines.append(f"{package}=={version}")
        elif package in _locked():
            lines.append(package)
        else:
            lines.append(
                f"# {package}: imported, but not seen by Vibe; look at it before you install"
            )
    return "".join(f"{line}\n" for line in lines)


def lock(
    kind: str, files: Mapping[str, bytes], pins: Mapping[str, object], *, own: str = ""
) -> str:
    """A requirements file of everything that must be installed, what packages need in turn
    included: with hashes where `pins` are the versions that Vibe's image has today, with versions
    alone where they are older. Empty when the program needs nothing that the image had.

    `own` is the app's own lock of what it has beside the image; nobody knows which of the image's
    packages those need, so all of them go with it.
    """
    pinned = {canonical(name): str(version) for name, version in pins.items()}
    blocks, dependencies = _locked(), _dependencies()
    theirs = _blocks(own)
    needed = blocks if theirs else _needed(kind, files)
    wanted, waiting = set[str](), [name for name in needed if name in blocks]
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += dependencies.get(name, ())
    old = {
        name
        for name in (wanted & pinned.keys()) - theirs.keys()
        if _VERSION.fullmatch(pinned[name]) and f"=={pinned[name]} " not in blocks[name]
    }
    if old:
        image = "".join(
            f"{name}=={pinned[name]}\n" if name in old else _without_hashes(blocks[name])
            for name in sorted(wanted)
        )
    else:
        image = "".join(blocks[name] for name in sorted(wanted))
    return _joined(own, image)


def _joined(one: str, other: str) -> str:
    """Two locks as one; where both have a package it is the first one's. Hashes stay only when
    every package has them, since pip takes all or none."""
    blocks = _blocks(other) | _blocks(one)
    if not all("--hash=" in block for block in blocks.values()):
        blocks = {name: _without_hashes(block) for name, block in blocks.items()}
    return "".join(blocks[name] for name in sorted(blocks))


def versions(text: str) -> dict[str, str]:
    """The version of each package in a lock."""
    return {name: match[1] for name, block in _blocks(text).items()
            if (match := re.search(r"==([^ ;\\\s]+)", block))}  # fmt: skip


def direct(kind: str, files: Mapping[str, bytes], pins: Mapping[str, object]) -> list[str]:
    """The packages that the program itself asks for, pinned where that is known; those that Vibe
    never saw are left out."""
    lines = requirements(kind, files, pins).splitlines()
    return [line for line in lines if not line.startswith("#")]


def _needed(kind: str, files: Mapping[str, bytes]) -> list[str]:
    needed = set(KIND_PACKAGES.get(kind, ()))
    needed |= {canonical(package_of(name) or name) for name in _imports(files)}
    code = b"\n".join(content for path, content in files.items() if path.endswith(".py"))
    for package, pattern, more in UNSAID:
        if package in needed and re.search(pattern, code):
            needed.add(more)
    return sorted(needed)


@cache
def _locked() -> dict[str, str]:
    """The image's lock, by package."""
    return _blocks((SANDBOXES / "python-requirements.txt").read_text("utf-8"))


@cache
def _dependencies() -> dict[str, list[str]]:
    """What each package of the image's lock needs directly."""
    found: dict[str, list[str]] = {}
    for line in (SANDBOXES / "python-wanted-by.txt").read_text("utf-8").splitlines():
        package, _, users = line.partition("# via ")
        for user in users.split(", "):
            if re.fullmatch(r"[a-z0-9-]+", user):
                found.setdefault(user, []).append(package.partition("==")[0])
    return found


def _blocks(text: str) -> dict[str, str]:
    """A lock's lines by package: one with markers may have several versions."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if begun := re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==", line):
            name = canonical(begun[1])
        elif not line.strip() or not line[:1].isspace():
            name = ""
        if name:
            found[name] = found.get(name, "") + line + "\n"
    return found


def _without_hashes(block: str) -> str:
    lines = [line for line in block.splitlines() if not line.lstrip().startswith(("--hash", "#"))]
    return "".join(line.rstrip().removesuffix("\\").rstrip() + "\n" for line in lines)


def _imports(files: Mapping[str, bytes]) -> set[str]:
    """Top-level names that the Python files import, without the standard library and their own."""
    found: set[str] = set()
    own: set[str] = set()
    for path, content in files.items():
        parts = PurePosixPath(path).parts
        own |= {parts[0], PurePosixPath(path).stem}
        if not path.endswith(".py"):
            continue
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            match node:
                case ast.Import():
                    found |= {alias.name.split(".")[0] for alias in node.names}
                case ast.ImportFrom(level=0, module=str(module)):
                    found.add(module.split(".")[0])
    return {n for n in found if n.isascii()} - own - sys.stdlib_module_names - {"__main__"}
