"""The gateway between real sockets: a client, and apps that behave and misbehave."""

import asyncio
import contextlib
import resource
import tracemalloc

import httpx
import pytest
import websockets
from preview_support import TOKEN, Running, gateway_to, raw_server
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.utils import accept_key

from vibe.errors import BoxLost
from vibe.relay import Relay


def answering(reply, *, then_close=True):
    """A connection's handler that reads a request's head, then sends `reply` as it stands."""

    async def answer(reader, writer):
        answer.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply)
        await writer.drain()
        if not then_close:
            await asyncio.sleep(60)

    answer.requests = []
    return answer


def ok(body=b"hello", *extra):
    head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *extra]
    return b"\r\n".join([*head, b"", body])


async def ask(preview, path="/", method="GET", **options):
    headers = {"host": preview.host, **options.pop("headers", {})}
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(method, preview.address + path, headers=headers, **options)


async def answer_to(reply, **options):
    """What a browser gets of an app that sends `reply`."""
    app = answering(reply)
    async with raw_server(app) as port, gateway_to(port) as preview:
        return await ask(preview, **options)


async def test_a_request_reaches_the_app_and_its_answer_comes_back():
    app = answering(ok(b"hello", b"Content-Type: text/plain", b"X-App: 1"))
    async with raw_server(app) as port, gateway_to(port) as preview:
        answer = await ask(preview, "/a%20b/%2e%2e/c?x=1&y=%3F")
    assert (answer.status_code, answer.text) == (200, "hello")
    assert answer.headers["x-app"] == "1"
    first, *rest = app.requests[0].split(b"\r\n")
    assert first == b"GET /a%20b/%2e%2e/c?x=1&y=%3F HTTP/1.1"
    assert b"host: localhost:%d" % port in [line.lower() for line in rest]


async def test_every_answer_carries_the_policy_of_previews():
    answer = await answer_to(ok(b"", b"Content-Security-Policy: default-src *"))
    csp = answer.headers["content-security-policy"]
    assert "default-src 'self'" in csp
    assert "default-src *" not in csp
    assert f"connect-src 'self' ws://{TOKEN}.vibe.localhost:" in csp
    assert "frame-ancestors http://vibe.localhost:" in csp
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "camera=()" in answer.headers["permissions-policy"]
    assert answer.headers["connection-allowlist"].startswith("(response-origin);")
    assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("host", ["dead.vibe.localhost", f"{TOKEN[:-1]}0.vibe.localhost"])
async def test_an_unknown_or_ended_preview_says_so(host):
    async with gateway_to(1) as preview:
        answer = await ask(preview, headers={"host": f"{host}:{preview.port}"})
    assert answer.status_code == 410
    assert "This preview has ended" in answer.text
    assert "<script" not in answer.text


async def test_a_box_that_died_is_a_preview_that_has_ended():
    live = Running(1)
    live.box.fault = BoxLost("The box is gone.")
    async with gateway_to(1, live=live) as preview:
        answer = await ask(preview)
    assert answer.status_code == 410


async def test_an_app_that_does_not_listen_yet_is_tried_again_by_the_page():
    async with raw_server(answering(b"")) as port:
        pass
    async with gateway_to(port) as preview:
        answer = await ask(preview)
    assert answer.status_code == 503
    assert answer.headers["refresh"] == "1"
    assert "listening yet" in answer.text


async def test_a_service_worker_is_refused():
    answer = await answer_to(ok(), path="/sw.js", headers={"service-worker": "script"})
    assert answer.status_code == 403


async def test_a_request_from_another_origin_is_refused():
    answer = await answer_to(ok(), headers={"origin": "http://vibe.localhost:8501"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("line", "more", "status"),
    [
        (b"GET http://localhost:22/ HTTP/1.1", b"", b"400"),
        (b"GET / HTTP/1.1", b"Origin: null\r\nOrigin: http://a.example\r\n", b"403"),
    ],
)
async def test_an_absolute_request_target_is_refused(line, more, status):
    """And so is an origin that comes twice."""
    app = answering(ok())
    async with raw_server(app) as port, gateway_to(port) as preview:
        reader, writer = await asyncio.open_connection("127.0.0.1", preview.port)
        host = preview.host.encode()
        writer.write(b"%b\r\nHost: %b\r\n%bConnection: close\r\n\r\n" % (line, host, more))
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 %b " % status)
    assert not app.requests


async def test_a_request_body_streams_in_and_is_reframed():
    received = bytearray()

    async def app(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head.lower()
        assert b"content-length" not in head.lower()
        while (size := int(await reader.readline(), 16)) > 0:
            received.extend(await reader.readexactly(size))
            await reader.readline()
        writer.write(ok(b"%d" % len(received)))

    async def pieces():
        for _ in range(64):
            yield b"x" * 65536

    async with raw_server(app) as port, gateway_to(port) as preview:
        answer = await ask(preview, method="POST", content=pieces())
    assert answer.text == str(64 * 65536)


async def test_an_answer_that_comes_before_the_upload_ended_is_passed_on():
    reply = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"

    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        await asyncio.sleep(0.5)

    async with raw_server(app) as port, gateway_to(port) as preview:
        reader, writer = await asyncio.open_connection("127.0.0.1", preview.port)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 9999999\r\n\r\n"
            % preview.host.encode()
        )
        answer = await reader.readuntil(b"big")
        writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"", "closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9\r\n", "broke the rules of HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * (1 << 20), "broke the rules of HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(300)) + b"\r\n",
         "more than 200 headers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
         "broke the rules of HTTP"),
        (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", "the status 999"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: evil\r\nConnection: upgrade\r\n\r\n", "HTTP"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/?q\r\nContent-Length: 0\r\n\r\n",
         "tried to send you to evil.example"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
         "tried to send you to file:"),
    ],
)  # fmt: skip
async def test_an_answer_that_cannot_be_used_becomes_one_sentence(reply, words):
    answer = await answer_to(reply)
    assert answer.status_code == 502
    assert words in answer.text


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
         ["GET / was answered with the error 500."]),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", []),
        (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", 1),
    ],
)  # fmt: skip
async def test_answers_that_are_errors_of_the_app_s_are_told_of(reply, told):
    async with raw_server(answering(reply)) as port, gateway_to(port) as preview:
        await ask(preview)
    assert (preview.told if isinstance(told, list) else len(preview.told)) == told


async def test_an_app_that_never_answers_is_given_up():
    app = answering(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + b"HTTP/1.1 200", then_close=False)
    async with raw_server(app) as port, gateway_to(port, head_s=0.3) as preview:
        answer = await ask(preview)
    assert answer.status_code == 502
    assert "did not answer within" in answer.text


async def test_slow_and_endless_heads_of_one_app_do_not_hurt_another_s_preview():
    async def hostile(reader, writer):
        target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Again: y\r\n" * 9000 if target == b"/bomb" else b"X")
            await writer.drain()
            await asyncio.sleep(0.05)

    good = answering(ok(b"at once"))
    async with raw_server(hostile) as bad_port, raw_server(good) as good_port:
        lives = {TOKEN: Running(bad_port), TOKEN[::-1]: Running(good_port, TOKEN[::-1])}
        async with gateway_to(bad_port, lives=lives) as preview:
            bombs, drops = (
                [asyncio.create_task(ask(preview, path, timeout=60)) for _ in range(30)]
                for path in ("/bomb", "/drop")
            )
            other = {"host": preview.host.replace(TOKEN, TOKEN[::-1])}
            for _ in range(5):
                assert (await ask(preview, headers=other, timeout=60)).text == "at once"
            assert {answer.status_code for answer in await asyncio.gather(*bombs)} == {502}
            assert not any(task.done() for task in drops)  # their time is up after a minute
            for task in drops:
                task.cancel()
            await asyncio.gather(*drops, return_exceptions=True)


async def test_endless_headers_end_at_the_cap():
    sent = 0

    async def app(reader, writer):
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Again: " + b"y" * 1000 + b"\r\n")
            sent += 1000
            await writer.drain()

    async with raw_server(app) as port, gateway_to(port) as preview:
        answer = await ask(preview)
    assert answer.status_code == 502
    assert sent < 20_000_000


@pytest.mark.parametrize(
    "half",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ],
)
async def test_half_a_body_is_seen_as_broken_not_as_complete(half):
    with pytest.raises(httpx.RemoteProtocolError):
        await answer_to(half)


async def test_an_old_app_that_ends_its_body_by_closing_is_passed_on():
    answer = await answer_to(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
    assert answer.text == "until the end"


async def test_a_head_request_has_no_body():
    answer = await answer_to(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", method="HEAD")
    assert answer.status_code == 200
    assert answer.headers["content-length"] == "1234"
    assert answer.content == b""


async def test_a_redirect_within_the_app_is_followed_in_the_preview():
    async def app(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /next "):
            writer.write(ok(b"arrived"))
        else:
            port = head.lower().split(b"localhost:")[1].split(b"\r")[0]
            writer.write(
                b"HTTP/1.1 302 Found\r\nLocation: http://localhost:%b/next\r\n"
                b"Content-Length: 0\r\n\r\n" % port
            )

    async with raw_server(app) as port, gateway_to(port) as preview:
        answer = await ask(preview)
    assert answer.headers["location"] == f"{preview.origin}/next"


async def test_a_giant_body_waits_for_a_slow_reader():
    produced = 0

    async def app(reader, writer):
        nonlocal produced
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"z" * 65536)
            produced += 65536
            await writer.drain()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with raw_server(app) as port, gateway_to(port) as preview:
        reader, writer = await asyncio.open_connection("127.0.0.1", preview.port, limit=65536)
        writer.write(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % preview.host.encode())
        await reader.read(1000)
        await asyncio.sleep(1)
        held = produced
        await asyncio.sleep(0.5)
        assert produced == held < 32 << 20
        writer.close()
        await asyncio.sleep(0.2)
        assert produced - held < 16 << 20
        assert not preview.gateway._requests
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


async def test_the_stream_is_closed_when_the_browser_leaves():
    left = asyncio.Event()

    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read() == b""
        left.set()

    async with raw_server(app) as port, gateway_to(port) as preview:
        _, writer = await asyncio.open_connection("127.0.0.1", preview.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % preview.host.encode())
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.close()
        await asyncio.wait_for(left.wait(), 3)


async def test_one_page_cannot_keep_more_than_its_share_of_requests_open():
    app = answering(b"", then_close=False)
    async with raw_server(app) as port, gateway_to(port, at_once=2) as preview:
        waiting = [asyncio.create_task(ask(preview)) for _ in range(2)]
        await asyncio.sleep(0.3)
        answer = await ask(preview)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert answer.status_code == 503


# WebSockets


@contextlib.asynccontextmanager
async def socket_app(handler, *, bounds=None, **options):
    """A preview whose app is a WebSocket server with that handler."""
    options = {"max_size": None, "compression": None, **options}
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        async with gateway_to(port, **(bounds or {})) as preview:
            yield preview


def opened(preview, path="/", **options):
    options = {"origin": preview.origin, "max_size": None, "proxy": None, **options}
    return connect(f"ws://{preview.host}{path}", host="127.0.0.1", port=preview.port, **options)


async def echo(socket):
    async for message in socket:
        await socket.send(message)


async def test_messages_pass_both_ways_whole():
    async with socket_app(echo) as preview, opened(preview) as socket:
        for message in ("text é", b"\x00bytes", "", b"", "x" * 3_000_000):
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send([b"in ", b"three ", b"parts"])
        assert await socket.recv() == b"in three parts"


async def test_the_app_sees_path_cookies_protocols_and_its_own_address():
    seen = {}

    async def look(socket):
        seen["path"], seen["headers"] = socket.request.path, socket.request.headers
        await socket.send(socket.subprotocol)

    async with (
        socket_app(look, subprotocols=["streamlit"]) as preview,
        opened(
            preview,
            "/_stcore/stream?x=1",
            subprotocols=["streamlit", "2|xsrf|token"],
            additional_headers={"Cookie": "_streamlit_xsrf=x; _streamlit_user=secret"},
        ) as socket,
    ):
        assert await socket.recv() == "streamlit"
    assert seen["path"] == "/_stcore/stream?x=1"
    assert seen["headers"]["Host"] == seen["headers"]["Origin"].removeprefix("http://")
    assert seen["headers"]["Host"].startswith("localhost:")
    assert seen["headers"]["Cookie"] == "_streamlit_xsrf=x"
    assert seen["headers"]["Sec-WebSocket-Protocol"] == "streamlit, 2|xsrf|token"


@pytest.mark.parametrize(
    "origin", [None, "null", "http://vibe.localhost:8501", "http://evil.example"]
)
async def test_a_socket_from_another_origin_is_refused(origin):
    reached = []

    async def look(socket):
        reached.append(socket)

    async with socket_app(look) as preview:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await opened(preview, origin=origin)
        assert refused.value.response.status_code == 403
    assert not reached


async def test_a_socket_to_an_ended_preview_is_refused():
    async with socket_app(echo) as preview:
        preview.live.token = "0" * 32
        with pytest.raises(websockets.InvalidStatus):
            await opened(preview)


async def test_a_socket_to_an_app_without_any_is_refused():
    async with raw_server(answering(ok())) as port, gateway_to(port) as preview:
        with pytest.raises(websockets.InvalidStatus):
            await opened(preview)


async def test_a_handshake_without_end_is_refused():
    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nX: ")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with raw_server(app) as port, gateway_to(port) as preview:
        with pytest.raises(websockets.InvalidStatus):
            await asyncio.wait_for(opened(preview), 5)


@pytest.mark.parametrize(("code", "seen"), [(1000, 1000), (4321, 4321), (1011, 1011)])
async def test_the_app_s_close_code_reaches_the_browser(code, seen):
    async def close(socket):
        await socket.send("first")
        await socket.close(code, "because")

    async with socket_app(close) as preview, opened(preview) as socket:
        assert await socket.recv() == "first"
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert (socket.close_code, socket.close_reason) == (seen, "because")


async def test_the_browser_s_close_code_reaches_the_app():
    closed = asyncio.get_running_loop().create_future()

    async def wait(socket):
        await socket.wait_closed()
        closed.set_result(socket.close_code)

    async with socket_app(wait) as preview:
        async with opened(preview) as socket:
            await socket.close(4001)
        assert await asyncio.wait_for(closed, 3) == 4001


async def test_an_app_that_vanishes_closes_the_browser_s_socket():
    async def vanish(socket):
        await socket.recv()
        socket.transport.abort()

    async with socket_app(vanish) as preview, opened(preview) as socket:
        await socket.send("x")
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 3)


async def test_the_app_s_pings_are_answered():
    async def ping(socket):
        await asyncio.wait_for(await socket.ping(), 3)
        await socket.send("answered")

    async with socket_app(ping, ping_interval=None) as preview, opened(preview) as socket:
        assert await socket.recv() == "answered"


async def test_a_message_beyond_the_cap_closes_the_socket():
    async def much(socket):
        with contextlib.suppress(websockets.ConnectionClosed):
            await socket.send(b"x" * 200_000)

    async with (
        socket_app(much, bounds={"message_bytes": 100_000}) as preview,
        opened(preview) as socket,
    ):
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 3)
        assert socket.close_code == 1009


async def test_a_message_of_single_bytes_weighs_no_more_than_its_bytes():
    """An app may cut a message into any number of pieces, empty ones among them."""
    pieces = 50_000

    class Said:
        """What an app says after a good handshake."""

        data = b""

        async def read(self, limit=65536):
            found, self.data = self.data[:8192], self.data[8192:]
            return found

        async def write(self, data):
            pass

        async def end(self):
            pass

    stream = Said()
    relay = Relay(stream, "/", 80, [], [], message_bytes=1 << 20)
    accept = accept_key(relay._protocol.key).encode()
    stream.data = b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    stream.data += b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    stream.data += b"\x01\x00" + b"\x00\x00\x00\x01a" * pieces + b"\x80\x00\x88\x00"
    heard = []

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        heard.append(message.get("text"))

    await relay.open()
    tracemalloc.start()
    await relay.run(receive, send)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert heard[0] == "a" * pieces
    assert most < 100 * pieces


async def test_an_app_that_sends_without_end_waits_for_a_slow_browser():
    sent = 0

    async def flood(socket):
        nonlocal sent
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await socket.send(b"z" * 65536)
                sent += 65536

    # 16 messages wait in the client's queue; after that it stops reading.
    async with socket_app(flood) as preview, opened(preview, max_queue=16) as socket:
        await socket.recv()
        await asyncio.sleep(1)
        held = sent
        await asyncio.sleep(0.5)
        assert sent == held < 32 << 20
        socket.transport.abort()


async def test_an_app_that_does_not_read_slows_the_browser_down():
    async def deaf(socket):
        socket.transport.pause_reading()
        await asyncio.sleep(1.5)
        socket.transport.abort()

    async with socket_app(deaf, ping_interval=None) as preview, opened(preview) as socket:
        sent = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while True:
                    await socket.send(b"z" * 65536)
                    sent += 65536
        assert sent < 32 << 20
        socket.transport.abort()


async def test_a_page_cannot_open_more_than_its_share_of_sockets():
    async with (
        socket_app(echo, bounds={"sockets": 2}) as preview,
        opened(preview),
        opened(preview),
    ):
        with pytest.raises(websockets.InvalidStatus):
            await opened(preview)
