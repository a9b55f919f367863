"""The images as they are built, and the builder against a real engine with small recipes."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from vibe import setup
from vibe.errors import EngineFault
from vibe.sandbox import builder
from vibe.sandbox.images import IMAGES, Recipe, recipe

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    with contextlib.closing(docker.from_env(timeout=120)) as client:
        yield client


def inside(client: docker.DockerClient, image: str, program: str, **more: object) -> str:
    """What a Python program prints in a container as shut in as a box."""
    output = client.containers.run(
        image,
        ["python", "-I", "-c", program],
        remove=True,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        tmpfs={"/work": "uid=10001,gid=10001", "/tmp": "mode=1777"},
        environment={"HOME": "/work"},
        **more,
    )
    return output.decode().strip()


def test_a_second_setup_builds_nothing() -> None:
    steps: list[setup.Step] = []
    setup.setup(steps.append)
    # One ending each and no "running": nothing was fetched, started or built.
    assert [(step.name, step.state) for step in steps] == [
        ("libraries", "done"),
        ("engine", "done"),
        ("images", "done"),
    ]
    assert steps[-1].sentence == "built before"


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_the_boxes_user_and_not_as_root(client, image) -> None:
    program = "import os; print(os.getuid(), os.getgid(), os.access('/usr', os.W_OK))"
    assert inside(client, recipe(image).tag, program) == "10001 10001 False"


def test_the_python_image_has_what_small_apps_use_byte_compiled(client) -> None:
    program = """
import importlib, importlib.util, json, os
names = ["altair", "flask", "matplotlib", "numpy", "openpyxl", "pandas", "PIL", "plotly",
         "requests", "streamlit", "yaml"]
for name in names:
    importlib.import_module(name)
compiled = [os.path.exists(importlib.util.find_spec(name).cached) for name in names]
print(json.dumps(compiled))
"""
    compiled = json.loads(inside(client, recipe("python").tag, program).splitlines()[-1])
    assert compiled == [True] * 11


def test_the_browser_image_shows_a_page_with_every_sort_of_letter(client) -> None:
    program = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path="/usr/bin/chromium-headless-shell",
        args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
    page = browser.new_page()
    page.set_content("<h1>Tips 🍕</h1><button onclick='this.innerText=6*7'>Go</button>")
    # An emoji that no font has is drawn as an empty box, all of the same picture.
    shots = []
    for letter in "🍕🚀":
        page.evaluate("letter => document.querySelector('h1').innerText = letter", letter)
        shots.append(page.locator("h1").screenshot())
    page.click("button")
    print(page.inner_text("button"), shots[0] != shots[1])
    browser.close()
"""
    assert inside(client, recipe("browser").tag, program, mem_limit="1g") == "42 True"


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_tells_nothing_of_the_index_it_was_built_from(client, image) -> None:
    history = json.dumps(client.images.get(recipe(image).tag).history())
    assert "INDEX" not in history


@pytest.fixture
def small(tmp_path: Path, client: docker.DockerClient) -> Iterator[Recipe]:
    """A recipe of one line on top of the Python image, under a name of its own."""
    name = f"try{uuid.uuid4().hex[:8]}"
    dockerfile = tmp_path / f"{name}.Dockerfile"
    dockerfile.write_text("ARG BASE\nFROM ${BASE}\nRUN echo made here\n")
    yield Recipe(name, recipe("python").tag, "1" * 64, dockerfile, ())  # type: ignore[arg-type]
    for image in client.images.list(filters={"label": f"vibe.image={name}"}):
        client.images.remove(image.id, force=True)


def test_a_build_is_present_from_then_on(client, small: Recipe) -> None:
    assert not builder.present(client, small)
    builder.build(client, small, small.base, {})
    assert builder.present(client, small)
    assert client.images.get(small.tag).labels["vibe.recipe"] == small.digest


def test_a_failed_build_says_which_step_and_what_it_printed_last(client, small: Recipe) -> None:
    small.dockerfile.write_text("ARG BASE\nFROM ${BASE}\nRUN echo no index here; exit 3\n")
    with pytest.raises(EngineFault) as caught:
        builder.build(client, small, small.base, {})
    assert "Step 3/" in caught.value.message
    assert "no index here" in caught.value.message
    assert "vibe setup" in caught.value.fix
    assert not builder.present(client, small)


def test_an_older_image_goes_unless_a_container_uses_it(client, small: Recipe) -> None:
    builder.build(client, small, small.base, {})
    newer = Recipe(small.image, small.base, "2" * 64, small.dockerfile, ())
    builder.build(client, newer, small.base, {})
    user = client.containers.create(small.tag, ["true"])
    try:
        assert builder.retire(client, newer) == []
    finally:
        user.remove()
    assert builder.retire(client, newer, [small.digest]) == [], "an app is pinned to it"
    assert builder.retire(client, newer) == [small.tag]
    assert not builder.present(client, small)
    assert builder.present(client, newer)
