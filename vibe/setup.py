"""Makes sure there is an engine and that the boxes' images are built; does nothing twice."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import docker
import platformdirs

from vibe import libraries
from vibe.errors import EngineFault, VibeError
from vibe.sandbox import box_environment, bubblewrap, builder, daemon
from vibe.sandbox.images import BASE_SCRIPT, IMAGES, ON_DEMAND, ImageName, base_tag, recipe
from vibe.sandbox.programs import installed, log
from vibe.settings import SANDBOXES, EngineChoice

BASE_PACKAGES = ("debootstrap", "debian-archive-keyring")
BUBBLEWRAP_PACKAGES = ("bubblewrap", "util-linux", "libseccomp2", "python3", "python3-venv")
BROWSER_PACKAGES = ("chromium-headless-shell", "libatomic1", "fonts-dejavu-core")


@dataclass(frozen=True, slots=True)
class Step:
    """What setting up is about: reported when it starts something long, and when a step ends."""

    name: str
    """libraries, engine, images, base, python, browser, bubblewrap"""
    state: Literal["running", "done", "failed"]
    sentence: str
    seconds: float
    """Since the step began."""


Report = Callable[[Step], None]


def setup(
    report: Report,
    spared: Collection[str] = (),
    engine: EngineChoice = "auto",
    *,
    wanted: Sequence[ImageName] = IMAGES,
) -> None:
    """The pages' libraries, the engine, then the `wanted` images; those that apps are pinned to
    are `spared` (ids or recipes' digests). Where no Docker can be had, bubblewrap. Blocks; from a
    coroutine call it in a thread.

    Raises EngineFault: which step failed, why, what to do."""
    ensure_libraries(report)
    if engine == "bubblewrap":
        ensure_bubblewrap(report)
        return
    try:
        ensure_engine(report)
    except EngineFault as without:
        if engine == "docker" or daemon.named():
            raise
        try:
            ensure_bubblewrap(report)
        except EngineFault as fault:
            raise EngineFault(
                f"{without.message} Nor can bubblewrap be used: {fault.message}",
                f"{without.fix} Or, with reduced isolation: {fault.fix}",
            ) from fault
        return
    ensure_images(report, spared, wanted)


def ensure_bubblewrap(report: Report) -> None:
    """Returns once boxes can be started without Docker, with reduced isolation; installs what is
    missing where it may. A browser to look at apps with is not insisted on.

    Raises EngineFault with the exact command where a person has to do it."""
    debian_root = os.geteuid() == 0 and daemon.this_machine().debian
    with _step(report, "bubblewrap") as (doing, done), _alone(doing):
        if bubblewrap.absent() and debian_root:
            doing("installing bubblewrap")
            daemon.install(BUBBLEWRAP_PACKAGES, "Installing bubblewrap")
        bubblewrap.able()
        for name in box_environment.NAMES:
            wanted = box_environment.environment(name)
            if not wanted.built:
                doing(f"installing what {name} boxes run on")
                box_environment.build(wanted)
        if not box_environment.chromium() and debian_root:
            doing("installing Chromium, to look at apps")
            with contextlib.suppress(EngineFault):
                daemon.install(BROWSER_PACKAGES, "Installing Chromium")
        without = "" if box_environment.chromium() else ", and no browser to look at apps"
        done(f"apps run without Docker, with reduced isolation{without}")


def ensure_engine(report: Report) -> None:
    """Returns once a Docker engine answers, having installed and started one where it may.

    Raises EngineFault with the exact command where a person has to do it."""
    with _step(report, "engine") as (doing, done):
        if daemon.refusal() is None:
            done(f"Docker {daemon.version()}")
            return
        with _alone(doing):
            if why_not := daemon.refusal():
                remedy = daemon.remedy_for(daemon.this_machine(), why_not)
                if not remedy.steps:
                    raise EngineFault(remedy.sentence, remedy.fix)
                if "install" in remedy.steps:
                    doing("installing Docker")
                    daemon.install(daemon.PACKAGES, "Installing Docker")
                # Installing it may have started it.
                if daemon.refusal():
                    doing("starting Docker")
                    daemon.start(state_folder() / "dockerd.log")
        done(f"Docker {daemon.version()}, started")


def ensure_libraries(report: Report) -> None:
    """Gets the libraries for web pages that aren't there yet. Without a registry pages do without
    them: that is said, and nothing fails."""
    with _step(report, "libraries") as (doing, done):
        if len(libraries.there()) == len(libraries.all_libraries()):
            done("fetched before")
            return
        doing("fetching the libraries for web pages")
        missed = libraries.fetch()
        there = len(libraries.there())
        why = f"; without {', '.join(missed)}: {next(iter(missed.values()))}" if missed else ""
        done(f"{there} for web pages{why}")


def ensure_images(
    report: Report, spared: Collection[str] = (), wanted: Sequence[ImageName] = IMAGES
) -> None:
    """Returns once the `wanted` images of the present recipes exist; builds those that don't.

    Raises EngineFault with the failing step, its last lines and what to do."""
    with contextlib.closing(docker.from_env(timeout=builder.QUIET_S)) as client:
        with _step(report, "images") as (doing, done):
            if all(builder.present(client, recipe(image)) for image in wanted):
                done("built before")
                return
        with _alone(doing):
            bases = {
                image: _base(client, image, report)
                for image in wanted
                if not builder.present(client, recipe(image))
            }
            _build_together(bases, report)
            if not bases:
                done("built by another setup")
            for image in (*IMAGES, *ON_DEMAND):
                for name in builder.retire(client, recipe(image), spared):
                    log.debug("removed %s", name)


def _base(client: docker.DockerClient, image: ImageName, report: Report) -> str:
    """The base to build on: the registry's, or one made here where none answers."""
    wanted = recipe(image)
    report(Step(image, "running", f"looking for {wanted.base}", 0.0))
    return builder.ready_base(client, wanted) or _bootstrap(client, report)


def _build_together(bases: Mapping[ImageName, str], report: Report) -> None:
    """Builds the images side by side: one mostly computes while the other mostly unpacks."""
    faults: list[Exception] = []

    def build(image: ImageName) -> None:
        try:
            _build(image, bases[image], report)
        except Exception as fault:
            faults.append(fault)

    # Daemon threads: Ctrl-C ends the process, and with its connections the builds.
    threads = [threading.Thread(target=build, args=(image,), daemon=True) for image in bases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def _build(image: ImageName, base: str, report: Report) -> None:
    wanted = recipe(image)
    # A client of its own: the library's sessions aren't made for two threads.
    with (
        _step(report, image) as (doing, done),
        contextlib.closing(docker.from_env(timeout=builder.QUIET_S)) as client,
    ):
        doing(f"building {wanted.tag}")
        builder.build(client, wanted, base)
        done(f"{wanted.tag} on {base}")


def _bootstrap(client: docker.DockerClient, report: Report) -> str:
    """The base image that needs no registry, made here; returns its name."""
    with _step(report, "base") as (doing, done):
        root, ready = os.geteuid() == 0, installed("debootstrap") is not None
        if root and not ready and daemon.this_machine().debian:
            doing("installing debootstrap")
            daemon.install(BASE_PACKAGES, "Installing debootstrap")
        elif not (root and ready):
            script = shlex.quote(str(SANDBOXES / BASE_SCRIPT))
            packages = shlex.join([*daemon.INSTALL, *BASE_PACKAGES])
            raise EngineFault(
                "No image registry answers, and making a base image takes root and debootstrap.",
                f"Run `sudo {packages}`, then `sudo {script} | docker import - {base_tag()}`, "
                "then `vibe setup`.",
            )
        doing("making a small Debian, as no image registry answers")
        base = builder.bootstrap_base(client)
        done(base)
    return base


def console(*, verbose: bool = False) -> Report:
    """A report that prints one line a step with its time; `verbose` shows all output as well.

    The whole output goes to setup.log in the state folder either way."""
    log.setLevel(logging.DEBUG)
    log.propagate = False
    file = logging.FileHandler(state_folder() / "setup.log", mode="w", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.handlers = [file, *([logging.StreamHandler(sys.stdout)] if verbose else [])]
    live = sys.stdout.isatty() and not verbose
    wipe = "\r\x1b[K" if live else ""

    def report(step: Step) -> None:
        if step.state == "running":
            text = f"… {step.name:<12}           {step.sentence}"
            print(f"{wipe}{text}", end="" if live else "\n", flush=True)
        else:
            mark = "✓" if step.state == "done" else "✗"
            text = f"{mark} {step.name:<12} {step.seconds:6.1f} s  {step.sentence}"
            print(f"{wipe}{text}", flush=True)

    return report


def state_folder() -> Path:
    """Where setup keeps its log, the daemon's log and its lock; made when it is missing."""
    return platformdirs.user_state_path("vibe", ensure_exists=True)


Say = Callable[[str], None]


@contextlib.contextmanager
def _step(report: Report, name: str) -> Iterator[tuple[Say, Say]]:
    """Two functions that report what the step is doing, and what it has done."""
    begun = time.monotonic()

    def doing(sentence: str) -> None:
        report(Step(name, "running", sentence, time.monotonic() - begun))

    def done(sentence: str) -> None:
        report(Step(name, "done", sentence, time.monotonic() - begun))

    try:
        yield doing, done
    except VibeError:
        report(Step(name, "failed", "failed", time.monotonic() - begun))
        raise


@contextlib.contextmanager
def _alone(doing: Say) -> Iterator[None]:
    """Two setups at once would build everything twice: the second waits, then finds it done."""
    with (state_folder() / "setup.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            doing("waiting for another setup to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
