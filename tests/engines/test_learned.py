"""Faults of Vibe's own that playing the model by hand brought to light; see docs/by-hand.md."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from tests.scripted import ScriptedModel, code, plan
from vibe.archive import Archive
from vibe.attempt import Request, Workbench
from vibe.browser import Eyes
from vibe.budget import Budget
from vibe.checks import Examination, examine, facts
from vibe.errors import EngineFault
from vibe.events import AttemptStarted, Event, VerdictReached
from vibe.kinds import kind
from vibe.loop import Built, build
from vibe.plan import read_plan
from vibe.running import serve
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import Box, BoxSpec, Engine
from vibe.settings import Limits

pytestmark = pytest.mark.docker

BOARD = """<!doctype html><html><head><meta charset="utf-8"><title>Board</title></head><body>
<div><h2>To do</h2><ul class="list" data-name="To do"><li draggable="true">Call mum</li></ul></div>
<div><h2>Done</h2><ul class="list" data-name="Done" style="min-height: 100px"></ul></div>
<p id="said">Nothing moved</p>
<script>
let card;
for (const item of document.querySelectorAll("li")) item.ondragstart = () => { card = item; };
for (const list of document.querySelectorAll(".list")) {
  list.ondragover = (event) => event.preventDefault();
  list.ondrop = () => { DROP };
}
</script></body></html>
"""
DROP = "list.append(card); document.getElementById('said').textContent = `In ${list.dataset.name}`"
DRAG = "[{name: Moves a card, steps: [{drag: {from: Call mum, to: Done}}, {see: In Done}]}]"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[DockerEngine]:
    engine = await DockerEngine.open(gallery=tmp_path)
    yield engine
    await engine.close()


async def examined(
    engine: DockerEngine, kind_name: str, files: Mapping[str, str], checks: str
) -> Examination:
    text = f"title: Test\nkind: {kind_name}\nsummary: A test.\nchecks: {checks}\n"
    eyes = Eyes(engine, "test")
    found = await examine(
        kind(kind_name),
        files,
        read_plan(text, forced_kind=None)[0],
        engine=engine,
        app_id="test",
        data={},
        limits=Limits(),
        eyes=eyes,
        emit=lambda event: None,
    )
    await eyes.close()
    if found.running:
        await found.running.stop()
    return found


async def built(
    engine: DockerEngine, folder: Path, *replies: str
) -> tuple[list[Event], ScriptedModel]:
    archive = Archive(folder)
    app = archive.create("an idea", kind="auto", model="scripted", data=None)
    model = ScriptedModel(*replies)

    async def hand_over(end: Built) -> None:
        if end.running:
            await end.running.stop()

    bench = Workbench(model, engine, archive, Budget(Limits()))
    request = Request(app.id, 1, "an idea", None, {}, {}, {})
    return [event async for event in build(request, bench, hand_over)], model


async def test_a_card_is_dragged_to_the_column_under_a_heading(engine: DockerEngine) -> None:
    found = await examined(engine, "web", {"index.html": BOARD.replace("DROP", DROP)}, DRAG)
    assert found.failed is None


async def test_a_column_that_takes_no_card_is_found_out(engine: DockerEngine) -> None:
    found = await examined(engine, "web", {"index.html": BOARD.replace("DROP", "card")}, DRAG)
    assert found.failed is not None
    assert "dragging 'Call mum' to 'Done' changed nothing" in found.failed.sentence


async def test_a_page_that_a_check_expects_to_be_missing_is_no_error(engine: DockerEngine) -> None:
    app = (
        "from flask import Flask\n\napp = Flask(__name__)\n\n\n"
        "@app.get('/')\ndef index():\n    return '<title>Links</title><h1>All links</h1>'\n\n\n"
        "@app.errorhandler(404)\ndef missing(error):\n    return '<h1>Link not found</h1>', 404\n"
    )
    checks = "[{name: Unknown link, steps: [{open: /nothing}, {see: not found}]}]"
    found = await examined(engine, "flask", {"app.py": app}, checks)
    assert found.failed is None


async def test_a_card_of_a_game_may_be_locked_while_others_are_open(engine: DockerEngine) -> None:
    page = (
        "<!doctype html><title>Cards</title><h1>Cards</h1><script>\n"
        "for (const n of [1, 2, 3]) {\n"
        "  const card = document.body.appendChild(document.createElement('button'));\n"
        "  card.textContent = `Card ${n}`;\n"
        "  card.onclick = () => { if (n < 3) card.style.color = 'red'; };\n"
        "}\nBUTTON</script>\n"
    )
    found = await examined(engine, "web", {"index.html": page.replace("BUTTON", "")}, "[]")
    assert found.failed is None
    dead = "document.body.insertAdjacentHTML('beforeend', '<button>Deal</button>');"
    found = await examined(engine, "web", {"index.html": page.replace("BUTTON", dead)}, "[]")
    assert found.failed is not None
    assert found.failed.sentence == "Nothing happens on: 'Deal'."


async def test_a_table_that_streamlit_paints_can_be_read(engine: DockerEngine) -> None:
    app = (
        "import pandas as pd\nimport streamlit as st\n\nst.title('Months')\n"
        "st.dataframe(pd.DataFrame({'Cheaper': ['Offer B']}), hide_index=True)\n"
    )
    checks = "[{name: Has a table, steps: [{see: Cheaper}, {see: Offer B}]}]"
    found = await examined(engine, "streamlit", {"app.py": app}, checks)
    assert found.failed is None


async def test_a_reply_without_code_does_not_hide_what_has_to_be_repaired(
    engine: DockerEngine, tmp_path: Path
) -> None:
    _, model = await built(
        engine,
        tmp_path,
        plan("script", checks=["{name: Greets, stdout: [hello]}"]),
        code(main_py="print('hullo')\n"),
        "The program is right as it is.",
        code(main_py="print('hello')\n"),
    )
    asked = model.prompts[3].messages[-1].content
    assert "has no code" in asked
    assert "Greets: expected 'hello' in the output" in asked


async def test_the_verdict_names_a_check_that_nobody_could_try(
    engine: DockerEngine, tmp_path: Path
) -> None:
    checks = ["{name: Greets, stdout: [hello]}", "{name: Sings, melody: C D E}"]
    events, _ = await built(
        engine, tmp_path, plan("script", checks=checks), code(main_py="print('hello')\n")
    )
    verdict = events[-1]
    assert isinstance(verdict, VerdictReached)
    assert verdict.state == "works"
    assert verdict.sentence == "It runs, and its check holds, 1 more in doubt."
    assert [doubt.split(":")[0] for doubt in verdict.unverified] == ["Sings"]


async def test_a_fault_that_a_wrong_build_shared_is_not_excused(
    engine: DockerEngine, tmp_path: Path
) -> None:
    checks = ["{name: Adds, stdout: ['5']}", "{name: Refuses, args: [x], exit: 1}"]
    wrong, half = "print(4)\n", "print(5)\n"
    events, _ = await built(
        engine,
        tmp_path,
        plan("script", checks=checks),
        code(main_py=wrong),
        code(main_py=wrong),
        code(main_py=half),
        *[code(main_py=half)] * 3,
    )
    verdict = events[-1]
    assert isinstance(verdict, VerdictReached)
    assert verdict.state == "partly"
    assert sum(isinstance(event, AttemptStarted) for event in events) >= 3


async def test_a_link_that_leads_out_of_the_app_is_no_broken_page(engine: DockerEngine) -> None:
    app = (
        "from flask import Flask, redirect\n\napp = Flask(__name__)\n\n\n"
        "@app.get('/')\ndef index():\n"
        "    return '<title>Links</title><a href=/x>x</a> <a href=/y>y</a>'\n\n\n"
        "@app.get('/x')\ndef follow():\n    return redirect('https://example.com/far')\n\n\n"
        "@app.get('/y')\ndef stay():\n    return redirect('/')\n"
    )
    found = await examined(engine, "flask", {"app.py": app}, "[]")
    assert found.failed is None
    assert any(rung.name == "routes" and rung.passed for rung in found.rungs)


class Stuck:
    """A box whose engine doesn't answer when it is stopped."""

    def __init__(self, box: Box) -> None:
        self._box = box

    def __getattr__(self, name: str) -> Any:
        return getattr(self._box, name)

    async def stop(self) -> None:
        await self._box.stop()
        raise EngineFault("Docker gave no answer.")


class SlowToSee:
    """An engine whose browsers don't start until it is told, and are hard to stop."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine
        self.sees = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def start(self, spec: BoxSpec) -> Box:
        if spec.image != "browser":
            return await self._engine.start(spec)
        if not self.sees:
            raise EngineFault("The browser did not start in time.")
        return cast(Box, Stuck(await self._engine.start(spec)))


async def test_a_browser_that_failed_unneeded_is_tried_again_and_one_that_sticks_does_no_harm(
    engine: DockerEngine,
) -> None:
    slow = SlowToSee(engine)
    eyes = Eyes(cast(Engine, slow), "test")
    await asyncio.sleep(0.1)
    slow.sees = True
    box = await engine.start(BoxSpec(image="python", app="test", lifetime_s=120.0))
    await box.put({"index.html": b"<title>Tea</title><h1>Tea</h1>"})
    try:
        running = await serve(box, kind("web"), start_s=60.0, emit=lambda event: None)
        seen = await eyes.look(running, (), {})
    finally:
        await eyes.close()
        await box.stop()
    assert seen.fault == ""
    assert seen.title == "Tea"


async def test_no_controls_are_said_to_work_where_there_are_none(engine: DockerEngine) -> None:
    page = "<!doctype html><title>Tea</title><h1>Tea is served</h1>"
    found = await examined(engine, "web", {"index.html": page}, "[]")
    assert found.looked
    assert "its controls do something" not in facts(found)
    pressed = "<!doctype html><button onclick='this.after(1)'>Tea</button>"
    found = await examined(engine, "web", {"index.html": pressed}, "[]")
    assert "its controls do something" in facts(found)


async def test_a_form_whose_field_is_named_title_can_be_used(engine: DockerEngine) -> None:
    page = (
        "<!doctype html><title>Shelf</title><form><label>Title <input name='title'></label>"
        "<label>Text <input name='alt'></label><button>Add book</button></form><p></p><script>\n"
        "document.forms[0].onsubmit = (event) => { event.preventDefault();\n"
        "  document.querySelector('p').textContent = `Added ${event.target.title.value}`; };\n"
        "</script>\n"
    )
    checks = (
        "[{name: Adds, steps: [{fill: {field: Title, with: Dune}}, {click: Add book}, "
        "{see: Added Dune}]}]"
    )
    found = await examined(engine, "web", {"index.html": page}, checks)
    assert found.failed is None


async def test_a_key_is_pressed_long_enough_for_a_game_that_looks_once_a_frame(
    engine: DockerEngine,
) -> None:
    page = (
        "<!doctype html><title>Lander</title><h1>Fuel: <b>100</b></h1><script>\n"
        "const keys = {};\nlet fuel = 100;\n"
        "onkeydown = (event) => { keys[event.key] = true; };\n"
        "onkeyup = (event) => { keys[event.key] = false; };\n"
        "(function frame() {\n  if (keys.ArrowUp) fuel -= 1;\n"
        "  document.querySelector('b').textContent = fuel;\n  requestAnimationFrame(frame);\n"
        "})();\n"
        "</script>\n"
    )
    checks = (
        "[{name: Burns, steps: [{see: 'Fuel: 100'}, {press: ArrowUp}, {not_see: 'Fuel: 100'}]}, "
        "{name: Combines, steps: [{press: Control+ArrowUp}, {not_see: 'Fuel: 100'}]}]"
    )
    found = await examined(engine, "web", {"index.html": page}, checks)
    assert found.failed is None


async def test_a_field_that_is_drawn_late_is_not_mistaken_for_the_first_one(
    engine: DockerEngine,
) -> None:
    page = (
        "<!doctype html><title>Rides</title><label>Station <select id='s'><option>All</option>"
        "<option>Members</option></select></label><p></p><script>\n"
        "document.querySelector('#s').onchange = () => { document.title = 'Wrong'; };\n"
        "let left = 8;\nconst timer = setInterval(() => {\n"
        "  document.querySelector('p').textContent = `Loading ${left}`;\n"
        "  if (--left) return;\n  clearInterval(timer);\n"
        "  document.querySelector('p').innerHTML = \"<label>Riders <select id='r'><option>All\"\n"
        "    + '</option><option>Members</option></select></label>';\n"
        "  document.querySelector('#r').onchange = () => { document.title = 'Only members'; };\n"
        "}, 100);\n</script>\n"
    )
    checks = (
        "[{name: Picks, steps: [{select: {field: Riders, option: Members}}, {see: Only members}]}]"
    )
    found = await examined(engine, "web", {"index.html": page}, checks)
    assert found.failed is None
