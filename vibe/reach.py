"""The rules for what a person may grant an app: hosts by name, and variables that hold secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from vibe.errors import UserError
from vibe.redaction import SHORTEST

MOST = 20
"""Hosts, and secrets, that one app may have."""
LONGEST = 2048
"""Characters of a secret's value."""
WEB = (80, 443)
"""The only ports below 1024 that can be allowed: what else is there isn't for small apps."""
INNER = (
    "localhost", "local", "internal", "intranet", "localdomain", "lan", "home", "corp", "private",
    "arpa", "onion", "invalid", "test",
)  # fmt: skip
"""Last labels of names that are no public host's (RFC 6761, 6762, 8375, 9476, and by custom)."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{4,253}}\Z)(?:{_LABEL}\.)+(?:[a-z]{{2,63}}|xn--[a-z0-9-]{{1,59}})")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_TAKEN = re.compile(
    r"(?:PATH|HOME|SHELL|USER|LOGNAME|PWD|OLDPWD|TERM|TZ|LANG|LANGUAGE|HOSTNAME|IFS|ENV|TMPDIR|TEMP"
    r"|TMP|PORT|HOST|_|\w*_PROXY|\w*_CA_BUNDLE|\w*CA_CERTS|\w*_CERT_(?:FILE|DIR)"
    r"|PYTHON\w*|BASH\w*"
    r"|(?:LD|DYLD|NODE|NPM|GCONV|GLIBC|MALLOC|OPENSSL|SSL|LC|UV|PIP|GIT|RUST|CARGO|VIBE|STREAMLIT"
    r"|FLASK|WERKZEUG|UVICORN|XDG|OMP|OPENBLAS|MKL)_\w*)"
)
"""Variables that steer the programs themselves."""


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """A host that may be reached, at one port."""

    name: str
    port: int = 443

    def __str__(self) -> str:
        return self.name if self.port == 443 else f"{self.name}:{self.port}"


def host(text: str) -> Host:
    """The host that a person names: `api.example.com`, or with a port. Raises UserError."""
    name, colon, port = text.strip().lower().partition(":")
    name = name.removesuffix(".")
    if not _NAME.fullmatch(name) or (colon and not re.fullmatch(r"[1-9][0-9]{0,4}", port)):
        raise UserError(
            f"{text.strip()[:100]!r} is not the name of a host.",
            "Give a whole name such as api.example.com, or api.example.com:8443; no address with "
            "https://, no number, no star.",
        )
    if name.rpartition(".")[2] in INNER:
        raise UserError(
            f"{name} is a name inside a machine or a network.",
            "Only hosts of the internet can be allowed.",
        )
    number = int(port) if colon else 443
    if number > 65535 or (number < 1024 and number not in WEB):
        raise UserError(
            f"Port {number} can't be allowed.", "It is 443, 80, or one from 1024 to 65535."
        )
    return Host(name, number)


def hosts(texts: Iterable[str]) -> tuple[Host, ...]:
    """The hosts that a person names, each once, in order. Raises UserError."""
    found = tuple(sorted({host(text) for text in texts}))
    if len(found) > MOST:
        raise UserError(f"{len(found)} hosts are too many.", f"{MOST} are the most for one app.")
    return found


def recorded(texts: Iterable[str]) -> tuple[Host, ...]:
    """The hosts of a record; what could not have been allowed is passed over, as the record may
    have been written by anyone."""
    found = []
    for text in texts:
        try:
            found.append(host(text))
        except UserError:
            continue
    return tuple(sorted(set(found)))[:MOST]


def variable(name: str) -> str:
    """A variable's name that a secret may have. Raises UserError."""
    name = name.strip()
    if not _VARIABLE.fullmatch(name):
        raise UserError(
            f"{name[:80]!r} is not the name of a variable.",
            "Capital letters, digits and _ only, such as WEATHER_KEY.",
        )
    if _TAKEN.fullmatch(name):
        raise UserError(f"{name} steers programs themselves.", "Choose another name.")
    return name


def variables(names: Iterable[str]) -> tuple[str, ...]:
    """The names of a record that a secret may have, each once."""
    found = []
    for name in names:
        try:
            found.append(variable(name))
        except UserError:
            continue
    return tuple(sorted(set(found)))[:MOST]


def secret(value: str) -> str:
    """A secret's value without blanks around it. Raises UserError, never with the value in it."""
    value = value.strip()
    if not value.isprintable():
        raise UserError("The secret has characters that can't be shown.", "Give one line of text.")
    if len(value) < SHORTEST:
        raise UserError(
            f"The secret is shorter than {SHORTEST} characters, too short to be masked.",
            "Give a longer one.",
        )
    if len(value) > LONGEST:
        raise UserError(f"The secret is longer than {LONGEST:,} characters.")
    return value


def of_address(address: str) -> Host | None:
    """The host that an https or wss address leads a page to; None for any other address."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("https", "wss") or not parts.hostname:
        return None
    return Host(parts.hostname.removesuffix("."), port or 443)


def in_words(found: Iterable[Host]) -> str:
    """`May reach api.example.com and img.example.com`, or that there is no network."""
    *rest, last = [str(each) for each in found] or [""]
    if not last:
        return "No network"
    return f"May reach {', '.join(rest)} and {last}" if rest else f"May reach {last}"
