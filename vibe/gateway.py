"""The preview gateway: an ASGI app that passes a preview's requests into the box they belong to."""

from __future__ import annotations

import asyncio
import html
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vibe import hosts
from vibe.errors import BoxLost, EngineFault
from vibe.headers import Foreign, preview_policy, request_headers, response_headers
from vibe.hosts import Headers, Receive, Scope, Send, header
from vibe.reach import Host
from vibe.relay import Refused, Relay
from vibe.sandbox.engine import Stream
from vibe.settings import Settings
from vibe.upstream import BadAnswer, Exchange, Head

if TYPE_CHECKING:
    from vibe.previews import Live


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one preview may ask of the gateway, and how long its app may take."""

    open_s: float = 10.0
    """Opening a stream into the box."""
    head_s: float = 60.0
    """From the last piece of the request that the app took to the end of its answer's head."""
    body_s: float = 300.0
    """A pause within an answer's body. An event stream that is quiet for longer reconnects."""
    at_once: int = 64
    """Requests and WebSockets open at the same time."""
    sockets: int = 16
    """WebSockets of these; each may hold one message."""
    message_bytes: int = 64 << 20
    """The largest message from the app; the server bounds those of the browser."""


_LOG = logging.getLogger("vibe.gateway")
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; margin: 20vh auto; max-width: 34rem;
padding: 0 1rem; text-align: center }} p {{ opacity: .7 }}</style>
<h1>{title}</h1>
<p>{sentence}</p>
</html>
"""


class Gateway:
    """Serves the hosts of previews; `lookup` says which running app a token stands for.

    Nothing is buffered beyond a piece or two: a slow reader at either end slows the other.
    """

    def __init__(
        self,
        lookup: Callable[[str], Live | None],
        settings: Settings,
        bounds: Bounds | None = None,
        failed: Callable[[Live, str], None] | None = None,
    ) -> None:
        """`failed` is told in a sentence of every answer that is an error of the app's."""
        self._lookup = lookup
        self._bounds = bounds or Bounds()
        self._failed = failed or _unheard
        self._hosts = hosts.of(settings)
        self._requests: Counter[str] = Counter()
        self._sockets: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = scope["headers"]
        host = (header(headers, b"host") or "").lower()
        token = self._hosts.token(host)
        live = self._lookup(token) if token else None
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send, live, headers)
        elif live is None:
            await self._page(
                send, host, 410, "This preview has ended", "Run the app again from the gallery."
            )
        else:
            await self._http(scope, receive, send, live, headers, host)

    # HTTP

    async def _http(
        self, scope: Scope, receive: Receive, send: Send, live: Live, headers: Headers, host: str
    ) -> None:
        own = self._hosts.origin(host)
        origin = header(headers, b"origin")
        target = _target(scope)
        if header(headers, b"service-worker") is not None:
            # It would outlive its page and answer for it.
            await self._page(send, host, 403, "No service workers", "Previews can't have them.")
        elif origin not in (None, "null") and not hosts.same_origin(headers):
            await self._page(send, host, 403, "Not from here", "Only the app may ask its preview.")
        elif not target.startswith("/"):
            await self._page(send, host, 400, "Bad address", "A request needs a path.")
        elif self._requests[live.token] + self._sockets[live.token] >= self._bounds.at_once:
            await self._page(send, host, 503, "Too much at once", "The page asks for too much.", 1)
        else:
            try:
                async with _counted(self._requests, live.token), self._stream(live) as stream:
                    bounds = self._bounds
                    exchange = Exchange(stream, head_s=bounds.head_s, body_s=bounds.body_s)
                    passed = request_headers(headers, own, live.port)
                    await exchange.ask(scope["method"], target.encode("latin-1"), [
                        *passed, *_framing(headers),
                    ])  # fmt: skip
                    said = f"{scope['method']} {scope['path'][:200]}"
                    await self._exchange(exchange, receive, send, live, host, said)
            except ConnectionRefusedError:
                await self._page(
                    send, host, 503, "Not there yet", "The app isn't listening yet.", refresh=1
                )
            except (BadAnswer, ConnectionError, Foreign) as error:
                if isinstance(error, BadAnswer):
                    self._failed(live, f"{_sentence(error)} ({scope['path'][:200]})")
                await self._page(send, host, 502, "No usable answer", _sentence(error))
            except BoxLost:
                await self._page(
                    send, host, 410, "This preview has ended", "Run the app again from the gallery."
                )
            except EngineFault as error:
                await self._page(send, host, 502, "The sandbox is in trouble", str(error))

    async def _exchange(
        self,
        exchange: Exchange,
        receive: Receive,
        send: Send,
        live: Live,
        host: str,
        asked: str,
    ) -> None:
        """Passes the request's body in and the answer out; ends early when the browser leaves."""
        listening = asyncio.create_task(_listen(exchange, receive))
        answering = asyncio.create_task(self._answer(exchange, send, live, host, asked))
        try:
            await asyncio.wait({listening, answering}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                listening.result()
            if answering.done():
                answering.result()
        finally:
            listening.cancel()
            answering.cancel()
            await asyncio.gather(listening, answering, return_exceptions=True)

    async def _answer(
        self, exchange: Exchange, send: Send, live: Live, host: str, asked: str
    ) -> None:
        head: Head = await exchange.head()
        if head.status >= 500:
            self._failed(live, f"{asked} was answered with the error {head.status}.")
        headers = response_headers(head.headers, self._hosts.origin(host), live.port)
        await send(
            {
                "type": "http.response.start",
                "status": head.status,
                "headers": [*headers, *self._policy(host, live.hosts)],
            }
        )
        try:
            async for piece in exchange.body():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except (BadAnswer, EngineFault) as error:
            # The head is out: an answer that is left unfinished is how the server is told to
            # break the connection, so that the browser sees that the rest is missing.
            _LOG.info("%s: the answer broke off: %s", live.app_id, error)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _policy(self, host: str, allowed: Sequence[Host] = ()) -> Headers:
        socket_scheme = "wss" if self._hosts.preview_scheme == "https" else "ws"
        return preview_policy(host, socket_scheme, self._hosts.ui_origins, allowed)

    async def _page(
        self, send: Send, host: str, status: int, title: str, sentence: str, refresh: int = 0
    ) -> None:
        """A page of Vibe's own, without scripts."""
        page = _PAGE.format(title=html.escape(title), sentence=html.escape(sentence)).encode()
        framed_by = " ".join(self._hosts.ui_origins)
        csp = f"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors {framed_by}"
        headers = [
            *(pair for pair in self._policy(host) if pair[0] != b"content-security-policy"),
            (b"content-security-policy", csp.encode()),
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", str(len(page)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if refresh:
            headers.append((b"refresh", str(refresh).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": page, "more_body": False})

    # WebSocket

    async def _websocket(
        self, scope: Scope, receive: Receive, send: Send, live: Live | None, headers: Headers
    ) -> None:
        await receive()
        target = _target(scope)
        refused = {"type": "websocket.close", "code": 1008, "reason": "refused"}
        if (
            live is None
            or not hosts.same_origin(headers)
            or not target.startswith("/")
            or self._sockets[live.token] >= self._bounds.sockets
        ):
            await send(refused)
            return
        own = self._hosts.origin(header(headers, b"host") or "")
        passed = [
            (name, value)
            for name, value in request_headers(headers, own, live.port)
            if not name.startswith(b"sec-websocket-") and name != b"host"
        ]
        protocols: list[str] = scope["subprotocols"]
        accepted = False
        try:
            async with _counted(self._sockets, live.token), self._stream(live) as stream:
                relay = Relay(
                    stream,
                    target,
                    live.port,
                    passed,
                    protocols,
                    message_bytes=self._bounds.message_bytes,
                )
                chosen = await relay.open()
                await send({"type": "websocket.accept", "subprotocol": chosen})
                accepted = True
                await relay.run(receive, send)
        except (Refused, BadAnswer, ConnectionError, EngineFault) as error:
            _LOG.info("%s: no WebSocket: %s", live.app_id, error)
            if not accepted:
                await send(refused)

    @asynccontextmanager
    async def _stream(self, live: Live) -> AsyncIterator[Stream]:
        seconds = self._bounds.open_s
        try:
            async with asyncio.timeout(seconds):
                stream = await live.box.open_stream(live.port)
        except TimeoutError:
            raise BadAnswer(f"did not take the connection within {seconds:.0f} s") from None
        try:
            yield stream
        finally:
            await stream.close()


def _unheard(live: Live, sentence: str) -> None:
    pass


@asynccontextmanager
async def _counted(counter: Counter[str], token: str) -> AsyncIterator[None]:
    counter[token] += 1
    try:
        yield
    finally:
        counter[token] -= 1
        if not counter[token]:
            del counter[token]


async def _listen(exchange: Exchange, receive: Receive) -> None:
    """Passes the request's body on, then waits until the browser leaves."""
    reading = True
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        try:
            if reading:
                await exchange.send(message.get("body", b""))
                if not message.get("more_body", False):
                    await exchange.end()
        except (ConnectionError, EngineFault):
            # The app stopped reading; it may have answered all the same.
            reading = False


def _target(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or b""
    query: bytes = scope.get("query_string") or b""
    return (raw + b"?" + query if query else raw).decode("latin-1")


def _framing(headers: Headers) -> Headers:
    """How the request's body is framed: the server has checked that it is said once."""
    if any(name == b"transfer-encoding" for name, _ in headers):
        return [(b"transfer-encoding", b"chunked")]
    return [(name, value) for name, value in headers if name == b"content-length"]


def _sentence(error: BadAnswer | ConnectionError | Foreign) -> str:
    if isinstance(error, Foreign):
        return f"The app tried to send you to {error.place}. Previews stay on their own address."
    if isinstance(error, BadAnswer):
        return f"The app {error}."
    return "The app closed the connection."
