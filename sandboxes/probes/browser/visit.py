"""One page of the app in Chromium, with everything that goes wrong in it on record."""

import asyncio
import contextlib
import json
import re
from pathlib import Path

from playwright.async_api import Error

MOST = 20
"""Entries of each record."""
TEXT = 600
"""Characters of an entry."""
ANSWER_S = 12.0
"""A page that answers nothing for so long hangs; generous, since machines may be busy."""
WINDOWS = 5
"""A page that opens more windows than these may leave some behind when it is closed."""
MARK = "\u0001vibe "
"""What page.js puts before what it tells."""
SCRIPT = (Path(__file__).parent / "page.js").read_text("utf-8")
TYPED = "Seven"
"""What the driver types where it has nothing better; a page that finds no such thing is right."""
HINDRANCES = {
    "intercepts pointer events": "{thing} lies over it",
    "element is not stable": "it does not stand still",
    "element is not visible": "it can't be seen",
    "element is not enabled": "it is disabled",
    "element is outside of the viewport": "it lies outside of the window",
}
"""What Playwright's log says of an element that can't be used, and what the report says."""
REFUSALS = (400, 401, 403, 409, 410, 411, 412, 413, 415, 422, 429)
"""What a server may rightly answer to input that makes no sense."""


class Hangs(Exception):
    """The page answers no more; its browser is of no further use."""


def short(text, most=TEXT):
    return str(text).strip()[:most]


def first_line(error):
    """What Playwright says, in a line: of a wait that was in vain, what it waited for."""
    first, *log = str(error).splitlines() or [""]
    if "Timeout" in first:
        for line in reversed(log):
            for mark, sentence in HINDRANCES.items():
                if mark in line:
                    thing = line.strip(" -").removesuffix(mark).removesuffix(" subtree ").strip()
                    return short(sentence.format(thing=short(thing, 120)), 200)
    return short(first.removeprefix("ElementHandle."))


class Visit:
    """A page, its records, and the few questions that it is asked."""

    def __init__(self, context, page, base):
        self.context, self.page, self.base = context, page, base
        self.console, self.errors, self.failed, self.notes = [], [], [], []
        self.said, self.downloads = [], []
        self.asked_for = set()  # pages that a check opens, maybe to see that they are not there
        self.files = {}
        self.crashed = self.hung = False
        self.loads = 0
        self.windows = 0
        self.choosers = 0
        self.streamlit = False
        page.on("console", self._console)
        page.on("response", self._response)
        page.on("requestfailed", self._request_failed)
        page.on("dialog", lambda dialog: asyncio.ensure_future(self._accept(dialog)))
        page.on("download", lambda download: asyncio.ensure_future(self._download(download)))
        page.on("filechooser", self._chooser)
        page.on("popup", lambda other: asyncio.ensure_future(self._popup(other)))
        page.on("crash", self._crash)
        page.on("framenavigated", self._navigated)

    def add(self, where, what):
        if len(where) < MOST and what not in where:
            where.append(what)

    def add_all(self, other):
        """Takes over what went wrong in another page of the same app."""
        for name in ("console", "errors", "failed", "notes"):
            for item in getattr(other, name):
                self.add(getattr(self, name), item)

    def _console(self, message):
        text = message.text
        if text.startswith(MARK):
            with contextlib.suppress(ValueError):
                self._told(json.loads(text.removeprefix(MARK)))
            return
        if message.type != "error" or len(self.console) >= MOST:
            return
        url = (message.location or {}).get("url", "")
        if "favicon" in text + url or "/_stcore/" in url or "Download Button source" in text:
            return
        if text.startswith("Failed to load resource"):
            return  # told as a failed request, with its address
        line = (message.location or {}).get("lineNumber", 0)
        where = f"\n{self.place(url, line + 1)}" if line and url.startswith(self.base) else ""
        self.add(self.console, short(self.places(text)) + where)

    def _told(self, told):
        if told["kind"] == "dialog":
            self.add(self.said, short(told["text"]))
            self.add(self.notes, f"a dialog said: {short(told['text'])}")
            return
        text = short(told["text"])
        frames = [line for line in self.places(told["stack"]).splitlines() if 'File "' in line]
        if not frames and told["line"] and str(told["url"]).startswith(self.base):
            frames = [self.place(told["url"], told["line"])]
        # Innermost last, as in Python, so that one reading of reports serves both
        self.add(self.errors, "\n".join([text, *reversed(frames[:4])]))

    def place(self, url, line, name=""):
        """A line of the app in the form of Python's tracebacks."""
        path = url.removeprefix(self.base).split("?")[0].lstrip("/") or "index.html"
        return f'  File "{path}", line {line}' + (f", in {name}" if name else "")

    def places(self, stack):
        """A JavaScript stack with its frames in the form of Python's."""
        return re.sub(
            r"^\s*at (?:(?:async )?([\w.$<> ]+) \()?("
            + re.escape(self.base)
            + r"[^\s)]*?):(\d+):\d+\)?$",
            lambda m: self.place(m[2], m[3], m[1] or ""),
            str(stack),
            flags=re.M,
        )

    def _response(self, response):
        status = response.status
        if status < 400 or "/_stcore/" in response.url or "favicon" in response.url:
            return
        if "/media/" in response.url and self.streamlit:
            return  # a download that a later run of the script has replaced
        kind = response.request.resource_type
        asked = kind in ("fetch", "xhr", "document")
        if asked and (status in REFUSALS or (status == 404 and TYPED in response.url)):
            return
        path = response.url.removeprefix(self.base)
        if status == 404 and kind == "document" and path in self.asked_for:
            return
        self.add(self.failed, f"{status} {short(path)}")

    def _request_failed(self, request):
        if "favicon" in request.url or request.failure == "net::ERR_ABORTED":
            return
        if not request.url.startswith((self.base, "blob:", "data:")):
            self.add(self.failed, f"no network in the box: {short(request.url)}")
        elif "/_stcore/" not in request.url:
            self.add(self.failed, f"{request.failure} {short(request.url.removeprefix(self.base))}")

    async def _accept(self, dialog):
        with contextlib.suppress(Error):
            await dialog.accept()

    async def _download(self, download):
        """Its name is all that is wanted; what it holds would only fill the box."""
        if len(self.downloads) < 50:
            self.downloads.append(download.suggested_filename)
        with contextlib.suppress(Error):
            await download.cancel()

    async def _popup(self, other):
        self.windows += 1
        self.add(self.notes, f"it opened another window: {short(other.url)}")
        with contextlib.suppress(Error):
            await other.close()

    def _chooser(self, _):
        """A button that asks for a file does something, though the page stays as it is."""
        self.choosers += 1

    def _crash(self, _):
        self.crashed = True

    def _navigated(self, frame):
        if frame == self.page.main_frame:
            self.loads += 1

    def heard(self):
        """How much the page has done that does not show in it."""
        return len(self.downloads) + len(self.notes) + self.choosers

    # Asking the page

    async def within(self, coroutine, seconds=ANSWER_S):
        try:
            async with asyncio.timeout(seconds):
                return await coroutine
        except TimeoutError:
            if self.crashed:
                raise Error("Page crashed") from None
            raise Hangs(f"it does not answer for {seconds:.0f} seconds") from None

    async def ask(self, call, *values):
        """What a function of page.js gives."""
        code = "([name, values]) => window[Symbol.for('vibe')][name](...values)"
        return await self.within(self.page.evaluate(code, [call, list(values)]))

    async def find(self, call, *values):
        """The element that a function of page.js finds, or None."""
        code = "([name, values]) => window[Symbol.for('vibe')][name](...values)"
        handle = await self.within(self.page.evaluate_handle(code, [call, list(values)]))
        return handle.as_element()

    async def settle(self, still=50, most=400):
        """Until the page has come to rest; for Streamlit until its script has run."""
        with contextlib.suppress(Error):
            await self.ask("quiet", 150 if self.streamlit else still, most)

    async def anew(self):
        """Forgets what an earlier use of this page left in it, before the app is opened again."""
        self.said.clear()
        self.asked_for.clear()
        if self.loads:
            with contextlib.suppress(Error):
                await self.within(self.page.evaluate("sessionStorage.clear()"))

    async def open(self, path="/"):
        try:
            # "commit" first, since a page that hangs while it loads is told apart from a slow one
            answer = await self.page.goto(self.base + path, wait_until="commit", timeout=15000)
            await self.page.wait_for_load_state("load", timeout=15000)
        except Error as error:
            if "Timeout" in str(error):
                raise Hangs("it does not finish loading in 15 seconds") from None
            raise
        if answer and "_stcore" not in path:
            self.streamlit = await self.page.title() == "Streamlit" or bool(
                await self.page.locator("[data-testid=stApp]").count()
            )
        if self.streamlit:
            rest = "[data-testid=stApp][data-test-script-state=notRunning]"
            try:
                await self.page.wait_for_selector(rest, timeout=20000)
            except Error as error:
                if "Timeout" in str(error):
                    raise Hangs("its script still runs after 20 seconds") from None
                raise
            # Streamlit gets the code of its widgets when they first come; a picture waits for it
            with contextlib.suppress(Error):
                grey = "[data-testid=stSkeleton]"
                await self.page.wait_for_selector(grey, state="detached", timeout=4000)
        await self.settle()

    async def text(self):
        return await self.ask("text")
