"""One look at an app: what it shows, what its controls change, what its checks give."""

import asyncio
import base64
import contextlib
import time
from collections import deque
from functools import partial

from controls import use_all
from pictures import DESKTOP, PHONE, Camera
from playwright.async_api import Error
from rehearsal import rehearse
from steps import StepFailed, step
from visit import SCRIPT, WINDOWS, Hangs, Visit, first_line, short

TOGETHER = 3
"""Checks that are tried at once, each on a page of its own."""
LANES = 2
"""Pages in which checks are tried one after the other, where all may share a context: for
Streamlit, whose front end takes half the time in a page that has loaded it before."""
SPARE = 3
"""Fresh contexts that are kept ready between looks."""


class Looks:
    """Makes looks with one browser; contexts for the next are made while nobody waits."""

    def __init__(self, browser):
        self.browser = browser
        self.spare = []
        self.second = {}  # another page of a spare context
        self.closing = set()

    async def context(self):
        context = await self.browser.new_context(
            viewport={"width": DESKTOP[0], "height": DESKTOP[1]},
            reduced_motion="reduce",
            accept_downloads=True,
            service_workers="block",
        )
        await context.add_init_script(SCRIPT)
        context.set_default_timeout(5000)
        return context, await context.new_page()

    async def prepare(self):
        while len(self.spare) < SPARE:
            self.spare.append(await self.context())

    async def rehearse(self, port):
        """Has the pages in which the next look's lanes begin load the front end from that port.
        They are thrown away if this does not come to its end: one that is still on its way to
        somewhere can't be sent elsewhere."""
        context, page = self.spare.pop()
        try:
            second = await context.new_page()
            for each in (page, second):
                await rehearse(each, port)
        except BaseException:
            self.close(context)
            raise
        self.second[context] = second
        self.spare.append((context, page))

    async def visit(self, job, beside=None):
        """A page of its own; beside another's it shares that one's cache, and so its storage."""
        if beside:
            context = beside.context
            page = self.second.pop(context, None) or await context.new_page()
        else:
            context, page = self.spare.pop() if self.spare else await self.context()
        visit = Visit(context, page, f"http://localhost:{job['port']}")
        visit.files = {k: base64.b64decode(v) for k, v in job.get("files", {}).items()}
        return visit

    async def look(self, job):
        """The answer to one job; with `spoiled` the browser is of no further use, and with
        `unreached` the app's page never came, which may be the browser's fault."""
        deadline = time.monotonic() + job["seconds"] - 5
        result = {"checks": [], "controls": [], "seconds": {}}
        visit = await self.visit(job)
        try:
            async with asyncio.timeout(job["seconds"]):
                await self._look(job, visit, result, deadline)
        except Hangs as hangs:
            result |= {"fault": str(hangs), "spoiled": True}
        except TimeoutError:
            fault = f"it was not done with after {job['seconds']:.0f} seconds"
            result |= {"fault": fault, "spoiled": True}
        except Error as error:
            result |= {"fault": self._why(visit, error), "spoiled": True}
        for name in ("console", "errors", "failed", "notes"):
            result[name] = getattr(visit, name)
        if visit.windows > WINDOWS:
            result["spoiled"] = True
        result["unreached"] = not visit.loads
        self.second.pop(visit.context, None)
        self.close(visit.context)
        return result

    def close(self, what):
        """Closes a page or a context while nobody waits for it."""

        async def closing():
            with contextlib.suppress(Error, TimeoutError):
                async with asyncio.timeout(10):
                    await what.close()

        task = asyncio.ensure_future(closing())
        self.closing.add(task)
        task.add_done_callback(self.closing.discard)

    def _why(self, visit, error):
        if visit.crashed:
            return "it uses more memory than a page may, and crashes"
        if visit.loads > 10:
            return "it keeps loading itself anew"
        if visit.loads and not visit.page.url.startswith(visit.base):
            return f"it leaves for {short(visit.page.url, 100)}"
        return first_line(error)

    async def _look(self, job, visit, result, deadline):
        since = time.monotonic()
        await visit.open()
        result |= await visit.ask("overview")
        if not visit.page.url.startswith(visit.base + "/"):
            raise Error("gone")
        async with Camera(visit.page) as camera:
            words = partial(visit.ask, "words")
            result["blank"] = await visit.within(camera.blank(words))
            if result["blank"]:
                await asyncio.sleep(1.0)  # it may be fading in
                result["blank"] = await visit.within(camera.blank(words))
                result |= await visit.ask("overview")
            result["desktop"] = await visit.within(camera.taken(DESKTOP))
        result["seconds"]["open"] = round(time.monotonic() - since, 3)
        if result["blank"]:
            return
        tried = {}
        waiting = deque(enumerate(job["checks"]))
        # Opening a page is what costs most with Streamlit, so its first check has the open one.
        mine = [waiting.popleft()] if job["shared"] and waiting else []
        if job["shared"]:
            lanes = [self._shared_lane(job, waiting, tried, visit, None) for _ in range(LANES - 1)]
        else:
            many = 1 if job["alone"] else TOGETHER
            lanes = [self._lane(job, waiting, tried, visit) for _ in range(many)]
        checking = [asyncio.ensure_future(lane) for lane in lanes]
        try:
            if job["alone"]:  # using the controls would change what the checks see
                await asyncio.gather(*checking)
            await self._phone(visit, result)
            for number, check in mine:
                tried[number] = await self.check(check, visit, fresh=True)
            used = time.monotonic()
            budget = min(deadline, used + job["control_seconds"])
            result["controls"] = await use_all(visit, budget)
            result["seconds"]["controls"] = round(time.monotonic() - used, 3)
            if job["shared"]:
                await self._shared_lane(job, waiting, tried, visit, visit)
            await asyncio.gather(*checking)
            result["checks"] = [tried[number] for number in sorted(tried)]
            took = enumerate(result["checks"], 1)
            result["seconds"] |= {f"check {at}": check["seconds"] for at, check in took}
            result["seconds"]["all"] = round(time.monotonic() - since, 3)
        finally:
            for task in checking:
                task.cancel()
            await asyncio.gather(*checking, return_exceptions=True)

    async def _lane(self, job, waiting, tried, seen):
        """Tries checks while there are any, each in a context of its own, so that none depends on
        what another left behind."""
        while waiting:
            number, check = waiting.popleft()
            visit = await self.visit(job)
            try:
                tried[number] = await self.check(check, visit)
            finally:
                seen.add_all(visit)
                self.close(visit.context)

    async def _shared_lane(self, job, waiting, tried, seen, visit):
        """The same in one page that is loaded anew for each, in the context of what was `seen`:
        with Streamlit what a visitor leaves behind is in the session, which ends with that."""
        while waiting:
            number, check = waiting.popleft()
            if visit is None or visit.hung or visit.crashed:
                visit = await self.visit(job, seen)
            tried[number] = await self.check(check, visit)
            seen.add_all(visit)

    async def _phone(self, visit, result):
        """The page as it looks on a phone."""
        since = time.monotonic()
        async with Camera(visit.page) as camera:
            await visit.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
            await visit.settle(60, 400)
            result["phone"] = await visit.within(camera.taken(PHONE))
            result["width"] = await visit.ask("width")
            await visit.page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        await visit.settle(30, 200)
        result["seconds"]["phone"] = round(time.monotonic() - since, 3)

    async def _steps(self, visit, check, fresh, done, showed):
        """Does a check's steps, noting each before it is done and what it showed after; gives why
        one failed, or nothing."""
        try:
            if not fresh:
                await visit.anew()
                if not check["steps"] or check["steps"][0][0] != "open":
                    await visit.open()
            for word, value in check["steps"]:
                done.append(f"{word}: {value}")
                showed.append(await step(visit, word, value))
        except StepFailed as failure:
            return str(failure)
        except Hangs as hangs:
            visit.hung = True
            return f"the page hangs: {hangs}"
        except Error as error:
            return self._why(visit, error)
        except (ValueError, KeyError, TypeError) as error:
            return f"the step can't be read: {error}"
        return ""

    async def _small(self, visit):
        """The page as a check leaves it; None when it can't be taken, which is no fault."""
        with contextlib.suppress(Error, TimeoutError):
            async with asyncio.timeout(3), Camera(visit.page) as camera:
                return await camera.small()
        return None

    async def check(self, check, visit, fresh=False):
        """How one check goes; `fresh` says that the app is open in the page and was not used."""
        since = time.monotonic()
        done, showed = [], []
        why, picture = await self._steps(visit, check, fresh, done, showed), None
        if not visit.hung:
            picture = await self._small(visit)
        return {
            "name": check["name"],
            "passed": not why,
            "steps": done,
            "why": why[:1200],
            "seen": showed,
            "picture": picture,
            "seconds": round(time.monotonic() - since, 3),
        }
