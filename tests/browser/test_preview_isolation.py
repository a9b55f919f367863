"""A hostile page that passed every check, and what it can do from where Vibe shows it: nothing."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.steps import ask_for, ends_as, preview, preview_address
from tests.scripted import code, plan
from tests.wire.server import streams

pytestmark = [
    pytest.mark.browser,
    pytest.mark.docker,
    pytest.mark.asyncio(loop_scope="session"),
]

HOSTILE = Path(__file__).parent.parent / "data" / "hostile"


class Listener:
    """Another server on this machine's loopback; which addresses it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.changed = asyncio.Event()

    async def answer(self, reader, writer) -> None:
        line = (await reader.readline()).decode()
        self.asked.append(line.split(" ")[1] if " " in line else "a connection")
        self.changed.set()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n")
        writer.write(b"Content-Type: text/javascript\r\nAccess-Control-Allow-Origin: *\r\n\r\n")
        writer.close()

    async def heard(self, wanted: set[str], seconds: float = 20) -> None:
        """Returns once it was asked for all of these. Raises AssertionError in time."""
        try:
            async with asyncio.timeout(seconds):
                while not wanted <= set(self.asked):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError(f"never asked for {wanted - set(self.asked)}") from None


@asynccontextmanager
async def listening(answer):
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def hostile_files(outside: str, ui: str) -> dict[str, str]:
    return {
        path.name: path.read_text("utf-8").replace("@OUTSIDE@", outside).replace("@UI@", ui)
        for path in HOSTILE.iterdir()
    }


@asynccontextmanager
async def served_plainly(files: dict[str, str]):
    """The same files from an ordinary server, without Vibe between."""

    async def answer(reader, writer) -> None:
        path = (await reader.readline()).decode().split(" ")[1].lstrip("/") or "index.html"
        kind = "text/javascript" if path.endswith(".js") else "text/html"
        body = files.get(path, "").encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        writer.close()

    async with listening(answer) as address:
        yield address


async def test_a_hostile_page_reaches_nothing_from_its_preview(vibe_with_model, model, page):
    listener = Listener()
    async with listening(listener.answer) as outside:
        files = hostile_files(outside, vibe_with_model.url.rstrip("/"))
        reply = code(**{name.replace(".", "_"): content for name, content in files.items()})
        model.answers[:] = [streams(plan("web", "Clock")), streams(reply)]
        await page.context.add_cookies([{"name": "mine", "value": "1", "url": vibe_with_model.url}])
        await ask_for(page, vibe_with_model, "A clock")
        await ends_as(page, "Works")
        await expect(preview(page).get_by_role("heading", name="Clock")).to_be_visible()
        address = await preview_address(page)
        ways = set(re.findall(r"^  (\w+): (?:async )?\(\)", files["index.html"], re.MULTILINE))
        assert len(ways) == 21

        frame = next(frame for frame in page.frames if frame.url.startswith(address.split("?")[0]))
        await frame.wait_for_function("window.found?.done")
        found = await frame.evaluate("found")
        assert "mine" not in found.pop("cookies")
        assert found.pop("done")
        assert len(found) == 6
        assert {what for what, end in found.items() if end != "refused"} == set()
        for link in ("tab", "whole", "link"):
            await preview(page).locator(f"#{link}").click()
        await expect(page.get_by_role("heading", name="Clock")).to_be_visible()
        assert page.url.startswith(vibe_with_model.url)
        assert len(page.context.pages) == 1

        # In a tab of its own, nothing frames the page; its own policy must do.
        tab = await page.context.new_page()
        await tab.goto(f"{address.split('?')[0]}#tab")
        await tab.wait_for_function("window.found?.done")
        in_tab = await tab.evaluate("found")
        assert "mine" not in in_tab["cookies"]
        for what in ("the UI's address", "the UI's socket", "a service worker"):
            assert in_tab[what] == "refused"
        assert len(page.context.pages) == 2

        # The same page from anywhere else gets through every way, so the listener hears well;
        # and by then it would have heard what was sent before.
        async with served_plainly(files) as plainly:
            await tab.goto(f"{plainly}#control")
            await tab.wait_for_function("window.found?.done")
            assert (await tab.evaluate("found"))["a service worker"] == "did: registered"
            await listener.heard({f"/control/{way}" for way in ways})
            await tab.evaluate("document.getElementById('link').click()")
            await listener.heard({"/preview/link"})
        listener.asked.remove("/preview/link")
        expected = ("/control/", "/favicon.ico")
        assert [asked for asked in listener.asked if not asked.startswith(expected)] == []

        # The UI's own page may use what was refused to the preview.
        socket = (
            "new Promise((good, bad) => { const s = new WebSocket(`ws://${location.host}/_stcore"
        )
        socket += "/stream`, 'streamlit'); s.onopen = () => good(true); s.onerror = bad; })"
        assert await page.evaluate(socket)
