"""The plan of an app: read from a model's or a person's YAML, and written as data again."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from vibe.errors import ModelFault
from vibe.kinds import kinds
from vibe.outline import outline, outlines
from vibe.plan_checks import Check, check_to_data, merged, read_checks
from vibe.steps import Step, line, several

__all__ = ["Check", "Plan", "Step", "plan_from_data", "plan_to_data", "plan_to_yaml", "read_plan"]

MAX_TITLE = 80
MAX_SUMMARY = 400
MAX_PACKAGES = 30

ASK = (
    "Answer with one YAML block and nothing else: title, kind, summary, packages and checks at "
    "its top level."
)
_KEYS = ("title", "kind", "summary", "packages", "checks")
_SYNONYMS = {
    "name": "title", "app": "title", "type": "kind", "description": "summary",
    "dependencies": "packages", "requirements": "packages", "tests": "checks",
    "acceptance": "checks", "acceptance_checks": "checks",
}  # fmt: skip
_KINDS = {
    "web": "html webpage page site website static javascript js frontend browser game canvas "
    "htmljs htmlcssjs singlepage spa react vue",
    "streamlit": "streamlitapp dashboard pystreamlit gradio dash",
    "slides": "slideshow deck presentation slidedeck htmlslides revealjs",
    "notebook": "report jupyter jupyternotebook ipynb datareport pythonreport",
    "flask": "flaskapp server backend django webserver pythonflask",
    "fastapi": "api restapi fastapiapp pythonfastapi jsonapi",
    "node": "nodejs nodescript javascriptcli nodecli",
    "rust": "rustprogram rustcli rustscript",
    "script": "cli python py commandline terminal console program shell tool commandlinescript "
    "commandlinetool pythonscript clitool",
}
_REQUIREMENT = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?)\s*(\[[\w\s,.-]*\])?\s*([=<>!~;].*)?"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall be built, and what it must show."""

    title: str
    kind: str
    """A name in `kinds()`."""
    summary: str = ""
    packages: tuple[str, ...] = ()
    """Names on the package index, nothing but names."""
    checks: tuple[Check, ...] = ()
    left_out: tuple[str, ...] = field(default=(), compare=False)
    """Names of checks that can't be understood, so nobody tries what they promise."""


def read_plan(reply: str, *, forced_kind: str | None) -> tuple[Plan, tuple[str, ...]]:
    """The plan in a reply, with a sentence for whatever was mended or left out.

    Raises ModelFault when nothing in it can be read as a plan.
    """
    best: dict[str, Any] = {}
    for data in outlines(reply, (*_KEYS, *_SYNONYMS)):
        found = _known(data)
        if len(found) >= len(best):
            best = found
    if not best:
        raise ModelFault(f"The reply has no plan that can be read. {ASK}")
    notes: list[str] = []
    return _plan(best, forced_kind, notes), tuple(dict.fromkeys(notes))


def plan_from_data(data: Mapping[str, Any]) -> Plan:
    """The plan that `plan_to_data` wrote. Raises ModelFault when it is none."""
    found = _known(outline(data))
    if not found:
        raise ModelFault(f"This is not a plan. {ASK}")
    return _plan(found, None, [])


def plan_to_data(plan: Plan) -> dict[str, Any]:
    """The plan as lists, strings and dicts, in the form that models write it."""
    return {
        "title": plan.title,
        "kind": plan.kind,
        "summary": plan.summary,
        "packages": list(plan.packages),
        "checks": [check_to_data(check) for check in plan.checks],
    }


def plan_to_yaml(plan: Plan) -> str:
    """The plan as YAML, for prompts and for a person to edit; `read_plan` reads the same again."""
    return yaml.dump(
        plan_to_data(plan), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000
    )


class _Dumper(yaml.SafeDumper):
    """Writes a step's parameters on the step's line, as the prompts do."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> Any:
        return super().represent_mapping(tag, mapping, "field" in dict(mapping) or flow_style)


def _known(data: Any) -> dict[str, Any]:
    """The parts of a plan in some data; empty when it isn't a plan."""
    data = merged(data)
    if len(data) == 1 and isinstance(inner := next(iter(data.values())), dict | list):
        key = str(next(iter(data))).lower()
        data = merged(inner) if key not in _KEYS and key not in _SYNONYMS else data
    found: dict[str, Any] = {}
    for key, value in data.items():
        name = key.strip().lower().replace(" ", "_").replace("-", "_")
        if name in _KEYS:
            found[name] = value
        elif name in _SYNONYMS:
            found.setdefault(_SYNONYMS[name], value)
    return found if {"title", "kind", "checks", "summary"} & set(found) else {}


def _plan(data: Mapping[str, Any], forced_kind: str | None, notes: list[str]) -> Plan:
    summary = line(data.get("summary"), MAX_SUMMARY)
    title = _title(data.get("title")) or _title(" ".join(summary.split()[:5]).rstrip(".,;:"))
    kind = _kind(line(data.get("kind"), 100), f"{title} {summary}", forced_kind, notes)
    title = title or kinds()[kind].title
    packages = _packages(data.get("packages"), kind, notes)
    serves = kinds()[kind].serves
    checks, left_out = read_checks(data.get("checks"), serves=serves, notes=notes)
    return Plan(title, kind, summary, packages, checks, left_out)


def _title(value: Any) -> str:
    title = line(value, MAX_TITLE)
    while (plain := line(title.strip("*#`\"' "), MAX_TITLE)) != title:
        title = plain
    return title


def _kind(said: str, about: str, forced_kind: str | None, notes: list[str]) -> str:
    """The forced kind, the one that is said, or the one whose words are in the title and summary;
    `web` when nothing tells."""
    meant = _kind_named(said)
    if forced_kind and forced_kind != "auto" and forced_kind in kinds():
        if meant and meant != forced_kind:
            notes.append(f"The plan said {meant}; the kind stays {forced_kind}, as chosen.")
        return forced_kind
    if meant:
        return meant
    words = set(re.findall(r"[\w-]+", f"{said} {about}".lower()))
    scores = {name: len(words & set(kind.words)) for name, kind in kinds().items()}
    best = max(sorted(scores), key=lambda name: (scores[name], name == "web"))
    kind = best if scores[best] else "web"
    notes.append(f"The plan named no kind that Vibe knows ({said or 'none'}); taken as {kind}.")
    return kind


def _kind_named(said: str) -> str | None:
    plain = re.sub(r"[^a-z]", "", said.lower())
    for name, synonyms in _KINDS.items():
        if plain == name or plain in synonyms.split():
            return name
    for name in ("streamlit", "flask", "fastapi", "slides", "notebook"):
        if name in plain:
            return name
    words = re.findall(r"[a-z]+", said.lower())[:6]
    for name, synonyms in _KINDS.items():
        if any(word == name or word in synonyms.split() for word in words):
            return name
    return None


def _packages(value: Any, kind: str, notes: list[str]) -> tuple[str, ...]:
    """The names that are nothing but names; a version or an extra is cut off, the rest left out."""
    names: dict[str, str] = {}
    for item in several(value):
        said = line(item if not isinstance(item, dict) else next(iter(item), ""), 200).strip("`\"'")
        if not said or said.lower() in ("none", "null", "n/a", "[]"):
            continue
        found = _REQUIREMENT.fullmatch(said)
        if found is None:
            notes.append(f"Left out a package that is not a plain name: {said[:60]!r}.")
            continue
        name = found[1]
        if found[2] or found[3]:
            notes.append(f"Of the package {said[:60]!r} only the name is used.")
        if name.lower() in sys.stdlib_module_names:
            notes.append(f"{name} comes with Python, so it is no package.")
        elif kinds()[kind].image != "python":
            notes.append(f"A {kinds()[kind].title} has no packages; left out {name}.")
        elif kind in ("web", "slides"):
            notes.append(f"A web page can't use Python packages; left out {name}.")
        else:
            names.setdefault(re.sub(r"[-_.]+", "-", name).lower(), name)
    if len(names) > MAX_PACKAGES:
        notes.append(f"Only the first {MAX_PACKAGES} packages are used.")
    return tuple(names.values())[:MAX_PACKAGES]
