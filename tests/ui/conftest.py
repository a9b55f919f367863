"""The screens over a real studio and archive, with a scripted model and no engine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.scripted import ScriptedModel, code, plan
from vibe import events as ev
from vibe.app import App, Revision, Verdict
from vibe.errors import EngineFault
from vibe.events import now
from vibe.model import Model
from vibe.settings import Settings
from vibe.studio import Studio
from vibe.ui import bridge

MAIN = Path(bridge.__file__).parent / "main.py"
FIRST = {"main.py": b"print('one')\n"}
SECOND = {"main.py": b"print('two')\n"}


class ScriptedStudio(Studio):
    """A studio whose builds are written beforehand, slowly enough to be looked at; one whose idea
    is to take its time never ends by itself."""

    async def _model(self, app: App, words: str, name: str | None) -> Model:
        return ScriptedModel(
            plan("web", "Hello :red[page]"),
            code(index_html="<h1>Hello</h1>\n" * 20),
            pause=60 if "take your time" in words else 0.05,
        )


@pytest.fixture
def vibe(tmp_path: Path) -> Iterator[bridge.Bridge]:
    """The bridge to a studio in a loop of its own thread, installed for the screens."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    fault = EngineFault("There is no engine here.", "Install `docker`.")
    studio = ScriptedStudio(Settings(gallery=tmp_path / "gallery"), None, engine_fault=fault)
    opened = bridge.Bridge(studio, loop)
    bridge.install(opened)
    yield opened
    bridge.install(None)
    asyncio.run_coroutine_threadsafe(studio.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def screen() -> Callable[..., AppTest]:
    """Opens a screen as a browser would: `screen(app=…)`, `screen("gallery")`."""

    def open_screen(name: str = "build", **query: str) -> AppTest:
        page = AppTest.from_file(str(MAIN), default_timeout=30)
        for key, value in query.items():
            page.query_params[key] = value
        page.run()
        if name != "build":
            page.switch_page(f"screens/{name}.py").run()
        assert not page.exception
        return page

    return open_screen


def texts(page: AppTest) -> str:
    """Everything in words on the screen."""
    kinds = ("title", "subheader", "markdown", "caption", "text", "code", "error", "warning")
    return "\n".join(str(element.value) for kind in kinds for element in page.get(kind))


def until(page: AppTest, seen: Callable[[AppTest], bool], seconds: float = 20) -> AppTest:
    """Runs the page as its polling would, until something is seen."""
    deadline = time.monotonic() + seconds
    while not seen(page.run()):
        assert not page.exception
        assert time.monotonic() < deadline, texts(page)
        time.sleep(0.1)
    return page


def made(
    vibe: bridge.Bridge, idea: str = "say hello", *, kind: str = "script", revisions: int = 1
) -> App:
    """An app as a finished build leaves it, with its transcript and its code."""
    archive = vibe.archive
    app = archive.create(idea, kind=kind, model="scripted")
    verdict = Verdict("works", "It runs to its end.", ("it ends well",), ("its looks",))
    kept: list[Revision] = []
    for number, files in zip(range(1, revisions + 1), (FIRST, SECOND), strict=False):
        request = idea if number == 1 else f"change {number}"
        commit = archive.commit(app.id, files, request)
        archive.tag(app.id, number, commit)
        kept.append(Revision(number, request, commit, 1, verdict, now()))
        archive.append(app.id, story(number, request, commit), sync=False)
    app = App(
        **{name: getattr(app, name) for name in ("id", "idea", "kind", "model", "created", "used")},
        title=idea.capitalize(),
        status="ready",
        verdict=verdict,
        revisions=tuple(kept),
    )
    archive.save(app)
    return app


def story(number: int, request: str, commit: str) -> list[ev.Event]:
    return [
        ev.Requested(revision=number, text=request, kind="script", model="m", autonomy="fix"),
        ev.PlanMade(plan={"title": "Hello", "summary": "Says $5 *hello*.", "checks": []}),
        ev.AttemptStarted(revision=number, attempt=1, reason="the first try"),
        ev.PromptSent(role="code", model="m", messages=[{"role": "user", "content": request}]),
        ev.ReplyText(text="```python path=main.py\nprint('one')\n```\n"),
        ev.ReplyEnded(
            finish="stop",
            model="m",
            prompt_tokens=1000,
            completion_tokens=234,
            seconds=2.0,
            seconds_to_first=0.1,
        ),
        ev.FilesWritten(files={"main.py": 13}, commit=commit),
        ev.RungDone(name="run", passed=True, sentence="It ends well.", evidence="", seconds=0.1),
        ev.AttemptEnded(revision=number, attempt=1, runs=True, score=[1, 1, 0], sentence="Good."),
        ev.Output(stream="stdout", text="\x1b[31mone\x1b[0m\n"),
        ev.VerdictReached(
            state="works",
            sentence="It runs to its end.",
            verified=["it ends well"],
            unverified=["its looks"],
        ),
        ev.Finished(status="ready", sentence="It runs to its end."),
    ]
