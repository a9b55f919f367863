"""Binds the port and serves an ASGI app on it until the process is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http.client
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence

import uvicorn
import websockets.http11

from vibe.errors import UserError
from vibe.hosts import Receive, Scope, Send
from vibe.incoming import HEAD_BYTES, Incoming
from vibe.settings import Settings

App = Callable[[Scope, Receive, Send], Awaitable[None]]

NAME = "vibe"
"""What the Server header says, and how one Vibe knows another."""
MESSAGE_BYTES = 64 << 20
"""The largest WebSocket message a browser may send."""


def bind(settings: Settings) -> socket.socket:
    """A socket at the settings' address; port 0 takes a free one. Raises UserError when the
    address can't be had, saying by whom it is taken if that is another Vibe."""
    at = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named in full: asyncio turns Nagle's delay (40 ms an answer) off only for IPPROTO_TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((settings.host, settings.port))
        sock.listen(2048)  # now, not later: two binders must not both believe they have it
    except (OSError, OverflowError) as error:
        sock.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            if _is_vibe(settings):
                raise UserError(
                    f"Vibe is already serving at {settings.ui_url}.",
                    "Use that one, or give this one another port: `vibe serve --port 8601`.",
                ) from error
            raise UserError(
                f"Something else is using {at}.",
                "Stop it, or choose another port: `vibe serve --port 8601` (or VIBE_PORT).",
            ) from error
        raise UserError(
            f"Vibe can't listen at {at}: {error}.", "Choose another with --host and --port."
        ) from error
    return sock


def _is_vibe(settings: Settings) -> bool:
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - read, not bound
    address = anywhere.get(settings.host, settings.host)
    connection = http.client.HTTPConnection(address, settings.port, timeout=2)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/_stcore/health", headers={"Host": "vibe.localhost"})
            return connection.getresponse().getheader("server") == NAME
        except (OSError, http.client.HTTPException):
            return False


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    words: str,
    more: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """A plain answer without a page, or a WebSocket that isn't accepted."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        return
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{words}\n".encode()})


async def listen(
    app: App,
    sock: socket.socket,
    *,
    ready: Callable[[], None],
    stop: Callable[[], Awaitable[None]],
    lifespan: bool = True,
) -> None:
    """Serves `app` until SIGINT or SIGTERM. `ready` is called when it answers; `stop` is awaited
    first thing afterwards, while connections are still open."""
    server = _Server(
        uvicorn.Config(
            app,
            http=Incoming,
            ws="websockets-sansio",
            ws_max_size=MESSAGE_BYTES,
            ws_ping_interval=30,
            ws_ping_timeout=30,
            ws_per_message_deflate=False,
            lifespan="on" if lifespan else "off",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=[("server", NAME)],
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        ),
        ready,
        stop,
    )
    # uvicorn tells each step of its own; the person is told by `ready`.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    # The same bound as for other requests, see HEAD_BYTES; the library's is 8 kB a line.
    websockets.http11.MAX_LINE_LENGTH = HEAD_BYTES
    with _signals(server):
        await server.serve(sockets=[sock])


class _Server(uvicorn.Server):
    """uvicorn's server, with a word at its start and its end, and without its signal handling:
    that raises the signal again when all is done, and the exit would look like a crash."""

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], None],
        stop: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._stop = stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await self._stop()
        await super().shutdown(sockets)


@contextlib.contextmanager
def _signals(server: uvicorn.Server) -> Iterator[None]:
    """SIGINT and SIGTERM end `server`; a second one doesn't wait for connections."""

    def told() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
