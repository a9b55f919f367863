"""What each kind of app is: its entry file, its command, its port and its rules, from templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import yaml

from vibe.errors import UserError
from vibe.settings import TEMPLATES


@dataclass(frozen=True, slots=True)
class Kind:
    """One folder under templates/kinds, read from its kind.yaml."""

    name: str
    title: str
    """For people: `Web page`, `Streamlit app` …"""
    entry: str
    """The file that must exist: index.html, app.py, main.py."""
    command: tuple[str, ...]
    """What runs it in the box, in /work; `{port}` and `{entry}` are filled in."""
    rules: str
    """What a model must know to write one, in Markdown."""
    port: int | None = None
    """The port it serves HTTP on inside the box; None for a program that just runs."""
    ready: str = "/"
    """Path that answers 2xx or 3xx once it serves."""
    env: dict[str, str] = field(default_factory=dict)
    image: Literal["python", "node", "rust"] = "python"
    """The image of the boxes that it runs in: always one of ours, by name."""
    prepare: tuple[str, ...] = ()
    """What runs once in a fresh box before the command: a compiler, a syntax check."""
    vendor: bool = False
    """Whether its pages may load the libraries in `vendor/`."""
    must: tuple[tuple[str, str], ...] = ()
    """What the entry must hold to be of this kind: a pattern, and what to say without it."""
    scaffold: dict[str, str] = field(default_factory=dict)
    """Files that every app of this kind has, by path: Vibe's own, which no model changes."""
    warm: tuple[str, ...] = ()
    """Modules that its command imports anyway, for boxes that stand ready."""
    warm_probe: tuple[str, ...] = ()
    """Modules that its probe imports anyway."""
    words: tuple[str, ...] = ()
    """Words in an idea that suggest this kind."""

    @property
    def serves(self) -> bool:
        return self.port is not None

    def argv(self) -> list[str]:
        return [part.format(port=self.port, entry=self.entry) for part in self.command]

    def probing(self) -> list[str]:
        """What runs its probe, whose text comes on standard input."""
        return ["python", "-", self.entry]

    def programs(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        """The commands that pay to be half started before the app's files are there, each with the
        modules that it imports in any case."""
        warm = {tuple(self.argv()): self.warm, tuple(self.probing()): self.warm_probe}
        return {argv: modules for argv, modules in warm.items() if modules}

    def preparing(self) -> list[str]:
        """`prepare` with the entry's name in it; empty when there is nothing to do."""
        return [part.format(entry=self.entry) for part in self.prepare]

    def faults(self, files: Mapping[str, str]) -> list[str]:
        """A sentence for each thing that the entry must hold and doesn't."""
        text = files.get(self.entry)
        return [] if text is None else [said for it, said in self.must if not re.search(it, text)]

    def own(self, files: Mapping[str, str]) -> dict[str, str]:
        """The files without the kind's scaffold: what a model or a person has written."""
        return {path: text for path, text in files.items() if path not in self.scaffold}


@cache
def kinds() -> dict[str, Kind]:
    """Every kind by name, in the order of their folders' names."""
    found: dict[str, Kind] = {}
    for path in sorted((TEMPLATES / "kinds").glob("*/kind.yaml")):
        data: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
        data["command"] = tuple(data["command"])
        data["words"] = tuple(data.get("words", ()))
        data["prepare"] = tuple(data.get("prepare", ()))
        data["must"] = tuple((it["has"], it["else"]) for it in data.get("must", ()))
        folder = path.parent / "scaffold"
        data["scaffold"] = {
            file.relative_to(folder).as_posix(): file.read_text("utf-8")
            for file in sorted(folder.rglob("*.*"))
        }
        data["warm"] = tuple(data.get("warm", ()))
        data["warm_probe"] = tuple(data.get("warm_probe", ()))
        found[path.parent.name] = Kind(name=path.parent.name, **data)
    return found


def kind(name: str) -> Kind:
    """The kind of that name. Raises UserError with the names there are."""
    try:
        return kinds()[name]
    except KeyError:
        known = ", ".join(kinds())
        raise UserError(f"There is no kind called {name!r}.", f"The kinds are: {known}.") from None
