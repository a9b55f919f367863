"""The gallery in a real browser: a bundle out and in, many at once, and the end of an app."""

from __future__ import annotations

import re
import zipfile

import pytest
from playwright.async_api import expect

from tests.browser.steps import card, choose, settled

pytestmark = [
    pytest.mark.browser,
    pytest.mark.docker,
    pytest.mark.asyncio(loop_scope="session"),
]


async def test_a_bundle_goes_out_comes_in_and_runs(vibe, log_app, page, tmp_path):
    await page.goto(f"{vibe.url}gallery")
    await choose(page, log_app, "Export")
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Bundle for another Vibe").click()
    path = tmp_path / "taken.vibe"
    await (await download.value).save_as(path)
    with zipfile.ZipFile(path) as bundle:
        assert {"manifest.json", "transcript.html", "code/main.py"} <= set(bundle.namelist())

    await page.goto(f"{vibe.url}gallery")
    before = {app.id for app in vibe.archive.list()}
    await page.get_by_role("button", name="Import").click()
    bad = tmp_path / "bad.vibe"
    bad.write_bytes(path.read_bytes()[:-100])
    chooser = page.get_by_role("dialog").locator("input[type=file]")
    await chooser.set_input_files(bad)
    await expect(page.get_by_text("This bundle can't be imported")).to_be_visible()
    assert {app.id for app in vibe.archive.list()} == before
    await chooser.set_input_files(path)
    await expect(page.get_by_text("New in the gallery")).to_be_visible()
    (came,) = {app.id for app in vibe.archive.list()} - before
    await expect(card(page, came)).to_be_visible()
    await card(page, came).get_by_role("button", name="Run again").click()
    await page.get_by_role("textbox", name="Arguments").fill("--help")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.locator("code").filter(has_text="usage:")).to_be_visible()

    await page.goto(f"{vibe.url}gallery")
    await choose(page, came, "Duplicate")
    await expect(page.get_by_text(re.compile(r"\(copy\)")).first).to_be_visible()
    (copy,) = {app.id for app in vibe.archive.list()} - before - {came}
    await settled(page)
    await page.get_by_text("Select", exact=True).click()
    for app in (came, copy):
        await card(page, app).get_by_text(re.compile("^Select ")).click()
    await expect(page.get_by_text("2 apps selected")).to_be_visible()
    await page.get_by_role("button", name="Discard", exact=True).click()
    await expect(page.get_by_text("Discarded 2 apps")).to_be_visible()
    await vibe.boxes_gone(20, came)
    for app in (came, copy):
        await expect(card(page, app)).to_have_count(0)

    await settled(page)
    await page.get_by_text("Trash", exact=True).click()
    for app in (came, copy):
        row = page.locator(f".st-key-purge-{app}")
        await row.get_by_role("button").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
        receipt = page.get_by_role("dialog").get_by_role("code")
        await expect(receipt).to_contain_text("containers: none was left")
        await expect(receipt).to_contain_text(f"{app}: ")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        assert not list(vibe.gallery.glob(f"**/{app}*"))
