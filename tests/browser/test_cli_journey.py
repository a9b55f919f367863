"""The same way from a sentence to a receipt, by commands, in a gallery that is new."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import zipfile
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.browser.served import Vibe

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

LOG = "2025-03-01 08:00:00 ERROR disk is full\n2025-03-01 08:00:01 INFO all is well\n"
TRACE = "Traceback"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def vibe(tmp_path_factory):
    """The commands, with no server; at the end no box may be left."""
    vibe = Vibe(tmp_path_factory.mktemp("commands"))
    yield vibe
    await vibe.boxes_gone(10)


async def fine(vibe, *argv, stdin=""):
    """What a command that works says."""
    ran = await vibe.command(*argv, stdin=stdin)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert TRACE not in ran.stderr
    return ran.stdout


async def test_a_script_goes_all_the_way_by_commands(vibe, tmp_path):
    told = await fine(vibe, "new", "A log inspector that shows the top 5 messages", "--json")
    events = [json.loads(line) for line in told.splitlines()]
    assert [event["type"] for event in (events[0], events[-1])] == ["App", "App"]
    assert events[-2]["type"] == "Finished"
    assert events[-2]["status"] == events[-1]["app"]["status"] == "ready"
    assert "ReplyText" in {event["type"] for event in events}
    assert {event["v"] for event in events} == {1}
    app = events[0]["app"]["id"]

    (listed,) = json.loads(await fine(vibe, "list", "--json"))
    assert listed["id"] == app
    assert app in await fine(vibe, "list", "--search", "messages")
    assert app not in await fine(vibe, "list", "--search", "zebra")
    assert "works" in await fine(vibe, "show", app[:10])
    assert "main.py" in json.loads(await fine(vibe, "show", app, "--json"))["files"]

    said = await fine(vibe, "run", app, "--", "--json", "-", stdin=LOG)
    assert json.loads(said)["levels"] == {"info": 1, "error": 1}
    wrong = await vibe.command("run", app, "--", "--top", "none")
    assert wrong.returncode == 2, "the script's own exit code"

    changed = await fine(vibe, "change", app, "only the top 1 message", "--json")
    assert json.loads(changed.splitlines()[-1])["app"]["revisions"][1]["number"] == 2
    assert "disk is full" in await fine(vibe, "run", app, "--", "-", stdin=LOG)

    bundle, folder = tmp_path / "app.zip", tmp_path / "as-git"
    await fine(vibe, "export", app, "--zip", bundle)
    await fine(vibe, "export", app, "--git", folder)
    with zipfile.ZipFile(bundle) as opened:
        opened.extractall(tmp_path / "unpacked")
    for place in (tmp_path / "unpacked", folder):
        ran = subprocess.run(
            [sys.executable, "-I", "main.py", "-"],
            cwd=place,
            input=LOG,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        assert "disk is full" in ran.stdout
    for argv in (("--zip", bundle), ("--git", folder)):
        await refused(vibe, "export", app, *argv)

    await fine(vibe, "discard", app)
    assert json.loads(await fine(vibe, "list", "--json")) == []
    assert app in await fine(vibe, "list", "--trash")
    await refused(vibe, "show", app)
    await fine(vibe, "restore", app)
    assert "disk is full" in await fine(vibe, "run", app, "--", "-", stdin=LOG)
    await refused(vibe, "purge", app)
    await fine(vibe, "discard", app)
    receipt = await fine(vibe, "purge", app)
    assert "gone for good" in receipt.splitlines()[-1]
    assert not list(vibe.gallery.glob(f"**/{app}*"))


async def test_an_app_with_a_page_is_at_the_address_that_run_prints(vibe):
    told = await fine(vibe, "new", "A tip calculator for 4 people", "--kind", "web")
    app = told.split()[0]
    with subprocess.Popen(
        [sys.executable, "-m", "vibe", "run", app],
        env=vibe.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as served:
        try:
            url = urlsplit((await asyncio.to_thread(served.stdout.readline)).strip())
            async with httpx.AsyncClient(trust_env=False) as client:
                address = f"http://127.0.0.1:{url.port}/"
                page = await client.get(address, headers={"host": url.netloc})
                assert page.status_code == 200
                assert "Tip calculator" in page.text
                assert (await client.get(address)).status_code == 421
            assert len(vibe.boxes(app)) == 1
        finally:
            served.terminate()
            await asyncio.to_thread(served.wait, 20)
    await vibe.boxes_gone(10, app)


async def test_the_doctor_reports_in_json(vibe):
    ran = await vibe.command("doctor", "--json")
    findings = json.loads(ran.stdout)
    assert {"name", "state", "sentence", "fix"} == set(findings[0])
    # The usual port may be another program's, which is no fault of this machine.
    problems = [finding["name"] for finding in findings if finding["state"] == "problem"]
    assert ran.returncode == (1 if problems else 0)
    assert not {"engine", "images", "isolation"} & set(problems)


@pytest.mark.parametrize(
    "argv",
    [
        ("new", ""),
        ("new", "   \n"),
        ("new", "a tip calculator " * 1200),
        ("new", "a tip calculator", "--kind", "spreadsheet"),
        ("new", "a tip calculator", "--data", "no-such-file.csv"),
        ("show", "no-such-app"),
        ("run", "no-such-app"),
        ("change", "no-such-app", "make it blue"),
        ("export", "../etc", "--zip", "out.zip"),
        ("discard", "no-such-app"),
        ("restore", "no-such-app"),
        ("purge", "no-such-app"),
    ],
    ids=lambda argv: " ".join(argv).strip()[:30],
)
async def test_bad_input_is_refused_in_one_sentence(vibe, argv):
    before = {app.id for app in vibe.archive.list()}
    await refused(vibe, *argv)
    assert {app.id for app in vibe.archive.list()} == before


async def test_an_idea_nothing_fits_fails_with_the_way_out_and_is_kept(vibe):
    ran = await vibe.command("new", "Translate whale songs into sonnets")
    assert ran.returncode == 1
    assert "OPENAI_API_KEY" in ran.stdout
    assert TRACE not in ran.stderr
    app = ran.stdout.split()[0]
    assert "Translate whale songs" in await fine(vibe, "show", app)


async def refused(vibe, *argv):
    """A command that says what is wrong, perhaps what to do, and exits with 2."""
    ran = await vibe.command(*argv)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert ran.stdout == ""
    lines = ran.stderr.splitlines()
    assert 1 <= len(lines) <= 2, ran.stderr
    assert lines[0].endswith(".")
    assert TRACE not in ran.stderr
