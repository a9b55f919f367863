"""The starters: apps made with no model, chosen and filled in from the idea by plain rules."""

from __future__ import annotations

import asyncio
import colorsys
import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from vibe.errors import UserError
from vibe.model import Prompt, ReplyEnd
from vibe.parameters import Parameter, make_parameter
from vibe.settings import TEMPLATES

FOLDER = TEMPLATES / "starters"
ENOUGH = 3
"""The score from which a starter fits an idea; see the weights in each starter.yaml."""
READ = 4000
"""How many characters of an idea a starter is chosen by."""
CONNECT = (
    "Connect a model: set OPENAI_API_KEY (and OPENAI_BASE_URL for an endpoint of your own), "
    "or start a local Ollama; see docs/models.md."
)


STARTERS = "starters"
"""The model name that asks for a starter, whatever models there are."""


@dataclass(frozen=True, slots=True)
class Starter:
    """One folder under templates/starters."""

    name: str
    title: str
    kind: str
    example: str
    """An example idea that this starter makes well."""
    about: str
    """What it makes, one sentence."""
    parameters: tuple[Parameter, ...]
    words: tuple[tuple[re.Pattern[str], int], ...]
    """What in an idea speaks for it (or, below zero, against it), with its weight."""

    def score(self, idea: str) -> int:
        """How well it fits; from ENOUGH on it may be used."""
        return sum(weight for pattern, weight in self.words if pattern.search(idea[:READ]))

    def read(self, idea: str, changes: Sequence[str] = ()) -> dict[str, Any]:
        """Every parameter's value; later changes override earlier text.

        Raises UserError for a change that sets nothing, and for numbers out of range."""
        values = {parameter.name: parameter.default for parameter in self.parameters}
        values |= self._found(idea)
        for change in changes:
            found = self._found(change)
            if not found:
                known = "; ".join(f"{p.name} ({p.meaning[0].lower()}{p.meaning[1:]})"
                                  for p in self.parameters)  # fmt: skip
                raise UserError(
                    f"The {self.name} starter can't make this change; it understands: {known}.",
                    f"A model can make any change. {CONNECT}",
                )
            values |= found
        return values

    def _found(self, text: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            result = parameter.find(text)
            if result is not None:
                values[parameter.name], text = result
        return values

    def plan(self, values: Mapping[str, Any]) -> str:
        """The plan as a reply: one YAML block."""
        text = _environment().get_template(f"{self.name}/plan.yaml.j2").render(values)
        return f"```yaml\n{text.strip()}\n```\n"

    def files(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Path → text of the app's files."""
        folder, files = FOLDER / self.name, {}
        for path in sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*")):
            if path.endswith(".j2") and path != "plan.yaml.j2":
                template = _environment().get_template(f"{self.name}/{path}")
                files[path.removesuffix(".j2")] = template.render(values)
            elif path not in ("plan.yaml.j2", "starter.yaml"):
                files[path] = (folder / path).read_text("utf-8")
        return files

    def code(self, values: Mapping[str, Any]) -> str:
        """The files as a reply: each in a fence with its path."""
        languages = {
            ".html": "html",
            ".py": "python",
            ".css": "css",
            ".js": "javascript",
            ".rs": "rust",
        }
        return "\n".join(
            f"```{languages.get(Path(path).suffix, 'text')} path={path}\n{text.rstrip()}\n```\n"
            for path, text in self.files(values).items()
        )


def all_starters() -> list[Starter]:
    """Every starter, in the order of their folders' names."""
    return list(_load())


def choose(idea: str, kind: str = "auto") -> Starter | None:
    """The starter (of that kind) that fits the idea best, or None when none fits."""
    fitting = [s for s in _load() if kind in ("auto", s.kind) and s.score(idea) >= ENOUGH]
    return max(fitting, key=lambda starter: starter.score(idea), default=None)


def example(kind: str, idea: str) -> tuple[str, str]:
    """Plan and code of the starter of that kind most like the idea, as an example for a prompt.

    With equal scores the shortest wins; a kind without a starter gets one of any kind."""
    candidates = [s for s in _load() if s.kind == kind] or list(_load())
    rendered = [(s.score(idea), s.plan(s.read("")), s.code(s.read(""))) for s in candidates]
    _, plan, code = max(rendered, key=lambda each: (each[0], -len(each[2])))
    return plan, code


class StarterModel:
    """A model that needs no model: it answers with a starter's plan, then with its files."""

    def __init__(self, idea: str, changes: Sequence[str] = (), *, kind: str = "auto") -> None:
        """Raises UserError when no starter fits, or when a change sets no parameter."""
        starter = choose(idea, kind)
        if starter is None:
            raise _no_starter(idea, kind)
        self.starter = starter
        self.values = starter.read(idea, changes)
        self.name = f"starter: {starter.name}"

    @classmethod
    def for_idea(cls, idea: str, kind: str = "auto", changes: Sequence[str] = ()) -> StarterModel:
        """The model for an idea, when a kind may be asked for. Raises as the constructor does."""
        return cls(idea, changes, kind=kind)

    async def reply(self, prompt: Prompt) -> AsyncIterator[str | ReplyEnd]:
        """The plan or the files, in small pieces over about a second. Raises UserError for a
        repair: a starter has only one answer."""
        if prompt.role == "plan":
            text = self.starter.plan(self.values)
        elif prompt.role == "code":
            text = self.starter.code(self.values)
        else:
            raise UserError(f"The {self.starter.name} starter can't repair its app.", CONNECT)
        began = time.monotonic()
        pieces = _pieces(text)
        for piece in pieces:
            yield piece
            await asyncio.sleep(min(0.012, 1.0 / len(pieces)))
        yield ReplyEnd("stop", self.name, 0, 0, estimated=False, seconds=time.monotonic() - began)


def _pieces(text: str) -> list[str]:
    """The text cut into pieces of 60 to 120 characters, as a model would stream it."""
    pieces, start = [], 0
    while start < len(text):
        size = 60 + (start * 7) % 61
        pieces.append(text[start : start + size])
        start += size
    return pieces


def _no_starter(idea: str, kind: str) -> UserError:
    """What to tell a person whose idea no starter fits."""
    other = choose(idea)
    if other is not None:
        return UserError(
            f"The {other.name} starter fits this idea, but it makes a {other.kind} app, "
            f"not {kind}.",
            f"Choose kind auto or {other.kind}, or let a model write it. {CONNECT}",
        )
    known = ", ".join(s.title for s in _load() if kind in ("auto", s.kind))
    return UserError(
        "No starter fits this idea, so writing its code needs a model.",
        f"{CONNECT} Without a model there are: {known or 'no starters of kind ' + kind}.",
    )


@cache
def _load() -> tuple[Starter, ...]:
    common = _read(FOLDER / "common.yaml")
    return tuple(
        _starter(path.parent.name, _read(path), common)
        for path in sorted(FOLDER.glob("*/starter.yaml"))
    )


def _read(path: Path) -> dict[str, Any]:
    """A file of ours; the parser in C, where there is one, takes a fifth of the time."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data: dict[str, Any] = yaml.load(path.read_text("utf-8"), loader)  # noqa: S506 - both are safe
    return data


def _starter(name: str, data: dict[str, Any], common: dict[str, Any]) -> Starter:
    shared, colours = common["parameters"], common["colours"]
    parameters = tuple(
        make_parameter(key, {**shared.get(key, {}), **(own or {})}, colours)
        for key, own in data.pop("parameters").items()
    )
    words = tuple((re.compile(p, re.IGNORECASE), w) for p, w in data.pop("words").items())
    return Starter(name=name, parameters=parameters, words=words, **data)


def quoted(value: Any) -> Markup:
    """Strings, numbers and lists of them as a literal that is the same in JavaScript (also inside
    <script>), Python and YAML, and that can't end a code fence."""
    text = json.dumps(value, ensure_ascii=False)
    return Markup(  # noqa: S704 - every character that means something to HTML is escaped here
        re.sub(
            r"[<>&'`\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]",
            lambda match: f"\\u{ord(match[0]):04x}",
            text,
        )
    )


def rust(value: Any) -> Markup:
    """The same literal as Rust writes it: `\\u{3c}` for `\\u003c`."""

    def escape(match: re.Match[str]) -> str:
        if match[2]:
            code = int(match[2], 16)
            return "\\u{fffd}" if 0xD800 <= code < 0xE000 else f"\\u{{{code:x}}}"
        return {"b": "\\u{8}", "f": "\\u{c}"}.get(match[1], match[0])

    return Markup(re.sub(r"\\(u([0-9a-f]{4})|.)", escape, quoted(value)))  # noqa: S704 as above


def shade(colour: str, background: str) -> str:
    """The colour, made darker or lighter until it reads well on the background: a contrast of at
    least 5, a little over the 4.5 of WCAG 2.2, success criterion 1.4.3, to read on a tint too."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_channels(colour))
    step = -0.01 if _luminance(background) > 0.5 else 0.01
    while _contrast(colour, background) < 5 and 0 <= lightness + step <= 1:
        lightness += step
        channels = colorsys.hls_to_rgb(hue, lightness, saturation)
        colour = "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)
    return colour


def _channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def _luminance(colour: str) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _channels(colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        # only pages are HTML; Python and YAML use the `quoted` filter
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"quoted": quoted, "rust": rust, "shade": shade}
    return environment
