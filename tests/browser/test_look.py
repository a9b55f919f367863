"""Every screen in light and dark: nothing from other hosts, nothing axe objects to, no sideways
scrolling; and the pictures of the documentation."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, Request, expect

from tests.browser.accessibility import violations
from tests.browser.steps import choose, settled, view
from vibe.settings import ROOT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.docker,
    pytest.mark.asyncio(loop_scope="session"),
]

WIDE = {"width": 1280, "height": 800}
NARROW = {"width": 420, "height": 800}
PARTS = ("Models", "Limits", "Boxes", "Disk", "Where from")
NO_PICTURE = ("app", "view-checks", "view-changes", "gallery-all", "settings-where-from")
"""Other tests take fuller ones, and the last shows folders of this machine."""


async def fits(page: Page) -> None:
    wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{page.url} is {wide} pixels too wide"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_screen_is_whole_readable_and_from_here(
    vibe, log_app, csv_app, open_page, picture, scheme
):
    """Light on a large screen, dark on a small one."""
    page = await open_page(color_scheme=scheme, viewport=WIDE if scheme == "light" else NARROW)
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

    async def look(name: str) -> None:
        await settled(page)
        await expect(page.get_by_role("main")).to_have_text(re.compile(r"\w"))
        await fits(page)
        wrong.extend(await violations(page))
        if scheme == "light" and name not in NO_PICTURE:
            await picture(page, name)

    async def to(path: str, name: str) -> None:
        await page.goto(vibe.url + path)
        await look(name)

    async def dialog(name: str) -> None:
        await expect(page.get_by_role("dialog")).to_be_visible()
        await look(name)
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)

    await to("", "start")
    await to(f"?app={log_app}", "script")
    await to(f"?app={csv_app}", "app")
    for name in ("Checks", "Changes", "Data", "Logs", "Code"):
        await view(page, name)
        await expect(page.get_by_role("radio", name=name, exact=True)).to_be_checked()
        await look(f"view-{name.lower()}")
    await page.get_by_text("Edit", exact=True).click()
    await expect(page.get_by_role("textbox", name="app.py")).to_be_visible()
    await look("view-code-edit")

    await to("gallery", "gallery-all")
    await page.get_by_text("Works", exact=True).first.click()
    await expect(page).to_have_url(re.compile("verdicts=Works"))
    await look("gallery-filtered")
    await page.get_by_role("button", name="Import").click()
    await dialog("import")
    assert (await vibe.command("allow", log_app, "api.example.com")).returncode == 0
    for what in ("Transcript", "Export", "Network"):
        await choose(page, log_app, what)
        await dialog(what.lower())
    assert (await vibe.command("allow", log_app, "--none")).returncode == 0
    await to("gallery?trash=true", "trash")
    await to("settings", "settings")
    for part in PARTS:
        await page.get_by_role("radio", name=part, exact=True).click()
        await expect(page.get_by_role("radio", name=part, exact=True)).to_be_checked()
        await look(f"settings-{part.lower().replace(' ', '-')}")
    assert wrong == []
    assert elsewhere == []


async def test_the_page_about_hesitations_lists_what_is_excused():
    from tests.browser.accessibility import STREAMLITS_OWN

    page = (ROOT / "docs" / "ux-notes.md").read_text("utf-8")
    assert [rule for rule, _ in STREAMLITS_OWN if rule not in page] == []
