"""No plan, reply, kind or option reaches the engine unvalidated: shown with a daemon that notes
every create request, and an engine that notes every box it is asked for."""

from __future__ import annotations

import asyncio
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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vibe.errors import EngineFault
from vibe.sandbox import policy
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import BoxSpec
from vibe.sandbox.images import IMAGES, recipe
from vibe.settings import SANDBOXES

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
