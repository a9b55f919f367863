"""Answers what a box's programs ask of their proxy: the hosts that the app may reach, no more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import h11

from vibe.dialling import Dial, Line
from vibe.errors import BoxLost
from vibe.proxy_head import HEAD_BYTES, Refused, Wish, wish
from vibe.reach import Host
from vibe.sandbox.engine import Box, Stream

PORT = 3128
"""Where programs in a box find it, on 127.0.0.1; the usual port of proxies."""
AT_ONCE = 32
"""Connections of one box; more wait in the box."""
HEAD_S = 30.0
IDLE_S = 300.0
"""How long nothing may pass on a connection, either way."""
LINGER_S = 5.0
"""How long a program has to read the last of an answer and close."""
PIECE = 65536

May = Callable[[Host], Awaitable[bool]]
"""Whether the app may reach a host now."""
Told = Callable[[str], None]


async def answer(box: Box, may: May, dial: Dial, told: Told) -> None:
    """Answers every connection to PORT in the box until the box is gone, or this is cancelled: then
    all of them are cut. `told` gets a sentence for each thing that is refused."""
    open_: set[asyncio.Task[None]] = set()
    free = asyncio.Semaphore(AT_ONCE)
    try:
        while True:
            await free.acquire()
            stream = await box.accept(PORT)
            task = asyncio.create_task(_connection(stream, may, dial, told))
            open_.add(task)
            task.add_done_callback(open_.discard)
            task.add_done_callback(lambda _: free.release())
    except BoxLost:
        pass
    except ConnectionError:
        told("A program listens where the box's way out is, so it reaches no host.")
    finally:
        for task in open_:
            task.cancel()
        await asyncio.gather(*open_, return_exceptions=True)


async def _connection(stream: Stream, may: May, dial: Dial, told: Told) -> None:
    """One connection, which serves one wish."""
    try:
        try:
            await _serve(stream, may, dial)
        except Refused as refusal:
            told(refusal.sentence)
            await _refuse(stream, refusal)
    except (ConnectionError, BoxLost, TimeoutError, OSError):
        pass  # one of the two ends has gone
    finally:
        with contextlib.suppress(BoxLost):
            await stream.close()


async def _serve(stream: Stream, may: May, dial: Dial) -> None:
    asking = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
    wanted = await _head(asking, stream)
    if not await may(wanted.host) or (not wanted.tunnel and wanted.host.port == 443):
        where = f"{wanted.host.name}:{wanted.host.port}"
        raise Refused(403, f"{where} is not a host that this app may reach.")
    line = await dial(wanted.host, tunnel=wanted.tunnel)
    try:
        async with asyncio.timeout(IDLE_S) as patience:

            def passed() -> None:
                patience.reschedule(asyncio.get_running_loop().time() + IDLE_S)

            if wanted.tunnel:
                await _tunnel(asking, stream, line, passed)
            else:
                await _plain(asking, stream, wanted, line, passed)
    finally:
        line.writer.close()


async def _head(asking: h11.Connection, stream: Stream) -> Wish:
    try:
        async with asyncio.timeout(HEAD_S):
            while (event := asking.next_event()) is h11.NEED_DATA:
                data = await stream.read()
                if not data:
                    raise ConnectionResetError("nothing was asked")
                asking.receive_data(data)
    except h11.RemoteProtocolError as error:
        raise Refused(error.error_status_hint, "A request broke the rules of HTTP.") from error
    if not isinstance(event, h11.Request):
        raise ConnectionResetError("nothing was asked")
    return wish(event)


async def _tunnel(
    asking: h11.Connection, stream: Stream, line: Line, passed: Callable[[], None]
) -> None:
    """Bytes both ways as they are, until both ends have ended."""
    await stream.write(b"HTTP/1.1 200 Connection established\r\n\r\n" + line.heard)
    line.writer.write(asking.trailing_data[0])

    async def outward() -> None:
        while data := await stream.read(PIECE):
            passed()
            line.writer.write(data)
            await line.writer.drain()
        if line.writer.can_write_eof():
            line.writer.write_eof()

    await _both(outward(), _inward(stream, line, passed))


async def _plain(
    asking: h11.Connection,
    stream: Stream,
    wanted: Wish,
    line: Line,
    passed: Callable[[], None],
) -> None:
    """One request, written anew, and its answer as it comes. What the program sends behind that
    request is never read: it would be no request of the host's."""
    port = "" if wanted.host.port == 80 else f":{wanted.host.port}"
    name = f"{wanted.host.name}{port}".encode()
    telling = h11.Connection(h11.CLIENT)
    try:
        head = h11.Request(
            method=wanted.method,
            target=line.before + wanted.target,
            headers=[(b"host", name), *wanted.headers, *line.headers, (b"connection", b"close")],
        )
        line.writer.write(telling.send(head) or b"")
    except h11.LocalProtocolError as error:
        raise Refused(400, "A request broke the rules of HTTP.") from error

    async def outward() -> None:
        while True:
            event = asking.next_event()
            if event is h11.NEED_DATA:
                data = await stream.read(PIECE)
                asking.receive_data(data)
                continue
            if not isinstance(event, h11.Data | h11.EndOfMessage):
                raise ConnectionResetError("the request ended early")
            passed()
            line.writer.write(telling.send(event) or b"")
            await line.writer.drain()
            if isinstance(event, h11.EndOfMessage):
                return

    sending = asyncio.create_task(_quiet(outward()))
    try:
        await _inward(stream, line, passed)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    await _linger(stream)


async def _inward(stream: Stream, line: Line, passed: Callable[[], None]) -> None:
    while data := await line.reader.read(PIECE):
        passed()
        await stream.write(data)
    await stream.end()


async def _quiet(doing: Awaitable[None]) -> None:
    """Ends at the first trouble: the answer, or its end, tells the program."""
    with contextlib.suppress(OSError, BoxLost, h11.ProtocolError):
        await doing


async def _both(one: Awaitable[None], other: Awaitable[None]) -> None:
    """Both to their ends; the first trouble in either ends both."""
    tasks = [asyncio.ensure_future(one), asyncio.ensure_future(other)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _refuse(stream: Stream, refusal: Refused) -> None:
    """The sentence as an answer; also in its first line, which libraries put into their errors."""
    body = f"{refusal.sentence}\n".encode()
    head = (
        f"HTTP/1.1 {refusal.status} {refusal.sentence}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    await stream.write(head.encode("ascii", "replace") + body)
    await stream.end()
    await _linger(stream)


async def _linger(stream: Stream) -> None:
    """Until the program has closed its end; a stream that is closed before loses what is unread."""
    async with asyncio.timeout(LINGER_S):
        while await stream.read(PIECE):
            pass
