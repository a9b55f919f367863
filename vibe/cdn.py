"""Leads a page's libraries from other hosts, which no box reaches, to the ones in `vendor/`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from vibe import reach
from vibe.libraries import VENDOR, Library, served

_TAG = re.compile(r"<(?:script|link)\b[^<>]*>", re.I)
_ADDRESS = re.compile(r"""\b(?:src|href)\s*=\s*(["']?)((?:https?:)?//[^"'\s>]+)\1""", re.I)
_GUARDS = re.compile(
    r"""\s(?:integrity|crossorigin|referrerpolicy)"""
    r"""(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>]+))?(?=[\s>/])""",
    re.I,
)
_SCRIPT = re.compile(r"<script\b[^<>]*>", re.I)
_END = re.compile(r"</script", re.I)
_IMPORT = re.compile(
    r"""((?:\bfrom|\bimport)\s{0,9}\(?\s{0,9})(["'])((?:https?:)?//[^"']+)\2""",
)
_MAPPED = re.compile(r"""(:\s*)(")((?:https?:)?//[^"]+)\2""")
_NOISE = re.compile(
    r"(?:[.-](?:min|umd|production|development|prod|dev|esm|es|module|bundle|all|core|browser|basic"
    r"|latest|iife|global|v?\d\w*))+$"
)
"""What a file's name has beside the library's: `d3.v7.min`, `plotly-2.35.2`, `react.production`."""
_ENTRIES = {"", "index", "main", "cdn", "dist", "bundle", "+esm"}


def to_vendor(
    files: Mapping[str, str], libraries: Sequence[Library]
) -> tuple[dict[str, str], list[str]]:
    """The files that load a library of ours from another host, changed to load it from `vendor/`,
    and a few words on each address: what it was, what it is now."""
    changed: dict[str, str] = {}
    said: list[str] = []
    for path, text in files.items():

        def lead(address: str, module: bool, path: str = path) -> str:
            found = local(address, libraries, module=module)
            if found is None:
                return address
            said.append(f"{address} is {found[0]} {found[1].version} of {VENDOR}/")
            return ("../" * path.count("/") or "./") + found[2]

        if (new := _led(path, text, lead)) != text:
            changed[path] = new
    return changed, list(dict.fromkeys(said))


def remote(files: Mapping[str, str], hosts: Collection[reach.Host] = ()) -> list[str]:
    """A line for each script, style sheet or module that comes from another host than these, with
    its file."""
    found: list[str] = []
    for path, text in files.items():

        def note(address: str, module: bool, path: str = path) -> str:
            whole = f"https:{address}" if address.startswith("//") else address
            if reach.of_address(whole) not in hosts:
                found.append(f"{path} loads {address[:200]}")
            return address

        _led(path, text, note)
    return list(dict.fromkeys(found))


def _led(path: str, text: str, lead: Callable[[str, bool], str]) -> str:
    """A file's text with `lead` asked for each address that it loads code or styles from."""
    if path.endswith((".js", ".mjs")):
        return _modules(text, lead)
    if not path.endswith((".html", ".htm")):
        return text

    def script(tag: str, inside: str) -> str:
        if re.search(r"type\s*=\s*[\"']?importmap", tag, re.I):
            return _MAPPED.sub(lambda m: f"{m[1]}{m[2]}{lead(m[3], True)}{m[2]}", inside)
        return _modules(inside, lead)

    def tag(match: re.Match[str]) -> str:
        if _is_link(match[0]) and not re.search(r"rel\s*=\s*[\"']?stylesheet", match[0], re.I):
            return match[0]
        found = _ADDRESS.search(match[0])
        if found is None:
            return match[0]
        module = re.search(r"type\s*=\s*[\"']?module", match[0], re.I) is not None
        new = lead(found[2], module)
        if new == found[2]:
            return match[0]
        # the hash was of another file, and a page's own files need no CORS
        return _GUARDS.sub("", match[0].replace(found[2], new))

    return _TAG.sub(tag, _scripts(text, script))


def _scripts(text: str, change: Callable[[str, str], str]) -> str:
    """A page's text with what is inside each of its script elements changed."""
    parts, place = [], 0
    while opened := _SCRIPT.search(text, place):
        closed = _END.search(text, opened.end())
        if closed is None:
            break
        inside = text[opened.end() : closed.start()]
        parts += [text[place : opened.end()], change(opened[0], inside)]
        place = closed.start()
    return "".join([*parts, text[place:]])


def _modules(text: str, lead: Callable[[str, bool], str]) -> str:
    return _IMPORT.sub(lambda m: f"{m[1]}{m[2]}{lead(m[3], True)}{m[2]}", text)


def _is_link(tag: str) -> bool:
    return tag[:5].lower() == "<link"


def local(
    address: str, libraries: Sequence[Library], *, module: bool
) -> tuple[str, Library, str] | None:
    """The library that an address on another host is of, and the address of ours that does the
    same; None when there is none. Hosts differ, so it goes by the path: `…/chart.js@4/…`,
    `…/libs/d3/7.9.0/d3.min.js`, `…/plotly-2.35.2.min.js`."""
    try:
        path = unquote(urlsplit(address).path)
    except ValueError:
        return None
    parts = [part for part in path.split("/") if part]
    file = parts[-1] if parts and not path.endswith("/") else ""
    names = {alias: each for each in libraries for alias in (each.name, *each.aliases)}
    for at, part in enumerate(parts):
        library = names.get(part.partition("@")[0].lower())
        if library is None:
            continue
        rest = parts[at + 1 :]
        if rest and re.fullmatch(r"v?\d[\w.+-]*", rest[0]):
            rest = rest[1:]
        if path.endswith("/") and rest:
            return _folder(library, "/".join(rest))
        file = rest[-1] if rest else ""
        return _file(library, file, module=module)
    stem = _stem(file[:200])
    library = names.get(stem) or names.get(f"{stem}.js")
    return _file(library, file, module=module) if library else None


def _stem(file: str) -> str:
    base = re.sub(r"\.(?:m?js|css)$", "", file.lower())
    return _NOISE.sub("", base) or base


def _folder(library: Library, path: str) -> tuple[str, Library, str] | None:
    """A folder that an import map gives a name to."""
    if any(kept.startswith(f"{path}/") for kept in library.files):
        return library.name, library, f"{served(library, path)}/"
    return None


def _file(library: Library, file: str, *, module: bool) -> tuple[str, Library, str] | None:
    sheet = file.endswith(".css")
    exact = {file.lower(), file.lower().replace(".js", ".min.js").replace(".css", ".min.css")}
    kept = [path for path in library.files if path.rpartition("/")[2].lower() in exact]
    if kept and not (module and kept[0] == library.main and library.module):
        importable = library.module == kept[0] or "/jsm/" in kept[0]
        return (
            (library.name, library, served(library, kept[0])) if importable or not module else None
        )
    mine = {library.name.lower(), *library.aliases}
    if not ({_stem(file), f"{_stem(file)}.js", file.lower()} & (mine | _ENTRIES)):
        return None
    if sheet:
        sheets = [path for path in library.files if path.endswith(".css")]
        return (library.name, library, served(library, sheets[0])) if sheets else None
    main = library.module if module else library.main
    return (library.name, library, served(library, main)) if main else None
