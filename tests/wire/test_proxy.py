"""The proxy of a box over real sockets: the allowed host is met, and nothing else ever is."""

import asyncio
import contextlib
import socket

import pytest
from preview_support import SocketStream, raw_server

from vibe import proxy
from vibe.dialling import Dialler
from vibe.errors import BoxLost
from vibe.reach import Host

API = Host("api.example.com")


class SocketBox:
    """As much of a Box as the proxy uses: what connects to a port of this machine's loopback."""

    def __init__(self):
        self.waiting = asyncio.Queue()
        self.lost = asyncio.Event()
        self.port = 0

    @contextlib.asynccontextmanager
    async def listening(self):
        async def connected(reader, writer):
            await self.waiting.put(SocketStream(reader, writer))

        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=65536)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def accept(self, port):
        assert port == proxy.PORT
        taking = asyncio.create_task(self.waiting.get())
        losing = asyncio.create_task(self.lost.wait())
        try:
            await asyncio.wait([taking, losing], return_when=asyncio.FIRST_COMPLETED)
            if losing.done():
                raise BoxLost("gone")
            return taking.result()
        finally:
            taking.cancel()
            losing.cancel()


class Proxy:
    """A proxy that answers for a box, and what it told."""

    def __init__(self, box, allowed):
        self.box, self.allowed, self.told = box, allowed, []
        self.asked = []
        """Names that were looked up."""

    async def may(self, host):
        return host in self.allowed

    async def ask(self, head, *, close=False):
        """The whole answer to a head that is sent as it is."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.box.port)
        writer.write(head)
        if close:
            writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        return answer

    async def tunnel(self, target=b"api.example.com:443"):
        """A connection through the proxy, when it lets one through."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.box.port)
        writer.write(b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        assert head.startswith(b"HTTP/1.1 200 "), head
        return reader, writer


@contextlib.asynccontextmanager
async def proxying(port, *allowed, judge=lambda address: True, environ=None, addresses=None):
    """A proxy for which every name leads to this machine, and its `port` is every host's."""

    async def resolve(name, wanted):
        it.asked.append((name, wanted))
        return ["127.0.0.1"] if addresses is None else addresses

    class Here(Dialler):
        """Dials the port of the test's server instead of the host's."""

        async def __call__(self, host, *, tunnel):
            real = Dialler(self.resolve, self.judge, self.environ)
            return await real(Host(host.name, port if port else host.port), tunnel=tunnel)

    async with SocketBox().listening() as box:
        it = Proxy(box, allowed or (API,))
        dial = Here(resolve, judge, environ or {})
        answering = asyncio.create_task(proxy.answer(box, it.may, dial, it.told.append))
        it.answering = answering
        try:
            yield it
        finally:
            box.lost.set()
            async with asyncio.timeout(30):
                await asyncio.gather(answering, return_exceptions=True)


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


class Heard:
    """A plain HTTP server that keeps what it was sent, and answers each request it sees."""

    def __init__(self):
        self.bytes = b""

    async def __call__(self, reader, writer):
        answered = 0
        while data := await reader.read(65536):
            self.bytes += data
            while self.bytes.count(b"\r\n\r\n") > answered:
                answered += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
            if b"connection: close" in self.bytes.lower() and b"more" not in self.bytes:
                return


async def test_bytes_pass_both_ways_to_an_allowed_host_as_they_are():
    async with raw_server(echo) as port, proxying(port) as it:
        reader, writer = await it.tunnel()
        sent = bytes(range(256)) * 4096
        writing = asyncio.create_task(drained(writer, sent))
        assert await asyncio.wait_for(reader.readexactly(len(sent)), 30) == sent
        await writing
        assert await reader.read() == b""
        writer.close()
        assert it.asked == [("api.example.com", port)]
        assert it.told == []


async def drained(writer, data):
    writer.write(data)
    await writer.drain()
    writer.write_eof()


@pytest.mark.parametrize(
    "target",
    [
        b"other.example.com:443", b"api.example.com:80", b"api.example.com:8443",
        b"127.0.0.1:443", b"169.254.169.254:443", b"localhost:443", b"xapi.example.com:443",
        b"api.example.com.evil.example:443", b"example.com:443",
    ],
)  # fmt: skip
async def test_no_other_host_or_port_is_looked_up_or_met(target):
    async with raw_server(echo) as port, proxying(port) as it:
        answer = await it.ask(
            b"CONNECT " + target + b" HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 403 " + target)
        assert it.asked == []
        assert it.told == [f"{target.decode()} is not a host that this app may reach."]


async def test_a_name_that_leads_inside_is_refused_before_anything_is_connected():
    met = []

    async def inner(reader, writer):
        met.append(await reader.read(100))

    async with raw_server(inner) as port, proxying(port, judge=Dialler().judge) as it:
        answer = await it.ask(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 403 api.example.com leads to an address inside")
        assert met == []


async def test_a_plain_request_reaches_its_own_host_whatever_else_it_says():
    heard = Heard()
    plain = Host("api.example.com", 80)
    async with raw_server(heard) as port, proxying(port, plain) as it:
        answer = await it.ask(
            b"GET http://api.example.com/a?b HTTP/1.1\r\nHost: other.example.com\r\n"
            b"Proxy-Authorization: Basic c2VjcmV0\r\nX-Kept: 1\r\n\r\n"
        )
        assert answer.endswith(b"\r\n\r\nok")
    lines = heard.bytes.split(b"\r\n")
    assert lines[0] == b"GET /a?b HTTP/1.1"
    assert [line for line in lines if line.lower().startswith(b"host:")] == [
        b"host: " + f"api.example.com:{port}".encode()
    ] or b"host: api.example.com" in lines
    assert b"other.example.com" not in heard.bytes
    assert b"c2VjcmV0" not in heard.bytes
    assert b"x-kept: 1" in heard.bytes.lower()


@pytest.mark.parametrize(
    "first",
    [
        b"GET http://api.example.com/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST http://api.example.com/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
        b"POST http://api.example.com/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Length: 4\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ],
)
async def test_a_second_request_behind_the_first_goes_nowhere(first):
    heard = Heard()
    smuggled = (
        b"GET http://smuggled.example.com/more HTTP/1.1\r\nHost: smuggled.example.com\r\n\r\n"
    )
    plain = Host("api.example.com", 80)
    async with raw_server(heard) as port, proxying(port, plain) as it:
        await it.ask(first + smuggled * 3)
    assert b"connection: close" in heard.bytes.lower()
    assert b"smuggled" not in heard.bytes
    assert heard.bytes.lower().count(b"content-length") <= 1


async def test_a_plain_request_to_the_port_of_tls_is_refused():
    async with raw_server(echo) as port, proxying(port) as it:
        answer = await it.ask(b"GET http://api.example.com:443/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert it.asked == []


@pytest.mark.parametrize(
    "head",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
        b"\x05\x01\x00\r\n\r\n", b"CONNECT  api.example.com:443\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        b"CONNECT api.example.com:443 HTTP/1.1\r\n" + b"X: y\r\n" * 4000,
        b"CONNECT api.example.com:443\nHTTP/1.1\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_is_no_request_of_a_proxy_ends_with_an_error(head):
    async with raw_server(echo) as port, proxying(port) as it:
        with contextlib.suppress(ConnectionError):  # what was sent in vain may be answered by RST
            answer = await it.ask(head)
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 ")), answer
        assert it.asked == []


async def test_a_slow_reader_slows_the_host_and_nothing_piles_up_here():
    sent = 0

    async def flood(reader, writer):
        nonlocal sent
        while True:
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536

    async with raw_server(flood) as port, proxying(port) as it:
        reader, writer = await it.tunnel()
        before = -1
        while sent != before:  # until nobody takes any more
            before = sent
            await asyncio.sleep(0.5)
        assert sent < 32 << 20
        await reader.readexactly(4 << 20)
        writer.close()


async def test_more_connections_than_may_be_open_wait_and_then_have_their_turn():
    async with raw_server(echo) as port, proxying(port) as it:
        held = [await it.tunnel() for _ in range(proxy.AT_ONCE)]
        waiting = asyncio.create_task(it.tunnel())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        held[0][1].close()
        reader, writer = await asyncio.wait_for(waiting, 30)
        writer.write(b"mine")
        assert await asyncio.wait_for(reader.readexactly(4), 30) == b"mine"
        for _, each in [*held, (reader, writer)]:
            each.close()


async def test_cancelling_cuts_every_connection_at_once():
    async with raw_server(echo) as port, proxying(port) as it:
        reader, writer = await it.tunnel()
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        it.answering.cancel()
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


async def test_a_host_that_is_taken_back_is_not_met_again():
    async with raw_server(echo) as port, proxying(port) as it:
        _, writer = await it.tunnel()
        writer.close()
        it.allowed = ()
        answer = await it.ask(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 403 ")


async def test_a_host_that_does_not_answer_is_told():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with proxying(nobody.getsockname()[1]) as it:
            answer = await it.ask(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 502 ")
            assert "does not answer" in it.told[0]


# By way of the machine's own proxy


class MachineProxy:
    """A company's proxy: asks for a password, and leads everyone to one echo."""

    def __init__(self, port, says=b"HTTP/1.1 200 fine\r\nX: y\r\n\r\n"):
        self.port, self.says, self.heads = port, says, []

    async def __call__(self, reader, writer):
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        if not self.heads[-1].startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nway")
            return
        writer.write(self.says)
        await echo(reader, writer)


async def test_the_machine_s_own_proxy_is_used_with_its_password():
    told = MachineProxy(0)
    async with raw_server(told) as proxy_port:
        environ = {"HTTPS_PROXY": f"http://ada:p%40ss@127.0.0.1:{proxy_port}"}
        async with proxying(0, environ=environ, addresses=[]) as it:
            reader, writer = await it.tunnel()
            writer.write(b"through")
            assert await asyncio.wait_for(reader.readexactly(7), 30) == b"through"
            writer.close()
    assert told.heads[0].startswith(b"CONNECT api.example.com:443 HTTP/1.1\r\n")
    assert b"proxy-authorization: basic ywrhonbac3m=" in told.heads[0].lower()


async def test_a_plain_request_goes_to_the_machine_s_proxy_whole():
    told = MachineProxy(0)
    async with raw_server(told) as proxy_port:
        environ = {"HTTP_PROXY": f"http://127.0.0.1:{proxy_port}"}
        plain = Host("api.example.com", 80)
        async with proxying(0, plain, environ=environ, addresses=[]) as it:
            answer = await it.ask(b"GET http://api.example.com/a HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer.endswith(b"way")
    assert told.heads[0].startswith(b"GET http://api.example.com/a HTTP/1.1\r\n")


@pytest.mark.parametrize("says", [b"HTTP/1.1 403 No\r\n\r\n", b"nonsense\r\n\r\n"])
async def test_a_machine_s_proxy_that_says_no_is_told_and_not_gone_round(says):
    async with raw_server(MachineProxy(0, says)) as proxy_port:
        environ = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy_port}"}
        async with proxying(0, environ=environ) as it:
            answer = await it.ask(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 502 The machine's proxy does not lead to")


async def test_a_name_that_leads_inside_isn_t_given_to_the_machine_s_proxy_either():
    told = MachineProxy(0)
    async with raw_server(told) as proxy_port:
        environ = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy_port}"}
        inside = Dialler().judge
        async with proxying(0, environ=environ, addresses=["10.0.0.1"], judge=inside) as it:
            answer = await it.ask(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 403 ")
    assert told.heads == []
