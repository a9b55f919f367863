"""The Docker volumes that hold installed packages: whole ones are sealed, the others don't count.

A volume can't be renamed or labelled later, so a second, empty volume is the seal: Docker makes it
in one step, it is made last and removed first, and every process on the machine sees it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from vibe.errors import Busy, EngineFault
from vibe.sandbox import fetching_policy, images
from vibe.sandbox.docker_client import DockerClient, Gone
from vibe.sandbox.store import Sealed

PREFIX = "vibe-packages-"
SEAL = "-sealed"
LABEL = "vibe.packages"


class VolumeStore:
    """`store.Store` of volumes of one Docker daemon."""

    def __init__(self, client: DockerClient) -> None:
        self._client = client
        self.mark = images.recipe("packages").digest

    async def find(self, key: str) -> Sealed | None:
        return await find(self._client, key)

    async def make(self, key: str) -> str:
        return await make(self._client, key)

    async def seal(self, key: str, size: int, modules: tuple[str, ...]) -> None:
        await seal(self._client, key, size, modules)

    async def remove(self, key: str) -> None:
        await remove(self._client, key)

    async def trim(self, most: int, used: Mapping[str, float]) -> list[str]:
        gone = await trim(self._client, most, used)
        usage = await self._client.call(self._client.api.df)
        for volume in usage.get("Volumes") or []:
            if volume["Name"] != fetching_policy.CACHE_VOLUME:
                continue
            if volume.get("UsageData", {}).get("Size", 0) > most:
                with contextlib.suppress(Busy, Gone):
                    await self._client.call(self._client.api.remove_volume, volume["Name"])
        return gone


def data_name(key: str) -> str:
    """The volume's name, of the lock's key."""
    return PREFIX + key


def names(key: str) -> tuple[str, str]:
    """Both volumes of a lock, in the order in which they are removed."""
    return data_name(key) + SEAL, data_name(key)


async def find(client: DockerClient, key: str) -> Sealed | None:
    """That lock's volume when it is whole, else None."""
    try:
        seal = await client.call(client.api.inspect_volume, data_name(key) + SEAL)
        await client.call(client.api.inspect_volume, data_name(key))
    except Gone:
        return None
    return _sealed(seal)


async def make(client: DockerClient, key: str) -> str:
    """A new empty volume for that lock, in place of a half-filled one; its name."""
    await remove(client, key)
    name = data_name(key)
    await client.call(client.api.create_volume, name, labels={LABEL: key})
    return name


async def seal(client: DockerClient, key: str, size: int, modules: tuple[str, ...]) -> None:
    """Says that the volume is whole."""
    labels = {LABEL: key, "vibe.bytes": str(size), "vibe.modules": " ".join(modules)}
    await client.call(client.api.create_volume, data_name(key) + SEAL, labels=labels)


async def remove(client: DockerClient, key: str) -> None:
    """Removes the volume. Raises Busy while a box has it; it then counts as not whole."""
    for name in names(key):
        with contextlib.suppress(Gone):
            await client.call(client.api.remove_volume, name)


async def trim(client: DockerClient, most: int, used: Mapping[str, float]) -> list[str]:
    """Removes whole volumes, the one used longest ago first, until they have at most `most` bytes
    together; those that a box has stay. Returns the keys of the removed."""
    kept = sorted(await everything(client), key=lambda one: (used.get(one.key, 0.0), one.made))
    total = sum(one.bytes for one in kept)
    gone: list[str] = []
    for one in kept:
        if total <= most:
            break
        if await _in_use(client, one.key):
            continue
        with contextlib.suppress(Busy):
            await remove(client, one.key)
            gone.append(one.key)
            total -= one.bytes
    return gone


async def everything(client: DockerClient) -> list[Sealed]:
    """Every whole volume."""
    return whole(await client.call(client.api.volumes, filters={"label": LABEL}))


def whole(answer: Mapping[str, Any]) -> list[Sealed]:
    """The whole volumes in Docker's list of those with the label LABEL."""
    found = answer.get("Volumes") or []
    there = {volume["Name"] for volume in found}
    return [
        _sealed(volume)
        for volume in found
        if volume["Name"].endswith(SEAL) and volume["Name"].removesuffix(SEAL) in there
    ]


async def _in_use(client: DockerClient, key: str) -> bool:
    users = client.api.containers
    return bool(await client.call(users, all=True, filters={"volume": data_name(key)}))


def _sealed(volume: Mapping[str, object]) -> Sealed:
    labels = volume.get("Labels") or {}
    if not isinstance(labels, dict) or not str(labels.get("vibe.bytes", "")).isdigit():
        raise EngineFault(
            f"The volume {volume.get('Name')} is not Vibe's.", "Remove it: `docker volume rm`."
        )
    return Sealed(
        key=str(labels.get(LABEL, "")),
        bytes=int(labels["vibe.bytes"]),
        modules=tuple(str(labels.get("vibe.modules", "")).split()),
        made=str(volume.get("CreatedAt", "")),
    )
