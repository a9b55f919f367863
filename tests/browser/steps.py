"""What a person does on the screens, in words: type an idea, wait for it, open a card's menu."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import FrameLocator, Locator, Page, expect

from tests.browser.served import Vibe

IDEA_BOX = "Describe a small program…"
ALIKE = "You made something like this before"
ENDED = re.compile(
    r"^\w*\s*(Works|Partly works|Broken|Not verified|Failed|Change failed|Stopped|Interrupted)$"
)
"""The words for how an app is when it isn't being built, after the name of their icon."""
BUILT_MS = 120_000
"""How long a build may take where other tests share two processors."""


def idea_box(page: Page) -> Locator:
    return page.get_by_role("textbox", name=IDEA_BOX)


async def ask_for(page: Page, vibe: Vibe, idea: str) -> str:
    """Types an idea and sends it; the app's id, once its page is there."""
    await page.goto(vibe.url)
    await idea_box(page).fill(idea)
    await idea_box(page).press("Enter")
    await begun(page, idea)
    return await app_of(page)


async def begun(page: Page, idea: str) -> None:
    """Waits until an idea that was sent is being made; one that is like an earlier one is sent
    once more, which makes it anew."""
    await page.wait_for_function(
        "text => location.search.includes('app=') || document.body.textContent.includes(text)",
        arg=ALIKE,
    )
    if "app=" not in page.url:
        await settled(page)
        await expect(idea_box(page)).to_have_value(idea)
        await idea_box(page).press("Enter")


async def app_of(page: Page) -> str:
    await page.wait_for_url(re.compile(r"[?&]app="))
    return parse_qs(urlsplit(page.url).query)["app"][0]


async def settled(page: Page) -> None:
    """Waits until Streamlit has drawn the page whole: what it draws anew is there twice before."""
    app = page.get_by_test_id("stApp")
    await expect(app).to_have_attribute("data-test-script-state", "notRunning")


async def ends_as(page: Page, word: str) -> None:
    """Waits for the end of the build, which the word beside the title must tell."""
    status = page.get_by_role("main").get_by_text(ENDED).first
    await expect(status).to_be_visible(timeout=BUILT_MS)
    await expect(status).to_have_text(re.compile(rf"^\w*\s*{word}$"))


async def code_streams(page: Page, piece: str) -> None:
    """Waits for a piece of code on the page while the app is still being built."""
    await page.wait_for_function(
        """piece => [...document.querySelectorAll("code")].some(
             code => code.textContent.toLowerCase().includes(piece)
           ) && document.body.textContent.includes("Building")""",
        arg=piece.lower(),
        polling="raf",
    )


def preview(page: Page) -> FrameLocator:
    return page.frame_locator("iframe[title^='Preview of'], iframe[alt^='Preview of'], main iframe")


async def preview_address(page: Page) -> str:
    frame = page.get_by_role("main").locator("iframe")
    await expect(frame).to_be_visible()
    return str(await frame.get_attribute("src"))


async def view(page: Page, name: str) -> None:
    """Turns the right side to Preview, Run, Code, Changes, Checks, Logs or Data."""
    await page.get_by_role("radio", name=name, exact=True).click()


async def to_gallery(page: Page) -> None:
    await page.get_by_role("link", name="Gallery", exact=True).first.click()
    await expect(page.get_by_role("heading", name="Gallery")).to_be_visible()
    await settled(page)


def card(page: Page, app_id: str) -> Locator:
    """Streamlit marks a container with its key, which is the app's id: titles may be alike."""
    return page.locator(f".st-key-card-{app_id}")


async def choose(page: Page, app_id: str, what: str) -> None:
    """Something from the menu of an app's card."""
    await card(page, app_id).get_by_role("button", name="More").click()
    await page.get_by_role("menu").get_by_text(what).click()
    await settled(page)
