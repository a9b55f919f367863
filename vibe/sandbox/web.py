"""HTTP to a port inside a box: httpcore over the box's byte streams."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

from vibe.errors import BoxLost
from vibe.sandbox.engine import Box, Stream


class BoxNetworkStream(httpcore.AsyncNetworkStream):
    """A box's stream as httpcore reads and writes it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with _bounded(timeout, httpcore.ReadTimeout):
                return await self._stream.read(max_bytes)
        except (BoxLost, ConnectionError) as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            async with _bounded(timeout, httpcore.WriteTimeout):
                await self._stream.write(buffer)
        except (BoxLost, ConnectionError) as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        await self._stream.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("There is no TLS inside a box.")

    def get_extra_info(self, info: str) -> Any:
        return None


class _bounded:
    """asyncio.timeout that raises httpcore's own time-out."""

    def __init__(self, seconds: float | None, kind: type[Exception]) -> None:

        self._kind = kind
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *exc: Any) -> None:
        try:
            await self._timeout.__aexit__(*exc)
        except TimeoutError as error:
            raise self._kind(str(error)) from error


class BoxNetwork(httpcore.AsyncNetworkBackend):
    """Where httpcore connects: whatever the host in the URL, to that port inside the box."""

    def __init__(self, box: Box) -> None:
        self._box = box

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            return BoxNetworkStream(await self._box.open_stream(port))
        except (BoxLost, ConnectionError) as error:
            raise httpcore.ConnectError(str(error)) from error

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("Boxes have no Unix sockets for us.")

    async def sleep(self, seconds: float) -> None:

        await asyncio.sleep(seconds)


async def get(box: Box, port: int, path: str, *, wall_s: float = 10.0) -> tuple[int, bytes]:
    """Status and the first 256 KiB of the body of GET `path`.

    Raises ConnectionError when nothing answers as HTTP does, within `wall_s`.
    """
    try:
        async with (
            asyncio.timeout(wall_s),
            httpcore.AsyncConnectionPool(network_backend=BoxNetwork(box)) as pool,
            pool.stream("GET", f"http://localhost:{port}{path}") as response,
        ):
            body = b""
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > 262_144:
                    break
            return response.status, body
    except TimeoutError as error:
        raise ConnectionError(f"no answer within {wall_s:.0f} s") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
        raise ConnectionError(str(error) or type(error).__name__) from error
