"""Exported apps of every kind run in a container of their own, without rights."""

from __future__ import annotations

import io
import os
import subprocess
import time
from contextlib import closing
from pathlib import Path

import docker
import pytest

from tests.conftest import TOOLCHAINS
from tests.engines.exported import MADE_FROM, SAYS, Exported, answer, readme, run
from vibe.sandbox import builder
from vibe.sandbox.images import recipe

pytestmark = pytest.mark.docker

HARDENED = ["docker", "run", "--rm", "--init", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges"]  # fmt: skip


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
