"""One HTTP exchange with an app, spoken over a stream into its box."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import h11

from vibe.hosts import Headers
from vibe.sandbox.engine import Stream

HEAD_BYTES = 64 * 1024
"""What a response's head (and each line between body chunks) may weigh."""
HEADERS = 200


class BadAnswer(Exception):
    """The app's answer can't be passed on; the message is a clause about the app."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers of a response."""

    status: int
    headers: Headers


class Exchange:
    """One request and its response; the stream serves no second one.

    A fresh stream takes a millisecond or so, and keeping idle ones would stall an app whose server
    handles one connection at a time. The owner of the stream closes it.
    """

    def __init__(self, stream: Stream, *, head_s: float, body_s: float) -> None:
        self._stream = stream
        self._head_s = head_s
        self._body_s = body_s
        self._heard = False
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        self._patience: asyncio.Timeout | None = None

    async def ask(self, method: str, target: bytes, headers: Headers) -> None:
        """Sends the request's head; `headers` say how its body is framed. Raises BadAnswer."""
        try:
            head = h11.Request(
                method=method, target=target, headers=[*headers, (b"connection", b"close")]
            )
        except h11.LocalProtocolError as error:
            raise BadAnswer(f"can't be asked that ({error})") from error
        await self._send(head)

    async def send(self, data: bytes) -> None:
        """Sends a piece of the request's body. Raises ConnectionError when the app won't read."""
        if data:
            await self._send(h11.Data(data=data))

    async def end(self) -> None:
        """Ends the request's body."""
        await self._send(h11.EndOfMessage())

    async def _send(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        try:
            data = self._http.send(event)
        except h11.LocalProtocolError as error:
            # The answer came before the request was over, or the body isn't what was announced.
            raise ConnectionAbortedError(str(error)) from error
        if data:
            await self._stream.write(data)
        self._patient()

    def _patient(self) -> None:
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time() + self._head_s)

    async def head(self) -> Head:
        """The response's head. Raises BadAnswer, also when it takes longer than `head_s`."""
        try:
            async with asyncio.timeout(self._head_s) as self._patience:
                response = await self._next()
                while isinstance(response, h11.InformationalResponse):
                    response = await self._next()
        except TimeoutError:
            raise BadAnswer(f"did not answer within {self._head_s:.0f} s") from None
        finally:
            self._patience = None
        if not isinstance(response, h11.Response):
            raise BadAnswer("closed the connection without an answer")
        if not 200 <= response.status_code < 600:
            raise BadAnswer(f"answered with the status {response.status_code}")
        headers = [(bytes(name), bytes(value)) for name, value in response.headers]
        if len(headers) > HEADERS:
            raise BadAnswer(f"sent more than {HEADERS} headers")
        return Head(response.status_code, headers)

    async def body(self) -> AsyncIterator[bytes]:
        """The response's body, piece by piece. Raises BadAnswer when it is broken or stalls."""
        while True:
            try:
                async with asyncio.timeout(self._body_s):
                    event = await self._next()
            except TimeoutError:
                raise BadAnswer(f"sent nothing for {self._body_s:.0f} s") from None
            if not isinstance(event, h11.Data):
                return
            yield bytes(event.data)

    async def _next(self) -> object:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise BadAnswer(f"broke the rules of HTTP ({error})") from error
            if event is not h11.NEED_DATA:
                return event
            try:
                data = await self._stream.read()
            except ConnectionError:
                data = b""
            if not data and not self._heard:
                raise BadAnswer("closed the connection without an answer")
            self._heard = True
            self._http.receive_data(data)
