"""No plan, reply, kind or option reaches the engine unvalidated: shown with a daemon that notes
every create request, and an engine that notes every box it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import math
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scripted import ScriptedModel
from vibe.archive import Archive
from vibe.attempt import Request, Workbench
from vibe.budget import Budget
from vibe.errors import EngineFault, VibeError
from vibe.kinds import kinds
from vibe.loop import Built, build
from vibe.sandbox import policy
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import Box, BoxSpec, Posture
from vibe.sandbox.images import IMAGES, ON_DEMAND, recipe
from vibe.settings import SANDBOXES, Limits

MONSTER = {
    "image": "attacker/image:latest",
    "privileged": True,
    "volumes": ["/:/host", "/var/run/docker.sock:/var/run/docker.sock"],
    "network": "host",
    "cap_add": ["ALL"],
    "security_opt": ["seccomp=unconfined"],
    "command": ["sh", "-c", "id"],
    "lifetime_s": 1e12,
    "box": {"image": "debian", "mounts": ["/"]},
}
"""What an attacker would like a plan to mean."""
IMAGE = "sha256:" + "ab" * 32
TAGS = [recipe(image).tag for image in IMAGES]


class Daemon(socketserver.ThreadingUnixStreamServer):
    """Speaks as much of Docker's API as a start needs, up to the create request, which it notes."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.created: list[dict[str, Any]] = []
        super().__init__(str(path), Answers)


class Answers(BaseHTTPRequestHandler):
    server: Daemon
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "/version" in self.path:
            self.answer({"Version": "20.10.24", "ApiVersion": "1.41"})
        elif "/info" in self.path:
            self.answer({"NCPU": 4, "KernelVersion": "6.1"})
        else:
            self.answer([{"Id": IMAGE, "RepoTags": TAGS}])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.created.append(json.loads(body))
        self.answer({"message": "enough"}, 500)

    def do_DELETE(self) -> None:
        self.answer({"message": "none"}, 404)

    def answer(self, data: Any, status: int = 200) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *values: object) -> None:
        pass


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A noting daemon that DOCKER_HOST leads to."""
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        Daemon(Path(folder) / "docker.sock") as server,
    ):
        patch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(daemon: Daemon, *specs: BoxSpec) -> list[dict[str, Any]]:
    """The create requests that come of asking for these boxes."""

    async def start() -> None:
        with tempfile.TemporaryDirectory() as gallery:
            engine = await DockerEngine.open(gallery=Path(gallery))
            for spec in specs:
                with pytest.raises(EngineFault):
                    await engine.start(spec)
            await engine.close()

    daemon.created.clear()
    asyncio.run(start())
    return list(daemon.created)


HOSTILE = st.text(max_size=60) | st.sampled_from(
    ["../../etc", "x\n--privileged", "a" * 5000, "vibe=1", '{"Binds":["/:/h"]}', "\0", "-v/:/h"]
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    app=HOSTILE,
    image=st.sampled_from(["python", "browser"]) | HOSTILE,
    lifetime_s=st.floats() | st.floats(1, 9999),
)
def test_whatever_is_asked_of_a_box_its_settings_are_the_policys(
    daemon: Daemon, app: str, image: Any, lifetime_s: float
) -> None:
    requests = asked(daemon, BoxSpec(image=image, app=app, lifetime_s=lifetime_s))
    sound = image in IMAGES and math.isfinite(lifetime_s) and 0 < lifetime_s <= 7 * 86400
    assert len(requests) == sound
    if sound:
        plain = asked(daemon, BoxSpec(image=image))[0]
        for request in (requests[0], plain):
            policy.refuse(request)
        assert without_labels(requests[0]) == without_labels(plain)


def without_labels(request: dict[str, Any]) -> dict[str, Any]:
    """The settings but for the three labels that say whose box it is, and until when."""
    rest = copy.deepcopy(request)
    assert set(rest["Labels"]) == {
        "vibe", "vibe.gallery", "vibe.owner", "vibe.app", "vibe.deadline",
    }  # fmt: skip
    del rest["Labels"]
    return rest


def test_a_slip_in_the_policy_file_starts_no_box(daemon: Daemon) -> None:
    """The second function stands between a changed file and the daemon."""

    async def start(change: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as gallery:
            engine = await DockerEngine.open(gallery=Path(gallery))
            loaded = policy.load(SANDBOXES / "policy.yaml")
            for name, value in change.items():
                object.__setattr__(loaded, name, value)
            engine._policy = loaded
            with pytest.raises(EngineFault, match="not allowed"):
                await engine.start(BoxSpec())
            await engine.close()

    daemon.created.clear()
    for change in (
        {"seccomp": "unconfined"},
        {"seccomp": '{"defaultAction":"SCMP_ACT_ALLOW","archMap":[],"syscalls":[]}'},
        {"env": {"LD_PRELOAD": "/work/x.so"}},
        {"env": {"OPENAI_API_KEY": "sk-x"}},
    ):
        asyncio.run(start(change))
    assert daemon.created == []


class Noting:
    """An engine that notes every box it is asked for, and has none."""

    name = "noting"

    def __init__(self) -> None:
        self.specs: list[BoxSpec] = []

    async def probe(self) -> Posture:
        return Posture(self.name, True, "none", "It only notes.")

    async def start(self, spec: BoxSpec) -> Box:
        self.specs.append(spec)
        raise EngineFault("No boxes today.")

    async def sweep(self) -> list[str]:
        return []

    async def close(self) -> None:
        pass


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(kinds())),
    forced=st.none() | st.sampled_from([*kinds(), "auto", "../../etc", "docker"]),
    words=HOSTILE,
    file=st.sampled_from(
        ["Dockerfile", "compose.yaml", ".vibe/policy.yaml", "sandboxes/seccomp.json"]
    ),
)
def test_whatever_a_plan_or_a_reply_says_a_box_is_asked_for_by_vibe_alone(
    kind: str, forced: str | None, words: str, file: str
) -> None:
    outline = {"title": words or "x", "kind": kind, "summary": words, **MONSTER, "checks": []}
    main = kinds()[forced if forced in kinds() else kind].entry
    text = "<h1>x</h1>" if main.endswith("html") else "print('x')\n"
    reply = f"```text path={main}\n{text}\n```\n```text path={file}\nFROM evil\n```\n"

    async def build_it(folder: Path) -> tuple[str, list[BoxSpec]]:
        engine, archive = Noting(), Archive(folder)
        app = archive.create(words or "x", kind="auto", model="scripted", data=None)
        model = ScriptedModel("```yaml\n" + yaml.safe_dump(outline) + "```", *[reply] * 8)

        async def hand_over(end: Built) -> None:
            assert end.running is None

        request = Request(app.id, 1, words or "x", forced, {}, {}, {})
        bench = Workbench(model, engine, archive, Budget(Limits()))
        with contextlib.suppress(VibeError):
            async for _ in build(request, bench, hand_over):
                pass
        return app.id, engine.specs

    with tempfile.TemporaryDirectory() as folder:
        app, specs = asyncio.run(build_it(Path(folder)))
    assert specs, "the build came as far as its box"
    for spec in specs:
        assert spec.image in {*IMAGES, *ON_DEMAND}
        assert 0 < spec.lifetime_s <= 7 * 86400
        known = {argv for kind in kinds().values() for argv in kind.programs()}
        assert known.issuperset(spec.programs)
        own = BoxSpec(image=spec.image, lifetime_s=spec.lifetime_s, app=app, programs=spec.programs)
        assert spec == own
