"""Why packages can't be had, from uv's words: a sentence, what to do, and which names to blame."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vibe.errors import NoPackages

_ADDRESS = re.compile(r"[a-z][a-z+]*://[^\s`'\"<>]+", re.IGNORECASE)
_NAME = r"`?([a-z0-9][a-z0-9._-]*[a-z0-9])`?"
_UNKNOWN = re.compile(
    rf"Because {_NAME} was not found in the (?:package registry|provided package locations)"
    rf"|and {_NAME} was not found in the (?:package registry|provided package locations)"
)
_NO_WHEEL = re.compile(rf"Wheels are required for {_NAME}|{_NAME}[^,\n]* has no wheels")
_TOO_NEW = re.compile(rf"{_NAME} was filtered by `exclude-newer`")
CERTIFICATE = (
    "Name the company's CA bundle in SSL_CERT_FILE (or PIP_CERT), as for pip, and try again."
)
NETWORK = (
    "Look at the network, or set HTTPS_PROXY, UV_INDEX_URL or UV_FIND_LINKS as for pip and uv."
)
DISK = "Free some space (`vibe clean` shows what Vibe keeps), then try again."


def fault(said: str, names: Sequence[str]) -> NoPackages:
    """What to raise when uv, asked for `names`, failed and said that."""
    evidence = without_addresses(said)
    network = _network(evidence)
    if network is not None:
        return NoPackages(*network, evidence=evidence)
    if found := _UNKNOWN.search(said):
        return _blaming(found, names, "There is no package called {}", evidence)
    if found := _NO_WHEEL.search(said):
        sentence = "{} has no wheel for the boxes' Python, so nothing of it can be installed"
        return _blaming(found, names, sentence, evidence)
    if found := _TOO_NEW.search(said):
        return _blaming(found, names, "Every fitting release of {} is too new", evidence)
    if "hash mismatch" in said.lower():
        return NoPackages(
            "A package is not the one that was locked: its hash differs.",
            "Ask for a change, so that the packages are locked anew.",
            blamed=tuple(names),
            evidence=evidence,
        )
    if "no solution found" in said.lower():
        why = _because(evidence)
        return NoPackages(
            f"These packages can't be had together, or not beside the box's own: {why}",
            blamed=tuple(name for name in names if name in why) or tuple(names),
            evidence=evidence,
        )
    last = next((line for line in reversed(evidence.splitlines()) if line.strip()), "no reason")
    return NoPackages(f"The packages can't be installed: {last.strip()[:200]}.", evidence=evidence)


def is_network(error: NoPackages) -> bool:
    """Whether it is the way to the index, so that a cache may help."""
    return error.fix == NETWORK


def _network(said: str) -> tuple[str, str] | None:
    lower = said.lower()
    if "no space left" in lower or "os error 28" in lower:
        return "The disk is full, so the packages were not installed.", DISK
    if "certificate" in lower or "unknownissuer" in lower:
        return "The package index shows a certificate that this machine doesn't trust.", CERTIFICATE
    if "permission denied" in lower:
        return "The box may not read the folder of wheels.", "`chmod -R o+rX` it."
    if re.search(r"\b(401|403|407)\b|unauthorized|forbidden", lower):
        return (
            "The package index (or a proxy before it) refuses access.",
            "Look at the user and password in UV_INDEX_URL, PIP_INDEX_URL or HTTPS_PROXY.",
        )
    if "network was disabled" in lower or "network connectivity is disabled" in lower:
        return "There is no network, and the packages were not fetched before.", NETWORK
    trouble = (
        "failed to fetch", "error sending request", "dns error", "connection", "timed out",
        "failed to download", "network", "error decoding response", "end of file",
    )  # fmt: skip
    if any(words in lower for words in trouble):
        return "The package index can't be reached, or broke off in the middle.", NETWORK
    return None


def _blaming(
    found: re.Match[str], names: Sequence[str], sentence: str, evidence: str
) -> NoPackages:
    """The fault of one package: its own name's, or that of whatever needs it."""
    name = next(group for group in found.groups() if group)
    if name in names:
        return NoPackages(f"{sentence.format(name)}.", blamed=(name,), evidence=evidence)
    needing = tuple(other for other in names if re.search(rf"\b{re.escape(other)}\b", evidence))
    who = ", ".join(needing or names)
    return NoPackages(
        f"{sentence.format(name)}, and {who} needs it.",
        blamed=needing or tuple(names),
        evidence=evidence,
    )


def _because(said: str) -> str:
    """uv's own explanation in one line."""
    lines = [line.strip() for line in said.splitlines()]
    start = next((i for i, line in enumerate(lines) if "Because" in line), 0)
    text = " ".join(line for line in lines[start:] if line and not line.startswith("hint"))
    return re.sub(r"^.*?Because ", "", text)[:400]


def without_addresses(said: str) -> str:
    """The text without addresses: the index's may hold a password."""
    return _ADDRESS.sub("the index", said)
