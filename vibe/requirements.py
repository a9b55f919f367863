"""The packages that a program imports, as the requirements file of an exported app."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from pathlib import PurePosixPath

from vibe.modules import canonical, package_of

KNOWN = {
    "altair", "flask", "matplotlib", "numpy", "openpyxl", "pandas", "pillow", "plotly", "pyyaml",
    "requests", "streamlit",
}  # fmt: skip
"""What the sandbox's image has, see sandboxes/python-requirements.in."""

KIND_PACKAGES = {"streamlit": "streamlit", "flask": "flask"}
"""What runs a kind's program, imported or not."""

_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!_-]{0,60}")


def requirements(kind: str, files: Mapping[str, bytes], pins: Mapping[str, object]) -> str:
    """A requirements file: a line for each package, at its pinned version where `pins` (package →
    version) has one; empty when the program needs none.

    A package that Vibe's own image didn't have is only named in a comment: a model makes names
    up, and such a name may have been taken by someone with bad intent.
    """
    versions = {canonical(name): str(version) for name, version in pins.items()}
    needed = {KIND_PACKAGES[kind]} if kind in KIND_PACKAGES else set()
    needed |= {canonical(package_of(name) or name) for name in _imports(files)}
    if "pandas" in needed and any(b"excel" in content.lower() for content in files.values()):
        needed.add("openpyxl")
    lines = []
    for package in sorted(needed):
        version = versions.get(package, "")
        if _VERSION.fullmatch(version):
            lines.append(f"{package}=={version}")
        elif package in KNOWN:
            lines.append(package)
        else:
            lines.append(
                f"# {package}: imported, but not seen by Vibe; look at it before you install"
            )
    return "".join(f"{line}\n" for line in lines)


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
