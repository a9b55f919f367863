"""How a gallery's size shows: start, open, search and memory with 100, 2,000 and 10,000 apps.

The apps are folders as builds leave them (record, transcript, code, picture), written directly.
`start` is the first use by a new process, with the index there; `index` is the time to make it from
nothing. `open` is what the Gallery page asks for to draw its first page; `search` is the slowest of
several queries, from one letter to several words, each answered at its median. `fresh` is an open
right after an app was made. Linux only (memory). Run: `python bench/gallery.py [--quick] [--json]`.

With `--browser`, instead: a real server and a real Chromium over 2,000 apps. `load` is from the
address to the last picture of the first page, `next` from a click on page 2 to its cards, `search`
from typing two words to the count of what was found, `click` from a card's title to the app.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import Image
from playwright.async_api import Page, async_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.ui import spread
from tests.browser.conftest import CHROMIUM_FLAGS
from tests.browser.served import Vibe
from tests.browser.steps import settled
from vibe import events as ev
from vibe.app import App, Revision, Spent, Verdict
from vibe.archive import Archive
from vibe.finding import Wanted
from vibe.record import to_yaml

SIZES = (100, 2_000, 10_000)
QUICK = (100, 1_000)
PAGE = 24
BROWSED = 2_000
TIMES = 15
QUERIES = ("t", "tip", "calc split", "restaurant bill euros", "def main", "zebra", "ulator")
THINGS = ("tip", "loan", "snake", "quiz", "log", "unit", "csv", "poll", "timer", "recipe", "bill")
# fmt: off
WORDS = (
    "calculator", "split", "restaurant", "people", "table", "chart", "total", "country", "euros",
    "button", "player", "score", "board", "colour", "export", "weekly", "average", "inspect",
    "lines", "errors", "filter", "sort", "title", "pictures", "random", "garden",
)
# fmt: on

STARTING = r"""
import re, sys, time
from pathlib import Path
from vibe.archive import Archive
from vibe.finding import Wanted

def peak():
    # Not ru_maxrss: that is the parent's at first.
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])

before = peak()
began = time.perf_counter()
archive = Archive(Path(sys.argv[1]))
archive.recover()
archive.find(Wanted(), most=24)
took = time.perf_counter() - began
print(took, (peak() - before) / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100 and 1,000 apps")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--browser", action="store_true", help="2,000 apps in a real browser")
    arguments = parser.parse_args()
    if arguments.browser:
        print(f"load average {os.getloadavg()[0]:.1f}")
        waits = asyncio.run(in_browser(3 if arguments.quick else 9))
        for name, values in waits.items():
            print(f"{name:<7} median {values['median']} s ({values['least']} to {values['most']})")
        if arguments.json:
            print(json.dumps(waits))
        return
    results = []
    print(f"{'apps':>7} {'index s':>8} {'start s':>8} {'open s':>8} {'search s':>9} "
          f"{'fresh s':>8} {'MB':>6} {'index MB':>9}")  # fmt: skip
    for size in QUICK if arguments.quick else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            result = measured(Path(folder), size)
        results.append(result)
        print(f"{size:>7,} {result['index']:>8.2f} {result['start']:>8.3f} {result['open']:>8.3f} "
              f"{result['search']:>9.3f} {result['fresh']:>8.3f} {result['memory']:>6.1f} "
              f"{result['index_mb']:>9.1f}")  # fmt: skip
    if arguments.json:
        print(json.dumps(results))


def measured(root: Path, size: int) -> dict[str, float]:
    fill(root, size)
    index = _seconds(lambda: Archive(root).find(Wanted(), most=PAGE))
    starts = [_started(root) for _ in range(3)]
    archive = Archive(root)
    archive.find(Wanted(), most=PAGE)
    searches = {
        query: _median(lambda query=query: archive.find(Wanted(words=query), most=PAGE))
        for query in QUERIES
    }
    fresh = []
    for _ in range(3):
        app = archive.create("something new", kind="web", model="m")
        archive.save(replace(app, status="stopped"))
        fresh.append(_seconds(lambda: archive.find(Wanted(), most=PAGE)))
    return {
        "apps": size,
        "index": index,
        "start": statistics.median(start for start, _ in starts),
        "open": _median(lambda: archive.find(Wanted(), most=PAGE)),
        "search": max(searches.values()),
        "slowest": max(searches, key=lambda query: searches[query]),
        "fresh": statistics.median(fresh),
        "memory": statistics.median(memory for _, memory in starts),
        "index_mb": (root / ".index.sqlite").stat().st_size / 2**20,
    }  # fmt: skip


async def in_browser(times: int) -> dict[str, dict[str, float]]:
    """Seconds that a person waits in a gallery of BROWSED apps."""
    waits: dict[str, list[float]] = {"load": [], "next": [], "search": [], "click": []}
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "gallery", BROWSED)
        vibe = Vibe(Path(folder), {"expiry_days": 0})
        await vibe.start()
        try:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
                    args=CHROMIUM_FLAGS,
                )
                for _ in range(times):
                    page = await browser.new_page(reduced_motion="reduce")
                    for name, seconds in (await _visit(page, vibe.url)).items():
                        waits[name].append(seconds)
                    await page.close()
                await browser.close()
        finally:
            await vibe.stop()
    return {name: spread(values) for name, values in waits.items()}


async def _visit(page: Page, url: str) -> dict[str, float]:
    async def until(script: str, began: float) -> float:
        await page.wait_for_function(script, polling="raf", timeout=60_000)
        took = time.perf_counter() - began
        await settled(page)
        return took

    pictures = "[...document.querySelectorAll('[class*=st-key-card-] img')]"
    began = time.perf_counter()
    await page.goto(url + "gallery")
    shown = f"{pictures}.length === {PAGE} && {pictures}.every(image => image.complete)"
    load = await until(shown, began)

    first = await page.evaluate(f"{pictures}[0].alt")
    second = page.get_by_role("button", name="Page 2", exact=True)
    await second.scroll_into_view_if_needed()
    began = time.perf_counter()
    await second.click()
    following = await until(f"{pictures}[0]?.alt !== {json.dumps(first)}", began)

    began = time.perf_counter()
    await page.get_by_role("searchbox", name="Search").fill("restaurant bill")
    search = await until("/^[0-9,]+ apps?\\b/m.test(document.body.innerText)", began)

    began = time.perf_counter()
    await page.locator("[class*=st-key-open-] button").first.click()
    box = """document.querySelector('[placeholder^="Ask for a change"]') !== null"""
    click = await until(box, began)
    return {"load": load, "next": following, "search": search, "click": click}


def fill(root: Path, size: int) -> None:
    """Writes that many apps, alike at every run."""
    picture = io.BytesIO()
    Image.radial_gradient("L").resize((640, 400)).save(picture, "WEBP")
    chance = random.Random(7)
    verdicts = ("works", "works", "works", "partly", "broken", "unverified")
    for number in range(size):
        thing = chance.choice(THINGS)
        idea = f"A {thing} {' '.join(chance.choices(WORDS, k=9))}"
        code = "def main():\n" + "".join(
            f"    {chance.choice(WORDS)}_{line} = {chance.choice(WORDS)!r}\n" for line in range(60)
        )
        day = f"2026-{1 + number % 12:02}-{1 + number % 28:02}T{number % 24:02}:00:00.000Z"
        verdict = Verdict(chance.choice(verdicts), "It was tried.", ("it starts",), ("its sums",))
        app = App(
            id=f"{thing}-{number:06x}",
            title=idea[2:40],
            idea=idea,
            kind=chance.choice(("web", "streamlit", "flask", "script")),
            status="ready",
            model=chance.choice(("small", "large")),
            created=day,
            used=day,
            verdict=verdict,
            revisions=(Revision(1, idea, "0" * 40, 1, verdict, day),),
            spent=Spent(2, 1500, 900, 12.5, 0.002),
            plan={"title": idea[2:40], "summary": idea, "checks": [{"name": "It starts"}] * 4},
        )
        folder = root / app.id
        (folder / "code").mkdir(parents=True)
        (folder / "app.yaml").write_text(to_yaml(app))
        (folder / "code" / "main.py").write_text(code)
        (folder / "thumb.webp").write_bytes(picture.getvalue())
        said = [
            ev.Requested(1, idea, app.kind, "m", "fix"),
            ev.PromptSent("code", "m", [{"role": "user", "content": idea * 20}]),
            ev.ReplyText(f"```python path=main.py\n{code}```\n"),
            ev.RungDone("start", True, "It starts.", "listening", 1.0),
            ev.Finished("ready", "It was tried."),
        ]
        (folder / "events.jsonl").write_text("".join(ev.to_json(event) + "\n" for event in said))


def _started(root: Path) -> tuple[float, float]:
    """Seconds and further MB of a process that opens the gallery for the first time."""
    command = [sys.executable, "-c", STARTING, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    took, memory = done.stdout.split()
    return float(took), float(memory)


def _median(action: Callable[[], object]) -> float:
    action()
    return statistics.median(_seconds(action) for _ in range(TIMES))


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
