"""What an app's code needs to stand alone: README, lock, container, tests, workflow, licence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from vibe import reach
from vibe.app import App
from vibe.browser import step_value
from vibe.errors import ModelFault, UserError
from vibe.events import now
from vibe.kinds import Kind, kinds
from vibe.plan import Check, Plan, plan_from_data
from vibe.repository import identity
from vibe.requirements import lock, requirements, versions
from vibe.settings import SANDBOXES, TEMPLATES
from vibe.transcript import environment

LICENCES = {"none": "", "MIT": "MIT.txt.j2", "Apache-2.0": "Apache-2.0.txt",
            "BSD-3-Clause": "BSD-3-Clause.txt.j2"}  # fmt: skip
"""SPDX names, and the templates of their texts."""

TRANSCRIPT = ("TRANSCRIPT.md", "events.jsonl")
_DRIVER = SANDBOXES / "probes" / "browser"


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person chooses of an export."""

    licence: str = "none"
    """A name in LICENCES."""
    transcript: bool = True
    """Whether TRANSCRIPT.md and events.jsonl go with it."""

    def __post_init__(self) -> None:
        if self.licence not in LICENCES:
            known = ", ".join(LICENCES)
            raise UserError(f"There is no licence {self.licence[:40]!r}.", f"They are: {known}.")


def standing_alone(
    app: App,
    code: Mapping[str, bytes],
    data: Mapping[str, bytes],
    picture: bytes,
    choices: Choices,
) -> dict[str, bytes]:
    """The files that go beside `code` and `data` (both by their path in the repository), by name.

    None has a name that the code has: README and tests get the prefix `vibe-`, other files are
    left out, for the code has its own.
    """
    files = {**data, **code}
    kind = kinds().get(app.kind) if code else None
    pins = pinned(app, code)
    own = code.get("requirements.lock", b"").decode("utf-8", "replace")
    needed, locked = requirements(app.kind, code, pins), lock(app.kind, code, pins, own=own)
    about: dict[str, Any] = {
        "app": app,
        "name": app.id,
        "locked": bool(locked),
        "python": "python" if locked else "python3",
        "unseen": "#" in needed,
        "requirements": "requirements.txt",
        "writes": any(b"results" in content for content in code.values()),
        "readme": free("README.md", files),
        "tests": free("tests", files),
        "picture": free("screenshot.webp", files) if picture else "",
        "transcript": free(TRANSCRIPT[0], files) if choices.transcript else "",
        "events": free(TRANSCRIPT[1], files) if choices.transcript else "",
        "licence": choices.licence,
        "data": bool(data),
        "hosts": [str(host) for host in reach.recorded(app.hosts)],
        "secrets": reach.variables(app.secrets),
    }
    program = kind.command[0] if kind is not None else ""
    built = {"built": program[1:] if program.startswith("./") else ""}
    made: dict[str, str | bytes] = {".gitignore": _render("transcript/gitignore.j2", built)}
    if kind is not None:
        about |= {"entry": kind.entry, "port": kind.port, "ready": kind.ready}
        made |= _tests(app, kind, about)
        made |= _container(kind, about, files)
    if needed:
        made["requirements.txt"] = needed
    if choices.licence != "none":
        made["LICENSE"] = _licence(app, choices.licence)
    made = {name: text for name, text in made.items() if free(name, files) == name}
    if locked:
        made["requirements.lock"] = locked
    if picture:
        made[about["picture"]] = picture
    about["container"] = "Dockerfile" in made
    made[about["readme"]] = _readme(app, kind, about)
    return {
        name: text if isinstance(text, bytes) else text.encode("utf-8", "replace")
        for name, text in made.items()
    }


def free(name: str, files: Mapping[str, bytes]) -> str:
    """The name, or `vibe-<name>` when the files have a file or folder of that name."""
    taken = {part.casefold() for path in files for part in (path, path.split("/")[0])}
    return f"vibe-{name}" if name.casefold() in taken else name


def pinned(app: App, code: Mapping[str, bytes]) -> dict[str, object]:
    """Package → version of what the app ran with: the image's, then those of its own lock."""
    pins = app.pins.get("packages")
    own = code.get("requirements.lock", b"").decode("utf-8", "replace")
    return {**(pins if isinstance(pins, dict) else {}), **versions(own)}


def app_plan(app: App) -> Plan | None:
    """The app's plan, when it has one that can be read."""
    try:
        return plan_from_data(app.plan) if app.plan else None
    except ModelFault:
        return None


def _render(name: str, values: Mapping[str, Any] | None = None) -> str:
    return environment().get_template(name).render(values or {})


def _readme(app: App, kind: Kind | None, about: Mapping[str, Any]) -> str:
    run = "There is no program: no build of this idea got as far as that."
    if kind is not None:
        name = f"kinds/{kind.name}/export/run.md.j2"
        there = (TEMPLATES / name).is_file()
        run = _render(name, about) if there else f"Its entry is `{kind.entry}`."
    last = app.revisions[-1] if app.revisions else None
    values = {
        **about,
        "run": run.rstrip(),
        "summary": str(app.plan.get("summary", "")),
        "changes": app.revisions[1:],
        "verdict": last.verdict if last else app.verdict,
        "seen_on": last.created[:10] if last else "",
        "tested": kind is not None,
    }
    return _render("transcript/readme.md.j2", values)


def _container(
    kind: Kind, about: Mapping[str, Any], files: Mapping[str, bytes]
) -> dict[str, str | bytes]:
    """The Dockerfile and what keeps other files out of the image. Nothing in them is from a
    person or a model: only the kind, and names that Vibe gave."""
    own = f"kinds/{kind.name}/export/Dockerfile.j2"
    name = own if (TEMPLATES / own).is_file() else "export/Dockerfile.j2"
    if (name != own and kind.command[0] != "python") or free("Dockerfile", files) != "Dockerfile":
        return {}
    argv = [part.replace("127.0.0.1", "0.0.0.0") for part in kind.argv()]  # noqa: S104 in a container
    argv[0] = "python3" if argv[0] == "python" else argv[0]
    beside = ("readme", "tests", "picture", "transcript", "events")
    left_out = [about[name] for name in beside if about[name]]
    return {
        "Dockerfile": _render(name, {**about, "command": json.dumps(argv)}),
        ".dockerignore": _render("export/dockerignore.j2", {"left_out": left_out}),
    }


def _tests(app: App, kind: Kind, about: Mapping[str, Any]) -> dict[str, str | bytes]:
    """A test suite that needs no Vibe. What a model wrote is in checks.json, as data."""
    plan = app_plan(app)
    folder = about["tests"]
    task = {
        "command": [part.replace("{entry}", kind.entry) for part in kind.command],
        "prepare": kind.preparing(),
        "env": dict(kind.env),
        "ready": kind.ready,
        "checks": [_check(check, kind) for check in (plan.checks if plan else ())],
    }
    source = TEMPLATES / "export" / "tests"
    if kind.serves:
        paths = [_DRIVER / "steps.py", _DRIVER / "visit.py", _DRIVER / "page.js"]
        paths.append(source / "test_served.py")
    else:
        paths = [SANDBOXES / "probes" / "match.py", source / "test_script.py"]
    return {
        **{f"{folder}/{path.name}": path.read_bytes() for path in paths},
        f"{folder}/checks.json": json.dumps(task, indent=2, ensure_ascii=True) + "\n",
        f"{folder}/requirements.txt": _test_requirements() if kind.serves else "pytest>=8\n",
        ".github/workflows/tests.yml": _render("export/workflow.yml.j2", about),
    }


def _check(check: Check, kind: Kind) -> dict[str, Any]:
    if kind.serves:
        return {"name": check.name, "steps": [[s.action, step_value(s)] for s in check.steps]}
    return {
        "name": check.name,
        "args": list(check.args),
        "stdin": check.stdin,
        "exit": check.exit or 0,
        "stdout": list(check.stdout),
        "files": list(check.files),
    }


@cache
def _test_requirements() -> str:
    """Pytest, and Playwright in the version that the checks were made with."""
    text = (SANDBOXES / "browser-requirements.txt").read_text("utf-8")
    pinned = next(line for line in text.splitlines() if line.startswith("playwright=="))
    return f"{pinned.split()[0]}\npytest>=8\n"


def _licence(app: App, name: str) -> str:
    holder = identity().decode("utf-8", "replace").split("<")[0].strip()
    holder = "" if holder == "Vibe" else holder
    year = (app.created or now())[:4]
    values = {"year": year, "holder": holder or "the authors"}
    return _render(f"export/licences/{LICENCES[name]}", values)
