"""A plan is read from whatever a model or a person wrote, and written so that it reads the same."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vibe.errors import ModelFault
from vibe.plan import (
    Check,
    Plan,
    Step,
    plan_from_data,
    plan_to_data,
    plan_to_yaml,
    read_plan,
)

TIPS = """\
title: Tip calculator
kind: web
summary: Splits a bill between people, with a tip slider.
packages: []
checks:
  - name: Splits the bill
    steps:
      - fill: {field: Bill, with: "120"}
      - fill: {field: People, with: "4"}
      - click: Calculate
      - see: "34.50"
"""
PLAN = Plan(
    title="Tip calculator",
    kind="web",
    summary="Splits a bill between people, with a tip slider.",
    checks=(
        Check(
            "Splits the bill",
            steps=(
                Step("fill", "Bill", "120"),
                Step("fill", "People", "4"),
                Step("click", "Calculate"),
                Step("see", "34.50"),
            ),
        ),
    ),
)


def _steps(yaml_steps: str) -> list[tuple[str, str, str]]:
    lines = "".join(f"      {line}\n" for line in yaml_steps.strip("\n").split("\n"))
    plan, _ = read_plan(
        f"title: T\nkind: web\nchecks:\n  - name: C\n    steps:\n{lines}", forced_kind=None
    )
    return [(s.action, s.target, s.value) for check in plan.checks for s in check.steps]


def _script(fields: str) -> Check:
    lines = "".join(f"    {line}\n" for line in fields.strip("\n").split("\n"))
    plan, _ = read_plan(f"title: T\nkind: script\nchecks:\n  - name: C\n{lines}", forced_kind=None)
    return plan.checks[0]


@pytest.mark.parametrize(
    "reply",
    [
        TIPS,
        f"```yaml\n{TIPS}```\n",
        f"```yml\n{TIPS}```",
        f"```\n{TIPS}```\n",
        f"~~~yaml\n{TIPS}~~~\n",
        f"Here is the plan:\n\n```yaml\n{TIPS}```\n\nShall I go on?\n",
        f"Here is the plan:\n\n{TIPS}\nI hope that is what you want.\n",
        f"```yaml\n{TIPS}",
        f"---\n{TIPS}---\n",
        f"\ufeff{TIPS}".replace("\n", "\r\n"),
        f"<think>\ntitle: No\nkind: script\n</think>\n```yaml\n{TIPS}```\n",
        f"like this:\n\n```yaml\ntitle: Example\nkind: web\nchecks: []\nsummary: An example.\n"
        f"packages: []\n```\n\n```yaml\n{TIPS}```\n",
        f"```yaml\nplan:\n{''.join('  ' + line + chr(10) for line in TIPS.splitlines())}```\n",
        json.dumps(yaml.safe_load(TIPS)),
        f"```json\n{json.dumps(yaml.safe_load(TIPS), indent=2)}\n```\n",
        f"Sure!\n{json.dumps(yaml.safe_load(TIPS), indent=2)}\nDone.",
        TIPS.replace("title:", "Title:").replace("checks:", "CHECKS:"),
        TIPS.replace("kind: web", "kind: HTML page"),
        TIPS.replace("      - ", "\t\t\t- "),
        TIPS.replace("packages: []", "packages:"),
        TIPS.replace("packages: []", "packages: none"),
        TIPS.replace('"', ""),
        TIPS.replace('"', "\u201c", 1).replace('"', "\u201d", 1),
        TIPS.replace("title: Tip calculator", "title: [Tip, calculator]"),
        f"```yaml path=plan.yaml\n{TIPS}```\n",
    ],
)
def test_the_same_plan_is_read_however_it_is_wrapped(reply: str) -> None:
    plan, notes = read_plan(reply, forced_kind=None)
    assert plan == PLAN
    assert notes == ()


def test_values_are_the_text_that_is_written_and_never_numbers_or_dates() -> None:
    found = _steps(
        """
- see: 34.50
- see: 12:30
- see: 007
- see: yes
- see: 2024-01-01
- see: 1_000
- see: 0x1F
- fill: {field: Count, with: 1e3}
"""
    )
    assert [target for action, target, _ in found if action == "see"] == [
        "34.50", "12:30", "007", "yes", "2024-01-01", "1_000", "0x1F",
    ]  # fmt: skip
    assert found[-1] == ("fill", "Count", "1e3")


def test_colons_quotes_and_signs_that_break_yaml_are_taken_as_text() -> None:
    found = _steps(
        """
- see: Total: $34.50
- see: "Total" is shown
- see: *bold*
- see: 100% of it
- see: @home
- see: It's done
- see: - 5
- see: [x] done
- fill: {field: Bill: total, with: 1,200}
- fill: {field: Note, with: a: b}
- click: "Add
"""
    )
    assert found == [
        ("see", "Total: $34.50", ""),
        ("see", '"Total" is shown', ""),
        ("see", "*bold*", ""),
        ("see", "100% of it", ""),
        ("see", "@home", ""),
        ("see", "It's done", ""),
        ("see", "- 5", ""),
        ("see", "[x] done", ""),
        ("fill", "Bill: total", "1,200"),
        ("fill", "Note", "a: b"),
        ("click", "Add", ""),
    ]


def test_every_step_of_the_language_is_read() -> None:
    found = _steps(
        """
- open: /
- see: Hello
- not_see: Error
- click: Go
- fill: {field: Name, with: Ann}
- select: {field: Unit, option: km}
- press: Enter
- upload: {field: File, file: a.csv}
- wait: 2
- download: Save
- drag: {field: Card, to: Done}
- reload: true
"""
    )
    assert found == [
        ("open", "/", ""),
        ("see", "Hello", ""),
        ("not_see", "Error", ""),
        ("click", "Go", ""),
        ("fill", "Name", "Ann"),
        ("select", "Unit", "km"),
        ("press", "Enter", ""),
        ("upload", "File", "a.csv"),
        ("wait", "2", ""),
        ("download", "Save", ""),
        ("drag", "Card", "Done"),
        ("reload", "", ""),
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("- type: {into: Name, text: Ann}", ("fill", "Name", "Ann")),
        ("- fill: {Name: Ann}", ("fill", "Name", "Ann")),
        ("- fill: Name with Ann", ("fill", "Name", "Ann")),
        ("- fill: [Name, Ann]", ("fill", "Name", "Ann")),
        ("- fill: Name\n  with: Ann", ("fill", "Name", "Ann")),
        ("- fill: Name\n  value: Ann", ("fill", "Name", "Ann")),
        ("- {action: fill, field: Name, value: Ann}", ("fill", "Name", "Ann")),
        ("- fill: {field: Name, with: ''}", ("fill", "Name", "")),
        ('- fill "Name" with "Ann"', ("fill", "Name", "Ann")),
        ("- enter: {label: Name, value: Ann}", ("fill", "Name", "Ann")),
        ("- select: km in Unit", ("select", "Unit", "km")),
        ("- choose: {field: Unit, option: km}", ("select", "Unit", "km")),
        ("- select: Metric", ("click", "Metric", "")),
        ("- click Calculate", ("click", "Calculate", "")),
        ("- click: {button: Calculate}", ("click", "Calculate", "")),
        ('- "click: Calculate"', ("click", "Calculate", "")),
        ("- [click, Calculate]", ("click", "Calculate", "")),
        ("- tap: Calculate", ("click", "Calculate", "")),
        ("- press: Calculate", ("click", "Calculate", "")),
        ("- press: Control+A", ("press", "Control+A", "")),
        ("- key: ArrowLeft", ("press", "ArrowLeft", "")),
        ("- expect: Done", ("see", "Done", "")),
        ("- see: {text: Done}", ("see", "Done", "")),
        ("- See: Done", ("see", "Done", "")),
        ("- should see: Done", ("see", "Done", "")),
        ("- dont_see: Error", ("not_see", "Error", "")),
        ("- not see: Error", ("not_see", "Error", "")),
        ("- goto: http://localhost:8000/about?x=1", ("open", "/about?x=1", "")),
        ("- open: about.html", ("open", "/about.html", "")),
        ("- wait: 500ms", ("wait", "0.5", "")),
        ("- wait: {seconds: 3}", ("wait", "3", "")),
        ("- wait: 900", ("wait", "10", "")),
        ("- reload", ("reload", "", "")),
        ("- refresh: true", ("reload", "", "")),
        ("- attach: {field: File, path: a.csv}", ("upload", "File", "a.csv")),
        ("- drag: {from: Card, to: Done}", ("drag", "Card", "Done")),
        ("- drag: {card: Card, column: Done}", ("drag", "Card", "Done")),
        ("- drag: Card\n  to: Done", ("drag", "Card", "Done")),
        ("- drag: Card to Done", ("drag", "Card", "Done")),
        ('- drag "Card" onto "Done"', ("drag", "Card", "Done")),
        ("- drag: [Card, Done]", ("drag", "Card", "Done")),
        ("- drag_and_drop: {Card: Done}", ("drag", "Card", "Done")),
        ("- move: {item: Card, into: Done}", ("drag", "Card", "Done")),
    ],
)
def test_a_step_in_other_words_is_understood(written: str, meant: tuple[str, str, str]) -> None:
    assert _steps(written) == [meant]


def test_several_things_in_one_step_are_several_steps() -> None:
    assert _steps("- see: [One, Two]") == [("see", "One", ""), ("see", "Two", "")]
    assert _steps("- fill: {Bill: 120, People: 4}") == [
        ("fill", "Bill", "120"),
        ("fill", "People", "4"),
    ]
    mapping = "fill: {field: A, with: 1}\nfill: {field: B, with: 2}\nclick: Go"
    assert _steps(mapping) == [("fill", "A", "1"), ("fill", "B", "2"), ("click", "Go", "")]


@pytest.mark.parametrize(
    ("steps", "word"),
    [
        ("- dance: now", "dance"),
        ("- see: One\n- sing", "sing"),
        ("- fill: Name", "value"),
        ("- click:", "click"),
        ("- drag: Card", "where to drag"),
        ("- open: https://example.com/x", "another site"),
    ],
)
def test_a_check_with_a_step_that_is_not_understood_is_left_out_and_said_so(
    steps: str, word: str
) -> None:
    lines = "".join(f"      {line}\n" for line in steps.split("\n"))
    plan, notes = read_plan(
        f"{TIPS}  - name: Odd\n    steps:\n{lines}  - name: Last\n    steps: [see: End]\n",
        forced_kind=None,
    )
    assert [check.name for check in plan.checks] == ["Splits the bill", "Last"]
    assert any("'Odd' was left out" in note and word in note for note in notes)
    assert plan.left_out == ("Odd",)


def test_a_script_check_has_arguments_input_exit_code_output_and_files() -> None:
    check = _script(
        """
args: [--in, data/a.csv]
stdin: |
  one
  two
exit: 2
stdout: ["total \\\\d+", "done"]
files: [results/out.csv]
"""
    )
    assert check == Check(
        "C",
        args=("--in", "data/a.csv"),
        stdin="one\ntwo\n",
        exit=2,
        stdout=(r"total \d+", "done"),
        files=("results/out.csv",),
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("args: --count 3 'a b'", Check("C", args=("--count", "3", "a b"))),
        ("args: [3, 4]", Check("C", args=("3", "4"))),
        ("command: python main.py --help", Check("C", args=("--help",))),
        ("args: [python3, main.py, -v]", Check("C", args=("-v",))),
        ("args: []\nstdout: usage", Check("C", stdout=("usage",))),
        ("stdout: 'a(b'", Check("C", stdout=(r"a\(b",))),
        ("exit_code: '0'\nexpect: ok", Check("C", exit=0, stdout=("ok",))),
        ("stdin: [a, b]", Check("C", stdin="a\nb")),
        ("files: results/a.txt", Check("C", files=("results/a.txt",))),
    ],
)
def test_a_script_check_in_other_words_is_understood(written: str, meant: Check) -> None:
    assert _script(written) == meant


def test_a_script_check_that_says_nothing_to_look_for_is_left_out() -> None:
    plan, notes = read_plan(
        "title: T\nkind: script\nchecks:\n- name: Nice\n- name: Code\n  exit: nonzero\n",
        forced_kind=None,
    )
    assert plan.checks == ()
    assert len(notes) == 2


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("web", "web"), ("html", "web"), ("Webpage", "web"), ("static site", "web"),
        ("HTML/JS", "web"), ("cli", "script"), ("python", "script"), ("command-line", "script"),
        ("Command-line script", "script"), ("Streamlit app", "streamlit"),
        ("dashboard", "streamlit"),
        ("Flask", "flask"), ("REST API", "fastapi"), ("Fast API", "fastapi"),
        ("slide deck", "slides"), ("Jupyter notebook", "notebook"), ("Node.js", "node"),
        ("Rust CLI", "rust"), ("report", "notebook"), ("python (streamlit)", "streamlit"),
    ],
)  # fmt: skip
def test_a_kind_has_other_names(said: str, kind: str) -> None:
    plan, notes = read_plan(f"title: T\nkind: {said}\n", forced_kind=None)
    assert (plan.kind, notes) == (kind, ())


def test_an_unknown_kind_is_guessed_from_the_words_and_else_is_web() -> None:
    plan, notes = read_plan("title: Explore a CSV chart\nkind: thing\n", forced_kind=None)
    assert plan.kind == "streamlit"
    assert "thing" in notes[0]
    plan, notes = read_plan("title: Nothing of note\n", forced_kind=None)
    assert plan.kind == "web"
    assert notes


def test_the_kind_that_the_user_chose_is_kept() -> None:
    plan, notes = read_plan(TIPS, forced_kind="flask")
    assert plan.kind == "flask"
    assert "flask" in notes[0]
    assert read_plan(TIPS, forced_kind="auto")[0].kind == "web"


def test_packages_are_plain_names_and_what_is_not_is_left_out() -> None:
    said = [
        "pandas", "polars>=1.0", "uvicorn[standard]", "scikit-learn", "Scikit_Learn", "json",
        "git+https://example.com/x", "x @ https://example.com/x.whl", "--index-url=https://e.com",
        "-r requirements.txt", "./local", "../up", "C:\\x", "two words", "", "-e .", "na*me",
    ]  # fmt: skip
    text = yaml.safe_dump({"title": "T", "kind": "script", "packages": said})
    plan, notes = read_plan(text, forced_kind=None)
    assert plan.packages == ("pandas", "polars", "uvicorn", "scikit-learn")
    assert sum("not a plain name" in note for note in notes) == 10
    assert any("json comes with Python" in note for note in notes)


def test_a_web_page_has_no_packages() -> None:
    plan, notes = read_plan("title: T\nkind: web\npackages: [chart.js]\n", forced_kind=None)
    assert plan.packages == ()
    assert "chart.js" in notes[0]


def test_a_plan_is_bounded() -> None:
    checks = [{"name": f"c{n}", "steps": [{"see": f"{m}"} for m in range(30)]} for n in range(12)]
    data = {"title": "t\n" * 200, "kind": "web", "summary": "s " * 2000, "checks": checks}
    plan, notes = read_plan(yaml.safe_dump(data), forced_kind=None)
    assert len(plan.title) <= 80
    assert "\n" not in plan.title
    assert len(plan.summary) <= 400
    assert [len(check.steps) for check in plan.checks] == [20] * 8
    assert any("first 8 checks" in note for note in notes)


def test_a_plan_without_a_title_gets_one() -> None:
    plan, _ = read_plan("kind: web\nsummary: Counts the days to Christmas.\n", forced_kind=None)
    assert plan.title == "Counts the days to Christmas"
    assert read_plan("kind: flask\n", forced_kind=None)[0].title == "Flask app"


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I can't do that.",
        "```python\nprint(1)\n```\n",
        "- one\n- two\n",
        "colour: red\nsize: 3\n",
        "!!python/object/apply:os.system ['true']",
        "[" * 20_000,
        "{a: " * 20_000,
        "- " * 20_000,
        BOMB,
    ],
)
def test_a_reply_without_a_plan_is_the_models_fault(reply: str) -> None:
    with pytest.raises(ModelFault) as fault:
        read_plan(reply, forced_kind=None)
    assert "YAML" in fault.value.message


def test_a_bomb_of_aliases_around_a_plan_does_not_go_off() -> None:
    try:
        plan, _ = read_plan(f"{BOMB}title: *i\nkind: web\n", forced_kind=None)
    except ModelFault:
        return
    assert len(str(plan)) < 5000


def test_data_and_yaml_of_a_plan_give_the_plan_again() -> None:
    assert plan_from_data(plan_to_data(PLAN)) == PLAN
    assert plan_from_data(json.loads(json.dumps(plan_to_data(PLAN)))) == PLAN
    assert plan_from_data(yaml.safe_load(yaml.safe_dump(plan_to_data(PLAN)))) == PLAN
    assert read_plan(plan_to_yaml(PLAN), forced_kind=None) == (PLAN, ())
    assert "- fill: {field: Bill, with: '120'}\n" in plan_to_yaml(PLAN)


def test_data_that_is_no_plan_is_refused() -> None:
    for data in ({}, {"colour": "red"}, {"packages": []}):
        with pytest.raises(ModelFault):
            plan_from_data(data)


WORDS = st.text(max_size=40) | st.sampled_from(
    [
        "null", "~", "- x", "a: b", "#", "yes", "1:30", "*a", "```", "{x}", "</think>", "<think>",
        "“x”", "|",
    ]
)  # fmt: skip
STEPS = st.fixed_dictionaries({"see": WORDS}) | st.fixed_dictionaries(
    {"fill": st.fixed_dictionaries({"field": WORDS, "with": WORDS})}
)
SCRIPTS = st.fixed_dictionaries(
    {"args": st.lists(WORDS, max_size=3), "stdin": WORDS, "stdout": st.lists(WORDS, max_size=3)}
)
DATA = st.fixed_dictionaries(
    {
        "title": WORDS,
        "kind": st.sampled_from(["web", "script", "flask", "streamlit"]),
        "summary": WORDS,
        "packages": st.lists(WORDS, max_size=3),
        "checks": st.lists(
            st.fixed_dictionaries({"name": WORDS, "steps": st.lists(STEPS, max_size=4)})
            | SCRIPTS
            | st.fixed_dictionaries({"name": WORDS, "args": st.lists(WORDS, max_size=2)}),
            max_size=4,
        ),
    }
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DATA)
def test_any_plan_is_the_same_after_data_and_after_yaml(data: dict[str, object]) -> None:
    plan = plan_from_data(data)
    assert plan_from_data(plan_to_data(plan)) == plan
    assert read_plan(plan_to_yaml(plan), forced_kind=None) == (plan, ())


PIECES = st.sampled_from(
    [
        "title: ", "kind: web\n", "checks:\n", "  - name: ", "    steps:\n", "      - see: ", "{",
        "```yaml\n", "```\n", "}", "[", "]", ": ", "- ", "\t", "\n", "&a ", "*a", "|\n", ">\n", "'",
        '"', "!!binary x", "? ", "<<: ", "---\n", "%YAML 9\n", "\ud800", "\x00", "\u2028", "fill: ",
        "# ",
    ]
)  # fmt: skip
ROWS = [
    "- ", "[", "{", "a: b\n", "title: x\n", "x: {a: ", "'", '"', "\t", "# \n", "*a ", "```yaml\n",
    "```yaml\ntitle: x\n```\n", "- see: 'x\n", "- fill: {a: b, c: d}\n", "checks:\n", "\n", ":",
    "- fill: a to \n", "  ", "- see: [", "a, ", "title: |\n", "? ", "&a ", "<<: ",
]  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PIECES | st.text(max_size=6), max_size=40).map("".join))
def test_any_text_is_a_plan_or_the_models_fault(text: str) -> None:
    try:
        plan, _ = read_plan(text, forced_kind=None)
    except ModelFault:
        return
    assert read_plan(plan_to_yaml(plan), forced_kind=None) == (plan, ())


@pytest.mark.parametrize("row", ROWS)
def test_reading_a_plan_takes_time_in_proportion_to_the_length(row: str) -> None:
    def seconds(length: int) -> float:
        started = time.process_time()
        rows = row * (length // len(row))
        for text in (rows, f"title: T\nchecks:\n{rows}"):
            with suppress(ModelFault):
                read_plan(text, forced_kind=None)
        return time.process_time() - started

    ratios = []
    for _ in range(3):  # processor time, yet a shared machine makes it vary
        ratios.append(seconds(100_000) / max(seconds(12_500), 0.01))
        if ratios[-1] < 24:
            return
    pytest.fail(f"8 times the text took {ratios} times as long")
