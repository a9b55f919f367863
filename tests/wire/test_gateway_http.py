"""What of HTTP passes the gateway unchanged, and what a client can't do to it."""

import asyncio
import gzip
import os
from email.utils import formatdate

import httpx
import pytest
from preview_support import gateway_to, raw_server, served
from starlette.applications import Starlette
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from vibe.incoming import HEAD_BYTES

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
async def preview(tmp_path):
    file = tmp_path / "file.bin"
    file.write_bytes(CONTENT)
    os.utime(file, (1_700_000_000, 1_700_000_000))

    async def packed(request):
        return Response(gzip.compress(CONTENT), headers={"content-encoding": "gzip"})

    async def upload(request):
        return Response(str(len(await request.body())))

    async def fine(request):
        etag = '"v1"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"etag": etag, "content-length": "1000"})
        return Response(b"x" * 1000, headers={"etag": etag, "cache-control": "no-cache"})

    app = Starlette(
        routes=[
            Route("/file", lambda request: FileResponse(file)),
            Route("/packed", packed),
            Route("/upload", upload, methods=["POST"]),
            Route("/fine", fine),
        ]
    )
    async with served(app) as port, gateway_to(port) as preview:
        yield preview


async def ask(preview, path, method="GET", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(
            method, preview.address + path, headers={"host": preview.host, **headers}
        )


async def spoken(preview, request):
    """All that a client hears that sends these bytes and then waits."""
    reader, writer = await asyncio.open_connection("127.0.0.1", preview.port)
    writer.write(request)
    heard = await reader.read()
    writer.close()
    return heard


async def test_a_range_is_that_part_alone(preview):
    part = await ask(preview, "/file", range="bytes=300-999")
    assert part.status_code == 206
    assert part.content == CONTENT[300:1000]
    assert part.headers["content-range"] == f"bytes 300-999/{len(CONTENT)}"
    end = await ask(preview, "/file", range="bytes=-10")
    assert end.content == CONTENT[-10:]
    beyond = await ask(preview, "/file", range=f"bytes={len(CONTENT)}-")
    assert beyond.status_code == 416


async def test_several_ranges_come_in_parts(preview):
    parts = await ask(preview, "/file", range="bytes=0-9,20-29")
    assert parts.status_code == 206
    assert parts.headers["content-type"].startswith("multipart/byteranges")
    assert CONTENT[20:30] in parts.content


async def test_a_range_of_a_file_that_changed_is_the_whole_file(preview):
    whole = await ask(preview, "/file", range="bytes=0-9", if_range='"another"')
    assert (whole.status_code, whole.content) == (200, CONTENT)


async def test_what_the_browser_has_already_is_not_sent_again(preview):
    first = await ask(preview, "/fine")
    again = await ask(preview, "/fine", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["content-security-policy"]
    other = await ask(preview, "/fine", if_none_match='"v0"')
    assert (other.status_code, len(other.content)) == (200, 1000)


async def test_dates_of_files_pass_both_ways(preview):
    first = await ask(preview, "/file")
    assert first.headers["last-modified"] == formatdate(1_700_000_000, usegmt=True)


async def test_head_says_what_get_would_and_the_connection_goes_on(preview):
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(3):
            head = await client.head(f"{preview.address}/file", headers={"host": preview.host})
            assert head.headers["content-length"] == str(len(CONTENT))
            assert head.headers["accept-ranges"] == "bytes"
            got = await client.get(f"{preview.address}/file", headers={"host": preview.host})
            assert got.content == CONTENT


async def test_compression_is_the_apps_and_the_browsers_matter(preview):
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream(
            "GET",
            f"{preview.address}/packed",
            headers={"host": preview.host, "accept-encoding": "gzip"},
        ) as answer,
    ):
        assert answer.headers["content-encoding"] == "gzip"
        raw = b"".join([piece async for piece in answer.aiter_raw()])
    assert gzip.decompress(raw) == CONTENT
    plain = await ask(preview, "/file", accept_encoding="gzip, br")
    assert "content-encoding" not in plain.headers


async def test_the_app_sees_what_encodings_the_browser_takes():
    seen = []

    async def app(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(app) as port, gateway_to(port) as preview:
        await ask(preview, "/", accept_encoding="gzip, br", if_none_match='"x"', range="bytes=0-")
    for line in (b"accept-encoding: gzip, br", b'if-none-match: "x"', b"range: bytes=0-"):
        assert line in seen[0].lower()


async def test_a_client_that_waits_to_be_told_to_send_its_body_is_told(preview):
    reader, writer = await asyncio.open_connection("127.0.0.1", preview.port)
    writer.write(
        b"POST /upload HTTP/1.1\r\nHost: %b\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
        b"Connection: close\r\n\r\n" % preview.host.encode()
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    writer.write(b"hello")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n5")


async def test_an_event_stream_comes_event_by_event():
    go_on = asyncio.Event()

    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for number in range(3):
            writer.write(b"data: %d\n\n" % number)
            await writer.drain()
            await go_on.wait()
            go_on.clear()

    async with (
        raw_server(app) as port,
        gateway_to(port) as preview,
        httpx.AsyncClient(trust_env=False, timeout=10) as client,
        client.stream("GET", preview.address, headers={"host": preview.host}) as answer,
    ):
        events = []
        async for event in answer.aiter_text():
            events.append(event)
            go_on.set()
    assert events == ["data: 0\n\n", "data: 1\n\n", "data: 2\n\n"]


# Clients that break the rules


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: +5\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: a\r\n folded\r\n",
        b"X: a\0b\r\n",
        b"X y: a\r\n",
    ],
)
async def test_a_request_that_can_be_read_in_two_ways_is_refused(head):
    asked = []

    async def app(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(app) as port, gateway_to(port) as preview:
        answer = await spoken(
            preview,
            b"POST / HTTP/1.1\r\nHost: %b\r\n%b\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"
            % (preview.host.encode(), head),
        )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not asked


async def test_two_hosts_are_none(preview):
    answer = await spoken(
        preview,
        b"GET /fine HTTP/1.1\r\nHost: %b\r\nHost: %b\r\nConnection: close\r\n\r\n"
        % ((preview.host.encode(),) * 2),
    )
    assert b" 410 " in answer.split(b"\r\n")[0]


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\n", None])
async def test_a_head_without_end_is_cut_off(preview, start):
    reader, writer = await asyncio.open_connection("127.0.0.1", preview.port)
    if start is None:  # what may follow the last piece of a body
        host = preview.host.encode()
        start = b"POST /upload HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % host
        start += b"1\r\na\r\n0\r\n"
    lines = start.endswith(b"\n")
    writer.write(start)
    sent = 0
    heard = asyncio.create_task(reader.read())
    while not heard.done() and sent < 40 * HEAD_BYTES:
        writer.write(b"X-More: yyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 1000 if lines else b"y" * 34_000)
        sent += 34_000
        try:
            await writer.drain()
        except ConnectionError:
            break
        await asyncio.sleep(0)
    writer.close()
    assert sent < 20 * HEAD_BYTES
    heard.cancel()
    await asyncio.gather(heard, return_exceptions=True)


async def test_headers_after_a_body_are_not_of_the_request():
    seen = []

    async def app(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(app) as port, gateway_to(port) as preview:
        answer = await spoken(
            preview,
            b"POST / HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n1\r\na\r\n0\r\nX-Late: evil\r\n\r\n" % preview.host.encode(),
        )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"x-late" not in seen[0].lower()
