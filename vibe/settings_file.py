"""Changes the settings file: only the values that are named, all or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import yaml

from vibe.durable import write_whole, writing
from vibe.errors import UserError
from vibe.settings import Settings, checked, from_environment, from_file, settings_file


def change(changes: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Writes the changed values (None takes one out, so that its default holds again) and returns
    the settings of the file alone.

    Comments, and what isn't named, stay as they are. Raises UserError for a value that can't be
    used, that the environment gives, or that is a secret, and when the disk refuses; then nothing
    has changed.
    """
    given = from_environment(environ)
    for name in changes:
        if name in ("api_key", "secrets"):
            raise UserError("A key is never written down.", "Set OPENAI_API_KEY instead.")
        if name in given:
            raise UserError(
                f"{given[name]} is set in the environment, and beats the settings file.",
                f"Unset {given[name]} and start Vibe again, or change it there.",
            )
    path = settings_file(environ).expanduser().resolve()
    wanted = {**from_file(path), **changes}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    settings = checked(dict(wanted))
    with writing("The settings", move="name another file with VIBE_SETTINGS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text("utf-8") if path.is_file() else ""
        new = _edited(text, changes)
        if (yaml.safe_load(new) or {}) != wanted:
            new = _dumped(wanted)
        write_whole(path, new.encode())
    return settings


def origins(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Where the value of each setting comes from, in words. Raises UserError for a file that can't
    be read."""
    given, filed = from_environment(environ), from_file(settings_file(environ))
    found = {}
    for setting in fields(Settings):
        if setting.name == "secrets":
            continue  # found, not set
        if setting.name in given:
            found[setting.name] = f"the environment ({given[setting.name]})"
        else:
            found[setting.name] = "the settings file" if setting.name in filed else "default"
    return found


def _edited(text: str, changes: Mapping[str, Any]) -> str:
    """The file's text with the changed values in their places, new ones at its end; nothing for one
    that is written as JSON would be."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(node, yaml.MappingNode) and node.flow_style:
        return ""
    pairs = node.value if node else []
    keys = [key.value for key, _ in pairs]
    starts = [*(key.start_mark.index for key, _ in pairs), len(text)]
    new = text[: starts[0]]
    for number, key in enumerate(keys):
        block = text[starts[number] : starts[number + 1]]
        if key in changes:
            block = _dumped({key: changes[key]}) + _comments_after(block)
        new += block
    added = {name: value for name, value in changes.items() if name not in keys}
    if added and new and not new.endswith("\n"):
        new += "\n"
    return new + _dumped(added)


def _comments_after(block: str) -> str:
    """The comments and empty lines at the end of a value, which belong to what follows it."""
    lines = block.splitlines(keepends=True)
    end = len(lines)
    while end > 1 and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1
    return "".join(lines[end:])


def _dumped(values: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in values.items() if value is not None}
    return yaml.safe_dump(kept, allow_unicode=True, sort_keys=False) if kept else ""
