"""An app as one file: a script that `uv run` executes, or a page that needs nothing beside it."""

from __future__ import annotations

import base64
import json
import mimetypes
import posixpath
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vibe import vendored
from vibe.archive import Archive
from vibe.errors import UserError
from vibe.export import check_free, written
from vibe.kinds import kind as kind_named
from vibe.markup import Markup
from vibe.requirements import direct
from vibe.standalone import pinned
from vibe.transcript import environment

MAX_FILE = 20 << 20
"""Bytes of a single file; a browser or an editor has trouble with more."""
TOO_LARGE = ("As one file it would be too large.", "Export a zip instead.")

PAGES = ("web", "slides")
"""The kinds that are one page when they are one file."""
SCRIPTS = ("script",)
"""The kinds that are one script with its packages named in it."""

# nothing that these have passed is gone through again, however hostile the text
_URL = re.compile(r"""url\(\s*+(?:(["'])([^"')]++)\1|([^"'()\s]++))\s*+\)""")
_IMPORT = re.compile(
    r"""((?:^|[;}\s])(?:import|export)\b[^"'();]{0,2000}+|\bimport\s*+\(\s*+)(["'])(\.{0,2}/[^"']++)\2"""
)
_SHEET = re.compile(r"""@import\s++(?:url\(\s*+)?(["']?)([^"')\s;]++)\1\s*+\)?\s*+;""")


def single_file(archive: Archive, app_id: str) -> tuple[str, bytes]:
    """A name and the content of the one file. Raises UserError for an app that can't be one: it
    has no code, or its kind serves pages from a program."""
    app = archive.load(app_id)
    kind = kind_named(app.kind)
    files = archive.files(app_id, app.revisions[-1].commit if app.revisions else None)
    if kind.vendor:
        files = {**vendored.needed(files, archive.vendored(app_id)), **files}
    data = {f"data/{name}": content for name, content in archive.data(app_id).items()}
    if kind.entry not in files or kind.name not in (*PAGES, *SCRIPTS):
        raise UserError(
            "Only web pages, slides and Python scripts can be one file.",
            "Export a zip or a git repository.",
        )
    if kind.name in PAGES:
        name, content = f"{app_id}.html", Page({**data, **files}, kind.entry).whole()
    else:
        needed = direct(app.kind, files, pinned(app, files))
        name, content = f"{app_id}.py", one_script({**data, **files}, kind.entry, needed)
    if len(content) > MAX_FILE:
        raise UserError(*TOO_LARGE)
    return name, content


def export_file(archive: Archive, app_id: str, path: Path) -> Path:
    """Writes the single file, whole or not at all. Returns `path`. Raises UserError as
    `single_file` does, and when there is something at `path`."""
    check_free(path)
    return written(path, single_file(archive, app_id)[1])


def one_script(files: Mapping[str, bytes], entry: str, packages: list[str]) -> bytes:
    """The script with its metadata (PEP 723) before it. Other files, when there are any, go into
    it too: modules are imported from there, the rest is put where the script is run, unless a file
    of that name is there."""
    head = ["# /// script", '# requires-python = ">=3.11"', "# dependencies = ["]
    head += [f"#     {json.dumps(package)}," for package in packages]
    metadata = "\n".join([*head, "# ]", "# ///", ""])
    others = {
        name: content
        for name, content in files.items()
        if name not in (entry, "requirements.txt", "requirements.lock", ".gitignore", "README.md")
    }
    source = files[entry].decode("utf-8", "replace")
    if not others:
        bang, source = source.split("\n", 1) if source.startswith("#!") else ("", source)
        if re.match(r"#.*coding[:=]", source):
            source = source.partition("\n")[2]
        return f"{bang}\n{metadata}\n{source}".lstrip("\n").encode()
    packed = "".join(
        f"    {name!a}: {base64.b64encode(content).decode()!a},\n"
        for name, content in {**others, entry: files[entry]}.items()
    )
    values = {"metadata": metadata, "files": packed, "entry": ascii(entry)}
    return environment().get_template("export/single.py.j2").render(values).encode()


_MARKERS = {
    "iconUrl": "marker-icon.png",
    "iconRetinaUrl": "marker-icon-2x.png",
    "shadowUrl": "marker-shadow.png",
}


class Page(Markup):
    """A web page with everything of its own put into it: scripts, styles, pictures, fonts."""

    def __init__(self, files: Mapping[str, bytes], entry: str) -> None:
        super().__init__(convert_charrefs=False)
        self._files, self._entry = files, entry
        self._source = files[entry].decode("utf-8", "replace")
        self._lines = [0]
        for line in self._source.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)
        self._changes: list[tuple[int, int, str]] = []
        self._room = MAX_FILE - len(self._source)
        self._style = self._script = -1
        self._type = ""

    def whole(self) -> bytes:
        """The page. Raises UserError when its modules import each other in a circle."""
        # not closed: a tag or comment without an end is none, and would take the square of its size
        self.feed(self._source)
        parts, place = [], 0
        for start, end, text in self._changes:
            parts += [self._source[place:start], text]
            place = end
        return "".join([*parts, self._source[place:]]).encode("utf-8", "replace")

    def _at(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        start, raw = self._at(), self.get_starttag_text() or ""
        given = {name: value or "" for name, value in attrs}
        found = self._change(tag, given)
        if found is not None:
            self._changes.append((start, start + len(raw), found))
        if tag == "style":
            self._style = start + len(raw)
        elif tag == "script" and "src" not in given:
            self._script, self._type = start + len(raw), given.get("type", "")

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag: str) -> None:
        end = self._at()
        if tag == "style" and self._style >= 0:
            text = self._sheet(self._source[self._style : end], self._entry, ())
            self._changes.append((self._style, end, _in_style(text)))
            self._style = -1
        elif tag == "script" and self._script >= 0:
            text = self._source[self._script : end]
            if self._type == "module":
                text = self._script_text(text, self._entry, ())
            elif self._type == "importmap":
                text = self._import_map(text)
            if text != self._source[self._script : end]:
                self._changes.append((self._script, end, _in_script(text)))
            self._script = -1

    def _change(self, tag: str, given: dict[str, str]) -> str | None:
        """What stands for a start tag, or None when it stays."""
        if tag == "script" and (path := self._path(given.get("src", ""), self._entry)):
            gone = ("src", "defer", "async", "integrity", "crossorigin")
            rest = {name: value for name, value in given.items() if name not in gone}
            text = self._text(path) + self._markers(path)
            if given.get("type") == "module":
                return _tag(tag, rest) + _in_script(self._script_text(text, path, ()))
            if "defer" in given:  # it may count on the whole page being there
                data = base64.b64encode(text.encode()).decode()
                return _tag(tag, given | {"src": f"data:text/javascript;base64,{data}"})
            return _tag(tag, rest) + _in_script(text)
        if tag == "link" and (path := self._path(given.get("href", ""), self._entry)):
            if "stylesheet" in given.get("rel", "").lower().split():
                text = self._sheet(self._text(path), path, ())
                media = {"media": given["media"]} if "media" in given else {}
                return f"{_tag('style', media)}{_in_style(text)}</style>"
            return _tag(tag, given | {"href": self._data(path)})
        changed = dict(given)
        for name in ("src", "poster", "data"):
            if tag != "script" and (path := self._path(given.get(name, ""), self._entry)):
                changed[name] = self._data(path)
        if "url(" in given.get("style", ""):
            changed["style"] = self._sheet(given["style"], self._entry, ())
        if tag == "image" and (path := self._path(given.get("href", ""), self._entry)):
            changed["href"] = self._data(path)
        if changed == given:
            return None
        if "src" in changed and changed["src"] != given["src"]:
            changed.pop("srcset", None)
        made = _tag(tag, changed)
        return f"{made[:-1]}/>" if (self.get_starttag_text() or "").endswith("/>") else made

    def _markers(self, path: str) -> str:
        """For Leaflet, which looks for its markers' pictures beside its style sheet: where they are
        in a page without files."""
        folder, name = posixpath.split(path)
        pictures = {option: f"{folder}/images/{file}" for option, file in _MARKERS.items()}
        if name != "leaflet.js" or not self._files.keys() >= {*pictures.values()}:
            return ""
        options = json.dumps({option: self._data(path) for option, path in pictures.items()})
        return f"\n;L.Icon.Default.imagePath = ''; L.Icon.Default.mergeOptions({options});\n"

    def _path(self, address: str, beside: str) -> str:
        """The file of ours that an address names, seen from the file `beside`; else nothing."""
        try:
            parts = urlsplit(address.strip())
        except ValueError:
            return ""
        if parts.scheme or parts.netloc or not parts.path:
            return ""
        folder = "" if parts.path.startswith("/") else posixpath.dirname(beside)
        path = posixpath.normpath(posixpath.join(folder, unquote(parts.path).lstrip("/")))
        return path if path in self._files else ""

    def _counted(self, content: bytes) -> bytes:
        """Content that goes in once more: some thirty small files that name each other twice would
        make gigabytes. Raises UserError."""
        self._room -= 50 + len(content)
        if self._room < 0:
            raise UserError(*TOO_LARGE)
        return content

    def _text(self, path: str) -> str:
        return self._counted(self._files[path]).decode("utf-8", "replace")

    def _data(self, path: str) -> str:
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        return f"data:{kind};base64,{self._encoded(self._files[path])}"

    def _encoded(self, content: bytes) -> str:
        return base64.b64encode(self._counted(content)).decode()

    def _sheet(self, text: str, beside: str, above: tuple[str, ...]) -> str:
        """A style sheet with what it imports and shows in it."""

        def imported(match: re.Match[str]) -> str:
            path = self._path(match[2], beside)
            if not path or path in above:
                return "" if path else match[0]
            more = self._text(path)
            return self._sheet(more, path, (*above, path))

        def shown(match: re.Match[str]) -> str:
            path = self._path(match[2] or match[3], beside)
            quote = match[1] or ""
            return f"url({quote}{self._data(path)}{quote})" if path else match[0]

        return _URL.sub(shown, _SHEET.sub(imported, text))

    def _import_map(self, text: str) -> str:
        """A page's import map with each module of ours as a data URL; of a folder, every file."""
        try:
            given = json.loads(text)
            named = dict(given["imports"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return text
        found: dict[str, str] = {}
        for name, address in named.items():
            path = self._path(str(address), self._entry)
            if path:
                found[name] = self._module_data(path)
            elif name.endswith("/") and str(address).startswith(("./", "/")):
                folder = posixpath.normpath(str(address).lstrip("/")) + "/"
                inside = [path for path in self._files if path.startswith(folder)]
                scripts = [path for path in inside if path.endswith((".js", ".mjs"))]
                found |= {name + path[len(folder) :]: self._module_data(path) for path in scripts}
            else:
                found[name] = address
        return json.dumps({**given, "imports": found})

    def _module_data(self, path: str) -> str:
        text = self._script_text(self._text(path), path, (path,))
        return f"data:text/javascript;base64,{self._encoded(text.encode())}"

    def _script_text(self, text: str, beside: str, above: tuple[str, ...]) -> str:
        """A module's text with each module that it imports as a data URL."""

        def module(match: re.Match[str]) -> str:
            path = self._path(match[3], beside)
            if not path:
                return match[0]
            if path in above:
                raise UserError(
                    f"The script {path} imports itself in a circle, so the page can't be one file.",
                    "Export a zip instead.",
                )
            more = self._text(path)
            inner = self._script_text(more, path, (*above, path)).encode()
            data = f"data:text/javascript;base64,{self._encoded(inner)}"
            return f"{match[1]}{match[2]}{data}{match[2]}"

        return _IMPORT.sub(module, text)


def _tag(name: str, attributes: Mapping[str, str]) -> str:
    said = "".join(
        f' {key}="{escape(value)}"' if value else f" {key}" for key, value in attributes.items()
    )
    return f"<{name}{said}>"


def _in_script(text: str) -> str:
    """A script's text that can't end its element."""
    return re.sub(r"<(?=/script|!--)", r"\\x3C", text, flags=re.IGNORECASE)


def _in_style(text: str) -> str:
    return re.sub(r"</(?=style)", r"<\\/", text, flags=re.IGNORECASE)
