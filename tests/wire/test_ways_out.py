"""Every way out of a page that a browser has: closed in a preview, open without Vibe between."""

import asyncio
import contextlib
import json
import re
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from playwright.async_api import Error, async_playwright
from preview_support import gateway_to, raw_server

PAGE = (Path(__file__).parent.parent / "data" / "ways_out" / "index.html").read_bytes()
TCP = ("preconnect", "turn")
UDP = (
    "transport", "stun", "candidate", "blankstun", "innerstun", "ownstun", "svgstun", "errorstun",
)  # fmt: skip
HEARD_S = 60


class Outside:
    """Servers on this machine's loopback that a page has no business with; which ways led here."""

    def __init__(self, name):
        self.ports = {"name": name}
        self.heard = set()
        self._changed = asyncio.Event()

    def hear(self, way):
        self.heard.add(way)
        self._changed.set()

    async def wait_for(self, ways):
        try:
            async with asyncio.timeout(HEARD_S):
                while not ways <= self.heard:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"nothing came by {sorted(ways - self.heard)}") from None


class Packets(asyncio.DatagramProtocol):
    """Hears any packet as one way."""

    def __init__(self, listener, way):
        self._listener, self._way = listener, way

    def datagram_received(self, data, sender):
        self._listener.hear(self._way)


@contextlib.asynccontextmanager
async def outside(name):
    it = Outside(name)

    async def asked(reader, writer):
        line = (await reader.readline()).decode("latin-1").split(" ")
        if len(line) < 2:
            return
        it.hear(line[1].strip("/"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n")
        writer.write(b"Access-Control-Allow-Origin: *\r\n\r\n")
        await writer.drain()

    async with contextlib.AsyncExitStack() as stack:
        it.ports["http"] = await stack.enter_async_context(raw_server(asked))
        for way in TCP:

            async def connected(reader, writer, way=way):
                it.hear(way)

            it.ports[way] = await stack.enter_async_context(raw_server(connected))
        for way in UDP:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda way=way: Packets(it, way), local_addr=("127.0.0.1", 0)
            )
            stack.callback(transport.close)
            it.ports[way] = transport.get_extra_info("sockname")[1]
        yield it


async def app(reader, writer):
    """A hostile app: its page, and answers that lead elsewhere by their head."""
    target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
    path, _, query = target.partition("?")
    status, kind, body, extra = "200 OK", "text/html", PAGE, ""
    if path == "/redirect":
        status, extra = "302 Found", f"Location: {unquote(query)}\r\n"
    elif path == "/refreshing":
        extra, body = f"Refresh: 0;url={unquote(query)}\r\n", b"soon elsewhere"
    elif path == "/plain":
        kind, body = "text/plain", b"plain"
    elif path == "/picture.svg":
        kind, body = "image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    elif path == "/broken":
        status, body = "777 Nonsense", b""  # in a preview: the gateway's own page
    writer.write(
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"{extra}Connection: close\r\n\r\n".encode()
        + body
    )
    await writer.drain()


@contextlib.asynccontextmanager
async def browsing(chromium, log):
    """A Chromium that writes down whom it looks up and lets WebRTC use the loopback."""
    async with async_playwright() as playwright:
        # Not a private window: that would connect to nothing ahead of time.
        browser = await playwright.chromium.launch_persistent_context(
            log.with_name("profile"),
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--allow-loopback-in-peer-connection",
                f"--log-net-log={log}",
            ],
        )
        try:
            yield browser
        finally:
            await browser.close()


async def try_all(browser, address, ports):
    """Tries every way from the page at `address`, in a tab of its own; the names of the ways."""
    page_address = f"{address}/?{quote(json.dumps(ports))}"
    page = await browser.new_page()
    await page.goto(page_address)
    ways = await page.evaluate("[Object.keys(quiet), Object.keys(alone)]")
    await page.evaluate("ways => Promise.all(ways.map(go)).then(() => 0)", ways[0])
    for way in ways[1]:
        tab = await browser.new_page()
        await tab.goto(page_address)
        # A page that goes elsewhere, or that the browser ends for trying, has no answer to give.
        with contextlib.suppress(Error):
            await tab.evaluate("way => go(way)", way)
    return set(ways[0]) | set(ways[1])


@pytest.mark.browser
async def test_nothing_leaves_a_preview_by_any_way_that_a_browser_has(tmp_path, chromium):
    log = tmp_path / "net.json"
    async with (
        raw_server(app) as port,
        gateway_to(port) as preview,
        outside("preview.leak.test") as silent,
        outside("control.leak.test") as told,
    ):
        async with browsing(chromium, log) as browser:
            ways = await try_all(browser, preview.origin, silent.ports)
            assert len(ways) == 54
            # Without Vibe between, the listener hears of every way, and what was sent before
            # would have been heard by then. Speculation rules it follows only now and then; a
            # look-up is in the browser's own log.
            assert await try_all(browser, f"http://127.0.0.1:{port}", told.ports) == ways
            await told.wait_for(ways - {"lookup", "speculation"})
        assert silent.heard == set()
    looked_up = set(re.findall(r'"host":"(?:\w+://)?([\w.]+)', log.read_text()))
    assert told.ports["name"] in looked_up
    assert silent.ports["name"] not in looked_up
