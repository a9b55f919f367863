"""The loop on a real engine, with a model whose replies are written beforehand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.scripted import ScriptedModel, code, plan
from vibe.archive import Archive
from vibe.attempt import Request, Workbench
from vibe.budget import Budget
from vibe.events import (
    Answered,
    Asked,
    AttemptEnded,
    Event,
    Fixed,
    Notice,
    RepairAsked,
    RungDone,
    VerdictReached,
)
from vibe.loop import Built, build
from vibe.sandbox.docker import DockerEngine
from vibe.settings import Limits

pytestmark = pytest.mark.docker

GOOD = "import sys\nprint('hello', *sys.argv[1:])\n"
PAGE = """<!doctype html><html><head><title>Sum</title></head><body><h1>Sum</h1>
<label>First <input id=a type=number></label><label>Second <input id=b type=number></label>
<button onclick="document.getElementById('out').textContent =
 'Total ' + (+document.getElementById('a').value OP +document.getElementById('b').value)">
Add</button><p id=out></p></body></html>
"""
SUM = """{name: Adds, steps: [{fill: {field: First, with: "2"}}, {fill: {field: Second, with: "3"}},
    {click: Add}, {see: "Total 5"}]}"""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[DockerEngine]:
    engine = await DockerEngine.open(gallery=tmp_path)
    yield engine
    await engine.close()


async def built(
    engine: DockerEngine | None,
    folder: Path,
    *replies: str | Exception,
    limits: Limits | None = None,
) -> tuple[list[Event], Built, ScriptedModel, Archive]:
    archive = Archive(folder)
    app = archive.create("an idea", kind="auto", model="scripted", data=None)
    model = ScriptedModel(*replies)
    ends: list[Built] = []

    async def hand_over(end: Built) -> None:
        ends.append(end)
        if end.running:
            await end.running.stop()

    bench = Workbench(model, engine, archive, Budget(limits or Limits()))
    request = Request(app.id, 1, "an idea", None, {}, {}, {})
    events = [event async for event in build(request, bench, hand_over)]
    return events, ends[0], model, archive


def rungs(events: list[Event]) -> list[tuple[str, bool]]:
    return [(e.name, e.passed) for e in events if isinstance(e, RungDone)]


def verdict(events: list[Event]) -> VerdictReached:
    assert isinstance(events[-1], VerdictReached)
    return events[-1]


async def test_a_script_that_keeps_its_promises_works(engine: DockerEngine, tmp_path: Path) -> None:
    checks = ["{name: Greets, args: [Ann], stdout: ['hello A.n']}"]
    events, end, _, archive = await built(
        engine, tmp_path, plan("script", checks=checks), code(main_py=GOOD)
    )
    assert verdict(events).state == "works"
    assert rungs(events) == [("static", True), ("run", True), ("check", True)]
    assert end.best is not None
    assert archive.files(end_id(archive), end.best.commit)["main.py"] == GOOD.encode()


def end_id(archive: Archive) -> str:
    return archive.list()[0].id


async def test_a_crash_is_reported_and_repaired(engine: DockerEngine, tmp_path: Path) -> None:
    events, end, model, _ = await built(
        engine,
        tmp_path,
        plan("script"),
        code(main_py="def total(v):\n    return sum(v) / len(v)\n\nprint(total([]))\n"),
        code(main_py=GOOD),
    )
    report = next(e.report for e in events if isinstance(e, RepairAsked))
    assert "ZeroDivisionError" in report
    assert ">    2     return sum(v) / len(v)" in report
    assert report in model.prompts[2].messages[-1].content
    assert end.attempts == 2
    assert end.best is not None
    assert end.best.number == 2


async def test_the_best_attempt_is_kept_and_not_the_last(
    engine: DockerEngine, tmp_path: Path
) -> None:
    checks = ["{name: Says done, stdout: [done]}"]
    nearly = "print('hello')\n"
    broken = "raise SystemExit('no')\n"
    events, end, _, _ = await built(
        engine,
        tmp_path,
        plan("script", checks=checks),
        code(main_py=nearly),
        code(main_py=broken),
        code(main_py=broken),
        code(main_py=broken),
        code(main_py=broken),
    )
    assert verdict(events).state == "partly"
    assert end.best is not None
    assert end.best.files["main.py"].strip() == nearly.strip()
    assert any(isinstance(e, Notice) and "afresh" in e.text for e in events)


async def test_a_rule_mends_what_needs_no_model(engine: DockerEngine, tmp_path: Path) -> None:
    events, end, model, _ = await built(
        engine, tmp_path, plan("script"), code(main_py="print(\u201chi\u201d)")
    )
    assert [e.rule for e in events if isinstance(e, Fixed)] == ["smart quotes"]
    assert len(model.prompts) == 2
    assert end.best is not None
    assert end.best.examination.runs


async def test_an_unreadable_reply_is_an_attempt_and_goes_back_as_one_sentence(
    engine: DockerEngine, tmp_path: Path
) -> None:
    events, end, model, _ = await built(
        engine, tmp_path, plan("script"), "I would rather talk about it.", code(main_py=GOOD)
    )
    assert ("parse", False) in rungs(events)
    assert end.attempts == 2
    assert end.best is not None
    assert "Stage: parse" in model.prompts[2].messages[-1].content


async def test_a_cut_reply_is_continued(engine: DockerEngine, tmp_path: Path) -> None:
    whole = code(main_py="print('one')\nprint('two')\nprint('three')\n")
    half = whole.index("print('two')") + len("print('two')\n")
    _, end, _, _ = await built(
        engine, tmp_path, plan("script"), whole[:half] + "<cut>", whole[half:]
    )
    assert end.attempts == 1
    assert end.best is not None
    assert end.best.files["main.py"].split() == ["print('one')", "print('two')", "print('three')"]


async def test_a_build_that_never_works_ends_within_its_calls(
    engine: DockerEngine, tmp_path: Path
) -> None:
    replies = [code(main_py=f"raise KeyError({n!r} * {n})\n") for n in range(1, 20)]
    events, end, model, _ = await built(engine, tmp_path, plan("script"), *replies)
    assert len(model.prompts) <= Limits().calls
    assert verdict(events).state == "broken"
    assert end.best is not None
    assert not end.best.examination.runs


async def test_a_page_is_used_in_a_browser_and_a_wrong_operator_is_found(
    engine: DockerEngine, tmp_path: Path
) -> None:
    events, end, model, _ = await built(
        engine,
        tmp_path,
        plan("web", checks=[SUM]),
        code(index_html=PAGE.replace("OP", "-")),
        code(index_html=PAGE.replace("OP", "+")),
    )
    ended = [e for e in events if isinstance(e, AttemptEnded)]
    assert [e.runs for e in ended] == [True, True]
    assert "Total -1" in model.prompts[2].messages[-1].content
    assert verdict(events).state == "works"
    assert end.best is not None
    assert end.best.examination.picture.startswith(b"RIFF")


async def test_a_streamlit_app_that_crashes_on_a_click_does_not_pass(
    engine: DockerEngine, tmp_path: Path
) -> None:
    app = (
        "import streamlit as st\nst.title('Hi')\nif st.button('Go'):\n    st.write({}['missing'])\n"
    )
    events, _, _, _ = await built(
        engine, tmp_path, plan("streamlit"), code(app_py=app), limits=Limits(attempts=1)
    )
    assert ("pages", False) in rungs(events)
    assert "missing" in verdict(events).sentence


async def test_without_an_engine_an_app_is_written_but_never_called_working(tmp_path: Path) -> None:
    events, end, _, _ = await built(None, tmp_path, plan("script"), code(main_py=GOOD))
    assert verdict(events).state == "unverified"
    assert end.best is not None
    assert "never run" in verdict(events).sentence


async def test_with_autonomy_ask_the_person_may_edit_the_plan_and_refuse_a_repair(
    engine: DockerEngine, tmp_path: Path
) -> None:
    asked: list[Asked] = []

    async def answer(question: Asked) -> Answered:
        asked.append(question)
        edited = question.text.replace("Test app", "My app")
        edited = edited.replace("checks: []", "checks:\n- {name: Mistyped, stepz: [{see: it}]}")
        return Answered(what=question.what, yes=question.what == "plan", text=edited)

    archive = Archive(tmp_path)
    app = archive.create("an idea", kind="auto", model="scripted", data=None)
    model = ScriptedModel(plan("script"), code(main_py="raise SystemExit(3)\n"), code(main_py=GOOD))
    ends: list[Built] = []

    async def hand_over(end: Built) -> None:
        ends.append(end)

    bench = Workbench(model, engine, archive, Budget(Limits()), ask=answer)
    request = Request(app.id, 1, "an idea", None, {}, {}, {})
    events = [event async for event in build(request, bench, hand_over)]
    assert [question.what for question in asked] == ["plan", "repair"]
    assert "exit code 3" in asked[1].text
    assert ends[0].plan.title == "My app"
    assert any("Mistyped" in e.text for e in events if isinstance(e, Notice)), "what was left out"
    assert len(model.prompts) == 2, "a refused repair is not asked of the model"
    assert verdict(events).state == "broken"


async def test_free_tries_two_ways_side_by_side_and_keeps_the_better(
    engine: DockerEngine, tmp_path: Path
) -> None:
    checks = ["{name: One, stdout: [one]}", "{name: Two, stdout: [two]}"]
    archive = Archive(tmp_path)
    app = archive.create("an idea", kind="auto", model="scripted", data=None)
    model = ScriptedModel(
        plan("script", checks=checks),
        code(main_py="print('none')\n"),
        code(main_py="print('one')\n"),
        code(main_py="print('one two')\n"),
    )
    ends: list[Built] = []

    async def hand_over(end: Built) -> None:
        ends.append(end)

    bench = Workbench(model, engine, archive, Budget(Limits()), two=True)
    request = Request(app.id, 1, "an idea", None, {}, {}, {})
    events = [event async for event in build(request, bench, hand_over)]
    ended = [e.attempt for e in events if isinstance(e, AttemptEnded)]
    assert ended == [1, 2, 3]
    assert sum("take another way" in p.messages[-1].content for p in model.prompts) == 1
    assert verdict(events).state == "works"
    assert ends[0].best is not None
    assert ends[0].best.files["main.py"] == "print('one two')\n"


@pytest.mark.parametrize(
    ("kind_name", "files", "words"),
    [
        ("script", {"main_py": "while True:\n    print('x' * 1000)\n"}, "printed more"),
        ("script", {"main_py": "import time\ntime.sleep(600)\n"}, "still running"),
        ("script", {"main_py": "x = bytearray(3 << 30)\nprint(len(x))\n"}, "more memory"),
        ("script", {"main_py": "pass\n"}, "printed nothing"),
        ("flask", {"app_py": "import time\ntime.sleep(600)\n"}, "did not serve anything"),
        ("flask", {"app_py": "raise SystemExit('no')\n"}, "instead of serving"),
        ("flask", {"app_py": "import nonsense_package\n"}, "nonsense_package"),
        ("web", {"page_html": "<h1>Hello there</h1>"}, ""),
    ],
    ids=["floods", "hangs", "eats", "silent", "never serves", "exits", "imports", "renamed"],
)
async def test_programs_that_misbehave_get_one_clear_sentence(
    engine: DockerEngine, tmp_path: Path, kind_name: str, files: dict[str, str], words: str
) -> None:
    waits = "sleep" in str(files)
    limits = Limits(attempts=1, start_s=3, run_s=3) if waits else Limits(attempts=1)
    events, _, _, _ = await built(engine, tmp_path, plan(kind_name), code(**files), limits=limits)
    assert words in verdict(events).sentence
    assert "\n" not in verdict(events).sentence
    assert verdict(events).state == ("broken" if words else "works")


@pytest.mark.parametrize(
    "path", ["../x.py", "/etc/passwd", "a/../../b.py", ".git/hooks/x", "C:\\x"]
)
async def test_a_reply_with_a_path_outside_the_app_writes_nothing(
    engine: DockerEngine, tmp_path: Path, path: str
) -> None:
    reply = f"```python path={path}\nprint('hi')\n```\n"
    events, end, _, archive = await built(
        engine, tmp_path, plan("script"), reply, limits=Limits(attempts=1)
    )
    assert rungs(events) == [("parse", False)]
    assert end.best is None
    assert archive.log(end_id(archive)) == []


async def test_five_megabytes_of_files_are_refused(engine: DockerEngine, tmp_path: Path) -> None:
    big = code(main_py="data = '" + "x" * 5_000_000 + "'\nprint('hi')\n")
    events, end, _, _ = await built(
        engine, tmp_path, plan("script"), big, limits=Limits(attempts=1)
    )
    [rung] = [e for e in events if isinstance(e, RungDone)]
    assert "larger than 1,000,000 bytes" in rung.sentence
    assert end.best is None


async def test_a_check_that_alone_fails_on_two_independent_builds_becomes_advice(
    engine: DockerEngine, tmp_path: Path
) -> None:
    checks = ["{name: Greets, stdout: [hello]}", "{name: Sums wrongly, stdout: ['2 + 2 is 5']}"]
    replies = [code(main_py=f"print('hello', {n}, '2 + 2 is 4')\n") for n in range(5)]
    events, end, _, _ = await built(engine, tmp_path, plan("script", checks=checks), *replies)
    assert any(isinstance(e, Notice) and "Sums wrongly" in e.text for e in events)
    assert verdict(events).state == "partly"
    assert any("Sums wrongly" in doubt for doubt in verdict(events).unverified)
    assert end.attempts < 5
