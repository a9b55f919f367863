"""Connections to apps that are used again: when, for how long, and never at an app's expense."""

import asyncio
import contextlib
import http.server
import threading
import time

import httpx
import pytest
from preview_support import TOKEN, Running, gateway_to, raw_server

from vibe.connections import KEPT


class Kept:
    """A server of HTTP/1.1 for `raw_server`: keeps connections, counts them, answers by path."""

    def __init__(self, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"):
        self.answer = answer
        self.connections = 0
        self.open = 0
        self.asked = []
        """The number of the connection, and the request's first line."""

    async def __call__(self, reader, writer):
        self.connections += 1
        self.open += 1
        number = self.connections
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked.append((number, head.split(b"\r\n")[0].decode()))
                answer = self.answer(number, head) if callable(self.answer) else self.answer
                if asyncio.iscoroutine(answer):
                    answer = await answer
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            self.open -= 1


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@contextlib.asynccontextmanager
async def asking(app, *, grace_s=3600, **bounds):
    """A function that asks the gateway before `app`, over as many connections as it needs."""
    async with (
        raw_server(app) as port,
        gateway_to(port, grace_s=grace_s, **bounds) as preview,
        httpx.AsyncClient(trust_env=False, timeout=10) as client,
    ):

        async def ask(path="/", method="GET", **options):
            headers = {"host": preview.host, **options.pop("headers", {})}
            return await client.request(method, preview.address + path, headers=headers, **options)

        ask.preview = preview
        yield ask


async def test_requests_one_after_the_other_share_a_connection():
    app = Kept()
    async with asking(app) as ask:
        for _ in range(20):
            assert (await ask()).text == "hi"
    assert app.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
        OK + b"and more",
        OK + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nX",
    ],
)
async def test_a_connection_that_may_not_go_on_is_not_used_again(answer):
    app = Kept(answer)
    async with asking(app) as ask:
        for _ in range(3):
            assert (await ask()).text == "hi"
    assert app.connections == 3


async def test_what_comes_on_an_idle_connection_is_nobodys_answer():
    async def chatty(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.002)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await writer.drain()
        await asyncio.sleep(1)

    async with asking(chatty) as ask:
        for _ in range(5):
            assert (await ask()).text == "hi"
            await asyncio.sleep(0.008)


async def test_a_request_that_meets_a_closing_connection_is_asked_again():
    def answer(number, head):
        return OK if app.asked.count((number, "GET / HTTP/1.1")) == 1 else None

    app = Kept(answer)
    async with asking(app) as ask:
        for _ in range(4):
            assert (await ask()).text == "hi"
        assert not ask.preview.told
    assert app.connections == 4


@pytest.mark.parametrize("options", [{"method": "POST", "content": b""}, {"method": "DELETE"}])
async def test_what_must_not_be_asked_twice_gets_a_connection_of_its_own(options):
    app = Kept()
    async with asking(app) as ask:
        await ask()
        await ask(**options)
    assert [number for number, _ in app.asked] == [1, 2]


async def test_an_answer_that_breaks_off_is_not_asked_for_again():
    asked = []

    async def breaking(reader, writer):
        for answer in (OK, b"HTTP/1.1 200 O"):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()

    async with asking(breaking) as ask:
        assert (await ask()).status_code == 200
        assert (await ask()).status_code == 502
    assert len(asked) == 2


async def until(true):
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


async def test_an_idle_connection_is_soon_given_up():
    app = Kept()
    async with asking(app, grace_s=0.02, idle_s=3600) as ask:
        await ask()
        await until(lambda: app.open == 0)


def together(count):
    """An app that answers its first requests only when it has so many."""
    met = asyncio.Event()

    async def answer(number, head):
        if len(app.asked) >= count:
            met.set()
        await met.wait()
        return OK

    app = Kept(answer)
    return app


async def test_an_app_that_serves_many_at_once_keeps_a_few():
    app = together(20)
    async with asking(app, grace_s=0.02, idle_s=3600) as ask:
        await asyncio.gather(*(ask() for _ in range(20)))
        assert app.connections == 20
        await until(lambda: app.open <= KEPT)
        await asyncio.sleep(0.2)
        assert app.open == KEPT
        await asyncio.gather(*(ask() for _ in range(KEPT)))
        assert app.connections == 20


async def test_an_app_that_serves_many_at_once_keeps_none_for_ever():
    app = together(20)
    async with asking(app, grace_s=0.02, idle_s=0.1) as ask:
        await asyncio.gather(*(ask() for _ in range(20)))
        await until(lambda: app.open == 0)


async def test_previews_share_no_connection():
    app = Kept()
    other = TOKEN[::-1]
    async with raw_server(app) as port:
        lives = {TOKEN: Running(port), other: Running(port, other)}
        async with (
            gateway_to(port, lives=lives, grace_s=3600) as preview,
            httpx.AsyncClient(trust_env=False) as client,
        ):
            for token in (TOKEN, other, TOKEN, other):
                host = preview.host.replace(TOKEN, token)
                await client.get(preview.address, headers={"host": host})
    assert [number for number, _ in app.asked] == [1, 2, 1, 2]


class OneAtATime(http.server.BaseHTTPRequestHandler):
    """http.server, told to speak 1.1: it keeps a connection, and hears no other meanwhile."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(0.1)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"hi")

    do_POST = do_GET

    def log_message(self, *args):
        pass


@contextlib.asynccontextmanager
async def one_at_a_time(**bounds):
    with http.server.HTTPServer(("127.0.0.1", 0), OneAtATime) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            async with (
                gateway_to(server.server_port, **bounds) as preview,
                httpx.AsyncClient(trust_env=False, timeout=10) as client,
            ):

                async def ask(path="/", method="GET"):
                    where, headers = preview.address + path, {"host": preview.host}
                    assert (await client.request(method, where, headers=headers)).text == "hi"

                yield ask, f"http://127.0.0.1:{server.server_port}/"
        finally:
            await asyncio.to_thread(server.shutdown)
            thread.join()


async def test_a_server_of_one_connection_at_a_time_is_not_stalled_by_an_idle_one():
    # what idles where it mustn't does so for an hour, and the client's patience is at its end
    async with one_at_a_time(idle_s=3600) as (ask, address):
        for _ in range(3):
            await asyncio.gather(ask(), ask("/slow"), *(ask() for _ in range(8)))
        async with httpx.AsyncClient(trust_env=False, timeout=10) as another:
            assert (await another.get(address)).text == "hi"


async def test_what_needs_a_new_connection_does_not_wait_for_one_that_idles():
    async with one_at_a_time(grace_s=3600, idle_s=3600) as (ask, _):
        await ask()
        await ask(method="POST")
        await ask()
