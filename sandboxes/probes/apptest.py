"""Runs in a box: Streamlit's AppTest over every page and widget; one JSON object on the last line.

{"elements": int, "exceptions": [{"type", "message", "stack", "doing"}], "used": [label],
 "pages": [path], "late": bool}
`late`: a run took too long without having the processor, which others in the box may have had.
Every page is opened, each of its widgets is used once with a value it allows, and then it runs
once more. AppTest passes a syntax error in silence, so the static rung comes first.
"""

import datetime
import json
import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, "/work")
keep = os.dup(1)
os.dup2(2, 1)

from streamlit.testing.v1 import AppTest  # noqa: E402  (stdout is moved away first)

ENTRY = sys.argv[1]
TIMEOUT = 15
ENOUGH_S = 12.0
"""After this long no further widget is used."""
MOST = 40
KINDS = (
    *("button", "checkbox", "toggle", "radio", "selectbox", "multiselect", "pills"),
    *("segmented_control", "slider", "select_slider", "number_input", "text_input", "text_area"),
    *("date_input", "time_input", "color_picker", "chat_input"),
)
exceptions, used, late = [], [], []
since = time.monotonic()
now = {"doing": "opening the app", "since": since, "used": time.process_time()}


def too_long():
    late.append(time.process_time() - now["used"] < 0.8 * TIMEOUT)
    return f"it is not done after {TIMEOUT} seconds"


def watch():
    """Ends this program when a run does: AppTest's own limit waits for the script's thread."""
    while time.monotonic() - now["since"] < TIMEOUT + 5:
        time.sleep(0.5)
    said = too_long()
    exceptions.append({"type": "", "message": said, "stack": "", "doing": now["doing"]})
    tell(0, [])


def tell(elements, pages):
    answer = {"elements": elements, "exceptions": exceptions[:5], "used": used, "pages": pages}
    answer["late"] = any(late)
    os.write(keep, b"\n" + json.dumps(answer).encode())
    os._exit(0)  # a run that never ends would keep the process


threading.Thread(target=watch, daemon=True).start()


def note(at, doing):
    for item in at.exception:
        stack = "\n".join(item.stack_trace)
        kind = item.proto.type
        exceptions.append(
            {"type": kind, "message": item.message, "stack": stack[-3000:], "doing": doing}
        )


def run(at, doing):
    now.update(doing=doing, since=time.monotonic(), used=time.process_time())
    try:
        at.run(timeout=TIMEOUT)
    except Exception as error:
        name, said = type(error).__name__, str(error)[:500]
        if "timed out" in said:
            name, said = "", too_long()
        exceptions.append({"type": name, "message": said, "stack": "", "doing": doing})
        return False
    note(at, doing)
    return not at.exception


def other(widget, kind):
    """Uses a widget; whether there was anything to do."""
    if kind == "button":
        widget.click()
    elif kind in ("checkbox", "toggle"):
        widget.set_value(not widget.value)
    elif kind in ("radio", "selectbox", "select_slider", "pills", "segmented_control"):
        options = list(widget.options)
        if len(options) < 2 or isinstance(widget.value, (tuple, list)):
            return False
        widget.set_value(options[-1])
    elif kind == "multiselect":
        widget.set_value(list(widget.options)[:1])
    elif kind == "slider":
        if isinstance(widget.value, (tuple, list)):
            widget.set_value((widget.min, widget.max))
        else:
            widget.set_value(widget.max if widget.value != widget.max else widget.min)
    elif kind == "number_input":
        step = widget.step or 1
        high = widget.max is None or (widget.value or 0) + step <= widget.max
        widget.set_value((widget.value or 0) + step if high else widget.min)
    elif kind in ("text_input", "text_area", "chat_input"):
        widget.set_value("Seven 7")
    elif kind == "date_input":
        if isinstance(widget.value, (tuple, list)) or widget.value is None:
            return False
        day = widget.value - datetime.timedelta(days=1)
        widget.set_value(day if widget.min is None or day >= widget.min else widget.value)
    elif kind == "time_input":
        widget.set_value(datetime.time(10, 30))
    elif kind == "color_picker":
        widget.set_value("#336699")
    return True


def use_all(at):
    """Uses each widget there is, found anew each time, since a run may change them."""
    for kind in KINDS:
        index = 0
        while time.monotonic() - since < ENOUGH_S and len(used) < MOST:
            try:
                present = list(getattr(at, kind))
            except (AttributeError, KeyError):
                break
            if index >= len(present) or index >= 12:
                break
            widget = present[index]
            index += 1
            if getattr(widget, "disabled", False):
                continue
            label = getattr(widget, "label", "") or getattr(widget, "placeholder", "") or kind
            try:
                if not other(widget, kind):
                    continue
            except (ValueError, TypeError, AttributeError, NotImplementedError, IndexError):
                continue  # a value that AppTest can't set is no fault of the app
            used.append(label)
            doing = f"pressing {label!r}" if kind == "button" else f"using {label!r}"
            if not run(at, doing):
                return False
    return True


def visited(at, doing):
    """Opens the page as it stands, uses it, and runs it again."""
    return run(at, doing) and use_all(at) and run(at, "running it once more")


at = AppTest.from_file(ENTRY, default_timeout=TIMEOUT)
elements = 0
pages = []
if run(at, "opening the app"):
    elements = sum(1 for _ in at.main) + sum(1 for _ in at.sidebar)
    fine = use_all(at) and run(at, "running it once more")
    for path in sorted(Path("pages").glob("*.py")) if fine else ():
        pages.append(str(path))
        try:
            at.switch_page(str(path))
        except Exception:  # AppTest knows the pages/ folder only, and not every form of it
            break
        if not visited(at, f"opening the page {path.stem!r}"):
            break
else:
    elements = sum(1 for _ in at.main)
tell(elements, pages)
