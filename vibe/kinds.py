"""What each kind of app is: its entry file, its command, its port and its rules, from templates."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

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
    words: tuple[str, ...] = ()
    """Words in an idea that suggest this kind."""

    @property
    def serves(self) -> bool:
        return self.port is not None

    def argv(self) -> list[str]:
        return [part.format(port=self.port, entry=self.entry) for part in self.command]


@cache
def kinds() -> dict[str, Kind]:
    """Every kind by name, in the order of their folders' names."""
    found: dict[str, Kind] = {}
    for path in sorted((TEMPLATES / "kinds").glob("*/kind.yaml")):
        data: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
        data["command"] = tuple(data["command"])
        data["words"] = tuple(data.get("words", ()))
        found[path.parent.name] = Kind(name=path.parent.name, **data)
    return found


def kind(name: str) -> Kind:
    """The kind of that name. Raises UserError with the names there are."""
    try:
        return kinds()[name]
    except KeyError:
        known = ", ".join(kinds())
        raise UserError(f"There is no kind called {name!r}.", f"The kinds are: {known}.") from None
