"""The package index, proxies, CA bundle and wheel folder that the machine's variables name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from vibe.sandbox import builder

BUNDLE = "ca.pem"
"""The CA bundle's name in /work of the box that fetches."""
WHEELS = "/wheels"
"""Where the local wheel folder is in that box."""


@dataclass(frozen=True, slots=True)
class IndexEnvironment:
    """What uv is told about where packages come from. Its values may hold passwords: they go to
    the box that fetches over its pipe, and nowhere else."""

    variables: Mapping[str, str]
    bundle: bytes
    folder: str
    """The machine's folder of wheels; empty when there is none."""
    own: bool
    """Whether the index is the machine's own choice; it may then give no release dates."""
    network: Literal["none", "bridge", "host"]
    """What the box that fetches needs: none for a folder of wheels alone, the machine's own for an
    index or proxy on 127.0.0.1, which only that sees."""

    @property
    def mark(self) -> str:
        """Short and says nothing: differs when packages come from elsewhere, by whatever way."""
        places = {k: v for k, v in self.variables.items() if k.startswith("UV_")}
        told = repr((sorted(places.items()), self.folder))
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def index_environment(environ: Mapping[str, str]) -> IndexEnvironment:
    """What `environ` says, in uv's words; pip's variables count where uv's are not set."""
    found = {k: v for k, v in environ.items() if re.fullmatch(r"UV_INDEX_\w+", k) and v}
    for name, other in (
        ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
        ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"),
        ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
        ("UV_INDEX", "PIP_EXTRA_INDEX_URL"),
        ("UV_INSECURE_HOST", "PIP_TRUSTED_HOST"),
        ("UV_NO_INDEX", "PIP_NO_INDEX"),
    ):
        if value := found.get(name) or environ.get(name) or environ.get(other):
            found[name] = value
    found.pop("UV_INDEX_URL", None)
    if found.get("UV_NO_INDEX", "0").lower() in ("0", "false", "no"):
        found.pop("UV_NO_INDEX", None)
    else:
        found = {k: v for k, v in found.items() if not re.match("UV_(DEFAULT_)?INDEX", k)}
    proxies = {k: v for k, v in builder.build_arguments(environ).items() if "proxy" in k.lower()}
    links = environ.get("UV_FIND_LINKS") or environ.get("PIP_FIND_LINKS") or ""
    # uv separates them with commas, pip with spaces
    places = [place for place in re.split(r"[,\s]+", links) if place]
    addresses = [p for p in places if "://" in p and not p.startswith("file:")]
    folders = [p for p in (place.removeprefix("file://") for place in places) if p[:1] == "/"]
    folder = next((p for p in folders if Path(p).is_dir()), "")
    if links := ",".join([*addresses, *([WHEELS] if folder else [])]):
        found["UV_FIND_LINKS"] = links
    if bundle := builder.ca_bundle(environ):
        found["SSL_CERT_FILE"] = f"/work/{BUNDLE}"
    indexes = [found.get("UV_DEFAULT_INDEX", ""), *found.get("UV_INDEX", "").split(), *addresses]
    return IndexEnvironment(
        variables=found | proxies,
        bundle=bundle,
        folder=folder,
        own=bool(found.get("UV_DEFAULT_INDEX") or folder),
        network="none"
        if "UV_NO_INDEX" in found and not addresses
        else "host"
        if any(map(_on_loopback, [*indexes, *proxies.values()]))
        else "bridge",
    )


def from_folder(wheels: Path) -> IndexEnvironment:
    """A folder of wheels that Vibe itself keeps, and nothing else: no index and no network."""
    variables = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": WHEELS}
    folder = str(wheels.resolve())
    return IndexEnvironment(variables, b"", folder, own=True, network="none")


def _on_loopback(address: str) -> bool:
    host = urlsplit(address.partition("=")[2] or address).hostname or ""
    return host == "localhost" or host.startswith("127.") or host == "::1"
