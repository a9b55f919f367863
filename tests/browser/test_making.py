"""Making an app with a file: what goes in, what comes out, and what was made before."""

from __future__ import annotations

import asyncio
import json

import pytest
from playwright.async_api import expect

from tests.browser.accessibility import violations
from tests.browser.steps import (
    ALIKE,
    app_of,
    ask_for,
    ends_as,
    idea_box,
    preview,
    preview_address,
    settled,
    view,
)
from tests.scripted import code, plan
from tests.wire.server import streams

pytestmark = [
    pytest.mark.browser,
    pytest.mark.docker,
    pytest.mark.asyncio(loop_scope="session"),
]

ROWS = "city,people\n" + "".join(f"place {n},{n}\n" for n in range(40))
PAGE = code(
    index_html="""<!doctype html><title>Sum</title><h1>Harbour sums</h1>
<label>Berth <input oninput="said.textContent = 'Berth ' + this.value"></label><p id=said></p>
"""
)
SUMS = code(
    app_py="""import csv
from pathlib import Path

import streamlit as st

people = [int(row["people"]) for row in csv.DictReader(Path("data/cities.csv").open())]
st.title("City sums")
if st.button("Write the sum"):
    Path("results").mkdir(exist_ok=True)
    Path("results/sum.txt").write_text(f"{sum(people)} people")
    st.write("It is written.")
"""
)


def once(text, goes_on):
    """Streams a reply once it may."""

    async def answer(exchange):
        await exchange.head()
        await goes_on.wait()
        await exchange.text(text)
        await exchange.delta("stop")

    return answer


async def test_a_file_goes_in_a_sample_of_it_to_the_model_and_a_result_comes_out(
    vibe_with_model, model, page
):
    checks = ["{name: Sums, steps: [{see: City sums}]}"]
    model.answers[:] = [streams(plan("streamlit", "City sums", checks)), streams(SUMS)]
    await page.goto(vibe_with_model.url)
    file = {"name": "cities.csv", "mimeType": "text/csv", "buffer": ROWS.encode()}
    await page.get_by_role("main").locator("input[type=file]").set_input_files(file)
    await expect(page.get_by_text("cities.csv")).to_be_visible()
    await idea_box(page).fill("Sum the people of my cities")
    await expect(page.get_by_role("button", name="Send message")).to_be_enabled()
    await expect(page.get_by_text("one app may take 1 attempt, 60,000 tokens")).to_be_visible()
    await idea_box(page).press("Enter")
    app = await app_of(page)
    await ends_as(page, "Works")

    for asked in model.asked:
        told = json.dumps(asked.body)
        assert "city (text), people (whole number)" in told
        assert "place 9" in told
        assert "place 10" not in told, "no more than ten rows"
    await preview(page).get_by_role("button", name="Write the sum").click()
    await expect(preview(page).get_by_text("It is written.")).to_be_visible()
    await view(page, "Data")
    await expect(page.get_by_text("CSV table")).to_be_visible()
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download", exact=True).click()
    taken = await (await download.value).path()
    assert taken.read_text() == f"{sum(range(40))} people"
    await view(page, "Preview")
    await page.get_by_role("button", name="Close", exact=True).click()
    await vibe_with_model.boxes_gone(10, app)
    assert [r.name for r in vibe_with_model.archive.results(app)] == ["sum.txt"]


async def test_the_app_is_used_while_its_checks_go_on_and_keeps_what_was_typed(
    vibe_with_model, model, page
):
    waits = [{"see": "Harbour sums"}, {"wait": 9}, {"see": "Harbour sums"}]
    checks = [json.dumps({"name": "Is there", "steps": waits})]
    goes_on = asyncio.Event()
    model.answers[:] = [once(plan("web", "Harbour sums", checks), goes_on), streams(PAGE)]
    await ask_for(page, vibe_with_model, "Numbers for the harbour master")
    await expect(
        page.get_by_text("of 60,000 tokens").or_(page.get_by_text("Waiting"))
    ).to_be_visible()
    goes_on.set()
    await expect(page.get_by_text("its checks go on")).to_be_visible()
    await preview(page).get_by_label("Berth").fill("seven")
    await expect(preview(page).get_by_text("Berth seven")).to_be_visible()
    early = await preview_address(page)
    await expect(page.get_by_role("button", name="Stop")).to_be_visible()
    await ends_as(page, "Works")
    assert await preview_address(page) == early
    await expect(preview(page).get_by_text("Berth seven")).to_be_visible()

    await page.get_by_text("Phone width").click()
    frame = page.get_by_role("main").locator("iframe")
    await expect(frame).to_have_css("width", "390px")
    await settled(page)
    await page.get_by_role("button", name="Full screen").click()
    await expect(page.get_by_role("heading", name="Harbour sums")).to_be_hidden()
    await expect(preview(page).get_by_text("Berth seven")).to_be_visible()
    wide = page.viewport_size["width"]
    await page.get_by_text("Phone width").click()
    await expect(frame).not_to_have_css("width", "390px")
    await settled(page)
    box = await page.get_by_role("main").locator("iframe").bounding_box()
    assert box["width"] > wide * 0.9
    assert box["y"] + box["height"] <= page.viewport_size["height"]
    await expect(preview(page).get_by_text("Berth seven")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("heading", name="Harbour sums")).to_be_visible()
    await expect(preview(page).get_by_text("Berth seven")).to_be_visible()


async def test_what_was_made_before_is_run_without_asking_the_model(vibe_with_model, model, page):
    model.answers[:] = [streams(plan("web", "Moon phases")), streams(PAGE)]
    app = await ask_for(page, vibe_with_model, "Phases of the moon")
    await expect(page.get_by_text("Built in")).to_be_visible(timeout=120_000)
    asked = len(model.asked)
    await page.goto(vibe_with_model.url)
    await idea_box(page).fill("the moon and its phases")
    await idea_box(page).press("Enter")
    await expect(page.get_by_text(ALIKE)).to_be_visible()
    assert len(model.asked) == asked, "nothing is spent until something is chosen"
    for scheme in ("dark", "light"):
        await page.emulate_media(color_scheme=scheme)
        await page.wait_for_timeout(500)
        assert await violations(page) == []
    await page.locator(f".st-key-alike-{app}").get_by_role("button", name="Run it").press("Enter")
    assert await app_of(page) == app
    await expect(preview(page).get_by_role("heading", name="Harbour sums")).to_be_visible()
    assert len(model.asked) == asked


async def test_escape_stops_a_build(vibe_with_model, model, page):
    model.answers[:] = [once(plan("script", "Never"), asyncio.Event())]
    app = await ask_for(page, vibe_with_model, "Wait for the tide")
    await expect(page.get_by_role("button", name="Stop")).to_be_visible()
    await settled(page)
    await page.keyboard.press("Escape")
    await ends_as(page, "Stopped")
    await vibe_with_model.boxes_gone(10, app)
