"""One HTTP exchange with an app, spoken over a stream into its box."""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import dataclass

import httptools

from vibe.hosts import Headers
from vibe.sandbox.engine import Stream

HEAD_BYTES = 64 * 1024
"""What a response's head (and what stands between pieces of its body) may weigh."""
HEADERS = 200
_TARGET = re.compile(rb"[\x21-\x7e\x80-\xff]+")
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNPRINTABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class BadAnswer(Exception):
    """The app's answer can't be passed on; the message is a clause about the app."""


class NoAnswer(BadAnswer):
    """The app closed the connection before a byte of an answer."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers of a response."""

    status: int
    headers: Headers


class Exchange:
    """One request and its response. The owner of the stream closes it, or has another exchange on
    it if it is `reusable` afterwards."""

    def __init__(self, stream: Stream, *, head_s: float, body_s: float) -> None:
        self._stream = stream
        self._head_s = head_s
        self._body_s = body_s
        self._answer = _Answer()
        self._heard = False
        self._asked = False
        self._chunked = False
        self._left = 0
        """What is still to come of a request body whose length was announced."""
        self._time = asyncio.get_running_loop().time
        self.deadline = self._time() + head_s
        """When the app will have taken too long; its owner sees to it, in the words `lateness`."""
        self.lateness = f"did not answer within {head_s:.0f} s"

    @property
    def keeps(self) -> bool:
        """Whether the app said, by the head of its answer, that the connection may go on."""
        return self._answer.keeps

    @property
    def reusable(self) -> bool:
        """Whether the exchange is over on both sides, with nothing left over on the stream."""
        return self._asked and self._answer.complete and self._answer.keeps

    async def ask(self, method: str, target: bytes, headers: Headers) -> None:
        """Sends the request's head; `headers` say how its body is framed. Raises BadAnswer."""
        lines = [b"%b %b HTTP/1.1" % (method.encode("latin-1"), target)]
        lines += [b"%b: %b" % pair for pair in headers]
        head = b"\r\n".join([*lines, b"", b""])
        breaks = len(lines) + 1
        if (
            not _METHOD.fullmatch(method)
            or not _TARGET.fullmatch(target)
            or head.count(b"\n") != breaks
            or head.count(b"\r") != breaks
            or b"\0" in head
        ):
            raise BadAnswer("can't be asked that")
        for name, value in headers:
            if name == b"content-length":
                self._left = int(value)
            elif name == b"transfer-encoding":
                self._chunked = True
        self._answer.bodiless = method == "HEAD"
        self._asked = not self._chunked and not self._left
        await self._send(head)

    async def send(self, data: bytes) -> None:
        """Sends a piece of the request's body. Raises ConnectionError when the app won't read."""
        if not data:
            return
        if self._chunked:
            await self._send(b"%x\r\n%b\r\n" % (len(data), data))
            return
        self._left -= len(data)
        if self._left < 0:
            raise ConnectionAbortedError("the body is longer than was announced")
        await self._send(data)

    async def end(self) -> None:
        """Ends the request's body. Raises ConnectionError when there should have been more."""
        if self._chunked:
            await self._send(b"0\r\n\r\n")
        elif self._left:
            raise ConnectionAbortedError("the body is shorter than was announced")
        self._asked = True

    async def _send(self, data: bytes) -> None:
        await self._stream.write(data)
        if not self._answer.status:
            self.deadline = self._time() + self._head_s

    async def head(self) -> Head:
        """The response's head. Raises BadAnswer."""
        answer = self._answer
        while not answer.status:
            await self._next()
        self.deadline = math.inf
        if answer.status == 101:
            raise BadAnswer("broke the rules of HTTP (nobody asked for another protocol)")
        if not 200 <= answer.status < 600:
            raise BadAnswer(f"answered with the status {answer.status}")
        if len(answer.headers) > HEADERS:
            raise BadAnswer(f"sent more than {HEADERS} headers")
        for name, value in answer.headers:
            if not _NAME.fullmatch(name) or _UNPRINTABLE.search(value):
                raise BadAnswer("broke the rules of HTTP (a header that can't be one)")
        return Head(answer.status, answer.headers)

    async def piece(self) -> tuple[bytes, bool]:
        """What has come of the response's body, and whether more is to come. Raises BadAnswer when
        it is broken or stalls."""
        answer = self._answer
        while not (answer.pieces or answer.complete):
            self.deadline = self._time() + self._body_s
            self.lateness = f"sent nothing for {self._body_s:.0f} s"
            await self._next()
        self.deadline = math.inf
        data = b"".join(answer.pieces)
        answer.pieces.clear()
        return data, not answer.complete

    async def _next(self) -> None:
        if self._answer.broken:
            raise BadAnswer(self._answer.broken)
        try:
            data = await self._stream.read()
        except ConnectionError:
            data = b""
        if data:
            self._heard = True
            self._answer.feed(data)
        elif not self._heard:
            raise NoAnswer("closed the connection without an answer")
        else:
            self._answer.end()


class _Answer:
    """What has come of an answer; httptools, which parses it, calls the methods `on_…`."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.pieces: list[bytes] = []
        self.complete = self.keeps = False
        self.broken = ""
        """Why the rest of it can't be used."""
        self.bodiless = False
        """Whether it answers HEAD, so that its length isn't that of a body."""
        self._framed = False
        self._weight = 0
        self._parser = parser = httptools.HttpResponseParser(self)
        # Small servers end their lines as they like; nobody reads this answer as it came.
        parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)

    def feed(self, data: bytes) -> None:
        """Takes what came."""
        self._weight += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                self.broken = f"broke the rules of HTTP ({str(error)[:200]})"
            self.keeps = False
        if self._weight > HEAD_BYTES:
            self.broken = "broke the rules of HTTP (its head is too long)"
        if self.complete:
            del self._parser  # it refers to this, and needn't wait for the garbage collector

    def end(self) -> None:
        """Takes the end of the stream, which some answers end with."""
        self.keeps = False
        if self.status and not self._framed:
            self.complete = True
        else:
            self.broken = "broke the rules of HTTP (its answer is cut short)"

    def on_message_begin(self) -> None:
        if self.complete:
            self.keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status and len(self.headers) <= HEADERS:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.status:
            return
        if 100 <= status < 200 and status != 101:
            self.headers = []
            return
        self.status = status
        self._weight = sum(len(name) + len(value) + 4 for name, value in self.headers)
        if self._weight <= HEAD_BYTES:
            self._weight = 0
        self._framed = any(
            name == b"content-length"
            or (name == b"transfer-encoding" and value.lower().endswith(b"chunked"))
            for name, value in self.headers
        )
        self.keeps = self._parser.should_keep_alive()
        if self.bodiless:
            self.complete = True

    def on_body(self, body: bytes) -> None:
        if self.complete:
            self.keeps = False
        else:
            self.pieces.append(body)
            self._weight = 0

    def on_message_complete(self) -> None:
        if self.status:
            self.complete = True
