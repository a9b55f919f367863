"""A lock: the exact packages of an app with their hashes, as text that pip and uv read too."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.utils import canonicalize_name

from vibe.errors import EngineFault, UserError

FILE = "requirements.lock"
"""Its name in the app's code folder; no other file may have it."""
HEADER = "# Locked by Vibe (lock format 1). Install with: pip install --require-hashes -r "
_PIN = re.compile(r"([a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?)==([0-9][0-9A-Za-z.+!]{0,60})")
_HASH = re.compile(r"[0-9a-f]{64}")
_MODULE = re.compile(r"\w{1,100}")
_FIELD = re.compile(r"# (python|machine|asked|modules|bytes): ?(.*)")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package at one version."""

    name: str
    version: str
    hashes: tuple[str, ...]
    """SHA-256 in hex of each wheel that fits, sorted."""
    size: int = 0
    """Bytes of the largest of them; 0 when nobody said."""


@dataclass(frozen=True, slots=True)
class Lock:
    """What is installed beside the image's own packages."""

    python: str
    """Version of the Python it was resolved for, e.g. 3.11."""
    machine: str
    """What `platform.machine()` says there, e.g. x86_64."""
    asked: tuple[str, ...]
    pins: tuple[Pin, ...]
    modules: tuple[str, ...] = ()
    """Names that programs import it by; known once it was installed."""

    @property
    def key(self) -> str:
        """SHA-256 in hex over what is installed: the name of its volume."""
        return hashlib.sha256(f"{self.python} {self.machine}\n{self._body}".encode()).hexdigest()

    @property
    def text(self) -> str:
        """The lock file."""
        head = [
            HEADER + FILE,
            f"# python: {self.python}",
            f"# machine: {self.machine}",
            f"# asked: {' '.join(self.asked)}",
            f"# modules: {' '.join(self.modules)}",
            f"# bytes: {self.bytes}",
        ]
        return "".join(f"{line}\n" for line in head) + self._body

    @property
    def bytes(self) -> int:
        """What its wheels weigh."""
        return sum(pin.size for pin in self.pins)

    @property
    def versions(self) -> dict[str, str]:
        return {pin.name: pin.version for pin in self.pins}

    @property
    def _body(self) -> str:
        blocks = (
            " \\\n    ".join(
                [f"{pin.name}=={pin.version}", *(f"--hash=sha256:{h}" for h in pin.hashes)]
            )
            for pin in self.pins
        )
        return "".join(f"{block}\n" for block in blocks)


def from_pylock(
    text: str, *, asked: Iterable[str], python: str, machine: str, present: Iterable[str]
) -> Lock:
    """The lock of what uv resolved (PEP 751), without the packages that are `present`.

    Raises EngineFault when it isn't what was asked for: a wheel without its hash, a source."""
    there = {str(canonicalize_name(name)) for name in present}
    try:
        found: list[dict[str, Any]] = tomllib.loads(text).get("packages", [])
        pins = [_pin(package) for package in found if package["name"] not in there]
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise EngineFault(
            f"The package index gave an answer that can't be used: {error}."
        ) from error
    pins.sort(key=lambda pin: pin.name)
    return Lock(python, machine, tuple(sorted(asked)), tuple(pins))


def _pin(package: Mapping[str, Any]) -> Pin:
    name, version = str(package["name"]), str(package["version"])
    wheels = package["wheels"]
    hashes = sorted({str(wheel["hashes"]["sha256"]) for wheel in wheels})
    if not hashes or not _PIN.fullmatch(f"{name}=={version}") or not all(map(_hash, hashes)):
        raise ValueError(f"{name!r:.60} has an odd name, version or hash")
    return Pin(name, version, tuple(hashes), max(int(wheel.get("size", 0)) for wheel in wheels))


def _hash(text: str) -> bool:
    return _HASH.fullmatch(text) is not None


def read(text: str) -> Lock:
    """The lock in a file's text. Raises UserError unless Vibe could have written every line: an
    archived file is as little trusted as any."""
    fields: dict[str, str] = {}
    pins: list[Pin] = []
    lines = text.replace(" \\\n    ", " ").splitlines()
    for line in lines[1:]:
        if field := _FIELD.fullmatch(line):
            fields[field[1]] = field[2]
            continue
        first, *rest = line.split(" ")
        hashes = tuple(part.removeprefix("--hash=sha256:") for part in rest)
        pin = _PIN.fullmatch(first)
        if not pin or not hashes or not all(map(_hash, hashes)):
            raise _broken()
        pins.append(Pin(pin[1], pin[2], hashes))
    asked = tuple(fields.get("asked", "").split())
    modules = tuple(fields.get("modules", "").split())
    python, machine = fields.get("python", ""), fields.get("machine", "")
    if (
        not lines
        or lines[0] != HEADER + FILE
        or not re.fullmatch(r"3\.\d{1,2}", python)
        or not re.fullmatch(r"\w{1,20}", machine)
        or not all(_MODULE.fullmatch(name) for name in modules)
        or not all(_PIN.fullmatch(f"{name}==1") for name in asked)
    ):
        raise _broken()
    return Lock(python, machine, asked, tuple(pins), modules)


def _broken() -> UserError:
    return UserError(
        f"The app's {FILE} is not as Vibe wrote it.", "Ask for a change, and it is made anew."
    )
