"""Known ways out of a container, and which of them the versions of an engine may have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Advisory:
    """One published hole."""

    name: str
    part: str
    """`runc`, `containerd` or `Linux`."""
    spans: tuple[tuple[str, str], ...]
    """Versions that have it: from the first (inclusive) to the second (the one that mends it)."""
    sentence: str


ADVISORIES = (
    Advisory(
        "CVE-2019-5736", "runc", (("0", "1.0.0-rc7"),), "a container could overwrite runc itself"
    ),
    Advisory(
        "CVE-2021-30465", "runc", (("0", "1.0.0-rc95"),), "a mount could be led to the machine"
    ),
    Advisory(
        "CVE-2024-21626", "runc", (("0", "1.1.12"),), "a leaked folder led to the machine's files"
    ),
    Advisory(
        "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881",
        "runc",
        (("0", "1.2.8"), ("1.3.0", "1.3.3")),
        "links swapped during a start could lead writes to the machine's kernel settings",
    ),
    Advisory(
        "CVE-2020-15257",
        "containerd",
        (("0", "1.3.9"), ("1.4.0", "1.4.3")),
        "a container in the machine's network could command containerd",
    ),
    Advisory(
        "CVE-2016-5195 (Dirty COW)", "Linux", (("2.6.22", "4.8.3"),), "any file could be written"
    ),
    Advisory(
        "CVE-2022-0847 (Dirty Pipe)",
        "Linux",
        (("5.8", "5.10.102"), ("5.11", "5.15.25"), ("5.16", "5.16.11")),
        "any file could be written",
    ),
)
"""From the projects' own advisories (github.com/opencontainers/runc and containerd, kernel.org).

Only holes that lead out of a container; the list is as old as this Vibe."""


def versions(version: Mapping[str, object], info: Mapping[str, object]) -> dict[str, str]:
    """Each part's version, from what a Docker daemon says of itself."""
    found = {"Linux": str(info.get("KernelVersion") or "")}
    components = version.get("Components")
    for component in components if isinstance(components, list) else []:
        name = {"Engine": "Docker"}.get(str(component.get("Name")), str(component.get("Name")))
        found[name] = str(component.get("Version") or "")
    return found


def open_holes(parts: Mapping[str, str]) -> list[Advisory]:
    """The advisories whose span has a part's version. A distribution may have mended one without
    changing the number, which nobody can see from here."""
    return [
        advisory
        for advisory in ADVISORIES
        if (version := number(parts.get(advisory.part, "")))
        and any(number(first) <= version < number(mended) for first, mended in advisory.spans)
    ]


def number(text: str) -> Version:
    """A version to compare: `1.0.0-rc7` is before `1.0.0`; () when there is no number in it."""
    found = re.match(r"v?([0-9]+(?:\.[0-9]+)*)(?:[-~]?rc\.?([0-9]+))?", text)
    if not found:
        return ()
    numbers = [int(part) for part in found[1].split(".")][:3]
    numbers += [0] * (3 - len(numbers))
    return (*numbers, int(found[2]) - 1000 if found[2] else 0)
