"""Finds the Docker daemon; starts or installs it where Vibe may, else says what to type."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import docker
from docker.errors import DockerException

from vibe.errors import EngineFault
from vibe.sandbox import programs

ASK_S = 10
"""How long a daemon has to answer a question."""
START_S = 60.0
"""How long a daemon that was just started has to answer the first."""
PACKAGES = ("docker.io", "iptables")
INSTALL = ("apt-get", "install", "-y", "--no-install-recommends")


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides how a missing engine is mended."""

    linux: bool
    root: bool
    debian: bool
    """Debian or one of its children: it has apt-get and calls the engine docker.io."""
    systemd: bool
    dockerd: str | None
    """Where the daemon's program is; None when it isn't installed."""
    remote: bool
    """DOCKER_HOST names an engine elsewhere."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What mends a missing engine: steps that Vibe takes itself, or `fix` for the person."""

    steps: tuple[Literal["install", "start"], ...]
    sentence: str
    fix: str = ""


def named() -> bool:
    """Whether a person has said which Docker engine to use; nothing else is then taken for it."""
    return bool(os.environ.get("DOCKER_HOST"))


def refusal() -> str | None:
    """Why no engine answers, in a few words; None when one does."""
    try:
        with contextlib.closing(docker.from_env(timeout=ASK_S)) as client:
            client.ping()
    except (DockerException, OSError) as error:
        text = str(error)
        known = ("Permission denied", "Connection refused", "No such file or directory")
        return next((k.lower() for k in known if k in text), text[:200] or "no reason given")
    return None


def version() -> str:
    """The version of the engine that answers. Raises DockerException when none does."""
    with contextlib.closing(docker.from_env(timeout=ASK_S)) as client:
        return str(client.version().get("Version", "of unknown version"))


def remedy_for(machine: Machine, why_not: str) -> Remedy:
    """What to do about an engine that doesn't answer, given why it doesn't."""
    sentence = f"No Docker engine answers ({why_not})."
    user = os.environ.get("USER") or "$USER"
    join = f"sudo usermod -aG docker {user}"
    if machine.remote:
        return Remedy((), sentence, "Check DOCKER_HOST, or unset it to use this machine's engine.")
    if not machine.linux:
        return Remedy((), sentence, "Install and start Docker Desktop, then try again.")
    if why_not == "permission denied":
        sentence = "This user may not use the Docker engine."
        return Remedy((), sentence, f"Run `{join}`, then log out and in again.")
    if machine.dockerd:
        if machine.root:
            return Remedy(("start",), sentence)
        if machine.systemd:
            return Remedy((), sentence, "Run `sudo systemctl start docker`.")
        return Remedy((), sentence, "Run `sudo dockerd` in another terminal and leave it running.")
    if machine.debian:
        if machine.root:
            return Remedy(("install", "start"), sentence)
        install = f"sudo {shlex.join([*INSTALL, *PACKAGES])}"
        command = f"sudo apt-get update && {install} && {join}"
        return Remedy((), sentence, f"Run `{command}`, then log out and in again.")
    return Remedy((), sentence, "Install Docker Engine as your system's manual says, and start it.")


def this_machine() -> Machine:
    """The machine Vibe runs on."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    family = f"{release.get('ID', '')} {release.get('ID_LIKE', '')}".split()
    return Machine(
        linux=sys.platform == "linux",
        root=os.geteuid() == 0,
        debian="debian" in family and programs.installed("apt-get") is not None,
        systemd=Path("/run/systemd/system").is_dir(),
        dockerd=programs.installed("dockerd"),
        remote=not os.environ.get("DOCKER_HOST", "unix://").startswith("unix://"),
    )


def install(packages: Sequence[str], what: str) -> None:
    """Installs Debian packages as root. Raises EngineFault with apt's last lines."""
    # A fresh machine may be busy with its own upgrades: wait for them.
    patient = ["apt-get", "-o", "DPkg::Lock::Timeout=300", *INSTALL[1:], *packages]
    programs.run(["apt-get", "update", "-q"], "Updating the package lists")
    programs.run(patient, what)


def start(log_file: Path) -> None:
    """Starts the installed daemon as root and returns once it answers.

    Raises EngineFault with the last lines of its log."""
    process: subprocess.Popen[bytes] | None = None
    if this_machine().systemd:
        programs.run(["systemctl", "start", "docker"], "Starting Docker")
    else:
        with log_file.open("wb") as output:
            # Its own session: it must outlive Vibe and not get its Ctrl-C.
            process = subprocess.Popen(  # noqa: S603 (a fixed program)
                [programs.installed("dockerd") or "dockerd"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={**os.environ, "PATH": programs.search_path()},
                start_new_session=True,
            )
    deadline = time.monotonic() + START_S
    while (why_not := refusal()) is not None:
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > deadline:
            tail = log_file.read_text("utf-8", "replace").splitlines() if process else []
            raise EngineFault(
                programs.failure("Starting Docker", why_not, tail[-programs.LAST_LINES :]),
                f"Its whole log is {log_file}." if process else "See `journalctl -u docker`.",
            )
        time.sleep(0.2)
