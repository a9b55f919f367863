"""One WebSocket between a browser and an app: the ASGI side here, the app's over a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from vibe.errors import EngineFault
from vibe.hosts import Headers, Message, Receive, Send
from vibe.sandbox.engine import Stream

HANDSHAKE_S = 30.0
HANDSHAKE_BYTES = 64 * 1024
GOODBYE_S = 1.0
_UNSENT = 1000
"""Frames (pongs) that may wait for an app that sends pings and doesn't read."""


class Refused(Exception):
    """The app didn't accept the WebSocket."""


class Relay:
    """The app's side of one WebSocket, with back-pressure both ways. The caller owns the stream."""

    def __init__(
        self,
        stream: Stream,
        target: str,
        port: int,
        headers: Headers,
        protocols: Sequence[str],
        *,
        message_bytes: int,
    ) -> None:
        path, _, query = target.partition("?")
        self._stream = stream
        self._headers = headers
        self._protocol = ClientProtocol(
            WebSocketURI(False, "localhost", port, path, query),
            subprotocols=[Subprotocol(name) for name in protocols] or None,
            max_size=message_bytes,
        )
        self._unsent = asyncio.Event()
        self._sent = asyncio.Event()

    async def open(self) -> str | None:
        """Shakes hands; the sub-protocol the app chose. Raises Refused."""
        try:
            request = self._protocol.connect()
            for name, value in self._headers:
                request.headers[name.decode("latin-1")] = value.decode("latin-1")
            self._protocol.send_request(request)
            async with asyncio.timeout(HANDSHAKE_S):
                await self._flush()
                heard = 0
                while self._protocol.state is State.CONNECTING:
                    if self._protocol.handshake_exc is not None:
                        raise Refused(str(self._protocol.handshake_exc))
                    if heard > HANDSHAKE_BYTES:
                        raise Refused("its answer is too long")
                    heard += await self._feed()
        except (TimeoutError, ConnectionError, ValueError) as error:
            raise Refused(str(error)) from error
        return self._protocol.subprotocol

    async def run(self, receive: Receive, send: Send) -> None:
        """Passes messages until either side closes, then closes the other with the same code."""
        self._unsent.set()  # the pong for a ping that came with the handshake
        writing = asyncio.create_task(self._write())
        outward = asyncio.create_task(self._to_app(receive))
        inward = asyncio.create_task(self._to_browser(send))
        try:
            await asyncio.wait({outward, inward}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({inward}, timeout=GOODBYE_S)
            if outward.done():
                outward.result()
            code, reason = inward.result() if inward.done() else (1001, "")
            with suppress(OSError):  # uvicorn's ClientDisconnected: the browser has left
                await send({"type": "websocket.close", "code": code, "reason": reason})
        finally:
            for task in (outward, inward, writing):
                task.cancel()
            await asyncio.gather(outward, inward, writing, return_exceptions=True)

    async def _to_app(self, receive: Receive) -> None:
        """The browser's messages to the app, each sent before the next is taken."""
        while True:
            message = await receive()
            if self._protocol.state is not State.OPEN:
                return
            if message["type"] == "websocket.disconnect":
                self._protocol.send_close(_sendable(message.get("code") or 1005, 1001))
                await self._drain()
                return
            if (text := message.get("text")) is not None:
                self._protocol.send_text(text.encode())
            else:
                self._protocol.send_binary(message.get("bytes") or b"")
            await self._drain()

    async def _to_browser(self, send: Send) -> tuple[int, str]:
        """The app's messages to the browser; the close code and reason it ended with."""
        message = bytearray()
        """Not a list of its pieces: of those a message may have any number."""
        text = False
        while self._protocol.state is not State.CLOSED:
            for event in self._protocol.events_received():
                if not isinstance(event, Frame):
                    continue
                if event.opcode in (Opcode.TEXT, Opcode.BINARY):
                    message, text = bytearray(), event.opcode is Opcode.TEXT
                if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                    message += event.data
                    if event.fin:
                        try:
                            await send(_message(bytes(message), text))
                        except UnicodeDecodeError:
                            return 1007, "the app sent text that is not UTF-8"
                        except OSError:
                            return 1001, "the browser has left"
                        message = bytearray()
            if self._protocol.close_rcvd is not None or self._protocol.parser_exc is not None:
                break
            try:
                await self._feed()
            except (ConnectionError, EngineFault):
                return 1001, "the preview has ended"
            if len(self._protocol.writes) > _UNSENT:
                return 1008, "the app does not read its answers"
            self._unsent.set()
        close = self._protocol.close_rcvd or self._protocol.close_sent
        return (_sendable(close.code, 1011), close.reason) if close else (1011, "the app left")

    async def _feed(self) -> int:
        data = await self._stream.read()
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        return len(data)

    async def _drain(self) -> None:
        self._sent.clear()
        self._unsent.set()
        await self._sent.wait()

    async def _write(self) -> None:
        """The only writer: a reader that waited for a write could wait for ever."""
        while True:
            await self._unsent.wait()
            self._unsent.clear()
            try:
                await self._flush()
            except (ConnectionError, EngineFault):
                await self._stream.close()
                return
            self._sent.set()

    async def _flush(self) -> None:
        while pending := self._protocol.data_to_send():
            await self._stream.write(b"".join(pending))
            if b"" in pending:
                await self._stream.end()


def _message(data: bytes, text: bool) -> Message:
    if text:
        return {"type": "websocket.send", "text": data.decode()}
    return {"type": "websocket.send", "bytes": data}


def _sendable(code: int, otherwise: int) -> int:
    """`code` if it may stand in a close frame: 1005, 1006 and 1015 only ever mean that none did."""
    if code == 1005:
        return 1000
    known = 1000 <= code <= 1014 and code not in (1004, 1006)
    return code if known or code >= 3000 else otherwise
