"""The checks of a plan, read from however a model wrote them."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vibe.steps import Step, UnknownStep, line, several, step_to_data, steps, text

MAX_CHECKS = 8
MAX_STEPS = 20
MAX_TEXT = 4000
"""Characters of a check's stdin."""

_SCRIPT_KEYS = {
    "args": "args", "arguments": "args", "argv": "args", "command": "args", "cmd": "args",
    "run": "args", "stdin": "stdin", "input": "stdin", "exit": "exit", "exit_code": "exit",
    "exitcode": "exit", "returncode": "exit", "status": "exit", "code": "exit", "stdout": "stdout",
    "output": "stdout", "expect": "stdout", "prints": "stdout", "files": "files", "file": "files",
    "writes": "files",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """Something the app must show. For kinds that serve: `steps`; for scripts: the rest."""

    name: str
    """In the person's words."""
    steps: tuple[Step, ...] = ()
    args: tuple[str, ...] = ()
    stdin: str = ""
    exit: int | None = None
    """The exit code; None when the plan says nothing, which means 0."""
    stdout: tuple[str, ...] = ()
    """Regular expressions, a model's: each must be found in the output."""
    files: tuple[str, ...] = ()
    """Paths that must exist afterwards."""


def read_checks(
    value: Any, *, serves: bool, notes: list[str]
) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    """The checks that can be understood, for an app that serves or for a script, and the names of
    the others; `notes` gets a sentence for each of those."""
    found: dict[str, Check] = {}
    left_out: list[str] = []
    for number, (name, item) in enumerate(_named_checks(value), 1):
        if len(found) == MAX_CHECKS:
            notes.append(f"Only the first {MAX_CHECKS} checks are used.")
            break
        name = line(name, 100) or f"Check {number}"
        if name in found:
            name = f"{name[:94]} ({number})"
        try:
            read = _browser_check if serves else _script_check
            found[name] = read(name, item, notes)
        except UnknownStep as unknown:
            notes.append(f"The check {name!r} was left out: {unknown}.")
            left_out.append(name)
    return tuple(found.values()), tuple(left_out[:MAX_CHECKS])


def _named_checks(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each check's name and its mapping, from a list of them or a mapping by name."""
    items = value.items() if isinstance(value, dict) else [(None, item) for item in several(value)]
    for key, item in items:
        if isinstance(item, list) and not isinstance(value, dict):
            item = merged(item)
        if isinstance(item, dict):
            for title in ("name", "check", "title", "description"):
                if title in item and not isinstance(item[title], dict | list):
                    key = item[title]
                    item = {k: v for k, v in item.items() if k != title}
                    break
            if len(item) == 1 and key is None and isinstance(next(iter(item.values())), list):
                key, item = next(iter(item.items()))
        yield key, item


def _browser_check(name: str, item: Any, notes: list[str]) -> Check:
    said = item
    if isinstance(item, dict):
        said = next((item[key] for key in ("steps", "step", "actions", "do") if key in item), item)
        if isinstance(said, str) and said is not item:
            said = [part for part in said.split("\n") if part.strip()]
    found = tuple(steps(said))
    if not found:
        raise UnknownStep("it has no steps")
    if len(found) > MAX_STEPS:
        notes.append(f"Of the check {name!r} only the first {MAX_STEPS} steps are used.")
    return Check(name, steps=found[:MAX_STEPS])


def _script_check(name: str, item: Any, notes: list[str]) -> Check:
    data: dict[str, Any] = {}
    for key, value in (merged(item) if isinstance(item, dict | list) else {}).items():
        if known := _SCRIPT_KEYS.get(key.strip().lower().replace(" ", "_").replace("-", "_")):
            data.setdefault(known, value)
    if not data:
        raise UnknownStep("it has none of args, stdin, exit, stdout and files")
    code = line(data.get("exit", ""), 40)
    if code and not re.fullmatch(r"-?\d{1,3}", code):
        raise UnknownStep(f"its exit code {code!r} is not a number")
    stdin = data.get("stdin", "")
    stdin = "\n".join(map(str, stdin)) if isinstance(stdin, list) else stdin
    return Check(
        name,
        args=_args(data.get("args")),
        stdin=text(stdin, MAX_TEXT),
        exit=int(code) if code else None,
        stdout=tuple(_pattern(str(item), name, notes) for item in several(data.get("stdout")))[:20],
        files=tuple(path for item in several(data.get("files")) if (path := line(item, 300)))[:20],
    )


def _args(value: Any) -> tuple[str, ...]:
    """A command's arguments, without the command itself."""
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError:
            value = value.split()
    args = [text(item, 500) for item in several(value)]
    if args[:1] and re.fullmatch(r"python[\d.]*", args[0]):
        args = args[1:]
        if args[:1] and args[0].endswith(".py"):
            args = args[1:]
    elif args[:1] and args[0].removeprefix("./") in ("main.py", "app.py"):
        args = args[1:]
    return tuple(args[:40])


def _pattern(said: str, name: str, notes: list[str]) -> str:
    said = text(said, 300)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(said)
    except (re.error, RecursionError, OverflowError):
        notes.append(f"A pattern of the check {name!r} is taken as plain text: {said[:60]!r}.")
        return re.escape(said[:150])
    return said


def check_to_data(check: Check) -> dict[str, Any]:
    """The check as a model would write it."""
    data: dict[str, Any] = {"name": check.name}
    if check.steps:
        return data | {"steps": [step_to_data(step) for step in check.steps]}
    data["args"] = list(check.args)
    if check.stdin:
        data["stdin"] = check.stdin
    if check.exit is not None:
        data["exit"] = check.exit
    if check.stdout:
        data["stdout"] = list(check.stdout)
    if check.files:
        data["files"] = list(check.files)
    return data


def merged(data: Any) -> dict[str, Any]:
    """A mapping, also from a list of them (a mapping with a key twice is read as a list)."""
    if isinstance(data, dict):
        return data
    if isinstance(data, list) and all(isinstance(item, dict) for item in data):
        return {key: value for item in data for key, value in item.items()}
    return {}
