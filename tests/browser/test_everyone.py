"""The screens for those without a mouse, with a small window, or in the dark."""

from __future__ import annotations

import os
import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.steps import app_of, begun, card, ends_as, idea_box, preview, settled

pytestmark = [
    pytest.mark.browser,
    pytest.mark.docker,
    pytest.mark.asyncio(loop_scope="session"),
]

SHELF = (
    "A tip calculator for 4 people with an 18% tip, in euros",
    "A 25 minute pomodoro timer with a red theme",
    "A snake game with a green theme",
    "A loan dashboard for 200000 over 20 years",
    "A unit converter for lengths",
)
"""What the picture of the gallery shows beside what other tests made."""


async def tab_to(page: Page, wanted: Locator, presses: int = 45) -> None:
    """Presses Tab until that has the focus. Raises AssertionError when it never gets it."""
    for _ in range(presses):
        await page.keyboard.press("Tab")
        if await wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{presses} times Tab did not reach {wanted}")


async def choose_by_arrows(page: Page, name: str) -> None:
    """Walks an open menu to an item and takes it."""
    for _ in range(12):
        current = page.locator("[role=menuitem]:focus, [role=option][aria-selected=true]").or_(
            page.locator("[role=menuitem][data-highlighted], [role=menuitem][data-focused]")
        )
        if await current.count() and name in (await current.first.inner_text()):
            await page.keyboard.press("Enter")
            return
        await page.keyboard.press("ArrowDown")
    raise AssertionError(f"the arrows did not reach {name}")


async def shows_focus(page: Page, focused: Locator) -> None:
    """The element that has the focus looks another way without it."""
    around = await focused.evaluate(
        "e => { const b = e.getBoundingClientRect();"
        " return {x: b.x - 8, y: b.y - 8, width: b.width + 16, height: b.height + 16}; }"
    )
    size = page.viewport_size
    x, y = max(0, around["x"]), max(0, around["y"])
    clip = {
        "x": x,
        "y": y,
        "width": min(around["width"], size["width"] - x),
        "height": min(around["height"], size["height"] - y),
    }
    with_focus = await page.screenshot(clip=clip, animations="disabled")
    await focused.evaluate("e => e.blur()")
    without = await page.screenshot(clip=clip, animations="disabled")
    await focused.evaluate("e => e.focus()")
    assert with_focus != without, f"{focused} doesn't show that it has the focus"


async def test_an_app_is_made_run_discarded_and_brought_back_with_the_keyboard_alone(vibe, page):
    await page.goto(vibe.url)
    await settled(page)
    await tab_to(page, idea_box(page))
    await page.keyboard.type("A log inspector that shows the top 5 messages")
    await page.keyboard.press("Enter")
    await begun(page, "A log inspector that shows the top 5 messages")
    app_id = await app_of(page)
    await ends_as(page, "Works")
    await settled(page)
    await tab_to(page, page.get_by_role("textbox", name="Arguments"))
    await shows_focus(page, page.get_by_role("textbox", name="Arguments"))
    await page.keyboard.type("--help")
    await page.keyboard.press("Enter")
    await expect(page.locator("code").filter(has_text="usage:")).to_be_visible()
    await page.reload()
    await settled(page)
    await tab_to(page, page.get_by_role("link", name="Gallery"))
    await shows_focus(page, page.get_by_role("link", name="Gallery"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Gallery")).to_be_visible()
    await settled(page)
    more = card(page, app_id).get_by_role("button", name="More")
    await tab_to(page, more, presses=200)
    await shows_focus(page, more)
    await page.keyboard.press("Enter")
    discard = page.get_by_role("menu").get_by_text("Discard")
    await expect(discard).to_be_visible()
    await choose_by_arrows(page, "Discard")
    await expect(card(page, app_id)).to_have_count(0)
    await settled(page)
    undo = page.get_by_role("button", name="Undo").first
    await tab_to(page, undo, presses=200)
    await shows_focus(page, undo)
    await page.keyboard.press("Enter")
    await expect(card(page, app_id)).to_be_visible()


async def fits(page: Page) -> None:
    """Nothing sticks out to the side."""
    await settled(page)
    wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{page.url} is {wide} pixels too wide"


async def test_a_window_of_420_pixels_shows_everything(vibe, log_app, csv_app, open_page):
    page = await open_page(viewport={"width": 420, "height": 800}, has_touch=True)
    await page.goto(vibe.url)
    await expect(idea_box(page)).to_be_in_viewport()
    await fits(page)
    await page.goto(f"{vibe.url}gallery")
    await expect(card(page, log_app)).to_be_visible()
    await fits(page)
    box = await card(page, log_app).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 420
    await page.goto(f"{vibe.url}settings")
    await expect(page.get_by_role("heading", name="This machine")).to_be_visible()
    await fits(page)
    await page.goto(f"{vibe.url}?app={log_app}")
    await page.get_by_role("textbox", name="Arguments").fill("--top 1")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("ended well")).to_be_visible()
    await fits(page)
    await page.goto(f"{vibe.url}?app={csv_app}")
    await (
        page.get_by_role("button", name="Run", exact=True)
        .or_(page.get_by_role("button", name="Restart"))
        .first.click()
    )
    await expect(preview(page).get_by_role("heading", name="CSV explorer")).to_be_visible()
    frame = await page.get_by_role("main").locator("iframe").bounding_box()
    assert frame["x"] + frame["width"] <= 420
    await fits(page)
    await page.get_by_role("button", name="Full screen").click()
    await settled(page)
    frame = await page.get_by_role("main").locator("iframe").bounding_box()
    assert frame["y"] + frame["height"] <= 800, "its end can be reached"
    await page.get_by_role("button", name="Leave full screen").click()


CONTRAST = """element => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((c) => {
      c /= 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let behind = element;
  const clear = (e) => (channels(getComputedStyle(e).backgroundColor)[3] ?? 1) === 0;
  while (behind.parentElement && clear(behind)) behind = behind.parentElement;
  const back = light(getComputedStyle(behind).backgroundColor);
  const front = light(getComputedStyle(element).color);
  return [back, (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05)];
}"""
"""How light what is behind a text is (0 to 1), and the contrast: WCAG 2.2, 1.4.3 wants 4.5."""


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_texts_are_readable_in_the_scheme_the_browser_prefers(
    vibe, log_app, open_page, scheme
):
    page = await open_page(color_scheme=scheme)
    for path, texts in {
        "": ("What shall we make?", "One sentence is enough."),
        f"?app={log_app}": ("Log inspector", "Built in", "Works", "Write the code"),
        "gallery": ("Gallery", "Log inspector", "1 revision"),
    }.items():
        await page.goto(vibe.url + path)
        await settled(page)
        for text in texts:
            shown = page.get_by_role("main").get_by_text(text).first
            await expect(shown).to_be_visible()
            behind, contrast = await shown.evaluate(CONTRAST)
            assert (behind < 0.2) == (scheme == "dark"), f"behind {text!r}"
            assert contrast >= 4.5, f"{text!r} has a contrast of {contrast:.1f}"


WORDS = f"""code => {{
  const contrast = {CONTRAST};
  const walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {{
    const around = walker.currentNode.parentElement;
    if (walker.currentNode.textContent.trim() && !around.closest(".linenumber"))
      found.push([walker.currentNode.textContent, contrast(around)[1]]);
  }}
  return found;
}}"""
"""Each piece of a code block's text with its contrast; the numbers of the lines left out."""


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_every_word_of_code_and_of_logs_is_readable(vibe, log_app, open_page, scheme):
    page = await open_page(color_scheme=scheme)
    for name in ("Code", "Logs"):
        await page.goto(f"{vibe.url}?app={log_app}&view={name}")
        await settled(page)
        block = page.get_by_role("main").locator("pre code").last
        await expect(block).to_have_text(re.compile(r"\w"))
        words = await block.evaluate(WORDS)
        assert len(words) > (20 if name == "Code" else 0)
        assert [word for word in words if word[1] < 4.5] == []


async def test_the_gallery_shows_a_picture_of_each_app_with_a_page(
    vibe, log_app, csv_app, page, picture
):
    if os.environ.get("VIBE_PICTURES") == "1":
        for idea in SHELF:
            assert (await vibe.command("new", idea)).returncode == 0
    await page.goto(f"{vibe.url}gallery")
    await settled(page)
    shown = card(page, csv_app).get_by_role("img", name="CSV explorer, works")
    await expect(shown).to_be_visible()
    assert await shown.evaluate("image => image.complete && image.naturalWidth > 300")
    await picture(page, "gallery")
