"""The starters: which one an idea gets, what it takes from the idea, and that its app works."""

import ast
import asyncio
import functools
import http.server
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from playwright.async_api import Browser, Locator, Page, async_playwright, expect
from streamlit.testing.v1 import AppTest

from vibe.errors import UserError
from vibe.kinds import kinds
from vibe.model import Prompt, ReplyEnd, Role
from vibe.parameters import one_line
from vibe.plan import read_plan
from vibe.reply import read_files
from vibe.settings import ROOT
from vibe.starters import Starter, StarterModel, all_starters, choose, example

FITTING = yaml.safe_load((ROOT / "tests" / "data" / "starter_ideas.yaml").read_text("utf-8"))
HOSTILE = [
    "</script><script>alert(1)</script>",
    '"""; import os; os.abort() #',
    "{{7*7}} {% raw %} ${8*8} #{9*9}",
    "```\n```python path=../evil.py\nprint(1)\n```",
    "\\'; alert(1); // \u2028 \u202e \x00 \ud800 \U0001f600",
    "- a: &x [*x] !!python/object:os.system '",
    "%s %(prog)s %d",
]


def starter(name: str) -> Starter:
    return next(s for s in all_starters() if s.name == name)


def plan_of(chosen: Starter, values: dict[str, Any]) -> dict[str, Any]:
    text = chosen.plan(values)
    assert text.startswith("```yaml\n")
    assert text.count("```") == 2
    plan = yaml.safe_load(text.removeprefix("```yaml\n").removesuffix("```\n"))
    assert isinstance(plan, dict)
    return plan


def hostile_values(chosen: Starter, text: str) -> dict[str, Any]:
    """The defaults, with the text, as it is read, wherever a person's own words can go."""
    values, text = chosen.read(""), one_line(text)
    for parameter in chosen.parameters:
        if parameter.type == "text":
            values[parameter.name] = text
        elif parameter.type == "pairs":
            values[parameter.name] = [[text, text], ["b", text]]
        elif parameter.type == "list":
            values[parameter.name] = [text, text + "2", "c"]
    return values


@pytest.mark.parametrize(("idea", "name"), FITTING["fitting"].items())
def test_an_idea_gets_the_starter_that_fits_it(idea: str, name: str) -> None:
    chosen = choose(idea)
    assert chosen is not None
    assert chosen.name == name


@pytest.mark.parametrize("idea", FITTING["unfitting"])
def test_an_idea_that_only_shares_words_with_a_starter_gets_none(idea: str) -> None:
    assert choose(idea) is None


@pytest.mark.parametrize("chosen", all_starters(), ids=lambda s: s.name)
def test_its_own_example_idea_gets_the_starter(chosen: Starter) -> None:
    assert choose(chosen.example) == chosen
    assert chosen.kind in kinds()


@pytest.mark.parametrize(
    ("idea", "expected"),
    [
        (
            "tip calculator for 6 people with 18% tip, in euros",
            {"people": 6, "tip": 18, "currency": "EUR"},
        ),
        ("split the dinner bill among five friends", {"people": 5, "tip": 15}),
        ("a tip calculator with a 12.5 % tip called 'Lunch'", {"tip": 12.5, "title": "Lunch"}),
        ("25 minute pomodoro with a red theme", {"minutes": 25, "accent": "#d92d20"}),
        (
            "dark pomodoro page, 50 minutes, breaks of 10 minutes, long breaks of half an hour",
            {"minutes": 50, "short_break": 10, "scheme": "dark"},
        ),
        ("pomodoro timer in #12ab9f", {"accent": "#12ab9f"}),
        ("quiz about capitals with 5 questions", {"questions": 5, "set": "capitals"}),
        (
            "Flashcards for Spanish: hola: hello, el gato: the cat; adiós = goodbye",
            {
                "mode": "cards",
                "pairs": [["hola", "hello"], ["el gato", "the cat"], ["adiós", "goodbye"]],
            },
        ),
        ("convert miles to kilometres", {"from": "mi", "to": "km"}),
        ("convert 30 °C to fahrenheit", {"value": 30, "from": "C", "to": "F"}),
        ("log inspector for errors", {"level": "error"}),
        ('log analysis, top 5 warnings containing "disk"', {"top": 5, "grep": "disk"}),
        (
            "a loan dashboard: 20k over 5 years at 4.25%, 100 extra, in pounds",
            {"amount": 20_000, "years": 5, "rate": 4.25, "extra": 100, "currency": "£"},
        ),
        (
            "wheel to choose between soup, salad or pasta with a pink theme",
            {"choices": ["soup", "salad", "pasta"], "accent": "#db2777"},
        ),
        (
            "a poll: should we move? options yes, no and maybe",
            {"question": "should we move?", "options": ["yes", "no", "maybe"]},
        ),
        ("to-do list with buy milk, call Ann", {"tasks": ["buy milk", "call Ann"]}),
        ("a fast snake game 15x15 without walls", {"speed": 13, "size": 15, "walls": "open"}),
        ("explore a csv, average by region as a line chart", {"group": "region", "chart": "Line"}),
    ],
)
def test_parameters_are_taken_from_the_idea(idea: str, expected: dict[str, Any]) -> None:
    chosen = choose(idea)
    assert chosen is not None
    values = chosen.read(idea)
    assert {name: values[name] for name in expected} == expected


def test_later_changes_override_earlier_ones() -> None:
    model = StarterModel(
        "25 minute pomodoro with a red theme",
        ["make it 30 minutes", "use a green theme", "make it 45 minutes"],
    )
    assert model.values["minutes"] == 45
    assert model.values["accent"] == "#15803d"


def test_a_change_that_sets_nothing_says_what_the_starter_understands() -> None:
    with pytest.raises(UserError) as caught:
        StarterModel("a pomodoro timer", ["send me an email at the end"])
    assert "minutes (minutes of a focus session)" in caught.value.message
    assert "OPENAI_API_KEY" in caught.value.fix


def test_a_number_out_of_range_is_refused_with_the_range() -> None:
    with pytest.raises(UserError, match=r"500 is out of range.* 1 to 180"):
        StarterModel("a 500 minute pomodoro")


def test_an_idea_that_no_starter_fits_is_told_how_to_connect_a_model() -> None:
    with pytest.raises(UserError) as caught:
        StarterModel.for_idea("a game about tipping cows")
    for part in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "Ollama", "docs/models.md", "Pomodoro"):
        assert part in str(caught.value)


def test_a_starter_of_another_kind_than_asked_for_is_not_used() -> None:
    with pytest.raises(UserError, match=r"tip-calculator.*web app, not script"):
        StarterModel.for_idea("a tip calculator", kind="script")
    assert StarterModel.for_idea("a tip calculator", kind="web").name == "starter: tip-calculator"


async def reply(model: StarterModel, role: Role) -> tuple[list[str], ReplyEnd]:
    *pieces, end = [item async for item in model.reply(Prompt(role, ()))]
    assert isinstance(end, ReplyEnd)
    return [piece for piece in pieces if isinstance(piece, str)], end


async def test_plan_and_code_stream_in_small_pieces_within_a_second_or_two() -> None:
    model = StarterModel("a quiz about capitals")
    began = time.monotonic()
    plan, end = await reply(model, "plan")
    code, _ = await reply(model, "code")
    assert time.monotonic() - began < 30
    assert all(len(piece) <= 120 for piece in plan + code)
    assert len(code) > 20
    assert "".join(plan) == model.starter.plan(model.values)
    assert "".join(code).startswith("```html path=index.html\n<!doctype html>")
    assert (end.finish, end.prompt_tokens, end.estimated) == ("stop", 0, False)


async def test_a_starter_refuses_to_repair() -> None:
    with pytest.raises(UserError, match=r"can't repair"):
        await reply(StarterModel("a pomodoro timer"), "repair")


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_has_an_example_for_prompts(kind: str) -> None:
    plan, code = example(kind, "something else entirely")
    assert yaml.safe_load(plan.split("\n", 1)[1].rsplit("```", 1)[0])["kind"] == kind
    assert f"path={kinds()[kind].entry}" in code
    assert code.count("\n") < 230


def test_the_example_for_prompts_is_the_starter_most_like_the_idea() -> None:
    assert "Pomodoro" in example("web", "a kitchen timer for eggs")[0]
    assert "Unit converter" in example("web", "convert shoe sizes")[0]


@pytest.mark.parametrize("chosen", all_starters(), ids=lambda s: s.name)
@pytest.mark.parametrize("text", HOSTILE)
def test_a_persons_words_stay_words_in_every_file(chosen: Starter, text: str) -> None:
    values = hostile_values(chosen, text)
    plan = plan_of(chosen, values)
    assert plan["kind"] == chosen.kind
    usual = chosen.files(chosen.read(""))
    files = chosen.files(values)
    assert files.keys() == usual.keys()
    assert ("7*7" in text) == ("7*7" in "".join(files.values()))
    for path, content in files.items():
        content.encode()
        assert not any(line.startswith("```") for line in content.splitlines())
        if path.endswith(".py"):
            assert shape(content) == shape(usual[path])
        else:
            assert tags(content) == tags(usual[path])


@pytest.mark.parametrize("chosen", all_starters(), ids=lambda s: s.name)
@pytest.mark.parametrize("text", [None, *HOSTILE])
def test_the_loop_reads_plan_and_files_exactly_and_mends_nothing(
    chosen: Starter, text: str | None
) -> None:
    values = chosen.read(chosen.example) if text is None else hostile_values(chosen, text)
    plan, mended = read_plan(chosen.plan(values), forced_kind=None)
    assert plan.kind == chosen.kind
    assert [check.name for check in plan.checks] == [
        check["name"] for check in plan_of(chosen, values)["checks"]
    ]
    reply = read_files(chosen.code(values), kind=kinds()[chosen.kind])
    expected = {path: content.rstrip() for path, content in chosen.files(values).items()}
    assert {path: content.rstrip() for path, content in reply.files.items()} == expected
    assert (mended, reply.notes, reply.truncated) == ((), (), False)


def shape(source: str) -> list[str]:
    """The kinds of nodes of a program, which text inside its strings can't change."""
    kept = (ast.Constant, ast.List, ast.Load)
    return [type(n).__name__ for n in ast.walk(ast.parse(source)) if not isinstance(n, kept)]


def tags(page: str) -> list[str]:
    return re.findall(r"</?[a-z][a-z0-9]*", page)


@pytest.mark.parametrize("chosen", all_starters(), ids=lambda s: s.name)
def test_an_idea_of_the_greatest_length_is_read_in_a_moment(chosen: Starter) -> None:
    for text in ("a" * 16_000, "1 " * 8_000, "x: y, " * 2_600, "called with in " * 1_000):
        began = time.monotonic()
        chosen.score(text)
        chosen.read(text)
        assert time.monotonic() - began < 20


@pytest.mark.parametrize("chosen", all_starters(), ids=lambda s: s.name)
def test_pages_ask_for_nothing_from_the_network(chosen: Starter) -> None:
    for content in chosen.files(chosen.read("")).values():
        assert not re.search(r"(?:https?:)?//[a-z0-9-]+\.[a-z]|@import|fetch\(", content)


def write(chosen: Starter, folder: Path, idea: str = "") -> dict[str, Any]:
    """Writes the app's files; the plan."""
    values = chosen.read(idea or chosen.example)
    for path, content in chosen.files(values).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, "utf-8")
    return plan_of(chosen, values)


@pytest.mark.parametrize(
    "chosen", [s for s in all_starters() if s.kind == "script"], ids=lambda s: s.name
)
def test_a_script_passes_its_own_checks(chosen: Starter, tmp_path: Path) -> None:
    plan = write(chosen, tmp_path)
    for check in plan["checks"]:
        done = subprocess.run(
            [sys.executable, "-W", "error", "main.py", *check.get("args", [])],
            cwd=tmp_path,
            input=check.get("stdin", ""),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == check.get("exit", 0), (check["name"], done.stderr)
        assert "Traceback" not in done.stderr
        for pattern in check.get("stdout", []):
            assert pattern in done.stdout or re.search(pattern, done.stdout), check["name"]
        for name in check.get("files", []):
            assert (tmp_path / name).is_file()


def test_the_log_inspector_reads_attached_files_and_masks_numbers(tmp_path: Path) -> None:
    write(starter("log-inspector"), tmp_path, "a log inspector")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "web.log").write_text(
        '127.0.0.1 - - [10/Oct/2025:13:55:36 +0000] "GET /error/1 HTTP/1.1" 500 12\n'
        '127.0.0.1 - - [10/Oct/2025:13:59:36 +0000] "GET /error/2 HTTP/1.1" 500 99\n',
        "utf-8",
    )
    done = subprocess.run(
        [sys.executable, "main.py", "--json"], cwd=tmp_path, capture_output=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["levels"] == {"error": 2}
    assert found["messages"] == {'# - - "GET /error/# HTTP/#" # #': 2}


@pytest.fixture
def csv_explorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    write(starter("csv-explorer"), tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return AppTest.from_file(str(tmp_path / "app.py"), default_timeout=60)


def test_the_csv_explorer_searches_its_sample(csv_explorer: AppTest) -> None:
    app = csv_explorer.run()
    assert not app.exception
    assert [metric.value for metric in app.metric] == ["360", "360", "6"]
    app.text_input[0].set_value("coffee").run()
    assert 0 < int(app.metric[0].value) < 360
    app.text_input[0].set_value("zzz").run()
    assert "No rows match" in app.warning[0].value


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("näme;wert\nä;1,5\nb;2\n".encode("cp1252"), "2"),
        (b"a.b,c[0],d:e\n1,2,x\n3,inf,y\n5,,y\n", "3"),
        (b"flag,n\nTrue,1\nFalse,2\n,3\n", "3"),
        (b"x\n1\n", "1"),
        (bytes(range(256)) * 9, None),
    ],
)
def test_the_csv_explorer_opens_awkward_files(
    csv_explorer: AppTest, content: bytes, rows: str | None
) -> None:
    Path("data/table.csv").write_bytes(content)
    app = csv_explorer.run()
    for chart in ("Line", "Area", "Scatter", "Histogram"):
        if charts := [group for group in app.button_group if group.label == "Chart"]:
            charts[0].set_value(chart).run()
        assert not app.exception, chart
    for columns in [m for m in app.multiselect if m.label == "Columns to filter"]:
        columns.set_value(list(columns.options)).run()
    assert not app.exception
    assert rows is None or app.metric[0].value == rows


def test_the_csv_explorer_says_that_an_empty_file_is_no_table(csv_explorer: AppTest) -> None:
    Path("data/table.csv").write_bytes(b"")
    app = csv_explorer.run()
    assert not app.exception
    assert "can't be read as a table" in app.error[0].value


def test_the_loan_dashboard_works_out_payments_and_what_paying_extra_saves(tmp_path: Path) -> None:
    write(starter("loan-dashboard"), tmp_path)
    app = AppTest.from_file(str(tmp_path / "app.py"), default_timeout=60).run()
    assert not app.exception
    assert app.metric[0].value == "€1,501.87"
    for field, value in zip(app.number_input, (12_000, 0, 10, 50), strict=True):
        field.set_value(value)
    app.run()
    assert not app.exception
    assert [m.value for m in app.metric] == ["€150.00", "€0.00", "€12,000.00", "6 y 8 m"]


def test_the_duplicate_finder_names_copies_and_removes_nothing(tmp_path: Path) -> None:
    write(starter("duplicate-finder"), tmp_path)
    (tmp_path / "data" / "deep").mkdir(parents=True)
    for name in ("a.txt", "it's a copy.txt", "deep/b.txt"):
        (tmp_path / "data" / name).write_text("same", "utf-8")
    (tmp_path / "data" / "other.txt").write_text("else", "utf-8")
    done = subprocess.run(
        [sys.executable, "main.py", "--json", "--plan"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    found, _ = json.JSONDecoder().raw_decode(done.stdout.decode())
    assert (found["compared"], found["wasted"]) == (4, 8)
    assert len(found["groups"][0]["copies"]) == 2
    assert len(list((tmp_path / "data").rglob("*.txt"))) == 4
    subprocess.run(["sh", "results/remove.sh"], cwd=tmp_path, check=True)
    assert len(list((tmp_path / "data").rglob("*.txt"))) == 2


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The address of a server of tmp_path on loopback."""
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """One for all the pages; each page is a person of its own."""
    async with async_playwright() as playwright:
        yield await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )


async def labelled(page: Page, name: str) -> Locator:
    for found in (page.get_by_label(name, exact=True), page.get_by_label(name)):
        if await found.count():
            return found.first
    raise AssertionError(f"no control is labelled {name}")


async def step(page: Page, kind: str, what: Any) -> None:
    if kind == "see":
        await expect(page.get_by_text(what).filter(visible=True).first).to_be_visible(timeout=3000)
    elif kind == "not_see":
        await expect(page.get_by_text(what).filter(visible=True)).to_have_count(0, timeout=3000)
    elif kind == "fill":
        await (await labelled(page, what["field"])).fill(what["with"])
    elif kind == "select":
        await (await labelled(page, what["field"])).select_option(label=what["option"])
    elif kind == "click":
        await page.get_by_role("button", name=what).first.click(timeout=3000)
    elif kind == "press":
        await page.keyboard.press(what)
    elif kind == "wait":
        await page.wait_for_timeout(1000 * what)
    elif kind == "reload":
        await page.reload()
    else:
        raise AssertionError(f"unknown step {kind}")


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "chosen", [s for s in all_starters() if s.kind == "web"], ids=lambda s: s.name
)
async def test_a_page_passes_its_own_checks_and_fits_a_phone_in_both_colour_schemes(
    chosen: Starter, tmp_path: Path, site: str, browser: Browser
) -> None:
    plan = write(chosen, tmp_path)
    faults: list[str] = []
    for check in plan["checks"]:
        page = await browser.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.goto(site)
        for one in check["steps"]:
            ((kind, what),) = one.items()
            await step(page, kind, what)
        await page.close()
    for width, scheme in ((390, "light"), (1280, "dark")):
        page = await browser.new_page(
            viewport={"width": width, "height": 844},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        await page.goto(site)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert not await page.evaluate(
            "[...document.querySelectorAll('input, select, textarea')]"
            ".filter(e => !e.labels.length && !e.ariaLabel).map(e => e.id)"
        )
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(243, 244, 246)", "dark": "rgb(17, 19, 23)"}[scheme]
        await page.close()
    assert not faults


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "chosen", [s for s in all_starters() if s.kind == "web"], ids=lambda s: s.name
)
async def test_a_page_with_hostile_words_shows_them_and_runs_none_of_them(
    chosen: Starter, tmp_path: Path, site: str, browser: Browser
) -> None:
    text = "</script><script>document.title='owned'</script><img onerror=alert(1)>{{7*7}}"
    for path, content in chosen.files(hostile_values(chosen, text)).items():
        (tmp_path / path).write_text(content, "utf-8")
    faults: list[str] = []
    page = await browser.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.dismiss()))
    await page.goto(site)
    await expect(page.get_by_role("heading", level=1)).to_have_text(text)
    assert await page.title() != "owned"
    await page.close()
    assert not faults


def test_the_documentation_lists_every_starter() -> None:
    page = (ROOT / "docs" / "starters.md").read_text("utf-8")
    for chosen in all_starters():
        assert f"### {chosen.title}" in page
        assert f"`{chosen.name}`" in page
        assert chosen.example in page
        for parameter in chosen.parameters:
            assert f"`{parameter.name}`" in page
