"""Which host a request is meant for: the UI, one preview, or nobody."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from vibe.errors import UserError
from vibe.settings import Settings

Headers = list[tuple[bytes, bytes]]
"""Header fields as ASGI gives them: lower-case names, raw values."""
Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_HOST = re.compile(r"(?P<name>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names this server answers to; everything else is refused (DNS rebinding)."""

    ui: frozenset[str]
    """Host names, without port."""
    ui_origins: tuple[str, ...]
    """The UI's origins as a browser writes them: what may frame a preview. Policies can't name an
    IPv6 address."""
    preview: re.Pattern[str]
    """Matches a preview's host name; group `token` is its token."""
    preview_scheme: str
    preview_origins: str
    """A CSP source that covers every preview."""

    def is_ui(self, host: str) -> bool:
        return split(host)[0] in self.ui

    def token(self, host: str) -> str | None:
        """The token in a preview's Host header; None when it isn't a preview's."""
        match = self.preview.fullmatch(split(host)[0])
        return match["token"] if match else None

    def origin(self, host: str) -> str:
        """The origin of the preview at that Host header, as its own pages write it."""
        return f"{self.preview_scheme}://{host.lower()}"


def of(settings: Settings) -> Hosts:
    """The hosts of a server with these settings.

    Raises UserError when the preview address has no {token} in its host, or names the UI's host.
    """
    ui = urlsplit(settings.ui_url)
    template = urlsplit(settings.preview("0token0"))
    name = template.hostname or ""
    if name.count("0token0") != 1 or template.path.strip("/") or ui.hostname is None:
        raise UserError(
            f"The address of previews is {settings.preview_url!r}, and that can't be used.",
            "It needs {token} in its host name and no path: https://{token}.apps.example.com.",
        )
    local = [f"http://{host}:{settings.port}" for host in ("localhost", "127.0.0.1")]
    before, after = (re.escape(part) for part in name.split("0token0"))
    wild = re.sub(r"^[^.]*0token0[^.]*", "*", name)
    port = f":{template.port}" if template.port else ""
    return Hosts(
        ui=frozenset({ui.hostname, "vibe.localhost", "localhost", "127.0.0.1", "[::1]"}),
        ui_origins=(f"{ui.scheme}://{ui.netloc}", *local),
        preview=re.compile(rf"{before}(?P<token>[0-9a-z]{{1,63}}){after}"),
        preview_scheme=template.scheme,
        preview_origins=f"{template.scheme}://{wild}{port}",
    )


def split(host: str) -> tuple[str, str]:
    """Name (lower case, no trailing dot) and port of a Host header; ("", "") for a bad one."""
    match = _HOST.fullmatch(host.lower())
    return (match["name"].rstrip("."), match["port"] or "") if match else ("", "")


def header(headers: Headers, name: bytes) -> str | None:
    """The value of a header that may come once; None when it is absent or comes twice."""
    values = [value for key, value in headers if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else None


def same_origin(headers: Headers) -> bool:
    """Whether the request's Origin is the host it was sent to (the scheme is the proxy's matter).

    A request without an Origin is not: browsers send one with every WebSocket.
    """
    host, origin = header(headers, b"host"), header(headers, b"origin")
    if not host or not origin:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    default = _DEFAULT_PORTS.get(parts.scheme)
    if default is None or parts.path or parts.query or parts.fragment:
        return False
    (here, here_port), (there, there_port) = split(host), split(parts.netloc)
    return bool(here) and here == there and (here_port or default) == (there_port or default)
