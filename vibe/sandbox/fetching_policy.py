"""The settings of the one box that has network, to fetch packages, and the refusal of any other.

As in policy.py the two functions share no code. It runs uv and our own lines, never a line of a
package: wheels only, and byte-compiling reads code without running it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vibe.errors import EngineFault
from vibe.sandbox import policy
from vibe.sandbox.policy import MIB, Labels

CACHE_VOLUME = "vibe-packages-cache"
CACHE, TARGET, WHEELS = "/cache", "/packages", "/wheels"
MEMORY = 2048
"""MiB; uv unpacks several wheels at once."""


def settings(
    image: str, labels: Labels, *, cpus: float, seccomp: str, volume: str, wheels: str, network: str
) -> dict[str, Any]:
    """The body of the engine's create request. `volume` is filled (empty: only resolving),
    `wheels` the machine's folder of wheels (empty: none), `network` bridge, host or none."""
    mounts = [_mount("volume", CACHE_VOLUME, CACHE, read_only=False)]
    if volume:
        mounts.append(_mount("volume", volume, TARGET, read_only=False))
    if wheels:
        mounts.append(_mount("bind", wheels, WHEELS, read_only=True))
    return {
        "Image": image,
        "Cmd": list(policy.COMMAND),
        "Entrypoint": [],
        "User": policy.USER,
        "WorkingDir": "/work",
        "Env": ["HOME=/tmp/home", "LANG=C.UTF-8", "PATH=/usr/local/bin:/usr/bin:/bin"],
        "Labels": {
            policy.LABEL: "1",
            "vibe.gallery": labels.gallery,
            "vibe.owner": labels.owner,
            "vibe.app": labels.app,
            "vibe.deadline": str(labels.deadline),
        },
        "Tty": False,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "NetworkDisabled": False,
        "HostConfig": {
            "NetworkMode": network,
            "Mounts": mounts,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true", f"seccomp={seccomp}"],
            "ReadonlyRootfs": True,
            "Tmpfs": {
                "/work": "rw,nosuid,nodev,exec,size=64m,nr_inodes=1024,"
                "uid=10001,gid=10001,mode=0755",
                "/tmp": "rw,nosuid,nodev,noexec,size=256m,nr_inodes=8192,mode=1777",  # noqa: S108
            },
            "Memory": MEMORY * MIB,
            "MemorySwap": MEMORY * MIB,
            "NanoCpus": int(min(2.0, cpus) * 1e9),
            "PidsLimit": 256,
            "ShmSize": 16 * MIB,
            "Ulimits": [
                {"Name": "nofile", "Soft": 4096, "Hard": 4096},
                {"Name": "core", "Soft": 0, "Hard": 0},
            ],
            "IpcMode": "private",
            "CgroupnsMode": "private",
            "Runtime": "",
            "Init": False,
            "AutoRemove": True,
            "OomScoreAdj": 500,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "none", "Config": {}},
        },
    }


def _mount(sort: str, source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    return {"Type": sort, "Source": source, "Target": target, "ReadOnly": read_only}


_ENV = re.compile(r"(HOME=/tmp/home|LANG=C\.UTF-8|PATH=/usr/local/bin:/usr/bin:/bin)")
_VOLUME = re.compile(r"vibe-packages-[0-9a-f]{64}")
_BOX: Mapping[str, Any] = {
    **policy.BOX,
    "Env": [_ENV],
    "NetworkDisabled": False,
}
_HOST: Mapping[str, Any] = {
    **policy.HOST,
    "NetworkMode": re.compile("bridge|host|none"),
    "Runtime": "",
    "Ulimits": {"nofile": range(4096, 4097), "core": range(1)},
    "Mounts": {
        "/cache": {"Type": "volume", "Source": "vibe-packages-cache", "ReadOnly": False},
        "/packages": {"Type": "volume", "Source": _VOLUME, "ReadOnly": False},
        "/wheels": {"Type": "bind", "Source": re.compile("/.+"), "ReadOnly": True},
    },
}


def refuse(wanted: Mapping[str, Any], wheels: str) -> None:
    """Raises EngineFault unless the settings are of the list; a folder of the machine may be in
    them only read-only, and only if it is `wheels`."""
    policy.refuse(wanted, _BOX, _HOST)
    for mount in wanted["HostConfig"]["Mounts"]:
        if mount["Type"] == "bind" and mount["Source"] != wheels:
            raise EngineFault(
                "The box that fetches packages may not see that folder of the machine.",
                "Look at UV_FIND_LINKS and PIP_FIND_LINKS.",
            )
