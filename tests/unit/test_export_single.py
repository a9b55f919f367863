"""An app as one file: a script for `uv run`, or a page that needs nothing beside it."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from vibe import cdn
from vibe.app import Revision, Verdict
from vibe.archive import Archive
from vibe.errors import UserError
from vibe.events import now
from vibe.libraries import all_libraries
from vibe.sandbox.images import packages
from vibe.settings import ROOT
from vibe.single import export_file, one_script, single_file

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGJgAQAAAP//AwAABgAFV7+r1AAAAABJRU5E"
    "rkJggg=="
)
"""A PNG picture of one pixel."""
SAYS = b'''#!/usr/bin/env python3
"""Says it."""
from __future__ import annotations
import sys, yaml
print(yaml.dump({"x": sys.argv[1:]}), __doc__)
'''


def kept(archive: Archive, kind: str, code: dict[str, bytes], **data: bytes) -> str:
    named = {name.replace("_", "."): content for name, content in data.items()}
    app = archive.create("An idea", kind=kind, model="m", data=named)
    commit = archive.commit(app.id, code, "attempt", tag="r1")
    verdict = Verdict("works", "It works.")
    revision = Revision(1, "An idea", commit, 1, verdict, now())
    archive.save(replace(app, revisions=(revision,), pins={"packages": packages()}))
    return app.id


def metadata(script: str) -> dict[str, object]:
    """The PEP 723 block, read as the specification says."""
    lines = script[script.index("# /// script\n") :].split("# ///\n")[0].splitlines()[1:]
    return tomllib.loads("\n".join(line[2:] for line in lines))


def uv_run(path: Path, *arguments: str) -> str:
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    environ = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    done = subprocess.run(
        [uv, "run", "--quiet", "--python", sys.executable, path.name, *arguments],
        cwd=path.parent, env=environ, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_script_is_one_file_that_uv_runs_with_its_packages(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "gallery")
    path = export_file(archive, kept(archive, "script", {"main.py": SAYS}), tmp_path / "one.py")
    assert metadata(path.read_text()) == {
        "requires-python": ">=3.11",
        "dependencies": [f"pyyaml=={packages()['pyyaml']}"],
    }
    assert path.read_text().startswith("#!/usr/bin/env python3\n# /// script\n")
    assert uv_run(path, "a", "b") == "x:\n- a\n- b\n Says it.\n"
    with pytest.raises(UserError, match="exists already"):
        export_file(archive, "an-idea", path)


def test_a_script_of_several_files_with_data_is_one_file_too(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "gallery")
    code = {
        "main.py": b"from pathlib import Path\nfrom parts.total import total\n"
        b"print(total(Path('data/n.csv')), Path(__file__).with_name('\xc3\xbc.txt').read_text())\n",
        "parts/total.py": b"def total(path):\n    return sum(map(int, path.read_text().split()))\n",
        "\u00fc.txt": b"hello",
    }
    app_id = kept(archive, "script", code, n_csv=b"1\n41\n")
    (tmp_path / "here").mkdir()
    path = export_file(archive, app_id, tmp_path / "here" / "one.py")
    assert metadata(path.read_text())["dependencies"] == []
    assert uv_run(path) == "42 hello\n"
    (path.parent / "data" / "n.csv").write_text("7")
    assert uv_run(path) == "7 hello\n", "a file that is there already stays"


def test_no_name_of_a_file_gets_out_of_its_quotes() -> None:
    evil = "x'\"\\n;print(1)\U0001f600.txt"
    script = one_script({"main.py": b"print('good')", evil: b""}, "main.py", []).decode()
    space: dict[str, object] = {"__name__": "looked at"}
    exec(compile(script, "one.py", "exec"), space)
    assert set(space["FILES"]) == {"main.py", evil}  # type: ignore[call-overload]


PAGE = b"""<!DOCTYPE html>
<html><head><title>T</title>
<link rel="stylesheet" href="css/a.css">
<link rel=icon href=/dot.png>
<script src="early.js"></script>
<script src="late.js" defer></script>
<script type="module" src="js/main.js"></script>
<script type="module">import {two} from "./js/two.js"; document.body.dataset.inline = two;</script>
<style>h2 { background: url('dot.png') }</style>
</head><body><!-- <script src="early.js"> --><h1 style="background: url(dot.png)">Hello</h1>
<img src="dot.png" alt="a &quot;dot&quot;" srcset="dot.png 2x"><p id=out></p>
<svg width=9 height=9><image href="dot.png" width="9" height="9"/><circle r=3 /></svg>
<a href="https://elsewhere.example/">away</a></body></html>
"""
SITE = {
    "index.html": PAGE,
    "css/a.css": b"@import 'b.css';\nh1 { color: rgb(1, 2, 3); background: url(../dot.png) }",
    "css/b.css": b"body { margin: 7px } /* </style><p>evil */",
    "early.js": b"window.early = '</script><!-- ok';",
    "late.js": b"document.getElementById('out').textContent = window.early;",
    "js/main.js": b"import { two } from './two.js';\ndocument.body.dataset.main = two;\n",
    "js/two.js": b"export { two } from './deep/three.js'",
    "js/deep/three.js": b"export const two = 'three';",
    "dot.png": DOT,
}


@pytest.mark.browser
def test_a_page_is_one_file_with_all_that_it_needs(tmp_path: Path, chromium: str) -> None:
    archive = Archive(tmp_path / "gallery")
    path = export_file(archive, kept(archive, "web", SITE), tmp_path / "page.html")

    async def seen() -> dict[str, object]:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox"]
            )
            page = await browser.new_page()
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url[:60]))
            faults: list[str] = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            await page.goto(path.as_uri())
            await page.wait_for_function("document.body.dataset.main")
            found: dict[str, object] = await page.evaluate(
                """() => ({out: document.getElementById('out').textContent,
                main: document.body.dataset.main, inline: document.body.dataset.inline,
                width: document.querySelector('img').naturalWidth,
                alt: document.querySelector('img').alt,
                color: getComputedStyle(document.querySelector('h1')).color,
                margin: getComputedStyle(document.body).margin,
                evil: document.querySelectorAll('p').length,
                circles: document.querySelectorAll('svg > circle').length})"""
            )
            await browser.close()
            return {**found, "asked": asked, "faults": faults}

    found = asyncio.run(seen())
    assert found.pop("faults") == []
    asked = found.pop("asked")
    assert isinstance(asked, list)
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()[:60]]
    assert found == {
        "out": "</script><!-- ok", "main": "three", "inline": "three", "width": 1,
        "alt": 'a "dot"', "color": "rgb(1, 2, 3)", "margin": "7px", "evil": 1, "circles": 1,
    }  # fmt: skip


THIRTEEN = (ROOT / "tests" / "data" / "thirteen_libraries.html").read_text("utf-8")
"""Loads every library as pages do, each from another host, and says what came of it."""
SAID = (
    "chart.js drawn 1", "d3 42", "three 5", "p5 function 4", "plotly points 2", "leaflet zoom 5",
    "react rendered", "react and htm", "katex 1", "marked bold words", "pico styled", "alpine 42",
)  # fmt: skip


@pytest.mark.browser
def test_every_library_works_from_a_single_file_in_the_place_of_a_cdns(
    tmp_path: Path, chromium: str
) -> None:
    """Led to `vendor/` by the rule that builds have, put into the page, opened from the disk."""
    libraries = all_libraries()
    files, said = cdn.to_vendor({"index.html": THIRTEEN}, libraries)
    assert {library.name for library in libraries} == {line.split()[2] for line in said}
    archive = Archive(tmp_path / "gallery")
    site = {path: text.encode() for path, text in files.items()}
    path = export_file(archive, kept(archive, "web", site), tmp_path / "page.html")

    async def seen() -> tuple[str, list[int], list[str]]:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            page = await browser.new_page()
            faults: list[str] = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            await page.goto(path.as_uri())
            await page.get_by_text("alpine 42").wait_for()
            await page.wait_for_function("document.querySelectorAll('#map img').length == 2")
            widths = "[...document.querySelectorAll('#map img')].map(i => i.naturalWidth)"
            found = await page.inner_text("body"), await page.evaluate(widths), faults
            await browser.close()
            return found

    text, markers, faults = asyncio.run(seen())
    assert faults == []
    assert [words for words in SAID if words not in text] == []
    assert markers == [41, 25], "a marker's shadow and the marker"


def test_what_cannot_be_one_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "gallery")
    circle = {
        "index.html": b'<script type=module src="a.js"></script>',
        "a.js": b'import "./b.js"',
        "b.js": b'import "./a.js"',
    }
    with pytest.raises(UserError, match="in a circle"):
        single_file(archive, kept(archive, "web", circle))
    for kind, code in {"flask": {"app.py": b""}, "web": {"other.html": b""}}.items():
        with pytest.raises(UserError, match="Only web pages, slides and Python scripts"):
            single_file(archive, kept(archive, kind, code))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gallery"]
