"""An app's transcript as a page to read: Markdown, or HTML that needs nothing else."""

from __future__ import annotations

import html
import re
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from vibe.archive import Archive
from vibe.passages import passages, readable, when
from vibe.settings import TEMPLATES

_MARKUP = re.compile(r"[\\`*_\[\]|~$]")
_LINE_START = re.compile(r"^(?:[-+#=]|\d+(?=[.)]))")


def transcript_markdown(archive: Archive, app_id: str) -> str:
    """The transcript as Markdown. Nothing that a person, model or program wrote can end its
    fence or become markup."""
    return _render(archive, app_id, "transcript.md.j2")


def transcript_html(archive: Archive, app_id: str) -> str:
    """The transcript as one HTML page without scripts, links or outside resources."""
    return _render(archive, app_id, "transcript.html.j2")


def _render(archive: Archive, app_id: str, name: str) -> str:
    template = environment().get_template(f"transcript/{name}")
    return template.render(app=archive.load(app_id), passages=passages(archive.events(app_id)))


@cache
def environment() -> Environment:
    """What renders exported pages: HTML is escaped; Markdown has `inline`, `quoted`, `fenced`."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(inline=inline, quoted=quoted, fenced=fenced, readable=readable, when=when)
    return made


def inline(text: object) -> str:
    """The text on one line of Markdown, without meaning as markup."""
    line = " ".join(readable(str(text)).split())
    line = _MARKUP.sub(r"\\\g<0>", html.escape(line, quote=False))
    return _LINE_START.sub(r"\\\g<0>" if not line[:1].isdigit() else r"\g<0>&#8203;", line)


def quoted(text: str) -> str:
    """The text as a Markdown quotation, its lines kept."""
    lines = readable(text).strip().split("\n")
    return "\n".join(f"> {inline(line)}  " if line.strip() else ">" for line in lines)


def fenced(text: str, language: str = "") -> str:
    """The text in a Markdown fence that is longer than any it has inside."""
    text = readable(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
