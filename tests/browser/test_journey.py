"""From a sentence to an app that is used, kept, exported and thrown away, in a real browser."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest
from playwright.async_api import expect

from tests.browser.steps import (
    app_of,
    ask_for,
    card,
    choose,
    ends_as,
    idea_box,
    preview,
    preview_address,
    settled,
    to_gallery,
    view,
)
from vibe.app import Verdict

pytestmark = [
    pytest.mark.browser,
    pytest.mark.docker,
    pytest.mark.asyncio(loop_scope="session"),
]

TIP = "A tip calculator for 4 people with an 18% tip, in euros"
LOG = "2025-03-01 08:00:00 ERROR disk is full\n2025-03-01 08:00:01 INFO all is well\n"
TABLE = "city,people\nAarhus,290\nOdense,180\nRibe,8\n"


async def test_an_idea_becomes_an_app_that_is_used_rerun_and_thrown_away(vibe, page, picture):
    app = await ask_for(page, vibe, TIP)
    await page.reload()
    await expect(page.get_by_role("button", name="Stop")).to_be_visible()
    other = await page.context.new_page()
    await other.goto(page.url)
    await expect(other.get_by_role("heading", name=TIP)).to_be_visible()
    for tab in (page, other):
        await ends_as(tab, "Works")
        await expect(tab.get_by_role("heading", name="Tip calculator")).to_be_visible()
        await expect(preview(tab).get_by_label("Bill")).to_be_visible()
    assert len(vibe.archive.load(app).revisions) == 1, "the reload began nothing anew"
    await other.close()

    await preview(page).get_by_label("Bill").fill("120")
    await expect(preview(page).get_by_text("€35.40")).to_be_visible()
    await preview(page).get_by_role("button", name="20 %").click()
    await expect(preview(page).get_by_text("€36.00")).to_be_visible()
    frame = page.get_by_role("main").locator("iframe")
    await expect(frame).to_have_css("background-color", "rgb(255, 255, 255)")
    await picture(page, "build")

    await view(page, "Checks")
    await expect(page.get_by_text("3 of 3 checks passed.")).to_be_visible()
    shot = page.get_by_role("img", name=re.compile("at the end of “Splits the bill"))
    await expect(shot).to_be_visible()
    assert await shot.evaluate("image => image.decode().then(() => image.naturalWidth)") == 480
    await picture(page, "checks")
    await view(page, "Preview")

    first = await preview_address(page)
    await page.get_by_role("button", name="Close", exact=True).click()
    await expect(page.get_by_text("The app is not running.")).to_be_visible()
    await vibe.boxes_gone(10, app)

    await to_gallery(page)
    search = page.get_by_role("searchbox").or_(page.get_by_role("textbox", name="Search"))
    await search.fill("zebra crossing")
    await expect(page.get_by_text("No app matches.")).to_be_visible()
    await search.fill("calculator euros")
    await expect(card(page, app)).to_be_visible()
    await card(page, app).get_by_role("button", name="Run again").click()
    assert await app_of(page) == app
    await preview(page).get_by_label("Bill").fill("50")
    await expect(preview(page).get_by_text("€14.75")).to_be_visible()
    assert await preview_address(page) != first, "a new box has an address of its own"
    assert len(vibe.boxes(app)) == 1

    await to_gallery(page)
    await choose(page, app, "Discard")
    await expect(page.get_by_text("Discarded 'Tip calculator'")).to_be_visible()
    await vibe.boxes_gone(10, app)
    await page.get_by_role("button", name="Undo").click()
    await expect(card(page, app)).to_be_visible()
    await choose(page, app, "Discard")
    await expect(card(page, app)).to_have_count(0)

    await settled(page)
    await page.get_by_text("Trash", exact=True).click()
    await page.get_by_role("button", name="Delete for good").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_text("will be gone")).to_be_visible()
    await dialog.get_by_role("button", name="Delete for good").click()
    await expect(page.get_by_role("dialog").get_by_text("'Tip calculator' is gone")).to_be_visible()
    receipt = page.get_by_role("dialog").get_by_role("code")
    await expect(receipt).to_contain_text(f"{app}: ")
    await expect(receipt).to_contain_text("gone for good")
    assert not list(vibe.gallery.glob(f"**/{app}*"))


async def test_what_is_exported_runs_without_vibe(vibe, page, log_app, tmp_path):
    await page.goto(f"{vibe.url}gallery")
    await choose(page, log_app, "Export")
    async with page.expect_download() as download:
        await page.get_by_role("dialog").get_by_role("button", name="Zip").click()
    taken = await (await download.value).path()
    unpacked, log = tmp_path / "unpacked", tmp_path / "app.log"
    with zipfile.ZipFile(taken) as bundle:
        bundle.extractall(unpacked)
    log.write_text(LOG)
    assert {"main.py", "README.md", "TRANSCRIPT.md", "events.jsonl"} <= {
        path.name for path in unpacked.iterdir()
    }
    ran = subprocess.run(
        [sys.executable, "-I", "main.py", str(log)], cwd=unpacked, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert "disk is full" in ran.stdout

    folder = tmp_path / "as-git"
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("textbox", name="Folder for a git repository").fill(str(folder))
    await dialog.get_by_role("button", name="Write git repository").click()
    await expect(dialog.get_by_text("Written to")).to_be_visible()
    history = git(folder, "log", "--format=%s")
    assert "log inspector" in history.lower()
    assert git(folder, "tag") == "r1"
    assert git(folder, "status", "--porcelain") == ""
    assert (folder / "main.py").read_bytes() == (unpacked / "main.py").read_bytes()

    await dialog.get_by_role("button", name="Write git repository").click()
    await expect(dialog.get_by_text("is not empty")).to_be_visible()


async def test_what_nobody_has_seen_work_is_checked_again_with_a_click(vibe, page, log_app):
    unseen = Verdict("unverified", "It runs. Nobody has looked at what it does yet.")
    copy = vibe.archive.duplicate(log_app)
    vibe.archive.save(replace(vibe.archive.load(copy.id), verdict=unseen))
    await page.goto(f"{vibe.url}?app={copy.id}")
    await ends_as(page, "Not verified")
    await page.get_by_role("button", name="Check again").click()
    await ends_as(page, "Works")
    await expect(page.get_by_role("button", name="Check again")).to_have_count(0)
    assert vibe.archive.load(copy.id).verdict.state == "works"


async def test_a_script_runs_with_arguments_and_its_story_can_be_read(vibe, page, log_app):
    await page.goto(f"{vibe.url}?app={log_app}")
    await page.get_by_role("textbox", name="Arguments").fill("--json --top 1")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("ended well")).to_be_visible()
    await expect(page.locator("code").filter(has_text='"counted": 400')).to_be_visible()
    await view(page, "Code")
    await expect(page.locator("code").filter(has_text="argparse")).to_be_visible()

    await to_gallery(page)
    await choose(page, log_app, "Transcript")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_text("What the model was asked and wrote")).to_be_visible()
    async with page.expect_download() as download:
        await dialog.get_by_role("button", name="Markdown").click()
    story = (await (await download.value).path()).read_text("utf-8")
    assert "log inspector" in story.lower()
    assert "argparse" in story


async def test_a_streamlit_app_is_fully_usable_in_its_preview(vibe, csv_app, page):
    await page.goto(f"{vibe.url}gallery")
    await card(page, csv_app).get_by_role("button", name="Run again").click()
    app = preview(page)
    await expect(app.get_by_role("heading", name="CSV explorer")).to_be_visible()

    if await app.get_by_role("button", name="Open sidebar").count():
        await app.get_by_role("button", name="Open sidebar").click()
    await app.locator("input[type=file]").set_input_files(
        {"name": "cities.csv", "mimeType": "text/csv", "buffer": TABLE.encode()}
    )
    await expect(app.get_by_text("cities.csv").first).to_be_visible()
    await expect(app.get_by_text("Rows in all")).to_be_visible()
    search = app.get_by_role("textbox", name="Search in every column")
    await search.fill("Odense")
    await search.press("Enter")
    await expect(app.locator("body")).to_contain_text(
        re.compile(r"Rows shown\s*1\s*Rows in all\s*3")
    )


async def test_an_idea_nothing_fits_is_answered_in_one_sentence_and_kept(vibe, page):
    idea = "Translate whale songs into sonnets"
    app = await ask_for(page, vibe, idea)
    await ends_as(page, "Failed")
    main = page.get_by_role("main")
    sentence = "No starter fits this idea, so writing its code needs a model."
    await expect(main.get_by_text(sentence)).to_have_count(1)
    await expect(main.get_by_text("Connect a model: set OPENAI_API_KEY")).to_be_visible()
    await expect(main.get_by_text(idea).first).to_be_visible()
    await page.get_by_role("button", name="Try again").click()
    await ends_as(page, "Failed")
    await to_gallery(page)
    await expect(card(page, app)).to_be_visible()
    assert vibe.archive.load(app).idea == idea


async def test_an_idea_that_is_too_long_is_refused_and_stays_in_the_box(vibe, page):
    idea = "A tip calculator. " * 1200
    await page.goto(vibe.url)
    await idea_box(page).fill(idea)
    await idea_box(page).press("Enter")
    await expect(page.get_by_text("16,000 are the most")).to_be_visible()
    await expect(idea_box(page)).to_have_value(idea)
    assert "app=" not in page.url


def git(folder, *argv):
    """What git itself says about an exported repository."""
    ran = subprocess.run(
        ["git", "-c", f"safe.directory={folder}", "-C", str(folder), *argv],
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip()
