"""The server: one ASGI app on one port, Streamlit for the UI and the gateway for previews."""

from __future__ import annotations

import asyncio
import contextlib
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.web import bootstrap

from vibe import hosts
from vibe.assets import of_streamlit
from vibe.gateway import Gateway
from vibe.headers import ui_policy
from vibe.hosts import Headers, Message, Receive, Scope, Send, header
from vibe.listening import bind, listen, refuse
from vibe.opening import open_studio, stopped
from vibe.previews import Live
from vibe.settings import ROOT, Settings
from vibe.studio import Studio
from vibe.ui import bridge

_LAST = (b"connection", b"close")
MAIN = Path(__file__).parent / "ui" / "main.py"


class Site:
    """The ASGI app: checks each request's Host, then hands it to the UI or to the gateway."""

    def __init__(
        self,
        settings: Settings,
        lookup: Callable[[str], Live | None],
        main: Path = MAIN,
        failed: Callable[[Live, str], None] | None = None,
    ) -> None:
        self._hosts = hosts.of(settings)
        self._gateway = Gateway(lookup, settings, failed=failed, assets=of_streamlit())
        self._ui = st.App(main)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._ui(scope, receive, send)
            return
        headers: Headers = scope["headers"]
        host = (header(headers, b"host") or "").lower()
        if scope["type"] == "http" and {b"content-length", b"transfer-encoding"} <= _names(headers):
            # a proxy before Vibe may see the request end elsewhere
            await refuse(scope, receive, send, 400, "A body has one length.", [_LAST])
        elif self._hosts.is_ui(host):
            if (refusal := _refusal(scope, headers)) is not None:
                await refuse(scope, receive, send, 403, refusal)
            else:
                policy = ui_policy(host, self._hosts.preview_origins)
                await self._ui(scope, receive, _with_policy(send, policy))
        elif self._hosts.token(host) is not None:
            await self._gateway(scope, receive, send)
        else:
            name = hosts.split(host)[0] or "that name"
            words = f"Vibe doesn't answer to {name}. If it should, set VIBE_URL to its address."
            await refuse(scope, receive, send, 421, words)


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Serves the UI and the previews until SIGINT or SIGTERM; builds and boxes end with it.

    `say` gets the lines for the person who started it. Raises UserError when the port is taken.
    """
    sock = bind(settings)
    try:
        asyncio.run(_serve(replace(settings, port=sock.getsockname()[1]), sock, say))
    finally:
        sock.close()


async def _serve(settings: Settings, sock: Any, say: Callable[[str], None]) -> None:
    configure_streamlit(settings)
    async with open_studio(settings, warm=True) as studio:
        if studio.engine_fault is not None:
            say(f"Apps can be written but not run: {studio.engine_fault}")
        elif studio.engine is not None and studio.engine.name == "bubblewrap":
            say("There is no Docker: apps run with bubblewrap, with reduced isolation.")
        with _installed(studio):
            await listen(
                Site(settings, studio.previews.by_token, failed=studio.previews.failed),
                sock,
                ready=lambda: say(f"Vibe is at {settings.ui_url} (Ctrl-C stops it)"),
                stop=lambda: stopped(studio),
            )


@contextlib.contextmanager
def _installed(studio: Studio) -> Iterator[None]:
    bridge.install(bridge.Bridge(studio, asyncio.get_running_loop()))
    try:
        yield
    finally:
        bridge.install(None)


def configure_streamlit(settings: Settings) -> None:
    """The options of .streamlit/config.toml wherever Vibe is started from, and the port."""
    options: dict[str, Any] = {}
    file = ROOT / ".streamlit" / "config.toml"
    if file.is_file():
        options |= _flat(tomllib.loads(file.read_text("utf-8")))
    options |= {"server.port": settings.port, "server.address": settings.host}
    bootstrap.load_config_options(options)


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return found


def _names(headers: Headers) -> frozenset[bytes]:
    return frozenset(name for name, _ in headers)


def _refusal(scope: Scope, headers: Headers) -> str | None:
    """Why a request to the UI is refused: it comes from a page that isn't the UI's own."""
    foreign = b"origin" in _names(headers) and not hosts.same_origin(headers)
    if scope["type"] == "websocket":
        return None if hosts.same_origin(headers) else "This socket is for the UI's own pages."
    sites = {value for name, value in headers if name == b"sec-fetch-site"}
    from_elsewhere = not sites.isdisjoint((b"cross-site", b"same-site"))
    if foreign or (from_elsewhere and header(headers, b"sec-fetch-mode") != "navigate"):
        return "Only the UI's own pages may ask for this."
    return None


def _with_policy(send: Send, policy: Headers) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = {name for name, _ in policy}
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if name.lower() not in ours and not name.lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": [*kept, *policy]}
        await send(message)

    return sending
