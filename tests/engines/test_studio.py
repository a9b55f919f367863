"""The studio over a real engine and archive, with scripted models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from tests.scripted import ScriptedModel, code, plan
from vibe.app import App, Revision, Rung, Verdict
from vibe.errors import UserError
from vibe.events import Asked, Finished, PlanMade, Requested
from vibe.model import Model
from vibe.sandbox import web
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.owners import gallery_label
from vibe.settings import Limits, Settings
from vibe.studio import Studio
from vibe.versions import lineage, wish

pytestmark = pytest.mark.docker

HELLO = code(index_html="<!doctype html><html><body><h1>Hello</h1></body></html>")
BYE = code(index_html="<!doctype html><html><body><h1>Goodbye</h1></body></html>")
WRITES = """import os, sys
os.makedirs("results", exist_ok=True)
open("results/out.txt", "w").write(" ".join(sys.argv[1:]) or "nothing")
print("wrote", open("data/in.txt").read() if os.path.exists("data/in.txt") else "without data")
"""


class Scripted(Studio):
    """A studio whose builds take their replies from a list."""

    def replies(self, *replies: str, pause: float = 0.0) -> ScriptedModel:
        self._script = ScriptedModel(*replies, pause=pause)
        return self._script

    async def _model(self, app: App, words: str, name: str | None) -> Model:
        return self._script


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Scripted]:
    engine = await DockerEngine.open(gallery=tmp_path)
    settings = Settings(gallery=tmp_path, limits=Limits(attempts=1))
    async with Scripted(settings, engine) as studio:
        yield studio
    assert boxes(tmp_path) == [], "a closed studio leaves no box"


def boxes(gallery: Path) -> list[str]:
    client = docker.from_env()
    try:
        label = f"vibe.gallery={gallery_label(gallery)}"
        return [str(c.id) for c in client.containers.list(all=True, filters={"label": label})]
    finally:
        client.close()


async def front_page(studio: Studio, app_id: str) -> str:
    live = studio.live(app_id)
    assert live is not None
    return (await web.get(live.box, live.port, "/"))[1].decode()


async def test_an_app_is_made_changed_run_again_and_set_back(studio: Scripted) -> None:
    studio.replies(plan("web", "Greeter"), HELLO, plan("web", "Greeter"), BYE)
    app = await studio.create("say hello")
    assert app.status == "building"
    assert (await studio.wait(app.id)).status == "ready"
    assert "Hello" in await front_page(studio, app.id)
    first = studio.live(app.id)
    assert first is not None

    await studio.change(app.id, "say goodbye")
    assert studio.live(app.id) == first, "the old revision runs until the new one is ready"
    await studio.wait(app.id)
    assert "Goodbye" in await front_page(studio, app.id)
    assert studio.previews.by_token(first.token) is None, "a token dies with its box"
    made = studio.archive.load(app.id)
    assert [revision.request for revision in made.revisions] == ["say hello", "say goodbye"]
    assert made.title == "Greeter"
    assert made.pins["image"].startswith("sha256:")

    await studio.go_back(app.id, 1)
    again = await studio.run(app.id)
    assert again.revision == 3
    assert "Hello" in await front_page(studio, app.id)
    assert await studio.run(app.id) is again, "a running preview is not started twice"
    assert (await studio.run(app.id, fresh=True)).token != again.token


async def test_a_script_runs_with_arguments_and_data_and_its_results_are_kept(
    studio: Scripted,
) -> None:
    studio.replies(plan("script"), code(main_py=WRITES))
    app = await studio.create("write", data={"in.txt": b"my data"})
    await studio.wait(app.id)
    outcome = await studio.run_script(app.id, ["a", "b"])
    assert outcome.ok
    assert b"wrote my data" in outcome.stdout
    assert studio.archive.read_result(app.id, "out.txt") == b"a b"
    with pytest.raises(UserError, match="script"):
        await studio.run(app.id)


async def test_a_stopped_build_leaves_no_box_and_can_be_resumed(
    studio: Scripted, tmp_path: Path
) -> None:
    studio.replies(plan("web"), HELLO * 50, pause=0.05)
    app = await studio.create("say hello")
    await asyncio.sleep(1.0)
    await studio.stop(app.id)
    assert studio.archive.load(app.id).status == "stopped"
    assert how_it_ended(studio, app.id) == "You stopped it."
    assert boxes(tmp_path) == []
    studio.replies(plan("web"), HELLO)
    await studio.resume(app.id)
    assert (await studio.wait(app.id)).status == "ready"
    asked = [e for e in studio.archive.events(app.id) if isinstance(e, Requested)]
    assert [(e.revision, e.text) for e in asked] == [(1, "say hello")] * 2


def how_it_ended(studio: Scripted, app_id: str) -> str:
    ends = [e for e in studio.archive.events(app_id) if isinstance(e, Finished)]
    return ends[-1].sentence


async def test_a_build_that_vibes_own_end_stops_says_so_and_not_that_the_person_did(
    studio: Scripted,
) -> None:
    studio.replies(plan("web"), HELLO * 50, pause=0.05)
    app = await studio.create("say hello")
    await asyncio.sleep(1.0)
    await studio.close()
    assert studio.archive.load(app.id).status == "stopped"
    assert how_it_ended(studio, app.id).startswith("Vibe was stopped while this was built")


async def test_two_builds_at_once_do_not_meet(studio: Scripted) -> None:
    studio.replies(plan("script"), plan("script"), *[code(main_py="print('hi')")] * 2, pause=0.02)
    one, two = await asyncio.gather(studio.create("first"), studio.create("second"))
    with pytest.raises(UserError, match="being built"):
        await studio.resume(one.id)
    ends = await asyncio.gather(studio.wait(one.id), studio.wait(two.id))
    assert [end.status for end in ends] == ["ready", "ready"]


async def test_a_change_that_does_not_work_leaves_the_last_revision_running(
    studio: Scripted,
) -> None:
    studio.replies(plan("web"), HELLO, plan("web"), code(index_html="<p>no script end<script>"))
    app = await studio.create("say hello")
    await studio.wait(app.id)
    await studio.change(app.id, "break it")
    end = await studio.wait(app.id)
    assert end.status == "failed"
    assert "Revision 1 stays" in end.sentence
    assert "Hello" in await front_page(studio, app.id)
    assert len(studio.archive.load(app.id).revisions) == 1


async def test_a_program_that_ends_by_itself_takes_its_preview_with_it(studio: Scripted) -> None:
    mortal = (
        "import threading, os, flask\napp = flask.Flask(__name__)\n"
        "@app.get('/')\ndef home(): return '<h1>Hello</h1>'\n"
        "@app.get('/end')\ndef end(): os._exit(3)\n"
    )
    studio.replies(plan("flask"), code(app_py=mortal))
    app = await studio.create("a mortal server", kind="flask")
    await studio.wait(app.id)
    live = studio.live(app.id) or await studio.run(app.id)
    with pytest.raises(ConnectionError):
        await web.get(live.box, live.port, "/end")
    for _ in range(100):
        if studio.live(app.id) is None:
            break
        await asyncio.sleep(0.05)
    assert studio.live(app.id) is None


async def test_discard_restore_and_purge_leave_nothing(studio: Scripted, tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    studio.replies(plan("web"), HELLO)
    app = await studio.create("say hello")
    await studio.wait(app.id)
    await studio.discard(app.id)
    assert studio.live(app.id) is None
    assert boxes(tmp_path) == []
    assert studio.archive.list() == []
    await studio.restore(app.id)
    assert (await studio.run(app.id)).revision == 1
    await studio.discard(app.id)
    receipt = await studio.purge(app.id)
    assert any("gone for good" in line for line in receipt)
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert left == {name for name in before if not name.startswith(".")}


@pytest.mark.parametrize("idea", ["", "   \n", "\x00\x1b", "x" * 20_000])
async def test_an_idea_that_is_none_is_refused_and_makes_no_app(
    studio: Scripted, idea: str
) -> None:
    with pytest.raises(UserError):
        await studio.create(idea)
    assert studio.archive.list() == []


async def test_a_build_whose_model_is_down_fails_with_the_fix_and_keeps_the_idea(
    studio: Scripted,
) -> None:
    studio.replies()
    app = await studio.create("say hello")
    end = await studio.wait(app.id)
    assert (end.status, end.fix) == ("failed", "Write more replies.")
    assert studio.archive.load(app.id).idea == "say hello"


async def test_a_question_waits_for_its_answer_and_a_stop_ends_the_wait(studio: Scripted) -> None:
    studio.replies(plan("script"), code(main_py="print('hi')"))
    app = await studio.create("say hi", autonomy="ask")
    async for event in studio.follow(app.id):
        if isinstance(event, Asked):
            break
    with pytest.raises(UserError, match="can't be read"):
        await studio.answer(app.id, True, "42")
    assert studio.question(app.id) is not None
    await studio.stop(app.id)
    assert studio.question(app.id) is None
    [end] = [e for e in studio.archive.events(app.id) if isinstance(e, Finished)]
    assert end.status == "stopped"


def page(words: str) -> bytes:
    return f"<!doctype html><html><body><h1>{words}</h1></body></html>".encode()


async def test_an_edit_by_hand_is_a_revision_that_is_examined_without_a_model(
    studio: Scripted,
) -> None:
    says = "{name: Greets, steps: [{see: Hello}]}"
    studio.replies(plan("web", "Greeter", [says]), HELLO)
    app = await studio.create("say hello")
    await studio.wait(app.id)
    studio.replies()  # a model that is asked now raises

    await studio.edit(app.id, {"index.html": page("Hello you")}, base=1)
    with pytest.raises(UserError, match="being built"):
        await studio.edit(app.id, {"index.html": page("too soon")})
    assert (await studio.wait(app.id)).status == "ready"
    assert "Hello you" in await front_page(studio, app.id)
    edited = studio.archive.load(app.id)
    assert [(r.number, r.way, r.model) for r in edited.revisions] == [
        (1, "asked", "scripted"),
        (2, "edited", "you"),
    ]
    assert edited.revisions[-1].verdict.state == "works"
    assert edited.model == "scripted"
    assert studio.archive.files(app.id, "r2") == {"index.html": page("Hello you")}
    asked = [e for e in studio.archive.events(app.id) if isinstance(e, Requested)]
    assert (asked[-1].way, asked[-1].model, asked[-1].text) == (
        "edited",
        "you",
        "Edited by hand: index.html",
    )
    with pytest.raises(UserError, match="r2 was made while"):
        await studio.edit(app.id, {"index.html": page("late")}, base=1)

    # One that breaks a promise is kept all the same, and says so.
    await studio.edit(app.id, {"index.html": page("Goodbye")})
    await studio.wait(app.id)
    last = studio.archive.load(app.id).revisions[-1]
    assert (last.number, last.verdict.state) == (3, "partly")
    assert studio.archive.thumb(app.id, 3)

    # One that can't run keeps the program before it in front of the person.
    await studio.edit(app.id, {"index.html": b"<p>no script end<script>"})
    end = await studio.wait(app.id)
    assert end.status == "failed"
    assert "Your edit is kept as r4" in end.sentence
    assert "Goodbye" in await front_page(studio, app.id)
    assert len(studio.archive.load(app.id).revisions) == 4

    # A model can finish it: it gets the person's own code, and what it failed at.
    failed = Rung("static", False, "A script has no end.", "index.html, line 1")
    script = studio.replies(HELLO)
    await studio.repair_edit(app.id, failed)
    assert (await studio.wait(app.id)).status == "ready"
    [prompt] = script.prompts
    assert "no script end" in prompt.messages[-1].content
    assert "A script has no end." in prompt.messages[-1].content
    assert studio.archive.load(app.id).revisions[-1].way == "repair"
    with pytest.raises(UserError, match="changed since"):
        await studio.repair_edit(app.id, failed)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"index.html": b"x" * 1_000_001}, "1,000,001 bytes"),
        ({"other.html": b"x"}, "index.html is missing"),
        ({"index.html": b"x", "../up.html": b"x"}, "must stay inside"),
        ({"index.html": b"x", ".git/config": b"x"}, "git's own"),
        ({"index.html": b"\xff\xfe"}, "not text"),
    ],
)
async def test_an_edit_by_hand_obeys_the_rules_for_a_model_s_files(
    studio: Scripted, files: dict[str, bytes], why: str
) -> None:
    app = an_app(studio, page("one"))
    with pytest.raises(UserError, match=why):
        await studio.edit(app.id, files)
    assert studio.archive.load(app.id).status == "ready"
    assert studio.archive.events(app.id) == []


def an_app(studio: Studio, *contents: bytes, plans: bool = False) -> App:
    """A web app with a revision for each content, as builds leave it."""
    app = studio.archive.create("say hello", kind="web", model="m")
    verdict = Verdict("works", "It runs.")
    kept: list[Revision] = []
    for number, content in enumerate(contents, 1):
        commit = studio.archive.commit(app.id, {"index.html": content}, "r")
        studio.archive.tag(app.id, number, commit)
        kept.append(Revision(number, f"change {number}", commit, 1, verdict, app.created))
        if plans:
            data = {"title": f"T{number}", "kind": "web", "summary": "", "checks": []}
            asked = Requested(number, f"change {number}", "web", "m", "fix")
            studio.archive.append(app.id, [asked, PlanMade(data)], sync=False)
    app = replace(app, status="ready", verdict=verdict, revisions=tuple(kept))
    studio.archive.save(app)
    return app


async def test_undo_goes_back_a_step_each_time_and_loses_nothing(studio: Scripted) -> None:
    app = an_app(studio, b"one", b"two", b"three", plans=True)
    studio.archive.save_thumb(app.id, b"picture of one", 1)
    studio.archive.save_thumb(app.id, b"picture of three", 3)
    assert (await studio.undo(app.id)).revisions[-1].source == 2
    back = await studio.undo(app.id)
    assert [r.number for r in back.revisions] == [1, 2, 3, 4, 5]
    assert studio.archive.files(app.id, "r5") == {"index.html": b"one"}
    assert back.plan["title"] == back.title == "T1"
    assert studio.archive.thumb(app.id) == b"picture of one"
    with pytest.raises(UserError, match="nothing to undo"):
        await studio.undo(app.id)
    forth = await studio.go_back(app.id, 3)
    assert studio.archive.files(app.id, "r6") == {"index.html": b"three"}
    assert forth.plan["title"] == "T3"
    # What was left behind is not part of the wish any more.
    assert [r.number for r in lineage(forth.revisions, 5)] == [1]
    assert wish(forth).endswith("- change 2\n- change 3")


async def test_another_approach_starts_with_a_clean_context_and_knows_what_failed(
    studio: Scripted,
) -> None:
    says = "{name: Greets, steps: [{see: Hello}]}"
    studio.replies(plan("web", "Greeter", [says]), BYE)
    app = await studio.create("say hello")
    await studio.wait(app.id)
    model = studio.replies(HELLO)
    await studio.afresh(app.id)
    assert (await studio.wait(app.id)).status == "ready"
    [prompt] = model.prompts
    said = "\n".join(message.content for message in prompt.messages)
    assert "<h1>Goodbye" not in said
    assert "- check: Greets" in said
    assert "say hello" in said
    made = studio.archive.load(app.id)
    assert [(r.way, r.verdict.state) for r in made.revisions] == [
        ("asked", "partly"),
        ("afresh", "works"),
    ]


async def test_a_remake_is_another_app_that_knows_of_the_first(studio: Scripted) -> None:
    studio.replies(plan("web", "Greeter"), HELLO, plan("web", "Other greeter"), BYE)
    first = await studio.create("say hello", data={"in.csv": b"a,b"})
    await studio.wait(first.id)
    second = await studio.remake(first.id, model="another")
    await studio.wait(second.id)
    one, other = studio.archive.load(first.id), studio.archive.load(second.id)
    assert (one.remakes, other.remake_of) == ((second.id,), first.id)
    assert (one.title, other.title) == ("Greeter", "Other greeter")
    assert studio.archive.data(second.id) == {"in.csv": b"a,b"}
    with pytest.raises(UserError, match="no model's name"):
        await studio.remake(first.id, model=" ")
