"""The doctor, examining real ports, folders and names."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import docker
import pytest

from vibe import doctor
from vibe.doctor import Finding
from vibe.errors import UserError
from vibe.sandbox.images import recipe
from vibe.sandbox.owners import Owner, gallery_label
from vibe.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A gallery of its own and a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Settings(gallery=tmp_path / "gallery", port=probe.getsockname()[1])


async def found(settings: Settings, name: str, **more: object) -> Finding:
    findings = await doctor.examine(settings, **more)  # type: ignore[arg-type]
    return next(finding for finding in findings if finding.name == name)


@contextlib.contextmanager
def serving(settings: Settings, *, for_any_host: bool) -> Iterator[None]:
    """A server with Streamlit's health page, for Vibe's own host or, as a bare one, for any."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mine = self.headers["Host"] == f"vibe.localhost:{settings.port}"
            self.send_response(200 if mine or for_any_host else 421)
            self.end_headers()

        def log_message(self, format: str, *values: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", settings.port), Health) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield
        server.shutdown()
        thread.join()


async def test_everything_that_is_not_ok_says_what_to_do(settings: Settings) -> None:
    findings = await doctor.examine(settings)
    assert {"python", "engine", "names", "port", "gallery", "disk"} <= {f.name for f in findings}
    assert [f for f in findings if f.state != "ok" and not f.fix] == []
    assert [f for f in findings if not f.sentence.endswith((".", ":"))] == []


async def test_a_free_port_is_ok(settings: Settings) -> None:
    assert (await found(settings, "port")).state == "ok"


async def test_a_port_where_vibe_serves_is_ok(settings: Settings) -> None:
    with serving(settings, for_any_host=False):
        finding = await found(settings, "port")
    assert finding.state == "ok"
    assert settings.ui_url in finding.sentence


async def test_a_port_that_something_else_uses_is_a_problem(settings: Settings) -> None:
    with serving(settings, for_any_host=True):
        finding = await found(settings, "port")
    assert finding.state == "problem"
    assert "VIBE_PORT" in finding.fix


async def test_a_gallery_that_can_be_written_is_ok_and_stays_empty(settings: Settings) -> None:
    assert (await found(settings, "gallery")).state == "ok"
    assert list(settings.gallery.iterdir()) == []


async def test_a_gallery_that_can_not_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")
    finding = await found(Settings(gallery=tmp_path / "file"), "gallery")
    assert finding.state == "problem"
    assert "VIBE_GALLERY" in finding.fix


async def test_previews_on_a_name_that_leads_nowhere_are_a_problem(tmp_path: Path) -> None:
    settings = Settings(gallery=tmp_path, preview_url="https://{token}.apps.vibe.invalid")
    finding = await found(settings, "names")
    assert finding.state == "problem"
    assert "DNS" in finding.fix


async def test_localhost_names_are_never_worse_than_a_warning_here(settings: Settings) -> None:
    assert (await found(settings, "names")).state in ("ok", "warning")


async def test_the_model_that_would_be_used_is_named(settings: Settings) -> None:
    async def local_model(_: Settings) -> str:
        return "llama at a local server"

    assert await found(settings, "model", find_model=local_model) == Finding(
        "model", "ok", "llama at a local server."
    )


async def test_no_model_is_a_warning_because_the_starters_need_none(settings: Settings) -> None:
    async def no_model(_: Settings) -> str:
        raise UserError("There is no model.", "Set OPENAI_API_KEY.")

    assert await found(settings, "model", find_model=no_model) == Finding(
        "model", "warning", "There is no model.", "Set OPENAI_API_KEY."
    )


async def test_an_engine_that_does_not_answer_is_a_problem(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    finding = await found(settings, "engine")
    assert finding.state == "problem"
    assert "DOCKER_HOST" in finding.fix


@pytest.mark.docker
async def test_the_engine_and_the_images_are_ok_after_setup(settings: Settings) -> None:
    states = {finding.name: finding.state for finding in await doctor.examine(settings)}
    assert {states[name] for name in ("engine", "python image", "browser image", "boxes")} == {"ok"}


@pytest.mark.docker
async def test_a_box_whose_owner_is_gone_is_told(settings: Settings) -> None:
    settings.gallery.mkdir()
    name = f"vibe-doctor-{uuid.uuid4().hex[:8]}"
    owner = Owner(settings.gallery)
    labels = {
        "vibe": "1",
        "vibe.gallery": gallery_label(settings.gallery),
        "vibe.owner": owner.name,
        "vibe.deadline": "4102444800",
    }
    with contextlib.closing(docker.from_env()) as client:
        box = client.containers.create(recipe("python").tag, ["true"], name=name, labels=labels)
        try:
            assert (await found(settings, "boxes")).state == "ok"
            owner.release()
            finding = await found(settings, "boxes")
        finally:
            owner.release()
            box.remove(force=True)
    assert finding.state == "warning"
    assert finding.sentence.startswith("1 left behind")


def test_a_docker_that_cannot_filter_system_calls_is_a_problem() -> None:
    assert doctor._protection({"SecurityOptions": ["name=apparmor"]}).state == "problem"
    finding = doctor._protection(
        {"SecurityOptions": ["name=seccomp,profile=default"], "CgroupVersion": "2"}
    )
    assert finding.state == "ok"
    assert "AppArmor" in finding.sentence.partition("Off:")[2]
    assert "cgroup version 2" in finding.sentence


def test_versions_with_known_holes_are_named_and_current_ones_are_not() -> None:
    old = doctor._known_holes({"runc": "1.1.5+ds1", "Linux": "5.15.0-91-generic"})
    assert old.state == "warning"
    assert "CVE-2024-21626" in old.sentence
    assert "Dirty Pipe" in old.sentence
    new = doctor._known_holes({"runc": "1.3.3", "containerd": "v1.7.28", "Linux": "6.18.44"})
    assert new.state == "ok"
    assert "runc 1.3.3" in new.sentence


@pytest.mark.docker
async def test_the_engines_protection_and_holes_are_examined(settings: Settings) -> None:
    assert "system-call filter" in (await found(settings, "protection")).sentence
    assert "runc" in (await found(settings, "known holes")).sentence
