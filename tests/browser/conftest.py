"""A real server process with real boxes, and a real Chromium that looks at it.

All of these tests share one event loop, one browser and one server; each has pages of its own.
When one fails, the servers' logs are in its report and its pages are in test-results/."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright, expect

from tests.browser.pictures import save_picture
from tests.browser.served import Vibe
from tests.wire.server import ModelServer

RESULTS = Path("test-results")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE_MS = 30_000
"""How long a page may take to show something: there may be two busy processors."""

opened: list[Vibe] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call):
    report = yield
    if report.failed:
        item.stash[failed] = True
        for vibe in opened:
            report.sections.append((f"server at port {vibe.port}", vibe.tail()))
    return report


failed = pytest.StashKey[bool]()


async def served(vibe: Vibe):
    """Starts it, and at the end wants no box of it left."""
    opened.append(vibe)
    try:
        await vibe.start()
        yield vibe
    finally:
        await vibe.stop()
        opened.remove(vibe)
    await vibe.boxes_gone(10)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vibe(tmp_path_factory):
    """The server, without any model."""
    async for each in served(Vibe(tmp_path_factory.mktemp("vibe"))):
        yield each


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def log_app(vibe):
    """A script in that server's gallery, made by another process."""
    made = await vibe.command("new", "A log inspector that shows the top 5 messages")
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout.split()[0]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def csv_app(vibe):
    """A Streamlit app, likewise."""
    made = await vibe.command("new", "Explore a CSV file, with totals grouped by region")
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout.split()[0]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def model_server():
    async with ModelServer() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def model(model_server):
    """The model that `vibe_with_model` uses: a server whose `answers` a test writes."""
    model_server.answers.clear()
    model_server.asked.clear()
    return model_server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vibe_with_model(tmp_path_factory, model_server):
    """A second server, whose model a test plays. It tries once, so a test writes each reply."""
    folder = tmp_path_factory.mktemp("vibe-with-model")
    settings = {"limits": {"attempts": 1, "start_s": 90, "seconds": 400}}
    env = {"OPENAI_BASE_URL": model_server.url, "OPENAI_API_KEY": "sk-test-0000000000000000"}
    async for each in served(Vibe(folder, settings, **env)):
        yield each


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium):
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser, request):
    """Opens pages, each a person of its own: `await open_page(color_scheme="dark")`."""
    pages: list[Page] = []
    errors: list[str] = []

    async def open_one(**options) -> Page:
        context = await browser.new_context(
            **{
                "viewport": {"width": 1280, "height": 800},
                "color_scheme": "light",
                "locale": "en-US",
                "reduced_motion": "reduce",
                **options,
            }
        )
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        pages.append(page)
        return page

    yield open_one
    if request.node.stash.get(failed, False):
        RESULTS.mkdir(exist_ok=True)
        for number, page in enumerate(pages):
            await page.screenshot(path=RESULTS / f"{request.node.name}-{number}.png")
    for page in pages:
        await page.context.close()
    assert errors == [], "pages threw these"


@pytest_asyncio.fixture(loop_scope="session")
async def page(open_page) -> Page:
    return await open_page()


@pytest.fixture
def picture():
    """Takes the pictures of the documentation, when VIBE_PICTURES=1 asks for them."""
    return save_picture if os.environ.get("VIBE_PICTURES") == "1" else _no_picture


async def _no_picture(page: Page, name: str) -> None:
    pass
