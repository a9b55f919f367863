"""What an app may reach from a real box: the hosts that its person allowed, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from tests.scripted import ScriptedModel, code, plan
from vibe.app import App, Revision, Verdict
from vibe.dialling import Dialler, Line
from vibe.errors import UserError
from vibe.events import Notice, Output, RungDone, now
from vibe.grants import Grants
from vibe.model import Model
from vibe.reach import Host
from vibe.redaction import MASK
from vibe.sandbox import web
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import BoxSpec, Engine
from vibe.settings import Limits, Settings
from vibe.studio import Studio

KEY = "weather-key-" + "0123456789"

ASKS = """
import json, os, socket, sys
import requests
from urllib.request import Request, urlopen

def tried(ask):
    try:
        return ask()
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:400]

def raw(*pieces):
    with socket.create_connection(("127.0.0.1", 3128), timeout=10) as s:
        for piece in pieces:
            s.sendall(piece)
        heard = b""
        while more := s.recv(65536):
            heard += more
        return heard.decode("latin-1")

key = os.environ.get("WEATHER_KEY", "none")
get = lambda url: requests.get(url, headers={"X-Key": key}, timeout=10).text
said = {
    "requests": tried(lambda: get("https://api.example.com/a")),
    "urllib": tried(lambda: urlopen("https://api.example.com/b", timeout=10).read().decode()),
    "upload": tried(lambda: requests.post("https://api.example.com/c", data=b"x" * 3_000_000).text),
    "other host": tried(lambda: get("https://other.example.com/")),
    "other port": tried(lambda: get("https://api.example.com:8443/")),
    "plain": tried(lambda: get("http://api.example.com/")),
    "number": tried(lambda: get("https://93.184.215.14/")),
    "inner": tried(lambda: get("https://inner.example.com/")),
    "smuggled": tried(lambda: raw(
        b"CONNECT other.example.com:443 HTTP/1.1\\r\\nHost: api.example.com:443\\r\\n\\r\\n"
        b"CONNECT api.example.com:443 HTTP/1.1\\r\\nHost: api.example.com:443\\r\\n\\r\\n")),
    "another Host": tried(lambda: raw(
        b"GET http://api.example.com/ HTTP/1.1\\r\\nHost: other.example.com\\r\\n\\r\\n")),
    "direct": tried(lambda: socket.create_connection(("1.1.1.1", 443), timeout=5)),
    "look-up": tried(lambda: socket.gethostbyname("api.example.com")),
    "proxy": os.environ.get("HTTPS_PROXY", "none"), "key": key,
}
print(json.dumps(said))
"""


@dataclass
class Outside:
    """A host of the internet, as the machine's names and rules would have it: it is here."""

    port: int
    bundle: Path
    heard: list[bytes] = field(default_factory=list)
    """The heads of the requests that came."""
    dialled: list[str] = field(default_factory=list)

    async def __call__(self, host: Host, *, tunnel: bool) -> Line:
        self.dialled.append(str(host))
        if host.name == "inner.example.com":
            return await Dialler(self._inside, None, {})(host, tunnel=tunnel)
        here = Dialler(self._here, lambda address: True, {})
        return await here(Host(host.name, self.port), tunnel=tunnel)

    async def _here(self, name: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async def _inside(self, name: str, port: int) -> list[str]:
        return ["93.184.215.14", "192.168.0.1"]


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=api.example.com",
         "-addext", "subjectAltName=DNS:api.example.com,DNS:other.example.com",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    it = Outside(0, tmp_path / "cert.pem")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            it.heard.append(head)
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n")
                 if line.startswith(b"content-length:")), 0,
            )  # fmt: skip
            await reader.readexactly(length)
            body = b"sunny, %d bytes in, " % length + head.split(b" ")[1]
            writer.write(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            writer.write(body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()


class Scripted(Studio):
    """A studio whose builds take their replies from a list."""

    replies: ScriptedModel

    async def _model(self, app: App, words: str, name: str | None) -> Model:
        return self.replies


@pytest.fixture
async def studio(engine: Engine, tmp_path: Path, outside: Outside) -> AsyncIterator[Scripted]:
    settings = Settings(gallery=tmp_path, limits=Limits(attempts=1, start_s=90, seconds=600))
    environ = {"SSL_CERT_FILE": str(outside.bundle)}
    grants = partial(Grants, dial=outside, environ=environ)
    async with Scripted(settings, engine, grants=grants) as it:
        yield it


@pytest.fixture
async def docker_studio(tmp_path: Path, outside: Outside) -> AsyncIterator[Scripted]:
    engine = await DockerEngine.open(gallery=tmp_path)
    settings = Settings(gallery=tmp_path, limits=Limits(attempts=1, start_s=90, seconds=600))
    async with Scripted(settings, engine, grants=partial(Grants, dial=outside)) as it:
        yield it


def archived(studio: Studio, kind: str, **files: str) -> App:
    """An app with one revision, of these files."""
    app = studio.archive.create("the weather", kind=kind, model="m")
    content = {name.replace("_", "."): text.encode() for name, text in files.items()}
    commit = studio.archive.commit(app.id, content, "r1", tag="r1")
    verdict = Verdict("works", "It works.")
    first = Revision(1, "the weather", commit, 1, verdict, now())
    app = replace(app, status="ready", revisions=(first,), verdict=verdict)
    studio.archive.save(app)
    return app


async def test_an_allowed_host_is_met_and_nothing_else_is(
    studio: Scripted, outside: Outside
) -> None:
    app = archived(studio, "script", main_py=ASKS)
    await studio.allow(app.id, ["api.example.com", "inner.example.com"])
    await studio.give(app.id, "WEATHER_KEY", KEY)
    said = json.loads((await studio.run_script(app.id, [])).stdout)
    assert said["requests"] == "sunny, 0 bytes in, /a"
    assert said["urllib"] == "sunny, 0 bytes in, /b"
    assert said["upload"] == "sunny, 3000000 bytes in, /c"
    assert f"X-Key: {KEY}".encode() in outside.heard[0]
    for what in ("other host", "other port", "number"):
        assert "is not a host that this app may reach" in said[what], said[what]
    assert "leads to an address inside a machine or a network" in said["inner"]
    assert said["plain"].startswith("api.example.com:80 is not a host that this app may reach")
    assert said["smuggled"].startswith("HTTP/1.1 403 other.example.com:443 is not a host")
    assert said["smuggled"].count("HTTP/1.1") == 1
    assert said["another Host"].startswith("HTTP/1.1 403 api.example.com:80")
    assert said["direct"].startswith("OSError"), said["direct"]
    assert "gaierror" in said["look-up"]
    assert set(outside.dialled) == {"api.example.com", "inner.example.com"}
    assert len(outside.heard) == 3

    told = [e.text for e in studio.archive.events(app.id) if isinstance(e, Notice)]
    assert "Refused: other.example.com:443 is not a host that this app may reach." in told
    printed = "".join(e.text for e in studio.archive.events(app.id) if isinstance(e, Output))
    assert MASK in printed
    files = filter(Path.is_file, studio.archive.root.rglob("*"))
    gallery = b"".join(path.read_bytes() for path in files)
    assert KEY.encode() not in gallery
    assert studio.archive.load(app.id).secrets == ("WEATHER_KEY",)


async def test_without_a_grant_there_is_no_port_no_variable_and_no_secret(
    studio: Scripted, outside: Outside
) -> None:
    app = archived(studio, "script", main_py=ASKS)
    with pytest.raises(UserError, match="no secrets"):
        await studio.give(app.id, "WEATHER_KEY", KEY)
    said = json.loads((await studio.run_script(app.id, [])).stdout)
    assert (said["proxy"], said["key"]) == ("none", "none")
    assert said["smuggled"].startswith("ConnectionRefusedError")
    assert not any("sunny" in answer for answer in said.values())
    assert outside.dialled == []

    await studio.allow(app.id, ["api.example.com"])
    await studio.give(app.id, "WEATHER_KEY", KEY)
    await studio.allow(app.id, [])
    again = json.loads((await studio.run_script(app.id, [])).stdout)
    assert (again["proxy"], again["key"]) == ("none", "none")
    assert studio.archive.load(app.id).secrets == ()
    assert KEY not in studio.settings.known_secrets


HOLDS = """
import socket, time
s = socket.create_connection(("127.0.0.1", 3128))
s.sendall(b"CONNECT api.example.com:443 HTTP/1.1\\r\\nHost: api.example.com:443\\r\\n\\r\\n")
print(s.recv(1000).decode(), flush=True)
while s.recv(1000):
    pass
time.sleep(600)
"""


async def test_taking_a_host_back_ends_a_run_and_its_connections(
    studio: Scripted, outside: Outside
) -> None:
    app = archived(studio, "script", main_py=HOLDS)
    await studio.allow(app.id, ["api.example.com"])
    printed = asyncio.Event()
    running = asyncio.create_task(
        studio.run_script(app.id, [], on_output=lambda stream, data: printed.set())
    )
    await asyncio.wait_for(printed.wait(), 60)
    await studio.allow(app.id, [])
    with pytest.raises(UserError, match="what the app may reach has changed"):
        await asyncio.wait_for(running, 60)


FLASK = """
from flask import Flask
import requests
app = Flask(__name__)

@app.get("/")
def home():
    return "<h1>" + requests.get("https://api.example.com/now", timeout=10).text + "</h1>"
"""


async def test_a_preview_a_change_and_a_check_reach_the_host_and_prompts_say_so(
    studio: Scripted, outside: Outside
) -> None:
    app = archived(studio, "flask", app_py=FLASK)
    await studio.allow(app.id, ["api.example.com"])
    await studio.give(app.id, "WEATHER_KEY", KEY)
    live = await studio.run(app.id)
    assert live.hosts == (Host("api.example.com"),)
    assert b"sunny" in (await web.get(live.box, live.port, "/"))[1]
    assert 3128 not in await live.box.ports()

    changed = FLASK.replace("<h1>", f"<h1>{KEY} ")
    studio.replies = ScriptedModel(
        plan("flask", "Weather", ["{name: Shows it, steps: [{see: sunny}]}"]), code(app_py=changed)
    )
    await studio.change(app.id, "show more")
    assert (await studio.wait(app.id)).status == "ready"
    asked = "\n".join(
        message.content for prompt in studio.replies.prompts for message in prompt.messages
    )
    assert "reach these hosts, and no other: api.example.com" in asked
    assert "WEATHER_KEY" in asked
    assert KEY not in asked
    assert KEY.encode() not in studio.archive.files(app.id)["app.py"]
    checked = await studio.check(app.id)
    assert checked.verdict is not None
    assert checked.verdict.state in ("works", "partly")

    await studio.allow(app.id, ["api.example.com", "more.example.com"])
    assert studio.live(app.id) is None


PAGE = """<!doctype html><meta charset="utf-8"><title>Weather</title><h1>Weather</h1>
<button onclick="show()">Refresh</button><p id="now">Nothing yet, press Refresh for the weather.</p>
<script>
async function show() {
  const answer = await fetch("https://api.example.com/now");
  document.getElementById("now").textContent = await answer.text();
}
show();
</script>"""
CHECKS = ["{name: Shows the weather, steps: [{click: Refresh}, {see: sunny}]}",
          "{name: Has a title, steps: [{click: Refresh}, {see: Weather}]}"]  # fmt: skip


@pytest.mark.docker
async def test_a_page_isn_t_blamed_for_a_host_that_its_checks_can_t_reach(
    docker_studio: Scripted,
) -> None:
    studio = docker_studio
    app = archived(studio, "web", index_html="<h1>Weather</h1>")
    await studio.allow(app.id, ["api.example.com"])
    with pytest.raises(UserError, match="pages alone"):
        await studio.give(app.id, "WEATHER_KEY", KEY)
    studio.replies = ScriptedModel(plan("web", "Weather", CHECKS), code(index_html=PAGE))
    await studio.change(app.id, "show the weather")
    end = await studio.wait(app.id)
    events = studio.archive.events(app.id)
    assert end.status == "ready"
    told = [event.text for event in events if isinstance(event, Notice)]
    assert "The browser that checks apps has no network: it missed api.example.com." in told
    rungs = {event.sentence: event.name for event in events if isinstance(event, RungDone)}
    assert rungs["The page has no errors."] == "errors"
    assert [name for said, name in rungs.items() if "Shows the weather" in said] == ["advice"]
    verdict = studio.archive.load(app.id).verdict
    assert verdict is not None
    assert verdict.state == "works", verdict


@pytest.mark.docker
async def test_a_page_s_box_has_no_way_out_and_its_preview_ends_with_its_hosts(
    docker_studio: Scripted,
) -> None:
    studio = docker_studio
    app = archived(studio, "web", index_html=PAGE)
    await studio.allow(app.id, ["api.example.com"])
    live = await studio.run(app.id)
    assert live.hosts == (Host("api.example.com"),)
    # there is no program in it that could need one
    assert 3128 not in await live.box.ports()
    outcome = await live.box.run(["sh", "-c", "echo ${HTTPS_PROXY:-none}"])
    assert outcome.stdout == b"none\n"
    # its page can be loaded from the host until the preview has ended
    async with Studio(studio.settings, None) as other:
        await other.allow(app.id, [])
    async with asyncio.timeout(60):
        while studio.live(app.id) is not None:
            await asyncio.sleep(0.2)


async def test_another_vibe_s_change_holds_for_what_runs_here(
    studio: Scripted, outside: Outside
) -> None:
    app = archived(studio, "flask", app_py=FLASK)
    await studio.allow(app.id, ["api.example.com"])
    live = await studio.run(app.id)
    async with Studio(studio.settings, None) as other:
        await other.allow(app.id, [])
    assert b"sunny" not in (await web.get(live.box, live.port, "/"))[1]
    async with asyncio.timeout(60):
        while studio.live(app.id) is not None:
            await asyncio.sleep(0.2)


async def test_what_is_copied_or_brought_back_is_allowed_no_more_than_it_was(
    studio: Scripted, outside: Outside
) -> None:
    app = archived(studio, "script", main_py=ASKS)
    await studio.allow(app.id, ["api.example.com"])
    await studio.give(app.id, "WEATHER_KEY", KEY)
    copy = await studio.duplicate(app.id)
    assert (copy.hosts, copy.secrets) == ((), ())
    await studio.discard(app.id)
    assert KEY not in studio.settings.known_secrets
    back = await studio.restore(app.id)
    assert back.hosts == ("api.example.com",)
    assert studio.granted(back).missing == ("WEATHER_KEY",)


async def test_a_way_out_that_a_program_has_taken_leads_nowhere_and_is_told(
    engine: Engine, studio: Scripted
) -> None:
    app = archived(studio, "script", main_py=ASKS)
    await studio.allow(app.id, ["api.example.com"])
    box = await engine.start(BoxSpec(app=app.id, lifetime_s=120))
    takes = "import socket,time; s=socket.socket(); s.bind(('',3128)); s.listen(); time.sleep(60)"
    running = asyncio.create_task(box.run(["python", "-c", takes]))
    async with asyncio.timeout(30):
        while 3128 not in await box.ports():
            await asyncio.sleep(0.05)
        await studio.granted(studio.archive.load(app.id)).equip(box)
        while not studio.refusals(app.id):
            await asyncio.sleep(0.05)
    assert "reaches no host" in studio.refusals(app.id)[0]
    await box.stop()
    await running
