"""A page that asks a CDN for a library draws with the one in vendor/, in a box and as an export."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from tests.scripted import ScriptedModel, code, plan
from vibe import libraries, settings
from vibe.app import App
from vibe.events import Fixed, RungDone
from vibe.export import exported_files
from vibe.model import Model
from vibe.sandbox.docker import DockerEngine
from vibe.single import single_file
from vibe.studio import Studio

pytestmark = [pytest.mark.docker, pytest.mark.browser]
HOST = "https://cdn.example"
PAGE = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sum</title>
<link rel="stylesheet" href="{HOST}/npm/@picocss/pico@2/css/pico.min.css" integrity="sha384-x">
<script src="{HOST}/npm/d3@7" crossorigin="anonymous"></script>
<script src="{HOST}/npm/marked/marked.min.js"></script>
<script type="importmap">{{"imports": {{"three": "{HOST}/three@0.160/build/three.module.js",
  "three/addons/": "{HOST}/three@0.160/examples/jsm/"}}}}</script></head><body><main>
<h1>Sum</h1><p id="sum"></p><div id="text"></div><p id="solid"></p></main>
<script>document.getElementById("sum").textContent = "Sum " + d3.sum([1, 2, 39]);
document.getElementById("text").innerHTML = marked.parse("**Bold words**");</script>
<script type="module">import {{ Vector3 }} from "three";
import {{ OrbitControls }} from "three/addons/controls/OrbitControls.js";
document.getElementById("solid").textContent =
  "Length " + new Vector3(3, 4, 0).length() + " " + typeof OrbitControls;</script></body></html>
"""
SEEN = ("Sum 42", "Bold words", "Length 5 function")
"""What the page says only when each library has run."""


class Scripted(Studio):
    """A studio whose one build makes the page above."""

    async def _model(self, app: App, words: str, name: str | None) -> Model:
        steps = ", ".join(f'{{see: "{words}"}}' for words in SEEN)
        checks = [f"{{name: Sums, steps: [{steps}]}}"]
        return ScriptedModel(plan("web", checks=checks), code(index_html=PAGE))


async def test_a_page_from_a_cdn_works_in_a_box_and_as_one_file(
    tmp_path: Path, chromium: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings.load({"VIBE_SETTINGS": "/none"}, gallery=tmp_path / "gallery")
    engine = await DockerEngine.open(gallery=tmp_path / "gallery")
    async with Scripted(chosen, engine) as studio:
        app = await studio.create("a sum with d3")
        await studio.wait(app.id)
        told = list(studio.archive.events(app.id))
        made = studio.archive.load(app.id)
        assert made.verdict is not None
        assert made.verdict.state == "works", [e for e in told if isinstance(e, RungDone)]
        fixed = [event for event in told if isinstance(event, Fixed)]
        assert [event.rule for event in fixed] == ["libraries from vendor"]
        assert "d3 7" in fixed[0].sentence

        # Years later the machine has other libraries, or none: the app goes on with its own.
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another"))
        assert libraries.there() == ()
        again = await studio.check(app.id)
        assert again.verdict is not None
        assert again.verdict.state == "works", again.verdict.sentence
        _, page = single_file(studio.archive, app.id)
        files = exported_files(studio.archive, app.id)
    assert {"vendor/d3/d3.min.js", "vendor/d3/LICENSE", "vendor/manifest.json"} <= set(files)
    (tmp_path / "alone.html").write_bytes(page)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        shown = await browser.new_page()
        await shown.goto((tmp_path / "alone.html").as_uri())
        for words in SEEN:
            await shown.get_by_text(words).wait_for()
        await browser.close()
