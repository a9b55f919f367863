"""Good apps and the faults that are put into them, for the detection bench.

A fault is real by declaration. The ones that need an understanding of the app (a wrong operator, a
deleted statement, a dead handler …) are declared in its faults.yaml, place by place, by somebody
who read the code and could say what a person would notice; some are in places that no check of the
plan goes to. The others (a truncated file, prose in the code, a package that is not there …) are
put in by the functions below in a place that always matters. `shown: false` marks those that
change nothing for a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from vibe import starters
from vibe.kinds import kind
from vibe.plan import Plan, read_plan

DATA = Path(__file__).parent / "data"
STARTERS = ("todo-list", "poll", "loan-dashboard", "duplicate-finder")

Files = dict[str, str]


@dataclass(frozen=True, slots=True)
class App:
    """A good app with the plan that a model would have written for it."""

    name: str
    plan: Plan
    files: Files
    declared: tuple[dict[str, str], ...] = ()
    """What its faults.yaml says."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """An app with one fault in it."""

    app: App
    fault: str
    where: str
    files: Files
    shown: bool = True
    """Whether a person who uses the app would notice."""


def apps() -> list[App]:
    """Every good app: those in bench/data, then some starters."""
    found = []
    for folder in sorted(path.parent for path in DATA.glob("*/plan.yaml")):
        plan, notes = read_plan((folder / "plan.yaml").read_text("utf-8"), forced_kind=None)
        if notes:
            raise ValueError(f"{folder.name}: {notes}")
        files = {
            path.relative_to(folder).as_posix(): path.read_text("utf-8")
            for path in sorted(folder.rglob("*"))
            if path.is_file()
            and path.name not in ("plan.yaml", "faults.yaml")
            and "__pycache__" not in path.parts
        }
        declared = yaml.safe_load((folder / "faults.yaml").read_text("utf-8"))
        found.append(App(folder.name, plan, files, tuple(declared)))
    return found + [starter(name) for name in STARTERS]


def starter(name: str) -> App:
    """One starter with its default values, as an app."""
    one = next(each for each in starters.all_starters() if each.name == name)
    values = one.read("")
    plan, _ = read_plan(one.plan(values), forced_kind=None)
    return App(name, plan, {**kind(plan.kind).scaffold, **one.files(values)})


def mutants(app: App) -> Iterator[Mutant]:
    """The app with each of its declared faults, then with each general one that applies."""
    declared = set()
    for item in app.declared:
        path = item.get("file") or item.get("drop") or kind(app.plan.kind).entry
        files = dict(app.files)
        if "drop" in item:
            del files[path]
        else:
            if files[path].count(item["find"]) < 1:
                raise ValueError(f"{app.name}/{path} has no {item['find']!r}")
            files[path] = files[path].replace(item["find"], item["put"], 1)
        declared.add(item["fault"])
        where = f"{path}: {item.get('find', 'not there').strip()[:60]}"
        yield Mutant(app, item["fault"], where, files, bool(item.get("shown", True)))
    for fault, inject in GENERAL.items():
        if fault in declared and fault not in ("missing file",):
            continue
        entry = kind(app.plan.kind).entry
        changed = inject(app.plan.kind, app.files[entry])
        if changed is not None and changed != app.files[entry]:
            yield Mutant(app, fault, f"{entry}: by rule", {**app.files, entry: changed})


def _after_imports(text: str, line: str) -> str:
    """Python text with a line of code put after its first block of imports."""
    last = [m.end() for m in re.finditer(r"^(?:import|from) [^\n(]+\n", text, re.M)][-1]
    return f"{text[:last]}{line}\n{text[last:]}"


def truncated(kind: str, text: str) -> str:
    """The file ends in the middle of a line after two thirds, as a reply that was cut."""
    return text[: len(text) * 2 // 3]


def dropped_brace(kind: str, text: str) -> str | None:
    """The last closing brace (of a script) or bracket (of Python) is missing."""
    mark = "}" if kind == "web" else ")"
    at = text.rfind(mark, 0, text.rfind("</script>") if "</script>" in text else None)
    return text[:at] + text[at + 1 :] if at > 0 else None


def prose(kind: str, text: str) -> str:
    """The model's words around the code were taken into the file."""
    return f"Here is the complete file with the fix:\n\n{text}\nLet me know if you need changes!\n"


def fence(kind: str, text: str) -> str:
    """A Markdown fence in the middle of the file, with words, as of two blocks joined."""
    lines = text.splitlines()
    middle = len(lines) // 2
    return "\n".join([*lines[:middle], "```", "And the rest:", "```python", *lines[middle:]])


def unclosed_script(kind: str, text: str) -> str | None:
    """The last </script> is missing; browsers then run nothing of it, in silence."""
    head, found, tail = text.rpartition("</script>")
    return head + tail if found and kind == "web" else None


def missing_package(kind: str, text: str) -> str:
    """A library that the box has not got."""
    if kind == "web":
        tag = '<script src="https://cdn.example.net/chart.js"></script>'
        used = "<script>new Chart(document.createElement('canvas'), {});</script>"
        return text.replace("</body>", f"{tag}{used}</body>")
    return _after_imports(text, "import fuzzywuzzy")


def wrong_import(kind: str, text: str) -> str:
    """A name that its module doesn't have."""
    if kind == "web":
        line = '<script type="module">import { draw } from "./drawing.js"; draw();</script>'
        return text.replace("</body>", f"{line}</body>")
    return _after_imports(text, "from collections import OrderedDictionary")


def undefined_name(kind: str, text: str) -> str:
    """A function that was never written is called as the program starts."""
    if kind == "web":
        return text.replace("</body>", "<script>initialiseApp();</script></body>")
    return _after_imports(text, "initialise_app()")


def stale_api(kind: str, text: str) -> str:
    """Something that was removed from the library or the browser."""
    line = {
        "web": "<script>Object.observe({}, () => {});</script>",
        "streamlit": "st.beta_set_page_config()",
        "flask": "import collections\ncollections.Mapping",
        "script": "from asyncio import coroutine",
    }[kind]
    if kind == "web":
        return text.replace("</body>", f"{line}</body>")
    return _after_imports(text, line)


def missing_file(kind: str, text: str) -> str:
    """A file that was never written is used as the program starts."""
    if kind == "web":
        return text.replace("</body>", '<script src="scripts/main.js"></script></body>')
    return _after_imports(text, 'CONFIG = open("config.json").read()')


def infinite_loop(kind: str, text: str) -> str:
    """It never gets done with starting."""
    if kind == "web":
        return text.replace("</body>", "<script>while (true) { }</script></body>")
    return _after_imports(text, "while True:\n    pass")


def blank_page(kind: str, text: str) -> str | None:
    """It runs, and shows nothing."""
    if kind == "web":
        hide = "<script>document.body.style.display = 'none';</script></body>"
        return text.replace("</body>", hide)
    if kind == "streamlit":
        return _after_imports(text, "st.stop()")
    if kind == "flask":
        return re.sub(
            r'(@\w+\.(?:get|route)\("/"\)\ndef \w+\([^)]*\)[^:]*:\n)', r'\1    return ""\n', text
        )
    return re.sub(r"^    (?:sys\.exit\(main\(\)\)|main\(\)|raise SystemExit\(main\(\)\))$",
                  "    pass", text, flags=re.M)  # fmt: skip


GENERAL: dict[str, Callable[[str, str], str | None]] = {
    "truncated file": truncated,
    "dropped brace": dropped_brace,
    "text outside code": prose,
    "fence in the code": fence,
    "unclosed script": unclosed_script,
    "missing package": missing_package,
    "wrong import": wrong_import,
    "undefined name": undefined_name,
    "stale API": stale_api,
    "missing file": missing_file,
    "infinite loop": infinite_loop,
    "blank page": blank_page,
}
"""The faults that need no understanding of the app. A web app's own faults.yaml goes first."""
