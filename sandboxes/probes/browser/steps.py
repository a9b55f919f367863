"""Does the steps of a check as a person would: finds things by what they read, uses them, looks."""

import asyncio
import contextlib
import re
import time

from playwright.async_api import Error
from visit import first_line, short

PATIENCE = 4.0
"""Seconds in which what a step looks for must appear."""
CLICK_MS = 8000
KEYS = {
    "space": "Space",
    "left": "ArrowLeft",
    "right": "ArrowRight",
    "up": "ArrowUp",
    "down": "ArrowDown",
    "enter": "Enter",
    "return": "Enter",
    "esc": "Escape",
    "ctrl": "Control",
}
CHOOSE = """(e, wanted) => {
  const fold = (text) => String(text).replace(/\\s+/g, " ").trim().toLowerCase();
  const options = [...e.options];
  const found = options.find((o) => [fold(o.text), fold(o.value)].includes(fold(wanted)))
    || options.find((o) => fold(o.text).includes(fold(wanted)));
  if (!found) return options.map((o) => o.text).slice(0, 12);
  e.value = found.value;
  for (const name of ["input", "change"]) e.dispatchEvent(new Event(name, {bubbles: true}));
  return null;
}"""
SET_VALUE = """(e, value) => {
  const proto = Object.getPrototypeOf(e);
  Object.getOwnPropertyDescriptor(proto, "value").set.call(e, value);
  for (const name of ["input", "change"]) e.dispatchEvent(new Event(name, {bubbles: true}));
}"""

FRAMES = """new Promise((done) => {
  setTimeout(done, 400);  // a page that draws nothing has no frames
  setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 60);
})"""


class StepFailed(Exception):
    """One step of a check did not hold; the message says what was expected and seen."""


def folded(text):
    """Text as `see` compares it: one kind of space, no case, no thousands separators."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", str(text))
    text = text.replace("\u2019", "'").replace("\u2212", "-").replace("\u00a0", " ")
    return re.sub(r"\s+", " ", text).strip().casefold()


def shows(wanted, text):
    """Whether a text is in a page's. A number must be the whole number, sign included: 5 is not
    seen in 15, nor in -5; decimals and times may go on (34.5 in 34.50)."""
    wanted, text = folded(wanted), folded(text)
    before = r"(?<!\d)(?<!\d\.)(?<![^\w)]-)(?<!^-)" if wanted[:1].isdigit() else ""
    after = r"(?!\d)" if re.search(r"(?:^|\s)\d+$", wanted) else ""
    return re.search(before + re.escape(wanted) + after, text) is not None


def near(wanted, text):
    """The part of a page's text that is most like what was wanted, for the report."""
    words = set(re.findall(r"\w+", folded(wanted)))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    best = sorted(lines, key=lambda line: -len(words & set(re.findall(r"\w+", folded(line)))))[:3]
    shown = best if best and words & set(re.findall(r"\w+", folded(best[0]))) else lines[:6]
    return " / ".join(short(line, 120) for line in dict.fromkeys(shown)) or "nothing"


async def step(visit, word, value):
    """Does one step and gives what it showed. Raises StepFailed, and ValueError when its value
    can't be read."""
    return await WORDS[word](visit, value) or "done"


async def awaited(visit, call, *values):
    """What page.js finds, once it is there: pages may still be drawing."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(Error):  # the page is being replaced
            if found := await visit.find(call, *values):
                return found
        if time.monotonic() > deadline:
            return None
        await asyncio.sleep(0.1)


async def named(visit, name):
    """The field of that name; the only one there is, when none of that name comes: while a page is
    drawn, or loads its parts, its first field is the only one."""
    deadline = time.monotonic() + PATIENCE / 2
    while True:
        with contextlib.suppress(Error):
            if found := await visit.find("field", name, False):
                return found
        if time.monotonic() > deadline:
            return await awaited(visit, "field", name)
        await asyncio.sleep(0.1)


async def offer(visit):
    """What there is to use instead, for the report."""
    found = await visit.ask("controls")
    names = [f"{c['label']!r} ({c['tag']})" for c in found if c["label"]][:12]
    return "the page has " + (", ".join(names) if names else "no controls at all")


async def open_(visit, path):
    path = re.sub(r"^https?://[^/]+", "", str(path))
    path = path if path.startswith("/") else "/" + path
    visit.asked_for.add(path)
    await visit.open(path)
    return f"a page called {short(await visit.page.title(), 100)!r}"


async def reload(visit, _):
    await visit.within(visit.page.reload(wait_until="load", timeout=15000), 20)
    await visit.settle(80, 800)


async def wait(visit, seconds):
    await asyncio.sleep(min(10.0, max(0.0, float(seconds))))


async def see(visit, wanted):
    deadline = time.monotonic() + PATIENCE
    text, rested = "", False
    while True:
        with contextlib.suppress(Error):
            text = "\n".join([await visit.text(), *visit.said])
        if shows(wanted, text):
            lines = [line for line in text.splitlines() if shows(wanted, line)]
            return short(min(lines, key=len), 200) if lines else near(wanted, text)
        if time.monotonic() > deadline and not rested:
            rested = True  # a page that is still at work on a busy machine gets its time
            await visit.settle(200, 2000)
        elif time.monotonic() > deadline:
            raise StepFailed(f"expected to see {wanted!r}; the page says {near(wanted, text)}")
        await asyncio.sleep(0.1)


async def not_see(visit, unwanted):
    await visit.settle(120, 600)
    deadline = time.monotonic() + 1.5
    while shows(unwanted, await visit.text()):
        if time.monotonic() > deadline:
            raise StepFailed(f"expected not to see {unwanted!r}, but it is there")
        await asyncio.sleep(0.1)
    return "it is not there"


async def click(visit, name):
    found = await awaited(visit, "clickable", str(name))
    if found is None:
        raise StepFailed(f"found nothing to click that reads {name!r}; {await offer(visit)}")
    try:
        await visit.within(found.click(timeout=CLICK_MS))
    except Error as error:
        if "not attached" not in str(error):
            raise StepFailed(f"could not click {name!r}: {first_line(error)}") from error
        again = await awaited(visit, "clickable", str(name))  # it was drawn anew meanwhile
        if again is None:
            raise StepFailed(f"{name!r} goes away before it can be clicked") from error
        await visit.within(again.click(timeout=CLICK_MS))
    await visit.settle()


async def fill(visit, value):
    name, text = str(value["field"]), str(value["with"])
    found = await named(visit, name)
    if found is None:
        raise StepFailed(f"found no field called {name!r}; {await offer(visit)}")
    what = "e => [e.tagName.toLowerCase(), e.type || '', e.getAttribute('role') || '']"
    try:
        tag, kind, role = await visit.within(found.evaluate(what))
        if tag == "select" or tag == "fieldset" or role in ("radiogroup", "group", "listbox"):
            await select(visit, {"field": name, "option": text})
        elif kind in ("checkbox", "radio"):
            wanted = text.lower() in ("true", "yes", "on", "1", "checked")
            if await found.is_checked() != wanted:
                await click(visit, name)
        elif role == "slider":
            await slide(found, text)
        elif kind in ("range", "color"):
            await visit.within(found.evaluate(SET_VALUE, text))
        else:
            await visit.within(found.fill(text, timeout=CLICK_MS))
            await visit.within(found.evaluate("e => window[Symbol.for('vibe')].typed(e)"))
            if visit.streamlit:
                await found.press("Enter" if tag == "input" else "Control+Enter")
            else:
                await found.dispatch_event("change")
    except Error as error:
        raise StepFailed(f"could not fill {name!r} with {text!r}: {first_line(error)}") from error
    await visit.settle()
    with contextlib.suppress(Error):  # it may be gone by now
        if isinstance(now := await visit.within(found.evaluate("e => e.value")), str):
            return f"it holds {short(now, 100)!r}"
    return "done"


async def slide(thumb, text):
    """Moves a Streamlit slider's thumb with the arrow keys to a value."""
    wanted = float(text)
    await thumb.focus()
    for _ in range(400):
        now = float(await thumb.get_attribute("aria-valuenow") or "nan")
        if abs(now - wanted) < 1e-9 or now != now:
            break
        await thumb.press("ArrowRight" if now < wanted else "ArrowLeft")
        if (float(await thumb.get_attribute("aria-valuenow")) - wanted) * (now - wanted) < 0:
            break


async def select(visit, value):
    name, option = str(value["field"]), str(value["option"])
    found = await named(visit, name) or await visit.find("clickable", name)
    if found is None:
        raise StepFailed(f"found no choice called {name!r}; {await offer(visit)}")
    try:
        if await visit.within(found.evaluate("e => e.tagName === 'SELECT'")):
            others = await visit.within(found.evaluate(CHOOSE, option))
            if others is not None:
                raise StepFailed(f"{name!r} has no option {option!r}; it has {others}")
        else:
            group = "e => e.matches('fieldset,[role=radiogroup],[role=group],[type=radio]')"
            if not await visit.within(found.evaluate(group)):
                await visit.within(found.click(timeout=CLICK_MS))
            item = await awaited(visit, "option", option)
            if item is None:
                raise StepFailed(f"{name!r} offers no {option!r}")
            await visit.within(item.click(timeout=CLICK_MS))
    except Error as error:
        raise StepFailed(f"could not select {option!r}: {first_line(error)}") from error
    await visit.settle()


async def drag(visit, value):
    """Takes one thing and drops it on another: on what reads so, and when nothing comes of it, on
    what follows that or holds it, since a column's heading is seldom where its cards go."""
    name, goal = str(value["field"]), str(value["to"])
    here = await visit.text()
    for place in ("it", "next", "around"):
        taken = await awaited(visit, "taken", name)
        if taken is None:
            raise StepFailed(f"found nothing to drag that reads {name!r}; {await offer(visit)}")
        target = await awaited(visit, "goal", goal, place)
        if target is None:
            continue
        try:
            await visit.within(carry(visit.page.mouse, taken, target))
        except Error as error:
            raise StepFailed(f"could not drag {name!r}: {first_line(error)}") from error
        await visit.settle()
        if await visit.text() != here:
            return
    raise StepFailed(f"dragging {name!r} to {goal!r} changed nothing")


async def carry(mouse, taken, target):
    await taken.scroll_into_view_if_needed(timeout=CLICK_MS)
    await target.scroll_into_view_if_needed(timeout=CLICK_MS)
    spots = []
    for each in (taken, target):
        box = await each.bounding_box()
        if box is None:
            raise Error("it is not to be seen")
        spots.append((box["x"] + box["width"] / 2, box["y"] + min(box["height"] / 2, 60)))
    await mouse.move(*spots[0])
    await mouse.down()
    await mouse.move(spots[0][0] + 4, spots[0][1] + 4)
    await mouse.move(*spots[1], steps=8)
    await mouse.move(spots[1][0] + 1, spots[1][1] + 1)
    await mouse.up()


async def hold(page, keys):
    """Presses keys as long as a person does: games look once a frame which are down."""
    down = []
    try:
        for key in keys:
            await page.keyboard.down(key)
            down.append(key)
        with contextlib.suppress(Error):  # the key may have led to another page
            await page.evaluate(FRAMES)
    finally:
        for key in reversed(down):
            await page.keyboard.up(key)


async def press(visit, key):
    parts = [KEYS.get(part.lower(), part) for part in re.split(r"\+(?=.)", str(key))]
    try:
        await visit.within(hold(visit.page, parts))
    except Error as error:
        raise StepFailed(f"there is no key {key!r}: {first_line(error)}") from error
    await visit.settle()


async def upload(visit, value):
    content = visit.files.get(str(value["file"]), b"name,value\nfirst,1\nsecond,2\n")
    target = visit.page.locator("input[type=file]")
    deadline = time.monotonic() + PATIENCE
    while not await target.count():
        if time.monotonic() > deadline:
            raise StepFailed("there is no place to upload a file")
        await asyncio.sleep(0.1)
    await target.first.set_input_files(
        {"name": str(value["file"]), "mimeType": "application/octet-stream", "buffer": content}
    )
    await visit.settle(200, 1500)


async def download(visit, name):
    before = len(visit.downloads)
    await click(visit, name)
    for _ in range(30):
        if len(visit.downloads) > before:
            return f"it gave {short(visit.downloads[-1], 100)!r}"
        await asyncio.sleep(0.1)
    raise StepFailed(f"clicking {name!r} started no download")


WORDS = {
    "open": open_,
    "reload": reload,
    "wait": wait,
    "see": see,
    "not_see": not_see,
    "click": click,
    "fill": fill,
    "select": select,
    "press": press,
    "upload": upload,
    "drag": drag,
    "download": download,
}
