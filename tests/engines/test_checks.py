"""What an examination says of good, broken and hostile apps, on a real engine and browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import docker
import pytest
from PIL import Image

from vibe import front_end
from vibe.browser import Eyes
from vibe.checks import Examination, examine
from vibe.events import Event, RungDone, from_json, to_json
from vibe.kinds import kind
from vibe.plan import Plan, read_plan
from vibe.running import Running
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.owners import gallery_label
from vibe.settings import Limits
from vibe.verdict import judge

pytestmark = pytest.mark.docker

PAGE = """<!doctype html><html><head><meta charset="utf-8"><title>Test</title></head>
<body><h1>Hello there</h1>{body}</body></html>
"""


class Workshop:
    """An engine and a browser box, and apps examined with them."""

    def __init__(self, engine: DockerEngine, eyes: Eyes) -> None:
        self.engine = engine
        self.eyes = eyes
        self.told: list[Event] = []
        self.kept: dict[str, bytes] = {}
        self.shown: list[list[str]] = []
        """The rungs that were climbed when an app was shown."""
        self.plan = Plan("Test", "web", "", (), ())

    async def examine(
        self, files: Mapping[str, str], kind_name: str = "web", checks: str = "[]"
    ) -> Examination:
        text = f"title: Test\nkind: {kind_name}\nsummary: A test.\nchecks: {checks}\n"
        self.plan, _ = read_plan(text, forced_kind=None)
        self.told.clear()
        found = await examine(
            kind(kind_name),
            files,
            self.plan,
            engine=self.engine,
            app_id="test",
            data={},
            limits=Limits(run_s=10.0, start_s=120.0),
            eyes=self.eyes,
            emit=self.told.append,
            keep=self.keep,
            serving=self.serving,
        )
        if found.running:
            await found.running.stop()
        return found

    async def serving(self, running: Running) -> None:
        self.shown.append([e.name for e in self.told if isinstance(e, RungDone)])

    async def keep(self, pictures: Sequence[bytes]) -> list[str]:
        names = [str(len(self.kept) + number) for number in range(len(pictures))]
        self.kept.update(zip(names, pictures, strict=True))
        return names

    async def page(self, body: str, checks: str = "[]") -> Examination:
        return await self.examine({"index.html": PAGE.replace("{body}", body)}, checks=checks)


@pytest.fixture
async def workshop(tmp_path: Path) -> AsyncIterator[Workshop]:
    engine = await DockerEngine.open(gallery=tmp_path)
    eyes = Eyes(engine, "test")
    yield Workshop(engine, eyes)
    await eyes.close()
    await engine.close()


def rung(found: Examination, name: str) -> bool | None:
    """Whether the last rung of that name passed; None when it wasn't reached."""
    return next((r.passed for r in reversed(found.rungs) if r.name == name), None)


def failed(found: Examination) -> str:
    return f"{found.failed.name}: {found.failed.sentence}" if found.failed else ""


async def test_a_syntax_error_in_javascript_is_told_with_its_place(workshop: Workshop) -> None:
    found = await workshop.page("<script>\nfunction go() {\n  return 1;\n\n</script>")
    assert found.failed
    assert found.failed.name == "errors"
    assert "SyntaxError" in found.failed.sentence
    assert 'File "index.html", line' in found.failed.evidence


async def test_an_error_on_a_click_is_told_with_the_function_it_is_in(workshop: Workshop) -> None:
    body = "<button onclick='go()'>Go</button><script>\nfunction go() {\n  missing();\n}</script>"
    found = await workshop.page(body)
    assert found.failed
    assert "missing is not defined" in found.failed.sentence
    assert 'File "index.html", line 4, in go' in found.failed.evidence


async def test_an_unhandled_rejection_and_a_missing_script_are_errors(workshop: Workshop) -> None:
    body = "<script src='no.js'></script><script>Promise.reject(new Error('late'))</script>"
    found = await workshop.page(body)
    assert found.failed
    assert "Unhandled rejection: late" in found.failed.evidence
    assert "404 /no.js" in found.failed.evidence


async def test_text_nobody_can_see_is_a_blank_page(workshop: Workshop) -> None:
    found = await workshop.page("<style>h1 { color: white; background: white }</style>")
    assert failed(found).startswith("renders: The page looks blank")
    assert not found.runs


async def test_the_look_waits_for_what_streamlit_still_shows_in_grey(workshop: Workshop) -> None:
    """Streamlit gets the code of its widgets after its script has run; until then grey bars stand
    in their place, which once were an app's picture."""
    found = await workshop.page(
        "<div data-testid=stApp data-test-script-state=notRunning><b>Garden</b>"
        "<div data-testid=stSkeleton style='height:9px'></div></div><script>setTimeout(() => {"
        "document.querySelector('[data-testid=stSkeleton]').outerHTML = '<p>word</p>'.repeat(50)"
        "}, 2000)</script>"
    )
    shown = next(r.sentence for r in found.rungs if r.name == "renders")
    assert int(shown.split()[3]) >= 50, shown


async def test_a_page_of_one_letter_is_not_blank(workshop: Workshop) -> None:
    found = await workshop.examine({"index.html": "<!doctype html><title>t</title><body>x"})
    assert found.failed is None, failed(found)
    grey = "<!doctype html><title>t</title><p style='font-size: 11px; color: #767676'>i</p>"
    assert (await workshop.examine({"index.html": grey})).failed is None
    unseen = "<!doctype html><title>t</title><p style='color: #fff; background: #fff'>x</p>"
    found = await workshop.examine({"index.html": unseen})
    assert failed(found).startswith("renders: The page looks blank")


async def test_the_page_is_seen_on_a_desktop_and_on_a_phone(workshop: Workshop) -> None:
    found = await workshop.page("<p style='width: 900px; background: teal'>wide</p>")
    assert not found.failed
    assert found.picture.startswith(b"RIFF")
    assert any("scrolled sideways" in getattr(event, "text", "") for event in workshop.told)


async def test_each_check_comes_with_its_steps_what_was_seen_and_a_picture(
    workshop: Workshop,
) -> None:
    body = "<input aria-label='Name'><button onclick=\"title.id = 'x'\">Go</button>"
    checks = (
        "[{name: Holds, steps: [{fill: {field: Name, with: Ada}}, {see: Hello}]},"
        " {name: Fails, steps: [{see: Goodbye}, {click: Go}]}]"
    )
    found = await workshop.page(body, checks=checks)
    holds, fails = (r for r in found.rungs if r.name == "check")
    assert [(s.step, s.passed, s.seen) for s in holds.steps] == [
        ("Fill 'Name' with 'Ada'", True, "it holds 'Ada'"),
        ("See 'Hello'", True, "Hello there"),
    ]
    assert [(s.step, s.passed) for s in fails.steps] == [
        ("See 'Goodbye'", False),
        ("Click 'Go'", None),
    ]
    assert "the page says Test / Hello there" in fails.steps[0].seen
    renders = next(r for r in found.rungs if r.name == "renders")
    shapes = [Image.open(BytesIO(workshop.kept[name])).size for r in (renders, holds, fails)
              for name in r.pictures]  # fmt: skip
    assert shapes == [(640, 400), (195, 422), (480, 300), (480, 300)]
    told = [event for event in workshop.told if isinstance(event, RungDone) and event.steps]
    assert [from_json(to_json(event)) for event in told] == told
    assert told[1].steps[1] == {"step": "Click 'Go'", "passed": None, "seen": ""}


async def test_a_scripts_check_comes_with_what_was_expected_and_what_was_seen(
    workshop: Workshop,
) -> None:
    checks = "[{name: Adds, args: '2 3', stdout: ['5', 'six']}]"
    found = await workshop.examine({"main.py": "print('the sum is 5')"}, "script", checks)
    [check] = [r for r in found.rungs if r.name == "check"]
    assert [(s.step, s.passed, s.seen) for s in check.steps] == [
        ("Run `python main.py 2 3`, for exit code 0", True, "it exited without an error"),
        ("Print '5'", True, "it is in the output"),
        ("Print 'six'", False, "it printed: the sum is 5"),
    ]


async def test_a_button_that_does_nothing_is_found(workshop: Workshop) -> None:
    found = await workshop.page("<button>Roll the dice</button>")
    assert failed(found) == "controls: Nothing happens on: 'Roll the dice'."


async def test_a_click_that_streamlit_answers_late_is_no_dead_button(workshop: Workshop) -> None:
    """On a busy machine the script began after both tries were over: the second found the page as
    the first had made it."""
    page = (
        "<div data-testid=stApp data-test-script-state=notRunning><div data-testid=stMain>"
        "<b>Sums</b> <button>Write the sum</button>{dead} <i></i></div></div><script>"
        "document.querySelectorAll('button').forEach(button => button.onclick = () => {{"
        "const app = document.querySelector('[data-testid=stApp]').dataset;"
        "setTimeout(() => app.testScriptState = 'running', 1500);"
        "setTimeout(() => {{ app.testScriptState = 'notRunning'; if (button.innerText !== 'Idle')"
        "document.querySelector('i').innerText = 'It is written.' }}, 1600) }})</script>"
    )
    assert failed(await workshop.page(page.format(dead=""))) == ""
    found = await workshop.page(page.format(dead="<button>Idle</button>"))
    assert failed(found) == "controls: Nothing happens on: 'Idle'."


async def test_a_button_that_asks_for_a_file_is_live(workshop: Workshop) -> None:
    body = "<input type=file id=f hidden><button onclick='f.click()'>Choose a file</button>"
    assert (await workshop.page(body)).failed is None


async def test_a_check_that_an_empty_page_passes_is_told_and_not_counted(
    workshop: Workshop,
) -> None:
    empty = "{name: No error shows, steps: [{open: /}, {not_see: Hello there}]}"
    for checks, state in (
        (f"[{empty}, {{name: Says so, steps: [{{see: fine}}]}}]", "works"),
        (f"[{empty}]", "partly"),  # of all that it promised nothing was seen to hold
    ):
        found = await workshop.page("<p>fine</p>", checks=checks)
        assert rung(found, "advice") is False
        assert found.failed is None
        verdict = judge(kind("web"), workshop.plan, found, workshop.engine)
        assert verdict.state == state
        assert any("No error shows" in doubt for doubt in verdict.unverified)


HOSTILE = {
    "dialogs in a loop": ("<script>while (true) alert('again')</script>", "errors"),
    "dialogs for ever": ("<script>setInterval(() => alert('x'), 1)</script>", "errors"),
    "another address": ("<script>location = 'https://example.org/'</script>", "renders"),
    "loading itself": ("<script>setTimeout(() => location.reload(), 1)</script>", ""),
    "a script without end": ("<script>while (true) { }</script>", "renders"),
    "a click without end": ("<button onclick='while (true) { }'>Go</button>", "renders"),
    "downloads without end": (
        "<script>setInterval(() => { const a = document.createElement('a');"
        " a.href = URL.createObjectURL(new Blob(['x'.repeat(1e6)])); a.download = 'x';"
        " a.click(); }, 20)</script>",
        "",
    ),
    "all the memory": (
        "<script>const all = []; setInterval(() => { for (let i = 0; i < 40; i++)"
        " all.push(new Array(1e6).fill(Math.random())); }, 1)</script>",
        "renders",
    ),
    "a flood in the console": (
        "<script>setInterval(() => { for (let i = 0; i < 20000; i++) console.error('no', i);"
        " }, 1)</script>",
        "errors",
    ),
    "control characters": (
        "<script>console.error('\\x1b[31mred\\x07\\u202e')</script><p>\x1b[2J\x07</p>",
        "errors",
    ),
    "windows without end": ("<script>setInterval(() => open('/'), 5)</script>", ""),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_hostile_page_gets_a_verdict_and_spoils_no_later_look(
    what: str, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vibe.looking.load", lambda: 0.0)  # whatever else this machine does
    body, expected = HOSTILE[what]
    checks = "[{name: Greets, steps: [{see: Hello there}]}]"
    found = await workshop.page(body, checks=checks)
    assert expected in failed(found)
    told = "".join(r.sentence + r.evidence for r in found.rungs)
    assert not set(told) & {"\x1b", "\x07"}
    after = await workshop.page("<button onclick=\"title.id = 'x'\">Go</button>", checks=checks)
    assert rung(after, "check") is True, failed(after)


KILL = """
import contextlib, os, pathlib, signal
killed = 0
for process in pathlib.Path("/proc").glob("[0-9]*"):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the end of one ends others
        if (process / "comm").read_text().startswith("chrom"):
            os.kill(int(process.name), signal.SIGKILL)
            killed += 1
raise SystemExit(not killed)
"""


async def test_a_browser_that_an_earlier_page_left_dead_is_replaced_and_the_look_made(
    workshop: Workshop, tmp_path: Path
) -> None:
    assert (await workshop.page("")).failed is None
    mine = ["vibe.app=test", f"vibe.gallery={gallery_label(tmp_path)}"]
    boxes = docker.from_env().containers.list(filters={"label": mine})
    assert [box.exec_run(["python", "-c", KILL]).exit_code for box in boxes] == [0]
    found = await workshop.page("", checks="[{name: Greets, steps: [{see: Hello there}]}]")
    assert rung(found, "check") is True, failed(found)


async def test_a_button_that_cannot_be_used_is_told_with_what_is_in_its_way(
    workshop: Workshop,
) -> None:
    body = (
        "<button onclick=\"document.title = 'Done'\">Go</button><button disabled>Off</button>"
        "<div id='veil' style='position: fixed; inset: 0'></div>"
    )
    checks = "[{name: Goes, steps: [{click: Go}]}, {name: Off, steps: [{click: Off}]}]"
    found = await workshop.page(body, checks)
    said = [r.sentence for r in found.rungs if r.name == "check"]
    assert "could not click 'Go': <div id=\"veil\"></div> lies over it" in said[0]
    assert "could not click 'Off': it is disabled" in said[1]


async def test_a_page_rehearses_with_the_front_end_while_nobody_waits(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "static/js/front.12345678.js"
    page = PAGE.replace("{body}", f"<script type=module src='{address}'></script>")
    front = {"index.html": page.encode(), address: b"throw new Error('rehearsed')"}
    monkeypatch.setattr(front_end, "files", lambda: front)
    its_own = {"index.html": page, address: "document.body.append('its own')"}
    eyes, workshop.eyes = workshop.eyes, Eyes(workshop.engine, "test", kind("web").port)
    try:
        for _ in range(20):  # a look that comes too soon ends the rehearsal, and the next begins
            await asyncio.sleep(2)
            found = await workshop.examine(its_own)
            if found.failed:
                assert "rehearsed" in found.failed.sentence
                return
    finally:
        await workshop.eyes.close()
        workshop.eyes = eyes
    pytest.fail("no page came out of the rehearsal's cache")


async def test_what_one_visitor_of_streamlit_leaves_behind_no_other_check_sees(
    workshop: Workshop,
) -> None:
    app = (
        "import streamlit as st\nst.session_state.setdefault('seen', [])\n"
        "if st.button('Add'):\n    st.session_state.seen.append('a line')\n"
        "st.write(f'{len(st.session_state.seen)} lines')\n"
    )
    steps = "steps: [{see: 0 lines}, {click: Add}, {see: 1 lines}]"
    checks = f"[{', '.join(f'{{name: No. {number}, {steps}}}' for number in range(5))}]"
    found = await workshop.examine({"app.py": app}, "streamlit", checks)
    assert failed(found) == ""
    assert [r.passed for r in found.rungs if r.name == "check"] == [True] * 5


async def test_a_check_that_hangs_its_page_leaves_the_next_one_a_new_page(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vibe.looking.too_busy", lambda load: False)  # it isn't the machine's fault
    app = (
        "import streamlit as st\nfrom streamlit.components.v1 import html\nst.title('Hi')\n"
        "if st.text_input('Word') == 'hang':\n    html('<script>for (;;);</script>')\n"
    )
    greets = [f"{{name: No. {number}, steps: [{{see: Hi}}]}}" for number in range(4)]
    hangs = "{name: Hangs, steps: [{fill: {field: Word, with: hang}}, {see: nothing}]}"
    checks = f"[{', '.join([greets[0], hangs, *greets[1:]])}]"
    found = await workshop.examine({"app.py": app}, "streamlit", checks)
    failures = [r.sentence for r in found.rungs if r.name == "check" and not r.passed]
    assert len(failures) == 1, failures
    assert failures[0].startswith("Hangs: the page hangs: it does not answer")


async def test_every_page_of_a_flask_app_must_answer(workshop: Workshop) -> None:
    app = (
        "from flask import Flask\napp = Flask(__name__)\n\n"
        "@app.get('/')\ndef index():\n    return '<h1>Hello</h1><a href=\"/more\">More</a>'\n\n"
        "@app.get('/more')\ndef more():\n    return '<h1>More</h1>'\n\n"
        "@app.get('/hidden')\ndef hidden():\n    return str(1 / 0)\n"
    )
    found = await workshop.examine({"app.py": app}, "flask")
    assert failed(found) == "routes: The page /hidden answers with status 500."
    assert found.failed
    assert "ZeroDivisionError" in found.failed.evidence
    fine = await workshop.examine({"app.py": app.replace("1 / 0", "1 / 1")}, "flask")
    assert rung(fine, "routes") is True


async def test_every_widget_and_page_of_a_streamlit_app_is_used(workshop: Workshop) -> None:
    app = "import streamlit as st\nn = st.slider('Size', 0, 10, 3)\nst.write(1 / (10 - n))\n"
    found = await workshop.examine({"app.py": app}, "streamlit")
    assert "It fails while using 'Size'" in failed(found)
    page = "import streamlit as st\nst.title('More')\nst.write({}['nothing'])\n"
    endless = "import streamlit as st\nif st.button('Go'):\n    while True:\n        pass\n"
    found = await workshop.examine({"app.py": endless}, "streamlit")
    assert "It fails while pressing 'Go': it is not done after" in failed(found)
    files = {"app.py": "import streamlit as st\nst.title('Hi')\n", "pages/More.py": page}
    found = await workshop.examine(files, "streamlit")
    assert "It fails while opening the page 'More': KeyError: 'nothing'" in failed(found)


async def test_an_app_is_shown_as_soon_as_it_serves_and_a_failed_test_ends_the_look_at_it(
    workshop: Workshop,
) -> None:
    app = "import streamlit as st\nst.title('Hi')\nif st.button('Go'):\n    st.write(1 / 0)\n"
    checks = "[{name: Waits, steps: [{wait: 9}, {wait: 9}, {wait: 9}]}]"
    found = await workshop.examine({"app.py": app}, "streamlit", checks)
    assert workshop.shown == [["static", "start"]]
    assert failed(found).startswith("pages: It fails while pressing 'Go'")
    assert [r.name for r in found.rungs] == ["static", "start", "pages"]
    # the next attempt's look does not get what is left of the last one
    good = app.replace("1 / 0", "1")
    found = await workshop.examine({"app.py": good}, "streamlit", "[{name: A, steps: [{see: Hi}]}]")
    assert (failed(found), rung(found, "check")) == ("", True)


async def test_a_test_that_was_late_beside_the_browser_is_made_again_alone(
    workshop: Workshop,
) -> None:
    # it waits but once, as a program does that gets no processor for a while
    app = (
        "import sys, time\nfrom pathlib import Path\nimport streamlit as st\nst.title('Hi')\n"
        "once = Path('/tmp/once')\n"
        "if sys.argv[0] == '-' and not once.exists():\n"
        "    getattr(once, 'tou' 'ch')()\n    time.sleep(30)\n"
    )
    found = await workshop.examine({"app.py": app}, "streamlit", "[{name: A, steps: [{see: Hi}]}]")
    assert (failed(found), rung(found, "pages"), rung(found, "check")) == ("", True, True)


async def test_a_script_must_explain_itself_and_refuse_wrong_flags(workshop: Workshop) -> None:
    script = (
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--size', help='in 100%')\nparser.parse_args()\nprint('done')\n"
    )
    found = await workshop.examine({"main.py": script}, "script")
    assert failed(found).startswith("usage: Asked for --help, it fails")
    found = await workshop.examine({"main.py": script.replace("%", "")}, "script")
    assert rung(found, "usage") is True


async def test_a_name_that_is_defined_nowhere_is_found_before_it_runs(workshop: Workshop) -> None:
    script = "def later():\n    return totals\n\nprint('done')\n"
    found = await workshop.examine({"main.py": script}, "script")
    assert failed(found) == "static: main.py, line 2 uses 'totals', which is defined nowhere."
    fine = "try:\n    print(totals)\nexcept NameError:\n    print('none')\n"
    assert not (await workshop.examine({"main.py": fine}, "script")).failed


async def test_a_missing_module_is_told_with_the_package_that_has_it(workshop: Workshop) -> None:
    found = await workshop.examine({"main.py": "import cv2\nimport made_up_name\n"}, "script")
    assert "cv2 (of the package opencv-python-headless, which is not installed)" in failed(found)
    assert "made_up_name;" in failed(found)


async def test_a_models_words_around_a_page_are_found(workshop: Workshop) -> None:
    page = PAGE.replace("{body}", "")
    found = await workshop.examine({"index.html": f"Here is the page:\n\n{page}"})
    assert "words in it that are no code" in failed(found)
