"""Uses every control of a page once and tells what that changed."""

import contextlib
import time

from playwright.async_api import Error
from visit import TYPED, Hangs

MOST = 24
SOON_MS, LATE_MS = 200, 700
"""How long a change is waited for at first, and when a control is tried again."""
MIDDLE = """(e, v) => {
  e.value = v || (Number(e.max || 100) + Number(e.min || 0)) / 2 + 1;
  for (const name of ["input", "change"]) e.dispatchEvent(new Event(name, {bubbles: true}));
}"""
NEXT = """(e) => {
  e.selectedIndex = (e.selectedIndex + 1) % e.options.length;
  for (const name of ["input", "change"]) e.dispatchEvent(new Event(name, {bubbles: true}));
}"""
VALUES = {
    "color": "#336699",
    "date": "2024-05-17",
    "time": "10:30",
    "datetime-local": "2024-05-17T10:30",
    "month": "2024-05",
    "week": "2024-W20",
    "range": "",
}
TYPES = {"number": "7", "email": "seven@example.org", "url": "https://example.org/", "tel": "777"}


async def use_all(visit, deadline):
    """Each control with `changed`: True, False, or None for one that could not be used, or was on
    already, as the tab that is open is. What does nothing on a page nobody has used (Pause, Undo)
    may do something by the end, so it gets a second try."""
    found = (await visit.ask("controls"))[:MOST]
    if visit.streamlit:  # AppTest has used all of them, in a tenth of the time; buttons may be dead
        found = [control for control in found if is_button(control) or is_text(control)]
    used = []
    for control in found:
        if time.monotonic() < deadline:
            used.append({**control, "changed": await changes(visit, control, SOON_MS)})
    for control in used:
        if control["changed"] is False and control["on"]:
            control["changed"] = None
        elif control["changed"] is False and is_button(control):
            in_time = time.monotonic() < deadline
            control["changed"] = await changes(visit, control, LATE_MS) if in_time else None
    return used


def is_button(control):
    return control["tag"] in ("button", "summary") or control["type"] in ("button", "submit")


def is_text(control):
    return control["tag"] == "textarea" or control["type"] == "text"


async def changes(visit, control, most):
    """Whether using a control changes the page; None when it can't be used."""
    heard, loads = visit.heard(), visit.loads
    try:
        here = await visit.find("again", control)
        if here is None:
            return None
        await visit.within(use(here, control))
        changed = await visit.ask("changed", most)
    except Error:
        changed = None  # the page is being replaced, or the control is covered, or …
        try:
            with contextlib.suppress(Error):
                await visit.ask("width")
        except Hangs as hangs:
            raise Hangs(f"{hangs} once {control['label']!r} is used") from None
    gone = not visit.page.url.startswith(visit.base + "/")
    if visit.loads > loads or gone:
        with contextlib.suppress(Error):
            if gone:
                await visit.open()
            else:
                await visit.page.wait_for_load_state("load", timeout=8000)
        return True
    return changed or visit.heard() > heard or changed


async def use(here, control):
    tag, kind = control["tag"], control["type"]
    if tag == "select":
        await here.evaluate(NEXT)
    elif kind == "file":
        return
    elif kind in ("checkbox", "radio"):
        await here.evaluate("e => e.click()")
    elif kind in VALUES:
        await here.evaluate(MIDDLE, VALUES[kind])
    elif tag in ("input", "textarea") and kind not in ("button", "submit", "reset", "image"):
        await here.fill(TYPES.get(kind, f"{TYPED} 7"), timeout=1500)
        await here.press("Enter" if tag == "input" else "Control+Enter", timeout=1500)
    else:
        await here.click(timeout=1500)
