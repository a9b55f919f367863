"""Every screen in light and dark: nothing from other hosts, nothing axe objects to, no sideways
scrolling; and the pictures of the documentation."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, Request, expect

from tests.browser.accessibility import violations
from tests.browser.steps import card, settled
from vibe.settings import ROOT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.docker,
    pytest.mark.asyncio(loop_scope="session"),
]

WIDE = {"width": 1280, "height": 800}
NARROW = {"width": 420, "height": 800}
PARTS = ("Models", "Limits", "Boxes", "Disk", "Where+from")


async def fits(page: Page) -> None:
    wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{page.url} is {wide} pixels too wide"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_screen_is_whole_readable_and_from_here(
    vibe, log_app, csv_app, open_page, picture, scheme
):
    """Light on a large screen, dark on a small one."""
    taking = os.environ.get("VIBE_PICTURES") == "1"
    viewport = WIDE if scheme == "light" or taking else NARROW
    page = await open_page(color_scheme=scheme, viewport=viewport)
    elsewhere: list[str] = []

    def note(request: Request) -> None:
        address = urlsplit(request.url)
        ours = (address.hostname or "").endswith("vibe.localhost") and address.port == vibe.port
        if not ours and address.scheme not in ("data", "blob"):
            elsewhere.append(request.url)

    page.context.on("request", note)
    page.on("websocket", lambda socket: note_socket(socket.url))

    def note_socket(url: str) -> None:
        if not (urlsplit(url).hostname or "").endswith("vibe.localhost"):
            elsewhere.append(url)

    wrong: list[str] = []

    async def look(path: str, name: str = "") -> None:
        await page.goto(vibe.url + path)
        await settled(page)
        await expect(page.get_by_role("main")).to_have_text(re.compile(r"\w"))
        await fits(page)
        wrong.extend(await violations(page))
        if name:
            await picture(page, f"{name}-{scheme}")

    await look("", "start")
    await look(f"?app={log_app}", "script")
    for view in ("Code", "Logs"):
        await look(f"?app={log_app}&view={view}")
    await look(f"?app={csv_app}", "app")
    await look("gallery", "gallery")
    await look("gallery?trash=true")
    await look("settings", "settings")
    for part in PARTS:
        await look(f"settings?part={part}", f"settings-{part.lower().replace('+', '-')}")
    await page.goto(f"{vibe.url}gallery")
    await settled(page)
    await card(page, log_app).get_by_role("button", name="More").click()
    await page.get_by_role("menu").get_by_text("Transcript").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await settled(page)
    await fits(page)
    wrong.extend(await violations(page))
    await picture(page, f"transcript-{scheme}")
    assert wrong == []
    assert elsewhere == []


async def test_the_page_about_hesitations_lists_what_is_excused():
    from tests.browser.accessibility import STREAMLITS_OWN

    page = (ROOT / "docs" / "ux-notes.md").read_text("utf-8")
    assert [rule for rule, _ in STREAMLITS_OWN if rule not in page] == []
