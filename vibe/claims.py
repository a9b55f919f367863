"""Where a reply says which file a block of code is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

LANGUAGES = {
    "py": "python", "python": "python", "python3": "python", "streamlit": "python",
    "html": "html", "htm": "html", "xhtml": "html", "jinja": "html", "jinja2": "html", "j2": "html",
    "css": "css", "js": "javascript", "javascript": "javascript", "mjs": "javascript",
    "jsx": "javascript", "json": "json", "md": "markdown", "markdown": "markdown", "csv": "csv",
    "yaml": "yaml", "yml": "yaml", "toml": "toml", "sql": "sql", "svg": "svg", "xml": "xml",
    "bash": "shell", "sh": "shell", "shell": "shell", "zsh": "shell", "console": "shell",
    "terminal": "shell", "powershell": "shell", "cmd": "shell", "bat": "shell",
    "shell-session": "shell",
}  # fmt: skip
"""The language that a fence's word or a file's suffix stands for."""

_SUFFIXES = {
    *LANGUAGES, "txt", "tsv", "ini", "cfg", "env", "log", "ts", "tsx", "vue", "webmanifest",
} - {"python", "python3", "streamlit", "javascript", "markdown", "shell", "terminal"}  # fmt: skip
_NOT_FILES = {"node.js", "vue.js", "react.js", "next.js", "three.js", "chart.js", "d3.js", "p5.js"}
_PLAIN_NAMES = {"Dockerfile", "Makefile", "Procfile", "LICENSE"}

_CURLY = str.maketrans(
    {**dict.fromkeys("“”„‟″«»", '"'), **dict.fromkeys("\u2018\u2019\u201a\u201b", "'")}
)
_KEYED = re.compile(
    r"(?:^|[\s{,;])(?:path|file|file_?name|file_?path|title|name|src)\s*[=:]\s*"
    r"(?:\"([^\"]*)\"|'([^']*)'|`([^`]*)`|([^\s{},\"'`]+))",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:[^\w\s]+|\d{1,3}[.):]?|\W*(?:step|file|files|filename|name|path|create|created|update|updated"
    r"|edit|new|modified|save|as|the|this|here|here's|is|and|full|complete|whole|final|code|content"
    r"|contents|for|of|in|add)\W*)",
    re.IGNORECASE,
)
_COMMENT = re.compile(
    r"\s*(?:#+|//+|/\*+|<!--+|--|;+|%%writefile|\"\"\"|''')\s*(?:file|filename|path)?\s*[:=]?\s*"
    r"[`*\"']*([^\s`*\"'<>:]{1,400})[`*\"']*(?:\s*(?:\*/|-->|\"\"\"|'''))?(?:\s+[-–—:(].{0,200})?\s*",  # noqa: RUF001 dashes as models write them
    re.IGNORECASE,
)
_TAG = re.compile(
    r"\s*<(file|codefile|write_file|create_file|boltAction|dyad-write|lov-write)\s([^>]{1,500})>",
    re.IGNORECASE,
)
_TAG_PATH = re.compile(
    r"(?<![\w-])(?:path|filepath|file_path|filename|name)\s?=\s?\"([^\"]{1,400})\"", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Claim:
    """The path a block is said to have, None if nothing says so, and its language."""

    path: str | None = None
    language: str = ""
    surely: bool = True


def language_of(path: str) -> str:
    """The language of a file by its suffix; empty for others."""
    return LANGUAGES.get(PurePosixPath(path).suffix.lstrip(".").lower(), "")


def fits(language: str, path: str | None) -> bool:
    """Whether code in that language may be in that file; unknown ones may."""
    known, wanted = LANGUAGES.get(language, ""), language_of(path or "")
    return known == wanted or not known or (not wanted and known != "shell")


def looks_like_path(word: str) -> bool:
    """Whether a bare word is more likely a file's path than anything else."""
    if not word or len(word) > 400 or re.search(r"[\s`\"'<>|*?=,;]|://", word):
        return False
    name = re.split(r"[/\\]", word)[-1]
    if name.lower() in _NOT_FILES:
        return False
    stem, dot, suffix = name.rpartition(".")
    return name in _PLAIN_NAMES or bool(stem and dot and suffix.lower() in _SUFFIXES)


def claim_on_fence(words: str) -> Claim:
    """The claim in the words after an opening fence: `python path=app.py` and its relatives."""
    words = words.translate(_CURLY).strip()
    if keyed := _KEYED.search(words):
        path = next(group for group in keyed.groups() if group is not None)
        rest = words[: keyed.start()] + " " + words[keyed.end() :]
        return Claim(path.strip() or None, _language(rest))
    path, language = None, _language(words)
    for number, token in enumerate(words.split()):
        bare = token.strip("{}()[]`\"'#,;")
        first, colon, second = bare.partition(":")
        if number == 0 and colon and re.fullmatch(r"[\w+#.-]+", first) and _has_path_shape(second):
            return Claim(second, first.lower())
        if looks_like_path(bare):
            path = path or bare
    if path and language and looks_like_path(words.split()[0].strip("{}`\"'")):
        language = language_of(path)
    return Claim(path, language)


def _has_path_shape(word: str) -> bool:
    return looks_like_path(word) or bool(re.search(r"[/\\]", word))


def _language(words: str) -> str:
    first = (words.split() or [""])[0].strip("{}[]()`\"',.").lower()
    return "" if "=" in first else first


def file_tag(line: str) -> tuple[str, str, str] | None:
    """Of a line that begins a file between tags: the tag's name, the path, the rest of the line."""
    tag = _TAG.match(line[:600]) if "<" in line[:200] else None
    path = _TAG_PATH.search(tag[2].translate(_CURLY).replace("'", '"')) if tag else None
    return (tag[1], path[1], line[tag.end() :]) if tag and path else None


def claim_before(lines: Sequence[str], number: int) -> Claim:
    """The claim in the line before a fence: a heading, bold, in backticks, or in a sentence."""
    at = number - 1
    while at >= 0 and at >= number - 2 and not lines[at].strip():
        at -= 1
    if at < 0 or at < number - 3 or len(lines[at]) > 300:
        return Claim()
    line = lines[at].translate(_CURLY).strip()
    if line.startswith(("```", "~~~")) or not line:
        return Claim()
    tokens = line.replace("*", " ").replace("`", " ").split()
    bare = [token.strip("\"'()[],:;#").rstrip(".") for token in tokens]
    paths = [place for place, token in enumerate(bare) if looks_like_path(token)]
    if len(paths) != 1:
        return Claim()
    place = paths[0]
    path = re.sub(r"^(?:file|path):(?=.)", "", bare[place], flags=re.IGNORECASE)
    after = tokens[place + 1 :]
    described = not after or not re.match(r"\w", after[0])
    surely = described and all(_LABEL.fullmatch(token) for token in tokens[:place])
    if surely or line.endswith(":"):
        return Claim(path, "", surely)
    return Claim()


def claim_in_comment(text: str, language: str) -> tuple[Claim, str]:
    """The claim in the first line of the code, and the code without it where it isn't code."""
    start = len(text) - len(text.lstrip("\n"))
    first, _, rest = text[start : start + 600].partition("\n")
    words = " ".join(first[:500].translate(_CURLY).split())
    comment = _COMMENT.fullmatch(words) if len(first) < 500 else None
    if comment and looks_like_path(comment[1]) and fits(language, comment[1]):
        path = comment[1]
        magic = first.lstrip().startswith("%%") or language_of(path) in ("json", "csv")
        return Claim(path, language), text[start + len(first) + 1 :] if magic else text
    word = first.strip().strip("`*:")
    second = rest.partition("\n")[0].strip()
    code = re.match(r"import |from |<|#|\"\"\"|//|/\*|@|:root|const |let |\"use strict", second)
    if looks_like_path(word) and fits(language, word) and code and not looks_like_path(second):
        return Claim(word, language), text[start + len(first) + 1 :]
    return Claim(), text
