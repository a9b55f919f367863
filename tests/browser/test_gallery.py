"""The gallery in a real browser: a bundle out and in, many at once, and the end of an app."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from tests.browser.conftest import served
from tests.browser.served import Vibe
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
        bundle.extract("transcript.html", tmp_path)
    told = await page.context.new_page()
    await told.set_viewport_size({"width": 420, "height": 800})
    await told.goto((tmp_path / "transcript.html").as_uri())
    await expect(told.get_by_role("heading", name="how it was made")).to_be_visible()
    assert await told.evaluate("document.documentElement.scrollWidth") <= 420
    await told.close()

    await page.goto(f"{vibe.url}gallery")
    before = {app.id for app in vibe.archive.list()}
    await page.get_by_role("searchbox", name="Search").fill("what came is not called so")
    await expect(page.get_by_text("No app matches.")).to_be_visible()
    await settled(page)
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


async def test_apps_nobody_used_expire_unless_kept_and_come_back(page, tmp_path):
    own = Vibe(tmp_path)
    ages = {"kept": 40, "old": 40, "due": 28, "new": 0}
    made = {}
    for name, days in ages.items():
        app = own.archive.create(f"An app that is {name}", kind="script", model="")
        used = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        made[name] = app.id
        own.archive.save(replace(app, status="stopped", used=used, keep=name == "kept"))
    async for vibe in served(own):
        await page.goto(f"{vibe.url}gallery")
        await expect(card(page, made["due"])).to_contain_text("Gone in 2 days unless kept")
        await expect(card(page, made["new"])).to_contain_text("Gone in 30 days unless kept")
        await expect(card(page, made["kept"])).to_contain_text("Don't keep")
        await expect(card(page, made["old"])).to_have_count(0)
        await card(page, made["due"]).get_by_role("button", name="Keep").click()
        await expect(card(page, made["due"])).to_contain_text("Don't keep")
        await settled(page)
        await page.get_by_text("Trash", exact=True).click()
        main = page.get_by_role("main")
        await expect(main.get_by_text("unused for 30 days, expired")).to_be_visible()
        await page.locator(f".st-key-restore-{made['old']}").get_by_role("button").click()
        await expect(main.get_by_text("The trash is empty.")).to_be_visible()
        await page.goto(f"{vibe.url}gallery")
        await expect(card(page, made["old"])).to_contain_text("Gone in 30 days unless kept")


async def test_several_apps_are_discarded_at_once_and_one_undo_takes_it_back(vibe, log_app, page):
    ids = [vibe.archive.duplicate(log_app).id for _ in range(2)]
    await page.goto(f"{vibe.url}gallery?sort=Newest")
    await settled(page)
    await page.get_by_text("Select", exact=True).click()
    for app in ids:
        await card(page, app).get_by_text(re.compile("^Select ")).click()
    await expect(page.get_by_text("2 apps selected")).to_be_visible()
    await page.get_by_role("button", name="Discard", exact=True).click()
    await expect(page.get_by_text("Discarded 2 apps")).to_be_visible()
    await settled(page)
    await page.get_by_role("button", name="Undo").click()
    for app in ids:
        await expect(card(page, app)).to_be_visible()
    assert {app.id for app in vibe.archive.trash()}.isdisjoint(ids)
    for app in ids:
        vibe.archive.discard(app)
