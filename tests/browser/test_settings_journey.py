"""The Settings page in use: a model tested, a value saved, a box stopped, the disk cleaned up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from playwright.async_api import Page, expect

from tests.browser.steps import settled

pytestmark = [
    pytest.mark.browser,
    pytest.mark.docker,
    pytest.mark.asyncio(loop_scope="session"),
]


async def part(page: Page, name: str) -> None:
    await page.get_by_role("radio", name=name, exact=True).click()
    await settled(page)


async def ready(exchange):
    await exchange.head()
    await exchange.text("ready")
    await exchange.delta(finish="stop")
    usage = {"prompt_tokens": 14, "completion_tokens": 2}
    await exchange.event(object="chat.completion.chunk", model="served", choices=[], usage=usage)
    await exchange.raw(b"data: [DONE]\n\n")


async def refused(exchange):
    await exchange.head(404, "application/json")
    await exchange.raw(b'{"error": {"message": "no such model", "code": "model_not_found"}}')


async def test_models_are_tested_and_days_are_saved(vibe_with_model, model, page):
    await page.goto(f"{vibe_with_model.url}settings")
    await settled(page)
    await part(page, "Models")
    await expect(page.get_by_text("set in the environment. It is never shown")).to_be_visible()
    assert "sk-test" not in await page.content()
    model.answers[:] = [ready]
    await page.get_by_role("button", name="Test plan").click()
    await expect(page.get_by_text(re.compile(r"served answered in .* 14 tokens"))).to_be_visible()
    model.answers[:] = [refused]
    await page.get_by_role("button", name="Test code").click()
    await expect(page.get_by_role("alert").first).to_contain_text("no such model")
    await part(page, "Limits")
    days = page.get_by_role("spinbutton", name="Days until an unused app goes to the trash")
    await days.fill("12")
    await days.press("Tab")
    await page.get_by_role("button", name="Save habits").click()
    await expect(page.get_by_text("Saved. It holds from the next build on.")).to_be_visible()
    await page.reload()
    await expect(days).to_have_value("12")
    file = Path(vibe_with_model.env["VIBE_SETTINGS"])
    assert yaml.safe_load(file.read_text())["expiry_days"] == 12


async def test_a_box_is_seen_with_its_memory_and_stopped(vibe, csv_app, page):
    await page.goto(f"{vibe.url}?app={csv_app}")
    run = page.get_by_role("button", name="Run", exact=True)
    await run.or_(page.get_by_role("button", name="Restart")).first.click()
    await expect(page.get_by_role("main").locator("iframe")).to_be_visible()
    await page.goto(f"{vibe.url}settings?part=Boxes")
    title = vibe.archive.load(csv_app).title
    mine = page.locator("[data-testid=stLayoutWrapper]").filter(
        has=page.get_by_role("link", name=title)
    )
    await expect(
        mine.get_by_text(re.compile(r"runs programs · .*MB of .* · started")).last
    ).to_be_visible()
    await mine.get_by_role("button", name="Stop").last.click()
    await expect(page.get_by_role("link", name=title)).to_have_count(0)
    await vibe.boxes_gone(10, csv_app)


async def test_a_clean_up_says_what_goes_then_moves_it_to_the_trash(vibe, page):
    idea = "xyzzy plugh frobnicate the quux"
    made = await vibe.command("new", idea)
    app_id = made.stdout.split()[0]
    assert made.returncode == 1
    await page.goto(f"{vibe.url}settings?part=Disk")
    await page.get_by_role("button", name="Clean up apps").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("xyzzy", ignore_case=True)
    assert vibe.archive.load(app_id), "nothing has gone yet"
    await dialog.get_by_role("button", name="Move to the trash").click()
    await expect(page.get_by_text(f"{app_id}: in the trash")).to_be_visible()
    assert app_id in [app.id for app in vibe.archive.trash()]
