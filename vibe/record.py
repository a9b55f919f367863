"""The record of an app as YAML that a person can read, and back."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from functools import cache
from typing import Any

import yaml

from vibe.app import App

VERSION = 1


class BrokenRecord(ValueError):
    """The text is not an app's record; the message says where it is wrong."""


_Fast: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's safe loader, eight times as fast, wherever PyYAML was built with it."""

_NESTING = re.compile(r"[\[{]|[-?]\s")
_MAX_NESTING = 2000
"""libyaml's loader ends the whole process on a text that nests some ten thousand deep. One that
might goes to Python's own, which raises RecursionError."""


_LOSSY = frozenset("\r\x85\u2028\u2029\ufeff")
"""Line breaks and marks that PyYAML keeps only between double quotes."""


class _Dumper(yaml.SafeDumper):
    """A safe dumper that writes text of several lines as a block, so that it can be read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    if _LOSSY.intersection(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(app: App) -> str:
    """The record as YAML, its fields in the order of `App`; half characters become `?`."""
    text = yaml.dump(_plain(app), Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100)
    return str(text)


def from_yaml(text: str) -> App:
    """The record of that YAML. Raises BrokenRecord, also for a newer version's record."""
    try:
        deep = len(text) > 2_000_000 or len(_NESTING.findall(text)) > _MAX_NESTING
        loader = yaml.SafeLoader if deep else _Fast
        return from_data(yaml.load(text, Loader=loader))  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, BrokenRecord):
            raise
        raise BrokenRecord(str(error)) from error


def to_data(app: App) -> dict[str, Any]:
    """The record as JSON-ready data."""
    plain: dict[str, Any] = _plain(app)
    return plain


def from_data(data: Any) -> App:
    """The record of data that `to_data` made. Raises BrokenRecord."""
    if (
        isinstance(data, dict)
        and isinstance(data.get("version"), int)
        and data["version"] > VERSION
    ):
        raise BrokenRecord("it was written by a newer Vibe")
    app: App = _typed(App, data, "the record")
    return app


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    match value:
        case dict():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case str():
            return value.encode("utf-8", "replace").decode()
        case None | bool() | int() | float():
            return value
    return str(value)


@cache
def _fields(cls: type) -> dict[str, tuple[Any, bool]]:
    """Each field's type, and whether it must be given."""
    hints = typing.get_type_hints(cls)
    missing = dataclasses.MISSING
    return {
        f.name: (hints[f.name], f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(cls)
    }


def _typed(hint: Any, value: Any, place: str) -> Any:
    """The value as the type that `hint` promises; unknown fields are ignored."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise BrokenRecord(f"{place} is not a table of fields")
        fields = _fields(hint)
        for name, (_, required) in fields.items():
            if required and name not in value:
                raise BrokenRecord(f"{place} has no `{name}`")
        return hint(
            **{
                name: _typed(fields[name][0], item, f"`{name}`")
                for name, item in value.items()
                if name in fields
            }
        )
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return None if value is None else _typed(parts[0], value, place)
    if origin is tuple and isinstance(value, list):
        return tuple(_typed(parts[0], item, f"an item of {place}") for item in value)
    if origin is typing.Literal and value in parts:
        return value
    if hint is Any or (origin is dict and isinstance(value, dict)):
        return value
    if hint is bool and isinstance(value, bool):
        return value
    if hint in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return hint(value)
    if hint is str and value is not None and not isinstance(value, dict | list):
        return str(value)  # written by hand without quotes, a title may be a number or a date
    raise BrokenRecord(f"{place} is {value!r:.60}")
