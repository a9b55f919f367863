"""Exported apps of every kind run without Vibe: with uv, in a container, and with their tests."""

from __future__ import annotations

import asyncio
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import docker
import pytest

from vibe import settings
from vibe.export import Choices, export_git, export_zip
from vibe.sandbox import builder
from vibe.sandbox.images import recipe
from vibe.starters import all_starters
from vibe.studio import Studio

UV = str(Path(sysconfig.get_path("scripts")) / "uv")
MADE_FROM = {
    "web": "tip-calculator",
    "script": "log-inspector",
    "flask": "poll",
    "streamlit": "loan-dashboard",
    "fastapi": "habit-tracker",
    "slides": "meeting-slides",
    "notebook": "data-report",
    "node": "passphrases",
    "rust": "maze",
}
SAYS = {"script": "error", "node": "-", "rust": "Maze"}
"""What the kinds that don't serve pages print when they run without arguments."""
TOOLCHAINS = {"node": "node", "rust": "rustc"}
"""The program that a kind needs of the machine."""
HARDENED = ["docker", "run", "--rm", "--init", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges"]  # fmt: skip
KINDS = [
    pytest.param(kind, id=kind, marks=pytest.mark.skipif(
        shutil.which(TOOLCHAINS.get(kind, "git")) is None,
        reason=f"this machine has no {TOOLCHAINS.get(kind)}; the container has",
    ))
    for kind in MADE_FROM
]  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """One app as a folder from its zip and as a clone of its git folder."""

    id: str
    zip: Path
    git: Path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """An app of each kind, written by a starter and exported both ways."""
    place = tmp_path_factory.mktemp("exports")
    starters = {starter.name: starter for starter in all_starters()}

    async def made() -> dict[str, Exported]:
        found = {}
        chosen = settings.load({"VIBE_SETTINGS": "/none"}, gallery=place / "gallery")
        async with Studio(chosen, None) as studio:
            for kind, name in MADE_FROM.items():
                app = await studio.create(starters[name].example)
                await studio.wait(app.id)
                assert studio.archive.load(app.id).kind == kind
                bundle = export_zip(studio.archive, app.id, place / f"{kind}.zip", Choices("MIT"))
                with zipfile.ZipFile(bundle) as archive:
                    archive.extractall(place / f"{kind}-zip")
                folder = export_git(studio.archive, app.id, place / f"{kind}-git", Choices("MIT"))
                clone = place / f"{kind}-clone"
                run(place, "git", "clone", "-q", str(folder), str(clone))
                found[kind] = Exported(app.id, place / f"{kind}-zip", clone)
        return found

    return asyncio.run(made())


def run(folder: Path, *command: str, **more: str) -> str:
    """Its output. The environment has nothing of Vibe's, and no other environment's name."""
    environ = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        command, cwd=folder, env={**environ, **more}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def installed(folder: Path) -> None:
    """What the README says: an environment with the lock."""
    run(folder, UV, "venv", "--quiet", "--python", sys.executable)
    if (folder / "requirements.lock").exists():
        run(folder, UV, "pip", "sync", "--quiet", "requirements.lock")


def start(folder: Path) -> list[str]:
    """The command in the README that starts the app with uv."""
    line = re.search(r"uv run --no-project (python.*?)(?:`|$)", readme(folder), re.M)
    assert line
    return line[1].split()


def first_lines(folder: Path) -> str:
    """The README's first lines for a shell, which build and run the app."""
    lines = re.search(r"```sh\n(.*?)```", readme(folder), re.S)
    assert lines
    return lines[1]


def readme(folder: Path) -> str:
    return (folder / "README.md").read_text("utf-8")


@contextmanager
def serving(folder: Path, command: list[str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The README's command on a free port; its address and its process, ended afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    argv = [re.sub(r"^(5000|8000)$", port, part) for part in command]
    environ = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    environ |= {"STREAMLIT_SERVER_PORT": port, "STREAMLIT_SERVER_HEADLESS": "true"}
    process = subprocess.Popen(argv, cwd=folder, env=environ, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}/", process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def published(container: str) -> str:
    return run(Path.cwd(), "docker", "port", container).split(" -> ")[1].splitlines()[0]


def a_base(kind: str) -> str:
    """An image of this machine to build on: Debian, with the toolchain that the kind asks for."""
    with closing(docker.from_env(timeout=600)) as client:
        if kind not in TOOLCHAINS:
            base = builder.ready_base(client, recipe("python"))
            assert base, "the images of this machine were built on one"
            return base
        ours = recipe("node" if kind == "node" else "rust")
        builder.on_demand(client, ours, print)
        lines = f"FROM {ours.tag}\nUSER root\nRUN userdel box\n"
        made, _ = client.images.build(
            fileobj=io.BytesIO(lines.encode()), tag=f"vibe-test-base-{kind}", rm=True
        )
        return str(made.tags[0])


def healthy(container: str) -> None:
    """Waits until the image's own health check says so."""
    deadline = time.monotonic() + 120
    state = ["docker", "inspect", "--format", "{{.State.Health.Status}}", container]
    said = ""
    while said != "healthy":
        assert time.monotonic() < deadline, said
        time.sleep(0.3)
        said = subprocess.run(state, capture_output=True, text=True).stdout.strip()


def answer(url: str, process: subprocess.Popen[bytes] | None = None) -> bytes:
    """What a server says once it is there."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 90
    while True:
        try:
            with direct.open(url, timeout=10) as page:
                return bytes(page.read())
        except (URLError, ConnectionError, TimeoutError):
            assert process is None or process.poll() is None, "it has ended"
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.1)


@pytest.mark.parametrize("kind", MADE_FROM)
def test_the_zip_and_the_git_folder_have_the_same_files(
    kind: str, exported: dict[str, Exported]
) -> None:
    """So what is tried of one of them below holds for the other."""

    def files(folder: Path) -> dict[str, bytes]:
        paths = [path for path in folder.rglob("*") if path.is_file()]
        relative = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        return {path: content for path, content in relative.items() if path[:5] != ".git/"}

    found = exported[kind]
    assert files(found.zip) == files(found.git)
    assert len(files(found.zip)) > 10


@pytest.mark.browser
@pytest.mark.parametrize("kind", KINDS)
def test_its_own_tests_pass_in_the_zip_with_uv(kind: str, exported: dict[str, Exported]) -> None:
    folder = exported[kind].zip
    installed(folder)
    run(folder, UV, "pip", "install", "--quiet", "-r", "tests/requirements.txt")
    said = run(folder, UV, "run", "--quiet", "--no-project", "pytest", "-q", "tests")
    assert re.search(r"[3-9] passed", said), said
    shutil.rmtree(folder / ".venv")


@pytest.mark.parametrize("kind", KINDS)
def test_it_runs_from_the_clone_as_the_readme_says(
    kind: str, exported: dict[str, Exported]
) -> None:
    folder = exported[kind].git
    installed(folder)
    if kind in TOOLCHAINS:
        assert SAYS[kind] in run(folder, "sh", "-ec", first_lines(folder))
        run(folder, "git", "add", "-A")
        assert run(folder, "git", "status", "--porcelain") == ""
        return
    command = [UV, "run", "--quiet", "--no-project", *start(folder)]
    if kind == "script":
        assert SAYS[kind] in run(folder, *command)
    else:
        with serving(folder, command) as (url, process):
            expected = b"Streamlit" if kind == "streamlit" else readme(folder)[2:6].encode()
            assert expected in answer(url, process)
    shutil.rmtree(folder / ".venv")
    run(folder, "git", "add", "-A")
    assert run(folder, "git", "status", "--porcelain") == ""


def test_its_tests_fail_when_the_app_does_not_keep_its_promise(
    exported: dict[str, Exported], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(exported["script"].zip, tmp_path / "copy"))
    (folder / "main.py").write_text("print('nothing of the sort')\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.browser
def test_its_tests_try_what_the_checks_say(exported: dict[str, Exported], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported["web"].zip, tmp_path / "copy"))
    page = folder / "index.html"
    page.write_text(page.read_text("utf-8").replace("<script", "<script>throw 1</script><x", 1))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--maxfail=2", "tests"],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    assert "test_it_opens_without_errors" in done.stdout
    assert "expected to see" in done.stdout


@pytest.mark.docker
@pytest.mark.parametrize("kind", MADE_FROM)
def test_it_runs_in_a_container_without_rights(
    kind: str, exported: dict[str, Exported], tmp_path: Path
) -> None:
    app = exported[kind]
    tag = f"vibe-test-{app.id}"
    base = a_base(kind)
    arguments = [f"BASE={base}"]
    arguments += [f"{k}={v}" for k, v in builder.build_arguments(os.environ).items()]
    build = ["docker", "build", "--quiet", "--rm"]
    build += [part for one in arguments for part in ("--build-arg", one)]
    try:
        for folder in (app.git, app.zip):
            bundle = builder.ca_bundle(os.environ)
            (folder / "ca.pem").write_bytes(bundle)
            run(folder, *build, "--tag", tag, ".")
        look = ["--entrypoint", "sh", tag, "-c", "id -u; ls -a /work /; touch /venv/x || true"]
        inside = run(tmp_path, *HARDENED, *look)
        assert inside.split()[0] == "10001"
        assert not {"ca.pem", ".git", "events.jsonl", "tests", "build"} & set(inside.split())
        if kind in SAYS:
            assert SAYS[kind] in run(tmp_path, *HARDENED, "--network", "none", tag)
            return
        process = subprocess.Popen([*HARDENED, "--name", tag, "-P", "--health-interval", "1s", tag])
        try:
            healthy(tag)
            page = answer(f"http://{published(tag)}/", process)
            assert (b"Streamlit" if kind == "streamlit" else readme(app.zip)[2:6].encode()) in page
        finally:
            subprocess.run(["docker", "rm", "--force", tag], capture_output=True, check=True)
            process.wait(60)
    finally:
        # The first stage has no name: it is built again, from the cache, to be removed by one.
        subprocess.run([*build, "--target", "build", "--tag", f"{tag}-build", "."],
                       cwd=app.zip, capture_output=True)  # fmt: skip
        made = [tag, f"{tag}-build", *([base] if kind in TOOLCHAINS else [])]
        subprocess.run(["docker", "image", "rm", "--force", *made], capture_output=True)
