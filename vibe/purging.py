"""Deletes a discarded app for good, whatever is left of it anywhere, and lists what went."""

from __future__ import annotations

import contextlib
from pathlib import Path

import docker
import requests
from docker.errors import DockerException, NotFound

from vibe.archive import Archive
from vibe.sandbox import owners
from vibe.sandbox.policy import LABEL

ANSWER_S = 20


def purge(archive: Archive, app_id: str) -> list[str]:
    """Deletes the app's boxes, volumes and folder; returns a line for each thing that is gone.

    Raises NoSuchApp, and UserError while the app is in the gallery."""
    pins = next((app.pins for app in archive.trash() if app.id == app_id), {})
    gone = archive.purge(app_id)
    image = str(pins.get("image", ""))
    pinned = [f"image {image[:19]}: no longer kept for this app"] if image else []
    return [*_boxes(archive.root, app_id), *pinned, *gone]


def _boxes(gallery: Path, app_id: str) -> list[str]:
    """Removes containers and volumes that carry the app's name, and says how many there were."""
    mine = [f"{LABEL}=1", f"vibe.gallery={owners.gallery_label(gallery)}", f"vibe.app={app_id}"]
    try:
        with contextlib.closing(docker.from_env(timeout=ANSWER_S)) as client:
            containers = client.api.containers(all=True, filters={"label": mine})
            for container in containers:
                with contextlib.suppress(NotFound):
                    client.api.remove_container(container["Id"], force=True, v=True)
            volumes = client.api.volumes(filters={"label": mine})["Volumes"] or []
            for volume in volumes:
                with contextlib.suppress(NotFound):
                    client.api.remove_volume(volume["Name"])
    except (DockerException, requests.RequestException, OSError):
        return ["containers, volumes: not looked for, since Docker doesn't answer"]
    return [
        f"{name}: {len(found)} removed" if found else f"{name}: none was left"
        for name, found in (("containers", containers), ("volumes", volumes))
    ]
