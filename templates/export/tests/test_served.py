"""Starts the app on a free port and does in Chromium what checks.json says, as a person would."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from playwright.async_api import Error, async_playwright
from steps import step
from visit import SCRIPT, Visit

HERE = Path(__file__).resolve().parent
APP = json.loads((HERE / "checks.json").read_text("utf-8"))
START_S = 60
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the app, so that what it writes stays out of the repository."""
    copy = tmp_path_factory.mktemp("app") / "copy"
    away = shutil.ignore_patterns(".git", ".venv", "__pycache__", "results", HERE.name)
    return Path(shutil.copytree(HERE.parent, copy, ignore=away))


@pytest.fixture(scope="module")
def address(folder):
    """Where the app answers, once it does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [part.replace("{port}", str(port)) for part in APP["command"]]
    command[0] = sys.executable if command[0] == "python" else command[0]
    with (folder.parent / "output").open("w+b") as output:
        app = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **APP["env"]},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + START_S
            while not answers(f"http://127.0.0.1:{port}{APP['ready']}"):
                if app.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    pytest.fail(
                        f"It does not start: {output.read()[-3000:].decode(errors='replace')}"
                    )
                time.sleep(0.1)
            yield f"http://localhost:{port}"
        finally:
            app.terminate()
            try:
                app.wait(10)
            except subprocess.TimeoutExpired:
                app.kill()
                app.wait()


def answers(url):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        direct.open(url, timeout=5).close()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
    return True


def attached(folder):
    """The files that a check may upload, by name."""
    found = {}
    for path in sorted((folder / "data").rglob("*")):
        if path.is_file():
            found[path.relative_to(folder / "data").as_posix()] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def trying():
    """Does steps on fresh pages of one Chromium."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)
    arguments = ["--disable-dev-shm-usage"]
    with asyncio.Runner() as runner:
        playwright = runner.run(async_playwright().start())
        browser = runner.run(playwright.chromium.launch(executable_path=found, args=arguments))
        yield lambda *values: runner.run(tried(browser, *values))
        runner.run(browser.close())
        runner.run(playwright.stop())


async def tried(browser, address, files, steps):
    """Does the steps on a fresh page; returns its text, and what went wrong on it meanwhile."""
    context = await browser.new_context(
        viewport={"width": 1280, "height": 800}, reduced_motion="reduce", service_workers="block"
    )
    await context.add_init_script(SCRIPT)
    context.set_default_timeout(5000)
    visit = Visit(context, await context.new_page(), address)
    visit.files = files
    try:
        if not steps or steps[0][0] != "open":
            await visit.open()
        for word, value in steps:
            await step(visit, word, value)
        return [await visit.text(), *visit.errors, *visit.console, *visit.failed]
    except Error as error:
        raise AssertionError(f"{error}\n{visit.errors}") from error
    finally:
        await context.close()


def test_it_opens_without_errors(address, folder, trying):
    text, *faults = trying(address, attached(folder), [])
    assert not faults
    assert isinstance(text, str)


@pytest.mark.parametrize("check", APP["checks"], ids=lambda check: check["name"])
def test_check(check, address, folder, trying):
    trying(address, attached(folder), check["steps"])
