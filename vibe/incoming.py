"""Requests as uvicorn reads them with httptools, with the bounds that this leaves to others."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 1 << 20
"""The largest head of a request, and the most between pieces of its body. A preview's page can
give its host's parent, the UI's host, as many cookies as a browser keeps; that must not lock anyone
out of the UI."""


class Incoming(HttpToolsProtocol):
    """uvicorn's own protocol, but heads are bounded, what comes after a body adds no headers to the
    request before it, and a target that is a whole address stays one, for the app to refuse."""

    _weight = 0
    _in_head = False

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
