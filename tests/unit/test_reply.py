"""What models write is read as what they meant, or they are told what to do differently."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vibe.errors import ModelFault
from vibe.kinds import kind
from vibe.paths import safe_path
from vibe.plan import read_plan
from vibe.prompts import listing
from vibe.reply import join, open_files, read_files
from vibe.starters import Starter, all_starters

CORPUS = Path(__file__).parent.parent / "data" / "replies"
NAMES = sorted(path.stem for path in CORPUS.glob("*.md"))


def _example(name: str) -> tuple[str, dict[str, Any]]:
    text = (CORPUS / f"{name}.md").read_bytes().decode("utf-8")
    return text, yaml.safe_load((CORPUS / f"{name}.yaml").read_text("utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_a_reply_of_the_corpus_is_read_as_expected(name: str) -> None:
    text, expected = _example(name)
    given = {
        "kind": kind(expected["kind"]),
        "current": expected.get("current", {}),
        "finish": expected.get("finish", "stop"),
    }
    if "error" in expected:
        with pytest.raises(ModelFault) as fault:
            read_files(text, **given)
        for words in expected["error"]:
            assert words in fault.value.message
        return
    reply = read_files(text, **given)
    assert reply.files == expected["files"]
    changed = [p for p, t in expected["files"].items() if given["current"].get(p) != t]
    assert sorted(reply.changed) == sorted(expected.get("changed", changed))
    assert reply.truncated == expected.get("truncated", False)
    assert reply.partial == expected.get("partial")
    for words in expected.get("notes", []):
        assert any(words in note for note in reply.notes), reply.notes
    if expected.get("notes") == []:
        assert reply.notes == ()


def test_the_corpus_is_large_and_every_reply_has_an_expectation() -> None:
    assert len(NAMES) >= 60
    assert {path.stem for path in CORPUS.glob("*.yaml")} == set(NAMES)


PAGE = "\n".join(
    ["<!doctype html>", "<html>", "<body>", "<script>"]
    + [f'  show("line {number}", {number} * {number});' for number in range(30)]
    + ["</script>", "</body>", "</html>", ""]
)
PROGRAM = "import streamlit as st\n\n\n" + "\n\n".join(
    f'def part_{number}():\n    st.write("part {number}")\n' for number in range(12)
)
WHOLE = f"Here is the page.\n\n```html path=index.html\n{PAGE}```\n\nEnjoy.\n"
WHOLE_PROGRAM = f"Sure.\n\n```python path=app.py\n{PROGRAM}```\n"


def _joined(previous: str, continuation: str, name: str = "web") -> str:
    entry = kind(name).entry
    return read_files(join(previous, continuation), kind=kind(name)).files[entry]


@pytest.mark.parametrize("whole", [WHOLE, WHOLE_PROGRAM])
def test_a_reply_cut_anywhere_and_continued_exactly_is_whole_again(whole: str) -> None:
    name = "web" if whole is WHOLE else "streamlit"
    expected = read_files(whole, kind=kind(name)).files
    for cut in range(whole.index("\n", 30) + 1, len(whole), 7):
        text = join(whole[:cut], whole[cut:])
        assert read_files(text, kind=kind(name)).files == expected, whole[:cut][-60:]


def test_a_continuation_that_repeats_the_last_lines_has_them_once() -> None:
    lines = WHOLE.split("\n")
    for cut in range(6, len(lines) - 4):
        previous = "\n".join(lines[:cut]) + "\n" + lines[cut][: len(lines[cut]) // 2]
        for repeated in (1, 2, 5):
            continuation = "\n".join(lines[max(4, cut - repeated) :])
            assert _joined(previous, continuation) == PAGE, (cut, repeated)


@pytest.mark.parametrize(
    "opening",
    [
        "```html\n",
        "```html path=index.html\n",
        "```\n",
        "Continuing from where I left off:\n\n```html\n",
        "Sure, here is the rest.\n\n```html path=index.html\n",
    ],
)
def test_a_continuation_that_opens_the_fence_again_is_joined(opening: str) -> None:
    cut = WHOLE.index('  show("line 12"')
    assert _joined(WHOLE[:cut], opening + WHOLE[cut:]) == PAGE
    assert _joined(WHOLE[: cut + 9], opening + WHOLE[cut:]) == PAGE
    assert _joined(WHOLE[: cut + 9], opening + WHOLE[cut + 9 :]) == PAGE


def test_a_continuation_that_starts_the_file_again_replaces_the_cut_one() -> None:
    cut = WHOLE.index("line 12")
    assert _joined(WHOLE[:cut], f"```html path=index.html\n{PAGE}```\n") == PAGE
    assert _joined(WHOLE[:cut], f"```html\n{PAGE}```\n") == PAGE
    assert _joined(WHOLE[:cut], f"{PAGE}```\n") == PAGE
    assert _joined(WHOLE[:cut], WHOLE) == PAGE


def test_a_continuation_that_begins_the_next_file_leaves_the_first_as_it_is() -> None:
    cut = WHOLE.index("```\n\nEnjoy")
    text = join(WHOLE[:cut], "```css path=style.css\np { margin: 0 }\n```\n")
    files = read_files(text, kind=kind("web")).files
    assert files == {"index.html": PAGE, "style.css": "p { margin: 0 }\n"}


def test_a_continuation_that_only_closes_the_fence_ends_the_file() -> None:
    cut = WHOLE.index("```\n\nEnjoy")
    for rest in ("```", "```\n", "```\n\nThat was all.\n"):
        reply = read_files(join(WHOLE[:cut], rest), kind=kind("web"))
        assert reply.files == {"index.html": PAGE}
        assert not reply.truncated


def test_a_line_end_that_a_server_stripped_at_the_cut_is_put_back_in_python() -> None:
    cut = WHOLE_PROGRAM.index("\n\n\ndef part_3")
    text = join(WHOLE_PROGRAM[:cut], WHOLE_PROGRAM[cut:].lstrip("\n"))
    program = read_files(text, kind=kind("streamlit")).files["app.py"]
    compile(program, "app.py", "exec")
    assert program.count("def part_") == 12


@pytest.mark.parametrize("starter", all_starters(), ids=lambda starter: starter.name)
def test_the_code_of_a_starter_is_read_as_it_is_also_when_it_is_cut(starter: Starter) -> None:
    values = {parameter.name: parameter.default for parameter in starter.parameters}
    plan, notes = read_plan(starter.plan(values), forced_kind=None)
    whole = starter.code(values)
    reply = read_files(whole, kind=kind(plan.kind))
    assert (notes, reply.notes) == ((), ())
    assert reply.files == {p: t.rstrip() + "\n" for p, t in starter.files(values).items()}
    assert read_files(listing(reply.files), kind=kind(plan.kind)).files == reply.files
    for cut in range(40, len(whole), len(whole) // 40):
        joined = read_files(join(whole[:cut], whole[cut:]), kind=kind(plan.kind))
        assert joined.files == reply.files, whole[:cut][-60:]


def test_an_empty_continuation_changes_nothing() -> None:
    assert join(WHOLE[:200], "  \n") == WHOLE[:200]


def test_the_files_of_a_reply_that_is_still_coming_are_told_at_every_length() -> None:
    for length in range(len(WHOLE)):
        open_now = open_files(WHOLE[:length])
        assert len(open_now) <= 1
        for path, text, closed in open_now:
            assert path == "index.html"
            assert PAGE.startswith(text)
            assert not closed or text == PAGE
    assert open_files(WHOLE) == [("index.html", PAGE, True)]


def test_a_reply_reads_the_same_with_any_line_ends() -> None:
    for name in NAMES:
        text, expected = _example(name)
        if "error" in expected or "\r" in text:
            continue
        given = {"kind": kind(expected["kind"]), "current": expected.get("current", {})}
        finish = expected.get("finish", "stop")
        reply = read_files(text.replace("\n", "\r\n"), finish=finish, **given)
        assert reply.files == expected["files"], name


PIECES = st.sampled_from(
    [
        "```", "````", "~~~", "```python path=app.py\n", "```html\n", "```bash\n", "path=../x.py",
        "<file path='a.py'>", "</file>", "<think>", "</think>", "<<<<<<< SEARCH\n", "=======\n",
        ">>>>>>> REPLACE\n", "x = 1\n", "import os\n", '"""', "'''", "### app.py\n", "/etc/passwd",
        '{"files": {"', '"../a.py": "', '"}}', "[{", "\\", "@@ -1 +1 @@\n", "+", "-", "> ", "- ",
        "<!doctype html>", "</html>", "\ud800", "\x00", "\u2028", "# C:\\a.py\n", "\t", "a/../c.py",
        "\n", " ",
    ]
)  # fmt: skip
MESS = st.lists(PIECES | st.text(max_size=8), max_size=40).map("".join)
TREES = st.sampled_from([{}, {"app.py": "x = 1\ny = 2\n"}, {"app.py": "x = 1\n", "a.py": ""}])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    MESS,
    st.sampled_from(["web", "streamlit", "flask", "script"]),
    TREES,
    st.sampled_from(["stop", "length", "cut", "filter"]),
)
def test_any_text_gives_files_inside_the_app_or_a_model_fault(
    text: str, name: str, current: dict[str, str], finish: str
) -> None:
    open_files(text)
    try:
        reply = read_files(text, kind=kind(name), current=current, finish=finish)
    except ModelFault:
        return
    for path, content in reply.files.items():
        assert str(safe_path(path)) == path
        content.encode()
    assert set(reply.changed) <= set(reply.files)
    assert reply.partial is None or (reply.truncated and reply.partial in reply.files)
    assert reply.truncated or kind(name).entry in reply.files


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MESS, MESS)
def test_any_two_texts_can_be_joined(previous: str, continuation: str) -> None:
    join(previous, continuation)


ROWS = [
    "```\n", "```python path=app.py\n", "~~~ x\n", '"""\n', "<think>\n", "</think>\n", "```\nx\n",
    "<<<<<<< SEARCH\n", "<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n", "[", "{", "`", " ",
    "> ", "\n", "<link ", "<script ", "app.py ", "<html>", "```markdown path=README.md\n```\n",
    "\\\"", "'''\"", "((((", "-", "# ", "<!-- ", "```python\nx = 1\n```\n", "@@ -1 +1 @@\n+",
    "# ... rest ", "(?:", "…", "render_template( ", "\x00", "import a\n", "<file path='a'>\n",
    "path=", "- ",
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_reading_takes_time_in_proportion_to_the_length(row: str) -> None:
    current = {"app.py": "x = 1\n" * 2000, "b.py": "y\n"}

    def seconds(length: int) -> float:
        rows = row * (length // len(row))
        started = time.process_time()
        for text in (rows, f"```python path=app.py\n{rows}"):
            for finish in ("stop", "length"):
                with suppress(ModelFault):
                    read_files(text, kind=kind("web"), current=current, finish=finish)
            open_files(text)
            join(text, rows)
        return time.process_time() - started

    ratios = []
    for _ in range(3):  # processor time, yet a shared machine makes it vary
        ratios.append(seconds(100_000) / max(seconds(12_500), 0.01))
        if ratios[-1] < 24:
            return
    pytest.fail(f"8 times the text took {ratios} times as long")
