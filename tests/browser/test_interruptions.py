"""Builds that are watched, left, stopped and killed on their way, and how they go on."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect

from tests.browser.steps import app_of, ask_for, code_streams, ends_as, view
from tests.scripted import code, plan
from tests.wire.server import streams

pytestmark = [
    pytest.mark.browser,
    pytest.mark.docker,
    pytest.mark.asyncio(loop_scope="session"),
]

PLAN = streams(plan("script", "Greeter", ["{name: Says hello, stdout: '(?i)hello'}"]))
GREETS = code(main_py="print('hello')\nprint('and welcome')")
GREETS_ALOUD = code(main_py="print('HELLO')\nprint('and welcome')")
SLEEPS = code(main_py="import time\nprint('good night', flush=True)\ntime.sleep(60)")


def pauses(text, goes_on):
    """Streams the first 60 characters of a reply, and the rest once it may go on."""

    async def answer(exchange):
        await exchange.head()
        await exchange.text(text[:60])
        await goes_on.wait()
        await exchange.text(text[60:])
        await exchange.delta("stop")

    return answer


def never_ends(text):
    """Streams that much of a reply, then keeps the model's client waiting."""

    async def answer(exchange):
        await exchange.head()
        await exchange.text(text)
        await exchange.left.wait()

    return answer


async def test_code_is_seen_as_it_is_written_after_a_reload_and_in_a_second_tab(
    vibe_with_model, model, page
):
    goes_on = asyncio.Event()
    model.answers[:] = [PLAN, pauses(GREETS, goes_on)]
    app = await ask_for(page, vibe_with_model, "Greet me, and welcome me")
    await code_streams(page, "print('hello')")
    await page.reload()
    await code_streams(page, "print('hello')")
    other = await page.context.new_page()
    await other.goto(page.url)
    await code_streams(other, "print('hello')")
    for tab in (page, other):
        await expect(tab.get_by_role("button", name="Stop")).to_be_visible()
        await expect(tab.locator("code").filter(has_text="and welcome")).to_have_count(0)
    goes_on.set()
    for tab in (page, other):
        await ends_as(tab, "Works")
    assert len(model.asked) == 2, "nothing was built twice"
    assert len(vibe_with_model.archive.load(app).revisions) == 1


async def test_a_build_that_is_stopped_is_resumed_and_then_changed(vibe_with_model, model, page):
    model.answers[:] = [PLAN, never_ends(GREETS[:80]), PLAN, streams(GREETS)]
    app = await ask_for(page, vibe_with_model, "Greet me")
    await code_streams(page, "print('hello')")
    await page.get_by_role("button", name="Stop").click()
    await ends_as(page, "Stopped")
    await asyncio.wait_for(model.asked[-1].left.wait(), 10)
    assert vibe_with_model.boxes(app) == []

    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_text("Built in")).to_be_visible()
    await ends_as(page, "Works")
    assert len(model.asked) == 4

    model.answers += [PLAN, streams(GREETS_ALOUD)]
    box = page.get_by_role("textbox", name="Ask for a change…")
    await box.fill("Greet me aloud")
    await box.press("Enter")
    await expect(page.get_by_text("Change · r2")).to_be_visible()
    await expect(page.get_by_text("Built in")).to_be_visible()
    await view(page, "Changes")
    await expect(page.locator("code").filter(has_text="+print('HELLO')")).to_be_visible()
    await view(page, "Run")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.locator("code").filter(has_text="HELLO\nand welcome")).to_be_visible()


async def test_a_killed_server_leaves_no_box_and_a_build_to_resume(vibe_with_model, model, page):
    model.answers[:] = [PLAN, streams(SLEEPS), PLAN, streams(GREETS)]
    app = await ask_for(page, vibe_with_model, "Greet me at night")
    await view(page, "Logs")
    await expect(page.get_by_text("good night")).to_be_visible()
    assert len(vibe_with_model.boxes(app)) == 1
    await vibe_with_model.kill()
    await vibe_with_model.boxes_gone(30, app)

    await vibe_with_model.start()
    await ends_as(page, "Interrupted")
    assert await app_of(page) == app
    await expect(page.get_by_text("Nothing is lost.")).to_be_visible()
    await expect(page.get_by_text("Greet me at night").first).to_be_visible()
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_text("Built in")).to_be_visible()
    await ends_as(page, "Works")
