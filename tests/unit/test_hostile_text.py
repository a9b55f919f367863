"""What a hostile model or program writes: no reader of it raises, or takes the square of its size.

Each text is so long that a reader that goes through it again and again would take minutes."""

from __future__ import annotations

from typing import cast

import httpx
import pytest
from openai import AsyncOpenAI

from vibe.app import Rung
from vibe.browser import read
from vibe.diagnosis import report
from vibe.endpoints import Endpoint, list_models
from vibe.errors import BoxLost, UserError
from vibe.fixes import fences
from vibe.kinds import kind
from vibe.ladder import probe
from vibe.markup import Markup
from vibe.plan import Check
from vibe.refusal import refusal
from vibe.sandbox.engine import Box, Outcome
from vibe.single import Page
from vibe.text_faults import page_faults

MANY = 60_000
OPENINGS = ["{{", "{%", "{#", "<!--", "<a ", "<a a='", "<![", "<!a", "<?", "</", "</a ", "&#1"]


@pytest.mark.parametrize("opening", OPENINGS)
def test_a_page_of_openings_that_nothing_closes_is_read(opening: str) -> None:
    page_faults("<html>" + opening * MANY)
    source = f"<html>{opening * MANY}".encode()
    assert Page({"index.html": source}, "index.html").whole() == source


def test_what_browsers_take_for_a_comment_is_no_fault() -> None:
    whole = "<!doctype html><html><body><p>1<![if x]>2<![ foo [>3<![CDATA[x]]></p></body></html>"
    assert page_faults(whole) == []
    seen = Markup()
    seen.feed(whole + "<b>")
    assert seen.get_starttag_text() == "<b>"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("{% if x %}<script>{{ y }}{% endif %}", ["<script> is never closed."]),
        ("<html><body>{{ y }</body></html>", []),
        ("<html><body>{{% a %}</body></html>", []),
        ("{# <script> #}{% block b %}{% endblock %}", []),
    ],
)
def test_a_template_s_marks_are_no_part_of_the_page(text: str, faults: list[str]) -> None:
    assert page_faults(text) == faults


STYLES = ["url(", "url( ", "url('", "@import ", "@import url( ", "@import a ", "url(a "]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("tail", ["", " " * MANY])
def test_a_style_sheet_of_halves_becomes_one_file(style: str, tail: str) -> None:
    source = f"<style>{style * MANY}{tail}</style>".encode()
    assert Page({"index.html": source}, "index.html").whole() == source


SCRIPTS = ["import ", "import a\n", "\nexport a", "import(", "import ( ", "from ", "import '"]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("tail", ["", " " * MANY])
def test_a_module_of_halves_becomes_one_file(script: str, tail: str) -> None:
    source = f"<script type=module>{script * (MANY // 3)}{tail}</script>".encode()
    assert Page({"index.html": source}, "index.html").whole() == source


def test_a_page_s_own_parts_are_still_put_into_it() -> None:
    files = {
        "index.html": b"<style>@import 'a.css';\n@import url( \"b.css\" ) ;</style>"
        b"<script type=module>import {x,\n y} from './m.js'\nimport('./m.js')</script>",
        "a.css": b"p { background: url( p.gif ) }",
        "b.css": b"b { background: url('p.gif') }",
        "p.gif": b"GIF",
        "m.js": b"export let x = 1, y = 2",
    }
    whole = Page(files, "index.html").whole().decode()
    assert whole.count("data:image/gif;base64,R0lG") == 2
    assert whole.count("data:text/javascript;base64,") == 2
    assert "@import" not in whole


def chain(name: str, line: str) -> dict[str, bytes]:
    """Files that each name the next one by that line."""
    return {name.format(at): line.format(name.format(at + 1)).encode() for at in range(60)}


@pytest.mark.parametrize(
    ("page", "name", "line"),
    [
        ("<link rel=stylesheet href=0.css>", "{}.css", "@import '{0}';@import '{0}';"),
        ("<script type=module src=0.js></script>", "{}.js", "import '/{0}'\nimport '/{0}'\n"),
        ("<script type=module src=0.js></script>", "{}.js", "import '/{0}'\n"),
        ('<script type=importmap>{"imports":{"a":"./0.js"}}</script>', "{}.js", "import '/{0}'\n"),
    ],
)
def test_files_that_name_each_other_do_not_grow_without_bound(
    page: str, name: str, line: str
) -> None:
    with pytest.raises(UserError, match="too large"):
        Page({"index.html": page.encode(), **chain(name, line)}, "index.html").whole()


@pytest.mark.parametrize("page", ["<img src=p.gif>", "<p style='x: url(p.gif)'>"])
def test_a_picture_shown_a_thousand_times_is_too_large(page: str) -> None:
    with pytest.raises(UserError, match="too large"):
        Page({"index.html": page.encode() * 1000, "p.gif": bytes(100_000)}, "index.html").whole()


DEEP = "[" * 200_000


def test_data_that_is_nested_without_end_is_none() -> None:
    source = f"<script type=importmap>{DEEP}</script>".encode()
    assert Page({"index.html": source}, "index.html").whole() == source
    answers = [DEEP, "[1]", "{", '{"seconds": [1]}', '{"checks": [{"name": "a", "steps": 1}]}']
    for answer in [*answers, f'{{"seconds": {{"a": 1{"0" * 400}}}}}', f'{{"title": {DEEP}}}']:
        with pytest.raises(BoxLost):
            read(answer.encode(), [Check("a")])


async def test_an_endpoint_whose_list_is_nested_without_end_lists_nothing() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=DEEP))
    async with AsyncOpenAI(
        api_key="k",
        base_url="http://model.test/v1",
        http_client=httpx.AsyncClient(transport=transport),
    ) as client:
        with pytest.raises(ValueError, match="nested too deep"):
            await list_models(client)


class Prints:
    """As much of a box as a probe uses: it prints something."""

    async def run(self, *argv: object, **wanted: object) -> Outcome:
        return Outcome("ok", 0, DEEP.encode(), b"", False, 0.1)


async def test_a_probe_that_prints_data_nested_without_end_has_said_nothing() -> None:
    assert await probe(cast("Box", Prints()), "routes.py") is None


@pytest.mark.parametrize("number", ["1" * 5000, "9" * 9, "\u0663"])
def test_a_line_s_number_without_end_is_none(number: str) -> None:
    report(Rung("run", False, "It failed.", f'  File "app.py", line {number}'), {"app.py": "x\n"})


@pytest.mark.parametrize("code", ["1" * 5000, "\u00b2", "404"])
def test_a_refusal_s_code_is_a_status_or_none(code: str) -> None:
    endpoint = Endpoint("http://model.test/v1", "k", (), "a test")
    found = refusal(endpoint, "m", 0, {"error": {"code": code, "message": "no"}}, {})
    assert found.status == (404 if code == "404" else 0)


def test_a_failure_that_printed_only_line_ends_is_reported() -> None:
    report(Rung("run", False, "It failed.", "\n" * MANY), {"app.py": "x\n"})


@pytest.mark.parametrize("filling", ["\n", " \n", "~~~\n", "\n ```"])
def test_fences_around_many_empty_lines_are_taken_out(filling: str) -> None:
    rung = Rung("static", False, "app.py, line 1: invalid syntax")
    found = fences(kind("flask"), {"app.py": f"```python\nx = 1{filling * MANY}y\n```\n"}, rung)
    assert found is not None
    assert found[1]["app.py"] == f"x = 1{filling * MANY}y\n"
