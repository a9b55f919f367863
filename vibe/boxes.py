"""Lists the boxes of a gallery that run now, and stops one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from vibe.errors import EngineFault
from vibe.sandbox import owners
from vibe.sandbox.policy import LABEL

ANSWER_S = 20
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class RunningBox:
    """One box as the engine sees it."""

    id: str
    app: str
    """The app it runs or looks at; empty for one that waits for work."""
    image: str
    """`python` or `browser`; else the image's name."""
    started: str
    """ISO 8601, UTC."""
    memory: int | None
    """Bytes in use; None when the engine doesn't say, as of a box that is just ending."""
    most: int | None
    """Bytes it may use."""


def running_boxes(gallery: Path) -> list[RunningBox]:
    """The boxes of this gallery, the oldest first. Raises EngineFault when the engine fails."""
    try:
        with (
            contextlib.closing(docker.from_env(timeout=ANSWER_S)) as client,
            ThreadPoolExecutor(AT_ONCE) as threads,
        ):
            found = client.api.containers(filters={"label": _mine(gallery)})
            boxes = list(threads.map(lambda each: _described(client, each), found))
    except (DockerException, requests.RequestException, OSError) as error:
        raise EngineFault("Docker doesn't say which boxes run.", "See `vibe doctor`.") from error
    return sorted(boxes, key=lambda box: box.started)


def remove_box(gallery: Path, identity: str) -> None:
    """Ends a box of this gallery; one that is gone is fine. Raises EngineFault."""
    try:
        with contextlib.closing(docker.from_env(timeout=ANSWER_S)) as client:
            found = client.api.containers(all=True, filters={"label": _mine(gallery)})
            if any(each["Id"] == identity for each in found):
                with contextlib.suppress(NotFound):
                    client.api.remove_container(identity, force=True, v=True)
    except (DockerException, requests.RequestException, OSError) as error:
        raise EngineFault("Docker did not stop that box.", "See `vibe doctor`.") from error


def _mine(gallery: Path) -> list[str]:
    return [f"{LABEL}=1", f"vibe.gallery={owners.gallery_label(gallery)}"]


def _described(client: docker.DockerClient, container: Mapping[str, Any]) -> RunningBox:
    memory, most = _memory(client, container["Id"])
    return RunningBox(
        id=container["Id"],
        app=container["Labels"].get("vibe.app", "") or _named(container),
        image=_image_name(client, container),
        started=datetime.fromtimestamp(container["Created"], UTC).isoformat(),
        memory=memory,
        most=most,
    )


def _named(container: Mapping[str, Any]) -> str:
    """The app that a box was given when it had stood ready: the second part of its name."""
    return str((container.get("Names") or [""])[0]).partition(".")[2]


def _image_name(client: docker.DockerClient, container: Mapping[str, Any]) -> str:
    """By the image's own label: the name a container is listed with changes with its tags."""
    with contextlib.suppress(APIError):
        labels = client.images.get(container["ImageID"]).labels
        if name := labels.get("vibe.image"):
            return str(name)
    return str(container.get("Image", ""))[:20]


def _memory(client: docker.DockerClient, identity: str) -> tuple[int | None, int | None]:
    """As `docker stats` counts it: without the file pages that can be given back."""
    try:
        stats = client.api.stats(identity, stream=False, one_shot=True).get("memory_stats", {})
        inside = stats.get("stats", {})
        idle = inside.get("total_inactive_file", inside.get("inactive_file", 0))
        return max(0, stats["usage"] - idle), stats["limit"]
    except (KeyError, TypeError, APIError, requests.JSONDecodeError):
        return None, None  # the last for a box that goes meanwhile: Docker then sends nothing
