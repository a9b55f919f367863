"""Deletes a discarded app for good, whatever is left of it anywhere, and lists what went."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

import docker
import requests
from docker.errors import DockerException, NotFound

from vibe.archive import Archive
from vibe.pinning import RECIPES
from vibe.sandbox import owners
from vibe.sandbox.policy import LABEL

ANSWER_S = 20


def purge(archive: Archive, app_id: str) -> list[str]:
    """Deletes the app's boxes, volumes and folder, and what was kept for it alone; returns a line
    for each thing that is gone, and for what others may share why it stays.

    Raises NoSuchApp, and UserError while the app is in the gallery."""
    pins = next((app.pins for app in archive.trash() if app.id == app_id), {})
    gone = archive.purge(app_id)
    image, lock = str(pins.get("image", "")), str(pins.get("lock", ""))
    pinned = [f"image {image[:19]}: no longer kept for this app"] if image else []
    if lock:
        pinned.append(
            f"packages {lock[:12]}: stay installed for apps with the same lock, until the space "
            "is needed for others"
        )
    pinned += _recipe(archive, str(pins.get("recipe", "")))
    return [*_boxes(archive.root, app_id), *pinned, *gone]


def _recipe(archive: Archive, digest: str) -> list[str]:
    """Deletes the recipe of the app's image unless another app is pinned to it."""
    folder = archive.root / RECIPES / digest
    # a record may come from a stranger: only a recipe's own name leads to a folder
    if not re.fullmatch(r"[0-9a-f]{64}", digest) or not folder.is_dir() or folder.is_symlink():
        return []
    apps = (*archive.list(), *archive.trash())
    if archive.broken() or any(app.pins.get("recipe") == digest for app in apps):
        return [f"recipe {digest[:12]}: stays, other apps are pinned to its image"]
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()
    return [f"recipe {digest[:12]}: gone, no other app is pinned to its image"]


def _boxes(gallery: Path, app_id: str) -> list[str]:
    """Removes containers and volumes that carry the app's name, and says how many there were."""
    ours = [f"{LABEL}=1", f"vibe.gallery={owners.gallery_label(gallery)}"]
    mine = [*ours, f"vibe.app={app_id}"]
    try:
        with contextlib.closing(docker.from_env(timeout=ANSWER_S)) as client:
            containers = client.api.containers(all=True, filters={"label": mine})
            # a box that stood ready for any app has the app's id in its name only
            found = client.api.containers(all=True, filters={"label": ours, "name": app_id})
            suffix = f".{app_id}"
            containers += [c for c in found if any(n.endswith(suffix) for n in c["Names"])]
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
