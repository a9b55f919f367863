"""What every test may ask for, and the rules for all: a missing part is a skip, or a failure with
VIBE_REQUIRE, so no gap hides where all parts are promised; who is marked alone has no company."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
from collections.abc import Generator
from pathlib import Path

import docker
import hypothesis
import pytest
from docker.errors import DockerException

from vibe.errors import EngineFault
from vibe.sandbox import bubblewrap, builder, cgroups
from vibe.sandbox.box_environment import NAMES, environment
from vibe.sandbox.daemon import refusal
from vibe.sandbox.images import IMAGES, recipe

# How fast a machine is that others use too is nothing that a test of ours is about.
hypothesis.settings.register_profile(
    "vibe", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("vibe")

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
TOOLCHAINS = {"node": "node", "rust": "rustc"}
"""The programs of this machine that exported apps of some kinds are run with."""
PARTS = ("docker", "bubblewrap", "browser", *TOOLCHAINS)


@functools.cache
def missing(part: str) -> str:
    """Why tests that need that one of PARTS can't run here; empty when they can.

    Root's engine with control groups is what the contract is for; without them it promises less."""
    if program := TOOLCHAINS.get(part):
        return "" if shutil.which(program) else f"This machine has no {program}; the boxes have."
    if part == "browser":
        if any(shutil.which(name) for name in CHROMIUMS):
            return ""
        return "There is no Chromium: `tools/prepare chromium` installs it."
    if part == "bubblewrap":
        try:
            bubblewrap.able()
            if not all(environment(name).built for name in NAMES):
                return "Its environment isn't built: `VIBE_ENGINE=bubblewrap vibe setup` does it."
        except EngineFault as fault:
            return str(fault)
        return "" if cgroups.find() else "There are no control groups that Vibe may write."
    if why_not := refusal():
        return f"No Docker engine answers ({why_not}): `make setup` starts or installs it."
    try:
        with contextlib.closing(docker.from_env(timeout=10)) as client:
            absent = [image for image in IMAGES if not builder.present(client, recipe(image))]
    except (DockerException, OSError) as error:
        return f"The Docker engine failed: {error}."
    return f"Images are not built ({', '.join(absent)}): `make setup` builds them." * bool(absent)


def pytest_runtest_setup(item: pytest.Item) -> None:
    required = {name.strip() for name in os.environ.get("VIBE_REQUIRE", "").split(",")}
    for part in PARTS:
        if item.get_closest_marker(part) and (reason := missing(part)):
            if part in required:
                pytest.fail(f"VIBE_REQUIRE names {part}. {reason}", pytrace=False)
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Runs a test beside those of other workers, or with the mark `alone` while they wait."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    place = Path(item.config.option.basetemp).parent  # the run's, which its workers share
    alone = item.get_closest_marker("alone") is not None
    with (place / "door").open("w") as door, (place / "room").open("w") as room:
        # Who waits for an empty room holds the door, so that nobody else gets in before.
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        return (yield)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser that browser tests drive."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    assert found, "tests that use this fixture are marked `browser`"
    return found
