"""Paths for the blocks of a reply that name none, or name the right file wrongly."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from vibe.claims import LANGUAGES, language_of, looks_like_path
from vibe.edits import diff_path, edits_in, has_edits, is_diff
from vibe.errors import ModelFault
from vibe.fences import Block, blocks
from vibe.kinds import Kind

_OUTPUT = {"text", "txt", "output", "log", "plaintext", "mermaid", "tree", "diff", "yaml", "csv"}
_ENTRY_NAMES = ("app", "main", "index", "streamlit_app", "run", "server", "script", "cli", "wsgi")
_PATH_KEYS = ("path", "file", "filename", "file_path", "filepath", "name")
_TEXT_KEYS = ("content", "code", "text", "contents", "source", "body")
_PARSED = 400_000
"""Characters; longer code is not parsed to see whether it is Python."""
_SCRIPT = re.compile(r"<script[^>]{1,300}?src=[\"']?([^\"'\s>:?#]{1,200}\.js)", re.IGNORECASE)
_STYLE = re.compile(r"<link[^>]{1,300}?href=[\"']?([^\"'\s>:?#]{1,200}\.css)", re.IGNORECASE)
_TEMPLATE = re.compile(r"render_template\(\s*[\"']([^\"'\s]{1,200})[\"']")
_STATIC = re.compile(r"filename\s*=\s*[\"']([^\"'\s]{1,200})[\"']")


def what_to_send(kind: Kind) -> str:
    """What a model is told to do in the end, when its reply can't be used."""
    return (
        "Send each file whole, in a fence with its path on the fence line, like "
        f"```{language_of(kind.entry)} path={kind.entry}"
    )


def is_python(text: str) -> bool:
    """Whether a text parses as Python and is more than a word or a figure."""
    if len(text) > _PARSED:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    plain = (ast.Expr, ast.AnnAssign)
    return any(
        not isinstance(node, plain)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
        for node in tree.body
    )


def is_page(text: str) -> bool:
    """Whether a text begins as an HTML page does."""
    return bool(re.match(r"\s*(?:<!--[^>]{0,300}-->\s*)?<(?:!doctype html|html)\b", text, re.I))


def looks_finished(path: str, text: str) -> bool:
    """Whether code without its closing fence seems to be all there."""
    language = language_of(path)
    if language == "python":
        return is_python(text)
    if language == "html":
        return text.rstrip().lower().endswith("</html>")
    return False


def files_in_json(text: str) -> list[Block]:
    """The files of a reply that is JSON: {"files": {path: text}}, [{"path", "content"}] …"""
    for start in islice(re.finditer(r"^[ \t]*([{\[])", text, re.MULTILINE), 5):
        try:
            data, _ = json.JSONDecoder(strict=False).raw_decode(text, start.start(1))
        except (ValueError, RecursionError):
            continue
        if found := _files_in_data(data):
            return found
    return []


def _files_in_data(data: Any) -> list[Block]:
    if isinstance(data, dict) and isinstance(data.get("files"), dict | list):
        data = data["files"]
    if isinstance(data, dict) and not _record(data):
        if not all(isinstance(path, str) and looks_like_path(path) for path in data):
            return []
        data = [{"path": path, "content": _text(value)} for path, value in data.items()]
    found = [_record(item) for item in (data if isinstance(data, list) else [data])]
    return [Block(pair[0], "", pair[1], closed=True) for pair in found if pair]


def _record(item: Any) -> tuple[str, str] | None:
    """The path and the text of one JSON object, if it has both."""
    if not isinstance(item, dict):
        return None
    path = next((str(item[key]) for key in _PATH_KEYS if isinstance(item.get(key), str)), None)
    text = next((_text(item[key]) for key in _TEXT_KEYS if key in item), None)
    if path is None or text is None or not (looks_like_path(path) or re.search(r"[/\\]", path)):
        return None
    return path, text


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return _text(next((value[key] for key in _TEXT_KEYS if key in value), ""))
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(line.rstrip("\n") for line in value)
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode("utf-8").replace("\r\n", "\n")


def unfenced(text: str, kind: Kind) -> list[Block]:
    """The one file of a reply that is code from its first line to its last, or has a whole page
    in it, without any fence."""
    page = re.search(r"^[ \t]{0,20}<(?:!doctype html|html)\b", text, re.IGNORECASE | re.MULTILINE)
    if page and kind.entry.endswith(".html"):
        rest = text[page.start() :]
        end = rest.lower().rfind("</html>")
        whole = rest[: end + len("</html>")] if end >= 0 else rest
        return [Block(None, "html", whole, closed=end >= 0)]
    if not kind.entry.endswith(".py"):
        return []
    first = re.search(r"^(?:import |from \w|#!|#|\"\"\"|def |class |@)", text, re.MULTILINE)
    for start in dict.fromkeys((0, first.start() if first else 0)):
        if is_python(text[start:]):
            return [Block(None, "python", text[start:], closed=True)]
    return []


def name_blocks(
    found: Sequence[Block], kind: Kind, current: Mapping[str, str], notes: list[str]
) -> list[tuple[str, Block]]:
    """Each block that is a file of the app with its path, in the order of the reply.

    Raises ModelFault when only the model can say which file is meant.
    """
    found = [part for block in found for part in _unpacked(block)]
    named = [(_path_of_change(block, current), block) for block in found]
    paths = {path for path, block in named if path and block.surely}
    named = [
        (path if path and (block.surely or path not in paths) else None, block)
        for path, block in named
    ]
    nameless = [block for path, block in named if path is None and _is_code(block)]
    files = [(path, block) for path, block in named if path]
    if not files:
        return _by_language(nameless, kind, current, notes)
    wanted = language_of(kind.entry)
    if not any(language_of(path) == wanted for path in (*dict(files), *current)):
        fitting = [block for block in nameless if _language(block) == wanted]
        if fitting:
            entry = max(fitting, key=lambda block: len(block.text))
            notes.append(f"A fence without a path was taken for {kind.entry}.")
            return [*files, (kind.entry, entry)]
    if nameless:
        notes.append(f"Left out, since no path is given: {len(nameless)} code fence(s).")
    return files


def _unpacked(block: Block) -> list[Block]:
    """A nameless block may hold files in another wrapping; a named one may be wrapped twice."""
    text = block.text.strip()
    if block.path is None:
        if text.startswith(("{", "[")) and (inner := files_in_json(text)):
            return inner
        if text.startswith("<") and (inner := blocks(block.text, whole=block.closed)):
            return inner if all(part.path for part in inner) else [block]
        return [block]
    if text.startswith("<![CDATA["):
        text = text.removeprefix("<![CDATA[").removesuffix("]]>").strip("\n")
        return [replace(block, text=text + "\n")]
    if re.match(r"(`{3,}|~{3,})", text) and language_of(block.path) != "markdown":
        inner = blocks(text, whole=True)
        if len(inner) == 1 and inner[0].line == 0:
            return [replace(inner[0], path=block.path, closed=block.closed, surely=block.surely)]
    return [block]


def _path_of_change(block: Block, current: Mapping[str, str]) -> str | None:
    """The block's path; a change without one is meant for the only file that it fits."""
    if block.path is not None:
        return block.path
    if is_diff(block.text, block.language):
        return diff_path(block.text) or (next(iter(current)) if len(current) == 1 else None)
    if current and has_edits(block.text):
        edits = edits_in(block.text, closed=block.closed)
        first = "\n".join(edits[0].search).strip() if edits else ""
        fitting = [path for path, text in current.items() if first and first in text]
        if len(fitting) == 1 or len(current) == 1:
            return (fitting or list(current))[0]
        raise ModelFault(
            "A search/replace block does not say which file it changes: put it in a fence with "
            "the path on the fence line."
        )
    return None


def _language(block: Block) -> str:
    known = LANGUAGES.get(block.language, "")
    if known or block.language not in _OUTPUT | {"", "code", "plain", "none"}:
        return known
    if is_page(block.text):
        return "html"
    return "python" if is_python(block.text) else ""


def _is_code(block: Block) -> bool:
    language = _language(block)
    return language in ("python", "html", "css", "javascript") and bool(block.text.strip())


def _by_language(
    found: Sequence[Block], kind: Kind, current: Mapping[str, str], notes: list[str]
) -> list[tuple[str, Block]]:
    """Names by language, when no block has a path; of two of the same name the longer is meant."""
    all_text = "\n".join(block.text for block in found)
    chosen: dict[str, Block] = {}
    for block in found:
        path = _usual_name(_language(block), kind, all_text)
        if path and (path not in chosen or len(chosen[path].text) < len(block.text)):
            chosen[path] = block
    for path, block in chosen.items():
        before = current.get(path, "").count("\n")
        if before > 20 and block.text.count("\n") * 3 < before and block.closed:
            raise ModelFault(
                f"A fence without a path is too short to be the whole of {path}, and it does not "
                f"say what it replaces. {what_to_send(kind)}"
            )
    if chosen:
        notes.append(f"No path was given; taken for {', '.join(chosen)} by the language.")
    if len(chosen) < len(found):
        notes.append(f"Left out: {len(found) - len(chosen)} other fence(s) without a path.")
    return [(path, block) for block in found for path, one in chosen.items() if one is block]


def _usual_name(language: str, kind: Kind, all_text: str) -> str | None:
    """Where code in a language goes in an app of this kind, by what the other blocks refer to."""
    if language == language_of(kind.entry):
        return kind.entry
    flask = kind.name in ("flask", "fastapi")
    if language == "html" and flask:
        named = _TEMPLATE.search(all_text)
        return f"templates/{named[1] if named else 'index.html'}"
    if language in ("css", "javascript") and (flask or kind.entry.endswith(".html")):
        suffix, pattern, usual = (
            (".css", _STYLE, "style.css") if language == "css" else (".js", _SCRIPT, "script.js")
        )
        if flask:
            static = (name for name in _STATIC.findall(all_text) if name.endswith(suffix))
            return f"static/{next(static, usual)}"
        named = pattern.search(all_text)
        return named[1].removeprefix("./").lstrip("/") if named else usual
    return None


def without_common_folder(
    named: list[tuple[str, Block]], kind: Kind, current: Mapping[str, str], notes: list[str]
) -> list[tuple[str, Block]]:
    """The paths without the project folder that they all begin with, if it isn't the app's own."""
    folders = {path.partition("/")[0] for path, _ in named if "/" in path}
    if len(folders) != 1 or not all("/" in path for path, _ in named):
        return named
    folder = folders.pop() + "/"
    inside = {path.removeprefix(folder) for path, _ in named}
    own = any(path.startswith(folder) for path in current)
    at_root = any("/" not in path and _could_be_entry(path, kind) for path in inside)
    if own or folder == "../" or not (inside & set(current) if current else at_root):
        return named
    notes.append(f"The folder {folder} around every file was left out.")
    return [(path.removeprefix(folder), block) for path, block in named]


def _could_be_entry(path: str, kind: Kind) -> bool:
    stem, _, suffix = path.rpartition(".")
    return suffix == kind.entry.rpartition(".")[2] and stem.lower() in _ENTRY_NAMES


def misnamed_entry(files: Mapping[str, str], kind: Kind) -> str | None:
    """The file that is the entry under another name: the only one of its suffix, or the only one
    with a usual entry's name, which nothing else in the app refers to."""
    suffix = "." + kind.entry.rpartition(".")[2]
    alike = [path for path in files if path.lower().endswith(suffix)]
    if len(alike) > 1:
        alike = [path for path in alike if "/" not in path and _could_be_entry(path, kind)]
    if len(alike) != 1:
        return None
    stem = re.escape(alike[0].rpartition("/")[2].rpartition(".")[0])
    used = re.compile(rf"^[ \t]*(?:from|import)\s+{stem}\b", re.MULTILINE)
    if any(used.search(text) for path, text in files.items() if path != alike[0]):
        return None
    return alike[0]
