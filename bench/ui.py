"""What an open page costs the server, and how soon a page answers a click.

A real server and a real Chromium with several pages at once. Run:
`python bench/ui.py [--pages 20] [--builds 10] [--quick] [--json]`. The cost is the server process's
own processor time (from /proc) while nobody touches the pages, divided by their number; the pages
that watch a build have one whose model writes a word ten times a second. At the end the pages watch
several builds at once, while another page is used. The open pages belong to other people, with
machines of their own: here their browser gets only the processor time that nobody else wants.
Linux only (`chrt` of util-linux).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shlex
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright, expect

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.browser.conftest import CHROMIUM_FLAGS
from tests.browser.served import Vibe
from tests.browser.steps import app_of, idea_box, settled
from tests.wire.server import ModelServer

IDLE_PLACES = {"start": "", "gallery": "gallery", "app": "?app={app}", "settings": "settings"}
SETTLING_S = 5.0
PATIENCE_MS = 120_000


async def slowly(exchange) -> None:
    """A plan that never ends: ten words a second."""
    await exchange.head()
    for number in range(10_000):
        await exchange.text(f"word {number}\n")
        await asyncio.sleep(0.1)


def processor_s(pid: int) -> float:
    """Seconds of processor time the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def opened(browser: Browser, vibe: Vibe, paths: list[str]):
    """Keeps pages open, each a person of its own."""
    contexts = []
    try:
        for path in paths:
            contexts.append(await browser.new_context(reduced_motion="reduce"))
            page = await contexts[-1].new_page()
            await page.goto(vibe.url + path, timeout=PATIENCE_MS)
            await expect(page.get_by_role("main")).to_have_text(
                re.compile(r"\w"), timeout=PATIENCE_MS
            )
        await asyncio.sleep(SETTLING_S)
        yield
    finally:
        for context in contexts:
            await context.close()


async def share(pid: int, over_s: float) -> float:
    """Share of one core that the process uses, in per cent."""
    before, began = processor_s(pid), time.monotonic()
    await asyncio.sleep(over_s)
    return 100 * (processor_s(pid) - before) / (time.monotonic() - began)


async def cost(
    browser: Browser, vibe: Vibe, pid: int, path: str, pages: int, over_s: float
) -> float:
    """Share of one core that a page costs while it is open, in per cent."""
    async with opened(browser, vibe, [path] * pages):
        return await share(pid, over_s) / max(1, pages)


async def begin(page: Page, vibe: Vibe, idea: str) -> str:
    """Starts a build; its app's id."""
    await page.goto(vibe.url)
    await settled(page)
    await idea_box(page).fill(idea)
    await idea_box(page).press("Enter")
    return await app_of(page)


async def crowd(
    browser: Browser, page: Page, vibe: Vibe, pid: int, pages: int, builds: int, times: int
) -> dict[str, object]:
    """Several builds at once, watched by all the pages, while somebody works on another page."""
    apps = [await begin(page, vibe, f"program {n} that takes its time") for n in range(builds)]
    paths = [f"?app={apps[n % builds]}" for n in range(pages)]
    await page.goto("about:blank")
    alone = await share(pid, 5.0)
    async with opened(browser, vibe, paths):
        watched = await share(pid, 10.0)
        stops = [await begin_and_stop(page, vibe) for _ in range(times)]
        screen = [await to_another_screen(page, vibe) for _ in range(times)]
    return {
        "builds": builds,
        "percent_of_a_core_for_the_builds": round(alone, 1),
        "percent_of_a_core_per_page": round((watched - alone) / pages, 2),
        "first_feedback_s": spread([first for first, _ in stops]),
        "stop_s": spread([stop for _, stop in stops]),
        "to_another_screen_s": spread(screen),
    }


async def begin_and_stop(page: Page, vibe: Vibe) -> tuple[float, float]:
    """Seconds from Enter in the idea box to the first sign that something is being made, and from
    Esc to the page that says it was stopped."""
    await page.goto(vibe.url, timeout=PATIENCE_MS)
    await settled(page)
    await idea_box(page).fill("a program that takes its time")
    began = time.perf_counter()
    await idea_box(page).press("Enter")
    await page.wait_for_function(
        "() => /Building|Starting/.test(document.body.textContent)", polling="raf"
    )
    took = time.perf_counter() - began
    await app_of(page)
    await expect(page.get_by_role("button", name="Stop")).to_be_visible()
    await settled(page)
    began = time.perf_counter()
    await page.keyboard.press("Escape")
    await page.wait_for_function(
        "() => [...document.querySelectorAll('button')].some(b => /Resume/.test(b.textContent))",
        polling="raf",
    )
    return took, time.perf_counter() - began


async def to_another_screen(page: Page, vibe: Vibe) -> float:
    """Seconds from a click on Gallery to its heading."""
    await page.goto(vibe.url, timeout=PATIENCE_MS)
    await settled(page)
    began = time.perf_counter()
    await page.get_by_role("link", name="Gallery", exact=True).first.click()
    await page.wait_for_function(
        "() => [...document.querySelectorAll('h1')].some(h => h.textContent === 'Gallery')",
        polling="raf",
    )
    return time.perf_counter() - began


async def measure(pages: int, builds: int, over_s: float, times: int) -> dict[str, object]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
    expect.set_options(timeout=PATIENCE_MS)
    with tempfile.TemporaryDirectory() as folder:
        async with ModelServer(slowly) as server, async_playwright() as playwright:
            settings = {"limits": {"seconds": 3600, "reply_s": 3600}}
            env = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-none"}
            vibe = Vibe(Path(folder), settings, **env)
            await vibe.start()
            pid = vibe.pid
            patient = Path(folder, "patient")
            patient.write_text(f'#!/bin/sh\nexec chrt --idle 0 {shlex.quote(chromium)} "$@"\n')
            patient.chmod(0o755)
            browser, others = [
                await playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
                for path in (chromium, patient)
            ]
            try:
                page = await browser.new_page(reduced_motion="reduce")
                stops = [await begin_and_stop(page, vibe) for _ in range(times)]
                screen = [await to_another_screen(page, vibe) for _ in range(times)]
                app = vibe.archive.list()[0].id
                await page.goto("about:blank")
                costs = {"no page": await cost(others, vibe, pid, "", 0, over_s)}
                for name, path in IDLE_PLACES.items():
                    place = path.format(app=app)
                    costs[name] = await cost(others, vibe, pid, place, pages, over_s)
                app = await begin(page, vibe, "a program that takes its time")
                await page.goto("about:blank")
                costs["building"] = await cost(others, vibe, pid, f"?app={app}", pages, over_s)
                crowded = await crowd(others, page, vibe, pid, pages, builds, times)
            finally:
                await others.close()
                await browser.close()
                await vibe.stop()
    return {
        "pages": pages,
        "seconds": over_s,
        "percent_of_a_core_per_page": {name: round(value, 2) for name, value in costs.items()},
        "first_feedback_s": spread([first for first, _ in stops]),
        "stop_s": spread([stop for _, stop in stops]),
        "to_another_screen_s": spread(screen),
        "crowd": crowded,
    }


def spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
        "n": len(values),
    }


def show_times(found: dict) -> None:
    for name in ("first_feedback_s", "stop_s", "to_another_screen_s"):
        values = found[name]
        print(f"  {name:<20} median {values['median']} s ({values['least']} to {values['most']})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--builds", type=int, default=10, help="builds at once, at the end")
    parser.add_argument("--quick", action="store_true", help="5 pages, 2 builds, 5 s each")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    arguments = parser.parse_args()
    usual = (arguments.pages, arguments.builds, 10.0, 7)
    pages, builds, over_s, times = (5, 2, 5.0, 3) if arguments.quick else usual
    before = os.getloadavg()[0]
    found = asyncio.run(measure(pages, builds, over_s, times))
    print(f"{pages} open pages, {over_s:g} s each; load {before:.1f} to {os.getloadavg()[0]:.1f}")
    for name, value in found["percent_of_a_core_per_page"].items():
        print(f"  {name:<10} {value:6.2f} % of a core per page")
    show_times(found)
    crowded = found["crowd"]
    print(f"{builds} builds at once, and the pages watch them")
    print(f"  the builds {crowded['percent_of_a_core_for_the_builds']:6.1f} % of a core")
    print(f"  watching   {crowded['percent_of_a_core_per_page']:6.2f} % of a core per page")
    show_times(crowded)
    if arguments.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
