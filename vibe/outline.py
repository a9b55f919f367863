"""Plain lists, dicts and strings from YAML as models write it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from vibe.fences import blocks, tidy

MAX_CHARACTERS = 40_000
MAX_DEPTH = 12
MAX_ITEMS = 5_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_EMPTY = {"", "~", "null", "Null", "NULL"}
_LANGUAGES = {"yaml", "yml", "json", "", "text", "txt", "plan", "markdown", "md"}
_CANDIDATES = 4
_ENTRY = re.compile(r"([ \t]*(?:- +)*)(\"?\w[\w .-]{0,40}?\"?)[ \t]*:[ \t]+(\S.*)")
_ITEM = re.compile(r"([ \t]*(?:- +)+)(\S.*)")
_PAIR = re.compile(
    r"\s*(\"?\w+\"?)\s*:\s*(\"(?:[^\"\\]|\\.)*\"|'[^']*'|.*?)\s*(?:,(?=\s*\"?\w+\"?\s*:)|$)"
)


class Unreadable(ValueError):
    """A text is no YAML, or nothing that a plan would be."""


def outlines(text: str, keys: Sequence[str]) -> Iterator[Any]:
    """What each YAML (or JSON) part of a reply holds, in order; strings, lists and dicts only.

    The whole text is tried first, and alone if it is a mapping with one of the `keys`; then every
    fence; then the text from the first line that begins with a key.
    """
    try:
        data = _loaded(text)
    except Unreadable:
        pass
    else:
        if isinstance(data, dict) and set(data) & set(keys):
            yield data
            return
    text = tidy(text)
    parts = [b.text for b in blocks(text) if b.language in _LANGUAGES and b.path is None]
    parts += [b.text for b in blocks(text) if b.path and b.path.endswith((".yaml", ".yml"))]
    key = re.search(rf"^[ \t]{{0,8}}\**({'|'.join(keys)})\**[ \t]*:", text, re.MULTILINE | re.I)
    brace = re.search(r"^[ \t]{0,8}\{", text, re.MULTILINE)
    start = min((found.start() for found in (key, brace) if found), default=None)
    if not parts and start is not None:
        parts = [text[start:]]
    for part in parts[-_CANDIDATES:]:
        try:
            yield _read(part)
        except Unreadable:
            continue


def outline(data: Any, depth: int = 0) -> Any:
    """Any data as strings, lists and dicts of strings; what is nested too deep is left out."""
    if depth > MAX_DEPTH:
        return ""
    if isinstance(data, Mapping):
        pairs = list(data.items())[:MAX_ITEMS]
        return {str(key): outline(value, depth + 1) for key, value in pairs}
    if isinstance(data, list | tuple):
        return [outline(value, depth + 1) for value in data[:MAX_ITEMS]]
    if data is None:
        return ""
    return str(data).lower() if isinstance(data, bool) else str(data)


def _read(text: str) -> Any:
    """The data of one part: as it is, mended, or without the lines at its end that spoil it."""
    text = text[:MAX_CHARACTERS]
    if text.lstrip().startswith(("{", "[")):
        try:
            return outline(json.JSONDecoder(strict=False).raw_decode(text.lstrip())[0])
        except (ValueError, RecursionError):
            pass
    lines = _without_prose(text.split("\n"))
    tries = ["\n".join(lines), "\n".join(_mended(lines))]
    tries += ["\n".join(_mended(lines[:-count])) for count in (1, 2, 3, 5, 8) if count < len(lines)]
    for attempt in tries:
        try:
            data = _loaded(attempt)
        except Unreadable:
            continue
        if isinstance(data, dict | list):
            return data
    raise Unreadable("this is no YAML")


def _loaded(text: str) -> Any:
    """The first YAML document of a text, every scalar as the string that is written: `12:30` is no
    number and `yes` is yes. A mapping with a key twice is a list of mappings of one.

    Aliases are refused, since a few lines of them can stand for gigabytes.
    """
    if len(text) > MAX_CHARACTERS:
        raise Unreadable("it is too long")
    open_parts: list[tuple[bool, list[Any]]] = []
    count = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            count += 1
            if isinstance(event, yaml.AliasEvent) or count > MAX_ITEMS:
                raise Unreadable("it has aliases or is too long")
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                if len(open_parts) > MAX_DEPTH:
                    raise Unreadable("it is nested too deep")
                open_parts.append((isinstance(event, yaml.MappingStartEvent), []))
                continue
            if isinstance(event, yaml.ScalarEvent):
                value: Any = _scalar(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                is_mapping, items = open_parts.pop()
                value = _mapping(items) if is_mapping else items
            else:
                continue
            if not open_parts:
                return value
            open_parts[-1][1].append(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from None
    raise Unreadable("it is empty")


def _scalar(event: yaml.ScalarEvent) -> str:
    value = str(event.value).encode("utf-8", "replace").decode("utf-8")
    return "" if not event.style and value in _EMPTY else value


def _mapping(items: list[Any]) -> Any:
    pairs = [
        (key if isinstance(key, str) else json.dumps(key), value)
        for key, value in zip(items[::2], items[1::2], strict=True)
    ]
    if len({key for key, _ in pairs}) < len(pairs):
        return [{key: value} for key, value in pairs]
    return dict(pairs)


def _without_prose(lines: list[str]) -> list[str]:
    """The lines without tabs at their beginning, up to the first that can't be of the mapping."""
    kept: list[str] = []
    for line in lines:
        line = line.rstrip()
        start = len(line) - len(line.lstrip(" \t"))
        if "\t" in line[:start]:
            line = line[:start].expandtabs(2) + line[start:]
        prose = re.match(r"(?:[A-Za-z*>`][^:]*$|[^:]*[.!?]$|```)", line)
        if prose and kept and ":" in "".join(kept):
            break
        kept.append(re.sub(r"^\*\*(\w+):?\*\*:?", r"\1:", line[:2000]))
    return kept


def _mended(lines: Sequence[str]) -> list[str]:
    """The lines with every value in quotes that may need them; text in block scalars stays."""
    mended: list[str] = []
    block_indent = -1
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if block_indent >= 0 and (not line.strip() or indent > block_indent):
            mended.append(line)
            continue
        block_indent = -1
        if found := _ENTRY.fullmatch(line):
            if found[3][0] in "|>":
                block_indent = indent
                mended.append(line)
            else:
                mended.append(f"{found[1]}{found[2]}: {_quoted(found[3])}")
        elif (found := _ITEM.fullmatch(line)) and not found[2].endswith(":"):
            mended.append(f"{found[1]}{_quoted(found[2])}")
        else:
            mended.append(line)
    return mended


def _quoted(value: str) -> str:
    value = value.strip()
    if re.fullmatch(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'", value):
        return value
    if value[0] == "{" and value[-1] == "}":
        pairs = _PAIR.findall(value[1:-1][:1000])
        return "{" + ", ".join(f"{key}: {_quoted(item or '-')}" for key, item in pairs) + "}"
    if value[0] == "[" and value[-1] == "]":
        items = re.findall(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^,]+", value[1:-1])
        return "[" + ", ".join(_quoted(item) for item in items if item.strip()) + "]"
    value = re.sub(r"\s+#\s.*$", "", value)
    if value[:1] in "\"'" and value[:1] not in value[1:]:
        value = value[1:]
    return json.dumps(value, ensure_ascii=False)
