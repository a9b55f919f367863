"""Which package names may be asked for: names and nothing else, and what is odd about one."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from vibe.settings import SANDBOXES

LONGEST = 100
"""Characters of a name."""
_CONFUSABLE = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s"})


@dataclass(frozen=True, slots=True)
class Names:
    """packages.yaml, read."""

    known: frozenset[str]
    denied: Mapping[str, str]
    """Name → why."""


@cache
def names() -> Names:
    """The names that are known and those that are denied, in canonical spelling."""
    data = yaml.safe_load((SANDBOXES / "packages.yaml").read_text("utf-8"))
    denied = {str(canonicalize_name(name)): str(why) for name, why in data["denied"].items()}
    known = {str(canonicalize_name(name)) for name in data["known"].split()}
    return Names(frozenset(known), denied)


def sort_out(
    wanted: Iterable[str], present: Iterable[str], most: int
) -> tuple[tuple[str, ...], dict[str, str]]:
    """What has to be fetched, in canonical spelling, and each refused name with a sentence.

    Names of the standard library and of `present` packages need nothing, and are left out."""
    there = {str(canonicalize_name(name)) for name in present}
    found: dict[str, None] = {}
    refused: dict[str, str] = {}
    for text in wanted:
        name, wrong = _read(text)
        shown = "".join(c for c in text if c.isprintable())[:60]
        if wrong:
            refused[shown] = f"{shown!r} is no package name: {wrong}."
        elif name in there or name.replace("-", "_") in sys.stdlib_module_names:
            continue
        elif why := names().denied.get(name):
            refused[name] = f"{name} is not installed: {why}."
        elif len(found) >= most and name not in found:
            refused[name] = f"{name} is left out: {most} packages are the most."
        else:
            found[name] = None
    return tuple(found), refused


def doubt(name: str, approved: Iterable[str] = ()) -> str:
    """Why a person should look at this name before it is installed; empty when all is well."""
    known = names().known
    if name in known or name in approved:
        return ""
    if others := sorted(other for other in known if _alike(name, other)):
        return f"{name} looks like {others[0]}, which is another package."
    return f"{name} is a package that Vibe doesn't know."


def _read(text: str) -> tuple[str, str]:
    """The canonical name, or "" and what is wrong with the text."""
    text = text.strip()
    if not text or len(text) > LONGEST or not text.isprintable():
        return "", "it is empty, too long or has odd characters"
    if text.startswith("-"):
        return "", "it is an option"
    if "://" in text or "@" in text:
        return "", "it is an address"
    if text[0] in "./~\\" or "/" in text or "\\" in text or re.search(r"\.(whl|zip|gz|txt)$", text):
        return "", "it is a file or a folder"
    try:
        read = Requirement(text)
    except InvalidRequirement:
        return "", "it can't be read as one"
    if read.marker or read.url or read.extras or read.specifier or not text.isascii():
        return "", "only the name is wanted, with nothing after it"
    return str(canonicalize_name(read.name)), ""


def _alike(name: str, other: str) -> bool:
    """Whether a person could take one name for the other."""
    if _bare(name) == _bare(other):
        return True
    return min(len(name), len(other)) >= 4 and _one_apart(name, other)


def _bare(name: str) -> str:
    """The name without what the eye skips: separators, `python`, digits for letters."""
    plain = name.replace("-", "").translate(_CONFUSABLE).replace("rn", "m").replace("vv", "w")
    for part in ("python", "py"):
        plain = plain.removeprefix(part).removesuffix(part) or plain
    return plain


def _one_apart(one: str, other: str) -> bool:
    """Whether one letter added, left out, changed or swapped with its neighbour is the difference
    (the optimal string alignment distance is 1)."""
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if start is None:
        return True
    a, b = one[start:], other[start:]
    swapped = len(a) > 1 and a[:2] == b[1::-1] and a[2:] == b[2:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or swapped
