"""Requests as uvicorn reads them with httptools, with the bounds that this leaves to others."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 1 << 20
"""The largest head of a request, and the most between pieces of its body. A preview's page can
give its host's parent, the UI's host, as many cookies as a browser keeps; that must not lock anyone
out of the UI."""
MOST = 1 << 16
"""Bytes of an answer that may wait for the end of a turn of the loop."""


class Incoming(HttpToolsProtocol):
    """uvicorn's own protocol, but heads are bounded, what comes after a body adds no headers to the
    request before it, and a target that is a whole address stays one, for the app to refuse."""

    _weight = 0
    _in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, _Together(transport)))

    def data_received(self, data: bytes) -> None:
        self._weight += len(data)
        super().data_received(data)
        if self._weight > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("This request's head is too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._weight, self._in_head = 0, False
        super().on_headers_complete()
        if not self.url.startswith(b"/"):
            self.scope["path"] = self.url.decode("ascii")
            self.scope["raw_path"] = self.url

    def on_body(self, body: bytes) -> None:
        self._weight = 0
        super().on_body(body)


class _Together:
    """A transport whose writes of one turn of the loop go out at once: an answer's head and body
    come in one piece, and wake the browser once."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._waiting: list[bytes] = []
        self._weight = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(data)
        self._weight += len(data)
        if self._weight > MOST:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._weight = 0
        if data and not self._transport.is_closing():
            self._transport.write(data)
