"""Writes the table of attacks into docs/security.md.

    python -m tests.attacks.table [ENGINE …]

runs the suite on the engines (all that are in the suite, if none is named) and on the stock
container, notes what it saw in results.json and writes the table anew from there.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import docker
import yaml

from tests.attacks import suite
from vibe.errors import VibeError
from vibe.settings import ROOT

PAGE = ROOT / "docs" / "security.md"
RESULTS = suite.HERE / "results.json"
ESCAPES: list[list[str]] = yaml.safe_load((suite.HERE / "escapes.yaml").read_text("utf-8"))
BEGIN = "<!-- made by `python -m tests.attacks.table` -->"
END = "<!-- end of what it makes -->"
CONTROL = "stock container"


def results() -> dict[str, Any]:
    """What the last run on each engine saw."""
    found: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    return found


def measure(name: str) -> dict[str, Any]:
    """One engine's verdicts, with the day and the versions."""
    with tempfile.TemporaryDirectory() as gallery:
        try:
            if name == CONTROL:
                found = suite.control()
            else:
                found = asyncio.run(suite.verdicts(name, Path(gallery)))
        except VibeError as error:
            return {"on": _day(), "with": _versions(name), "failed": error.message, "verdicts": {}}
    verdicts = {case: [verdict.held, verdict.saw] for case, verdict in sorted(found.items())}
    return {"on": _day(), "with": _versions(name), "verdicts": verdicts}


def section() -> str:
    """The part of the page between the marks."""
    measured = results()
    engines = [*suite.ENGINES, CONTROL]
    lines = [BEGIN, ""]
    for engine in engines:
        run = measured.get(engine)
        if not run:
            lines.append(f"- **{engine}**: not run yet.")
        else:
            counted = [held for held, _ in run["verdicts"].values()]
            said = run.get("failed") or f"{sum(counted)} of {len(counted)} held."
            lines.append(f"- **{engine}** ({run['on']}; {run['with']}): {said}")
    for letter, family in suite.TABLE["families"].items():
        columns = " | ".join(engines)
        lines += ["", f"### {family['title']} ({letter})", "", f"{family['maps']}.", ""]
        lines += [
            f"| case | attack | expected | {columns} |",
            "|---|---|---|" + "---|" * len(engines),
        ]
        for name, case in suite.CASES.items():
            if name[0] == letter:
                cells = " | ".join(_cell(name, case, engine, measured) for engine in engines)
                lines.append(f"| {name} | {case['attack']} | {case['expect']} | {cells} |")
    lines += [
        "",
        "### The scenarios of SandboxEscapeBench",
        "",
        "| scenario | answer |",
        "|---|---|",
    ]
    lines += [f"| {scenario} | {answer} |" for scenario, answer in ESCAPES]
    return "\n".join([*lines, "", END])


def _cell(name: str, case: dict[str, Any], engine: str, measured: dict[str, Any]) -> str:
    if case["how"] in ("elsewhere", "later"):
        if engine != next(iter(suite.ENGINES)):
            return ""
        where = case["where"]
        return f"tried by `{where}`" if case["how"] == "elsewhere" else f"not yet: {where}"
    run = measured.get(engine, {})
    if name not in run.get("verdicts", {}):
        failed = engine != CONTROL and ("not used" if run.get("failed") else "not run")
        return failed or ""
    held = run["verdicts"][name][0]
    return "held" if held else ("gets through" if engine == CONTROL else "**GETS THROUGH**")


def _day() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _versions(name: str) -> str:
    if name == "bubblewrap":
        said = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=True)
        user = "root" if os.geteuid() == 0 else "a user"
        return f"{said.stdout.strip()}, started by {user}, Linux {os.uname().release.split('-')[0]}"
    client = docker.from_env()
    try:
        parts = {part["Name"]: part["Version"] for part in client.version().get("Components", [])}
        kernel = client.info().get("KernelVersion", "?").split("-")[0]
    finally:
        client.close()
    return f"Docker {parts.get('Engine')}, runc {parts.get('runc')}, Linux {kernel}"


def main(names: list[str]) -> None:
    measured = results()
    for name in [] if names == ["--write"] else names or [*suite.ENGINES, CONTROL]:
        measured[name] = measure(name)
        for case, (held, saw) in measured[name]["verdicts"].items():
            print(f"{name:16} {case:4} {'held' if held else 'THROUGH':8} {saw}")
        print(f"{name:16} {measured[name].get('failed', '')}")
    RESULTS.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n", "utf-8")
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(before + section() + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
