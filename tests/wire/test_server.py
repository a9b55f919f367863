"""The server as a process: whom it answers, and how it starts and stops."""

import asyncio
import contextlib
import os
import signal
import socket
import sys

import httpx
import pytest
import pytest_asyncio
import websockets
from preview_support import TOKEN
from websockets.asyncio.client import connect

SERVE = [sys.executable, "-m", "vibe", "serve", "--port"]


@contextlib.asynccontextmanager
async def vibe(folder, *, port=0, **env):
    """`vibe serve` with a gallery of its own, and no engine: these tests need none."""
    process = await asyncio.create_subprocess_exec(
        *SERVE,
        str(port),
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "VIBE_GALLERY": str(folder / "gallery"),
            "VIBE_SETTINGS": str(folder / "settings.yaml"),
            "DOCKER_HOST": "unix:///nowhere/docker.sock",
            **env,
        },
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), 15)


async def port_of(process):
    """The port of a server, once it answers."""
    while line := (await asyncio.wait_for(process.stderr.readline(), 30)).decode():
        if "Vibe is at" in line:
            return int(line.split("vibe.localhost:")[1].split()[0])
    raise AssertionError("it ended before it served")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port(tmp_path_factory):
    """Of a server that only answers, and so is the same after each test."""
    async with vibe(tmp_path_factory.mktemp("vibe")) as process:
        yield await port_of(process)


async def ask(port, path="/", host="vibe.localhost", method="GET", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(
            method,
            f"http://127.0.0.1:{port}{path}",
            headers={"host": f"{host}:{port}", **headers},
        )


def opened(port, host="vibe.localhost", origin="", **headers):
    """The UI's socket, from a page of `origin` (by default the UI)."""
    return connect(
        f"ws://{host}:{port}/_stcore/stream",
        host="127.0.0.1",
        port=port,
        origin=f"http://vibe.localhost:{port}" if origin == "" else origin,
        subprotocols=["streamlit"],
        additional_headers=headers,
        proxy=None,
    )


async def test_it_answers_its_own_names_previews_and_nobody_else(port):
    for host in ("vibe.localhost", "localhost", "127.0.0.1"):
        answer = await ask(port, host=host)
        assert answer.status_code == 200
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert (
            f"frame-src http://*.vibe.localhost:{port};"
            in (answer.headers["content-security-policy"])
        )
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["server"] == "vibe"
    assert (await ask(port, host=f"{TOKEN}.vibe.localhost")).status_code == 410
    stranger = await ask(port, host="rebound.example")
    assert stranger.status_code == 421
    assert "rebound.example" in stranger.text
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.read()).split()[1] == b"421"
    writer.close()


async def test_other_pages_cannot_use_the_ui_s_addresses(port):
    own = f"http://vibe.localhost:{port}"
    health = "/_stcore/health"
    assert (await ask(port, health, origin=own)).status_code == 200
    for origin in ("http://localhost:3000", f"http://{TOKEN}.vibe.localhost:{port}", "null"):
        answer = await ask(port, health, origin=origin)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    # A preview is on the same site as the UI, and may not load from it either.
    for site in ("same-site", "cross-site"):
        loaded = await ask(port, health, sec_fetch_site=site, sec_fetch_mode="no-cors")
        assert loaded.status_code == 403
        followed = await ask(port, "/", sec_fetch_site=site, sec_fetch_mode="navigate")
        assert followed.status_code == 200


async def said(port, head, body=b""):
    """What the server answers to bytes that no client would send, to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    host = b"Host: vibe.localhost:%d" % port
    writer.write(b"\r\n".join([head[0], host, *head[1:], b"", body]))
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return [line.split()[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.")]


async def test_a_header_that_comes_twice_does_not_count_as_none(port):
    ask, last = b"GET /_stcore/health HTTP/1.1", b"Connection: close"
    origin, site = b"Origin: http://localhost:3000", b"Sec-Fetch-Site: same-site"
    assert await said(port, [ask, last]) == [b"200"]
    assert await said(port, [ask, origin, origin, last]) == [b"403"]
    assert await said(port, [ask, site, site, last]) == [b"403"]
    assert await said(port, [ask, b"Host: rebound.example", last]) == [b"421"]


@pytest.mark.parametrize("length", [b"4", b"0", b"40"])
async def test_a_request_whose_end_is_said_in_two_ways_is_the_last_of_its_connection(port, length):
    head = [
        b"POST /_stcore/health HTTP/1.1",
        b"Content-Length: " + length,
        b"Transfer-Encoding: chunked",
    ]
    hidden = b"GET / HTTP/1.1\r\nHost: vibe.localhost\r\n\r\n"
    assert await said(port, head, b"0\r\n\r\n" + hidden) == [b"400"]


async def test_the_ui_s_socket_opens_for_the_ui_only(port):
    async with opened(port) as socket:
        assert socket.subprotocol == "streamlit"
    for host, origin in (
        ("vibe.localhost", f"http://{TOKEN}.vibe.localhost:{port}"),
        ("vibe.localhost", f"http://localhost:{port}"),
        ("localhost", "http://localhost:3000"),
        ("vibe.localhost", None),
        ("rebound.example", f"http://rebound.example:{port}"),
        (f"{TOKEN}.vibe.localhost", f"http://{TOKEN}.vibe.localhost:{port}"),
    ):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await opened(port, host, origin)
        assert refused.value.response.status_code == 403


async def test_cookies_that_a_preview_gave_the_ui_s_host_lock_nobody_out(port):
    flood = "; ".join(f"tossed{number}={'x' * 4000}" for number in range(150))
    assert (await ask(port, cookie=flood)).status_code == 200
    async with opened(port, cookie=flood) as socket:
        assert socket.subprotocol == "streamlit"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_stops_at_once_and_without_complaint(tmp_path, number):
    async with vibe(tmp_path) as process:
        port = await port_of(process)
        async with opened(port):
            process.send_signal(number)
            assert await asyncio.wait_for(process.wait(), 30) == 0
        assert b"Traceback" not in await process.stderr.read()


async def test_a_port_that_another_vibe_has_is_said_to_be_so(tmp_path, port):
    async with vibe(tmp_path / "second", port=port) as second:
        assert await asyncio.wait_for(second.wait(), 20) == 2
        said = (await second.stderr.read()).decode().splitlines()
    assert said[0] == f"Vibe is already serving at http://vibe.localhost:{port}."
    assert "--port" in said[1]


async def test_a_port_that_something_else_has_is_said_to_be_so(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with vibe(tmp_path, port=port) as process:
            assert await asyncio.wait_for(process.wait(), 20) == 2
            said = (await process.stderr.read()).decode().splitlines()
    assert said[0] == f"Something else is using 127.0.0.1:{port}."


async def test_a_preview_address_that_cannot_be_used_is_refused_at_the_start(tmp_path):
    async with vibe(tmp_path, VIBE_PREVIEW_URL="https://apps.example.com") as process:
        assert await asyncio.wait_for(process.wait(), 20) == 2
        said = (await process.stderr.read()).decode()
    assert "{token}" in said
    assert "Traceback" not in said
