"""The preview gateway: an ASGI app that passes a preview's requests into the box they belong to."""

from __future__ import annotations

import asyncio
import functools
import html
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vibe import hosts
from vibe.assets import Assets
from vibe.connections import Connection, Connections
from vibe.errors import BoxLost, EngineFault
from vibe.exchanges import Exchanges
from vibe.headers import Foreign, preview_policy, request_headers, response_headers
from vibe.hosts import Headers, Message, Receive, Scope, Send, header
from vibe.reach import Host
from vibe.relay import Refused, Relay
from vibe.sandbox.engine import Stream
from vibe.settings import Settings
from vibe.upstream import BadAnswer, Exchange, Head, NoAnswer

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
    grace_s: float = 0.02
    """A connection to an app idles for so long, wherever it could keep another waiting."""
    idle_s: float = 4.0
    """Elsewhere for so long. Servers close theirs after 5 s and more (uvicorn, Node)."""
    at_once: int = 64
    """Requests and WebSockets open at the same time."""
    sockets: int = 16
    """WebSockets of these; each may hold one message."""
    message_bytes: int = 64 << 20
    """The largest message from the app; the server bounds those of the browser."""


_REPEATABLE = ("GET", "HEAD", "OPTIONS")
_policy = functools.lru_cache(maxsize=256)(preview_policy)
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
        assets: Assets | None = None,
    ) -> None:
        """`failed` is told in a sentence of every answer that is an error of the app's; what is in
        `assets` no app is asked for."""
        self._lookup = lookup
        self._bounds = bounds or Bounds()
        self._failed = failed or _unheard
        self._assets = assets
        self._hosts = hosts.of(settings)
        self._apps: dict[str, Connections] = {}
        """By token."""
        self._exchanges = Exchanges()
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
        origins = [value for name, value in headers if name == b"origin"]
        target = _target(scope)
        if header(headers, b"service-worker") is not None:
            # It would outlive its page and answer for it.
            await self._page(send, host, 403, "No service workers", "Previews can't have them.")
        elif origins not in ([], [b"null"]) and not hosts.same_origin(headers):
            await self._page(send, host, 403, "Not from here", "Only the app may ask its preview.")
        elif not target.startswith("/"):
            await self._page(send, host, 400, "Bad address", "A request needs a path.")
        elif (asset := await self._asset(scope, headers)) is not None:
            policy = [*asset[0], *self._policy(host, live.hosts)]
            await send({"type": "http.response.start", "status": 200, "headers": policy})
            await send({"type": "http.response.body", "body": asset[1]})
        elif self._requests[live.token] + self._sockets[live.token] >= self._bounds.at_once:
            await self._page(send, host, 503, "Too much at once", "The page asks for too much.", 1)
        else:
            try:
                async with _counted(self._requests, live.token):
                    framing = _framing(headers)
                    asked = _Asked(
                        scope["method"],
                        target.encode("latin-1"),
                        [*request_headers(headers, own, live.port), *framing],
                        bool(framing),
                        own,
                        scope["path"][:200],
                    )
                    policy = self._policy(host, live.hosts)
                    await self._exchange(live, asked, receive, send, policy)
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

    async def _asset(self, scope: Scope, headers: Headers) -> tuple[Headers, bytes] | None:
        if self._assets is None or scope["method"] != "GET" or header(headers, b"range"):
            return None
        packed = "gzip" in (header(headers, b"accept-encoding") or "")
        return await self._assets.get(scope["path"], packed=packed)

    async def _exchange(
        self, live: Live, asked: _Asked, receive: Receive, send: Send, policy: Headers
    ) -> None:
        """Passes the request in and the answer out; ends early when the browser leaves.

        Only what may be asked twice goes over a connection that was used before: the app may have
        closed it meanwhile.
        """
        connections = self._connections(live)
        once = asked.has_body or asked.method not in _REPEATABLE
        connection = await connections.take(fresh=once)
        try:
            await self._over(connection, live, asked, receive, send, policy)
        except (NoAnswer, ConnectionError):
            if once or not connection.used:
                raise
        else:
            return
        connection = await connections.take(fresh=True)
        await self._over(connection, live, asked, receive, send, policy)

    async def _over(
        self,
        connection: Connection,
        live: Live,
        asked: _Asked,
        receive: Receive,
        send: Send,
        policy: Headers,
    ) -> None:
        """The exchange over that connection, which is given back as soon as the app is done."""
        bounds, connections, mine = self._bounds, self._connections(live), True
        exchange = Exchange(connection.stream, head_s=bounds.head_s, body_s=bounds.body_s)
        listening = functools.partial(_listen, exchange, receive, asked.has_body)
        started = False
        try:
            watched = self._exchanges.watch(exchange, listening, soon=not asked.has_body)
            async with watched:
                await exchange.ask(asked.method, asked.target, asked.headers)
                if asked.has_body:
                    watched.listen()
                head = await exchange.head()
                if exchange.keeps:
                    connections.hold(connection)
                start = self._started(live, asked, head, policy)
                started, more = True, True
                await send(start)
                while more:
                    piece, more = await exchange.piece()
                    if not more:
                        mine = False
                        await connections.give_back(connection, reusable=exchange.reusable)
                    await send({"type": "http.response.body", "body": piece, "more_body": more})
        except (BadAnswer, EngineFault) as error:
            if not started:
                raise
            # An answer that is left unfinished is how the server is told to break the connection,
            # so that the browser sees that the rest is missing.
            _LOG.info("%s: the answer broke off: %s", live.app_id, error)
        finally:
            if mine:
                await connections.give_back(connection, reusable=False)

    def _started(self, live: Live, asked: _Asked, head: Head, policy: Headers) -> Message:
        if head.status >= 500:
            said = f"{asked.method} {asked.path} was answered with the error {head.status}."
            self._failed(live, said)
        headers = response_headers(head.headers, asked.own, live.port)
        if head.status in (204, 304):  # the server would wait for a body of that length
            headers = [pair for pair in headers if pair[0] != b"content-length"]
        start = {"type": "http.response.start", "status": head.status}
        return {**start, "headers": [*headers, *policy]}

    def _policy(self, host: str, allowed: Sequence[Host] = ()) -> Headers:
        socket_scheme = "wss" if self._hosts.preview_scheme == "https" else "ws"
        return _policy(host, socket_scheme, self._hosts.ui_origins, tuple(allowed))

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
            async with _counted(self._sockets, live.token), self._connection(live) as connection:
                relay = Relay(
                    connection.stream,
                    target,
                    live.port,
                    passed,
                    protocols,
                    message_bytes=self._bounds.message_bytes,
                )
                chosen = await relay.open()
                self._connections(live).hold(connection)
                await send({"type": "websocket.accept", "subprotocol": chosen})
                accepted = True
                await relay.run(receive, send)
        except (Refused, BadAnswer, ConnectionError, EngineFault) as error:
            _LOG.info("%s: no WebSocket: %s", live.app_id, error)
            if not accepted:
                await send(refused)

    @asynccontextmanager
    async def _connection(self, live: Live) -> AsyncIterator[Connection]:
        """One for a WebSocket."""
        connections = self._connections(live)
        connection = await connections.take(fresh=True)
        try:
            yield connection
        finally:
            await connections.give_back(connection, reusable=False)

    def _connections(self, live: Live) -> Connections:
        found = self._apps.get(live.token)
        if found is None:
            self._apps = {token: kept for token, kept in self._apps.items() if self._lookup(token)}
            self._apps[live.token] = found = Connections(
                functools.partial(self._stream, live),
                grace_s=self._bounds.grace_s,
                idle_s=self._bounds.idle_s,
            )
        return found

    async def _stream(self, live: Live) -> Stream:
        seconds = self._bounds.open_s
        try:
            async with asyncio.timeout(seconds):
                return await live.box.open_stream(live.port)
        except TimeoutError:
            raise BadAnswer(f"did not take the connection within {seconds:.0f} s") from None

    async def close(self) -> None:
        """Gives up the connections that idle."""
        await asyncio.gather(*(connections.close() for connections in self._apps.values()))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as the app gets it; `own` is the preview's origin, `path` is for words."""

    method: str
    target: bytes
    headers: Headers
    has_body: bool
    own: str
    path: str


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


async def _listen(exchange: Exchange, receive: Receive, reading: bool) -> None:
    """Passes the request's body on if there is one, then waits until the browser leaves."""
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
