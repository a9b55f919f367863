"""Examines what Vibe stands on: one finding a part, each with what to do about it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ipaddress
import platform
import shutil
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import docker
from docker.errors import DockerException

from vibe import __version__, libraries
from vibe.choice import chosen_model
from vibe.errors import EngineFault, VibeError
from vibe.sandbox import advisories, bubblewrap, builder, owners
from vibe.sandbox.box_environment import NAMES, chromium, environment
from vibe.sandbox.daemon import named, refusal, remedy_for, this_machine
from vibe.sandbox.engine import Engine
from vibe.sandbox.images import IMAGES, LABEL_IMAGE, ON_DEMAND, ImageName, recipe
from vibe.sandbox.policy import LABEL
from vibe.settings import Settings

State = Literal["ok", "warning", "problem"]
GIGABYTE = 1_000_000_000
ROOM = 5 * GIGABYTE
"""Free space below which a first setup (2.5 GB of images and libraries) may not fit."""
LITTLE_ROOM = GIGABYTE // 2


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one part."""

    name: str
    state: State
    """`ok` · `warning`: Vibe works, with less · `problem`: something it is for can't work."""
    sentence: str
    fix: str = ""
    """What to do; empty when `ok`."""


Lookup = Callable[[Settings], Awaitable[str]]
"""Says which model would be used, in words. Raises VibeError when there is none."""


async def examine(
    settings: Settings, engine: Engine | None = None, *, find_model: Lookup = chosen_model
) -> list[Finding]:
    """Every finding, in the order to mend them. With an engine, its self-test is run as well.

    Never raises for what it finds."""
    examined = await asyncio.gather(
        asyncio.to_thread(lambda: [_python()]),
        asyncio.to_thread(_engine, settings),
        _isolation(engine),
        _model(settings, find_model),
        asyncio.to_thread(lambda: [_libraries(), _names(settings), _port(settings)]),
        asyncio.to_thread(lambda: [_gallery(settings.gallery), _disk(settings.gallery)]),
    )
    return [finding for findings in examined for finding in findings]


def _python() -> Finding:
    return Finding("python", "ok", f"Vibe {__version__} on Python {platform.python_version()}.")


def _libraries() -> Finding:
    """The libraries that pages may load."""
    there, wanted = libraries.there(), libraries.all_libraries()
    if len(there) == len(wanted):
        return Finding("libraries", "ok", f"All {len(there)} libraries for web pages are there.")
    gone = ", ".join(each.package for each in wanted if each not in there)
    return Finding(
        "libraries",
        "warning",
        f"Web pages do without {gone}.",
        "Set NPM_CONFIG_REGISTRY (and HTTPS_PROXY, NODE_EXTRA_CA_CERTS) as for npm, then run "
        "`vibe setup` again.",
    )


def _engine(settings: Settings) -> list[Finding]:
    """The engine, its images, and the boxes that nobody owns any more."""
    if settings.engine == "bubblewrap":
        return [_without_docker("Boxes are bubblewrap's, as VIBE_ENGINE says.", "")]
    why = refusal()
    if why is not None:
        remedy = remedy_for(this_machine(), why)
        fix = remedy.fix or "Run `vibe setup`."
        if settings.engine == "docker" or named():
            return [Finding("engine", "problem", remedy.sentence, fix)]
        return [_without_docker(remedy.sentence, fix)]
    try:
        with contextlib.closing(docker.from_env(timeout=20)) as client:
            version, info = client.version(), client.info()
            found = f"Docker {version.get('Version')} (API {version.get('ApiVersion')})."
            return [
                Finding("engine", "ok", found),
                _protection(info),
                _known_holes(advisories.versions(version, info)),
                *(_image(client, name) for name in (*IMAGES, *ON_DEMAND)),
                _leftovers(client, settings.gallery),
            ]
    except (DockerException, OSError) as error:
        return [Finding("engine", "problem", f"Docker failed: {error}.", "Look at its log.")]


def _without_docker(sentence: str, fix: str) -> Finding:
    """What bubblewrap can do for a machine on which no Docker answers, or isn't wanted."""
    try:
        bubblewrap.able()
        if not all(environment(name).built for name in NAMES):
            raise EngineFault("What its boxes run on isn't there yet.", "Run `vibe setup`.")
    except EngineFault as fault:
        both = f"{fix} Or, with reduced isolation: {fault.fix}" if fix else fault.fix
        return Finding("engine", "problem", f"{sentence} bubblewrap: {fault.message}", both)
    without = "" if chromium() else " There is no Chromium, so nobody looks at apps in a browser."
    return Finding(
        "engine",
        "warning",
        f"{sentence} Apps run with bubblewrap, with reduced isolation.{without}",
        fix or "Unset VIBE_ENGINE where there is Docker.",
    )


def _protection(info: dict[str, Any]) -> Finding:
    """What of the engine's own stands between boxes and the machine."""
    options = " ".join(map(str, info.get("SecurityOptions") or []))
    walls = {
        "system-call filter": "name=seccomp" in options,
        "AppArmor": "name=apparmor" in options,
        "SELinux": "name=selinux" in options,
        "user namespaces": "name=userns" in options,
        "rootless": "name=rootless" in options,
        "gVisor": "runsc" in (info.get("Runtimes") or {}),
    }
    on = [name for name, there in walls.items() if there]
    off = [name for name, there in walls.items() if not there]
    cgroup = f"cgroup version {info.get('CgroupVersion', '?')}"
    sentence = f"On: {', '.join(on) or 'nothing'}. Off: {', '.join(off) or 'nothing'}. {cgroup}."
    if not walls["system-call filter"]:
        return Finding(
            "protection",
            "problem",
            f"Docker can't filter system calls, so no box can start. {sentence}",
            "Use a Docker and a kernel with seccomp.",
        )
    return Finding("protection", "ok", sentence)


def _known_holes(parts: dict[str, str]) -> Finding:
    """The published ways out of a container that these versions may have."""
    holes = advisories.open_holes(parts)
    looked_at = [
        f"{name} {parts[name]}" for name in ("runc", "containerd", "Linux") if parts.get(name)
    ]
    if not holes:
        return Finding("known holes", "ok", f"None on Vibe's list in {', '.join(looked_at)}.")
    named = "; ".join(
        f"{hole.part} {parts[hole.part]}: {hole.sentence} ({hole.name})" for hole in holes
    )
    return Finding(
        "known holes",
        "warning",
        f"By version number: {named}. Your distribution may have mended them all the same.",
        "Update Docker, runc and the kernel; compare your distribution's security pages.",
    )


def _image(client: docker.DockerClient, name: ImageName) -> Finding:
    wanted = recipe(name)
    if builder.present(client, wanted):
        return Finding(f"{name} image", "ok", f"{wanted.tag} is built.")
    if name in ON_DEMAND:
        return Finding(f"{name} image", "ok", "Built when the first app needs it.")
    older = client.images.list(filters={"label": f"{LABEL_IMAGE}={name}"})
    sentence = "Built from an older recipe." if older else "Not built yet."
    return Finding(f"{name} image", "problem", sentence, "Run `vibe setup`.")


def _leftovers(client: docker.DockerClient, gallery: Path) -> Finding:
    """Boxes of this gallery whose owner is dead, or that outlived their deadline."""
    mine = [f"{LABEL}=1", f"vibe.gallery={owners.gallery_label(gallery)}"]
    there = client.containers.list(all=True, filters={"label": mine}, ignore_removed=True)
    boxes = [box.labels for box in there]
    lost = [
        labels
        for labels in boxes
        if not owners.alive(gallery, labels.get("vibe.owner", ""))
        or float(labels.get("vibe.deadline", 0)) < time.time()
    ]
    if not lost:
        return Finding("boxes", "ok", f"{len(boxes)} running, none left behind.")
    return Finding(
        "boxes",
        "warning",
        f"{len(lost)} left behind by a Vibe that is gone.",
        "They go when Vibe starts the next time.",
    )


async def _isolation(engine: Engine | None) -> list[Finding]:
    if engine is None:
        return []
    posture = await engine.probe()
    if posture.usable:
        sentence = f"{posture.isolation}: {posture.sentence}"
        why_not = posture.details.get("gvisor", "")
        if why_not.startswith("its test box"):
            return [
                Finding(
                    "isolation",
                    "warning",
                    f"{sentence} gVisor is installed but not used: {why_not}.",
                    "Install a current gVisor, or take `runsc` out of Docker's settings.",
                )
            ]
        if engine.name == "bubblewrap":
            fix = "Use Docker for programs that you trust less; docs/security.md compares them."
            return [Finding("isolation", "warning", sentence, fix)]
        return [Finding("isolation", "ok", sentence)]
    return [Finding("isolation", "problem", posture.sentence, posture.fix)]


async def _model(settings: Settings, find_model: Lookup) -> list[Finding]:
    try:
        return [Finding("model", "ok", f"{await find_model(settings)}.")]
    except VibeError as error:
        return [Finding("model", "warning", error.message, error.fix)]


def _names(settings: Settings) -> Finding:
    """Whether a preview's host name leads to this machine."""
    host = urlsplit(settings.preview("doctor")).hostname or ""
    try:
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        addresses = set()
    if not host.endswith(".localhost"):
        if addresses:
            return Finding("names", "ok", f"{host} leads to {', '.join(sorted(addresses))}.")
        fix = "Let a wildcard DNS record lead to this server."
        return Finding("names", "problem", f"{host} leads nowhere.", fix)
    if addresses and all(ipaddress.ip_address(a).is_loopback for a in addresses):
        return Finding("names", "ok", "*.localhost leads to this machine.")
    if addresses:
        return Finding(
            "names",
            "problem",
            f"{host} leads to {', '.join(sorted(addresses))}, not to this machine.",
            "Ask whoever runs your DNS why it answers for .localhost.",
        )
    return Finding(
        "names",
        "warning",
        "This system doesn't know *.localhost; Chrome, Edge and Firefox do so by themselves.",
        "Open Vibe in one of them.",
    )


def _port(settings: Settings) -> Finding:
    """Whether the server's port is free, or ours."""
    at = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do it: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if _is_vibe(settings):
                return Finding("port", "ok", f"Vibe serves at {settings.ui_url}.")
            return Finding(
                "port",
                "problem",
                f"{at} can't be used: {error.strerror or error}.",
                "Stop what uses it, or choose another with VIBE_PORT.",
            )
    return Finding("port", "ok", f"{at} is free.")


def _is_vibe(settings: Settings) -> bool:
    """A healthy Streamlit that, unlike a bare one, answers to its own host name only."""
    ui = urlsplit(settings.ui_url).netloc
    return _health(settings, ui) == 200 and _health(settings, "doctor.invalid") != 200


def _health(settings: Settings, host: str) -> int:
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 (read, not bound)
    address = anywhere.get(settings.host, settings.host)
    connection = http.client.HTTPConnection(address, settings.port, timeout=3)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/_stcore/health", headers={"Host": host})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0


def _gallery(gallery: Path) -> Finding:
    try:
        gallery.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=gallery):
            pass
    except OSError as error:
        return Finding(
            "gallery",
            "problem",
            f"{gallery} can't be written: {error.strerror or error}.",
            "Choose another folder with VIBE_GALLERY.",
        )
    return Finding("gallery", "ok", f"{gallery} can be written.")


def _disk(gallery: Path) -> Finding:
    folder = next((p for p in (gallery, *gallery.parents) if p.exists()), Path("/"))
    free = shutil.disk_usage(folder).free
    sentence = f"{free / GIGABYTE:.1f} GB free at {folder}."
    fix = "Purge the trash, or discard apps you don't need."
    if free < LITTLE_ROOM:
        return Finding("disk", "problem", sentence, fix)
    if free < ROOM:
        return Finding("disk", "warning", sentence, fix)
    return Finding("disk", "ok", sentence)
