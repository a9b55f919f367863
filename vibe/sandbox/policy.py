"""A box's container settings: one pure function builds them, another refuses what isn't allowed.

The two share no code on purpose: `refuse` reads the finished settings, as the engine would get
them, against its own list. No value in either comes from a model; image ids come from the engine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vibe.errors import EngineFault
from vibe.sandbox.frames import BOOTSTRAP

MIB = 1 << 20
USER = "10001:10001"
COMMAND = ("python", "-I", "-S", "-B", "-u", "-c", BOOTSTRAP)
LABEL = "vibe"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a box of one image may use; sizes in MiB, as policy.yaml explains."""

    memory: int
    cpus: float
    pids: int
    files: int
    file: int
    work: int
    work_inodes: int
    tmp: int
    tmp_inodes: int
    shm: int


@dataclass(frozen=True, slots=True)
class Policy:
    """policy.yaml, read."""

    seccomp: str
    env: Mapping[str, str]
    images: Mapping[str, Allowance]


@dataclass(frozen=True, slots=True)
class Labels:
    """What is written on a box, so that the sweep knows whose it is."""

    gallery: str
    owner: str
    app: str
    deadline: int
    """Unix time."""


def load(path: Path) -> Policy:
    """The policy in a file. Raises EngineFault when it can't be used."""
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
        images = {name: Allowance(**values) for name, values in data.pop("images").items()}
        policy = Policy(images=images, **data)
    except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise EngineFault(
            f"The box policy {path.name} can't be used: {error}.", "Restore it from the repository."
        ) from error
    if policy.seccomp != "default":
        raise EngineFault(
            f"The box policy asks for an unknown seccomp profile {policy.seccomp!r}.",
            "Only `default` is known.",
        )
    return policy


def settings(
    policy: Policy, name: str, image: str, labels: Labels, *, cpus: float
) -> dict[str, Any]:
    """The body of the engine's create request (API 1.41) for a box of the image `name`.

    `image` is the image's id (sha256:…), `cpus` how many the machine has.
    """
    allowance = policy.images[name]
    owner = "uid=10001,gid=10001,mode=0755"
    return {
        "Image": image,
        "Cmd": list(COMMAND),
        "Entrypoint": [],
        "User": USER,
        "WorkingDir": "/work",
        "Env": [f"{key}={value}" for key, value in sorted(policy.env.items())],
        "Labels": {
            LABEL: "1",
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
        "NetworkDisabled": True,
        "HostConfig": {
            "NetworkMode": "none",
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "ReadonlyRootfs": True,
            "Tmpfs": {
                "/work": f"rw,nosuid,nodev,exec,size={allowance.work}m,"
                f"nr_inodes={allowance.work_inodes},{owner}",
                "/tmp": f"rw,nosuid,nodev,noexec,size={allowance.tmp}m,"  # noqa: S108
                f"nr_inodes={allowance.tmp_inodes},mode=1777",
            },
            "Memory": allowance.memory * MIB,
            "MemorySwap": allowance.memory * MIB,
            "NanoCpus": int(min(allowance.cpus, cpus) * 1e9),
            "PidsLimit": allowance.pids,
            "ShmSize": allowance.shm * MIB,
            "Ulimits": [
                {"Name": "nofile", "Soft": allowance.files, "Hard": allowance.files},
                {"Name": "fsize", "Soft": allowance.file * MIB, "Hard": allowance.file * MIB},
                {"Name": "core", "Soft": 0, "Hard": 0},
            ],
            "IpcMode": "private",
            "Init": False,
            "AutoRemove": True,
            "OomScoreAdj": 500,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "none", "Config": {}},
        },
    }


_NAME = re.compile(r"[A-Za-z0-9._-]{0,100}")
_TMPFS = re.compile(
    r"rw,nosuid,nodev,(no)?exec,size=\d{1,4}m,nr_inodes=\d{1,6},(uid=10001,gid=10001,)?mode=[01]?\d{3}"
)
_ENV = re.compile(
    r"(HOME|LANG|MPLBACKEND|MPLCONFIGDIR|PATH|PYTHONDONTWRITEBYTECODE|PYTHONUNBUFFERED"
    r"|XDG_CACHE_HOME|XDG_CONFIG_HOME)=[A-Za-z0-9_./:-]*"
)
_BOX: Mapping[str, Any] = {
    "Image": re.compile(r"sha256:[0-9a-f]{64}"),
    "Cmd": ["python", "-I", "-S", "-B", "-u", "-c", BOOTSTRAP],
    "Entrypoint": [],
    "User": "10001:10001",
    "WorkingDir": "/work",
    "Env": [_ENV],
    "Labels": {
        "vibe": "1",
        "vibe.gallery": _NAME,
        "vibe.owner": _NAME,
        "vibe.app": _NAME,
        "vibe.deadline": re.compile(r"\d{1,12}"),
    },
    "Tty": False,
    "OpenStdin": True,
    "StdinOnce": True,
    "AttachStdin": True,
    "AttachStdout": True,
    "AttachStderr": True,
    "NetworkDisabled": True,
}
_HOST: Mapping[str, Any] = {
    "NetworkMode": "none",
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges:true"],
    "ReadonlyRootfs": True,
    "Tmpfs": {"/work": _TMPFS, "/tmp": _TMPFS},  # noqa: S108
    "Memory": range(32 * MIB, 4096 * MIB + 1),
    "MemorySwap": range(32 * MIB, 4096 * MIB + 1),
    "NanoCpus": range(10**7, 4 * 10**9 + 1),
    "PidsLimit": range(8, 513),
    "ShmSize": range(MIB, 512 * MIB + 1),
    "Ulimits": {
        "nofile": range(64, 4097),
        "fsize": range(MIB, 512 * MIB + 1),
        "core": range(1),
    },
    "IpcMode": "private",
    "Init": False,
    "AutoRemove": True,
    "OomScoreAdj": range(1, 1001),
    "RestartPolicy": {"Name": "no"},
    "LogConfig": {"Type": "none", "Config": {}},
}


def refuse(wanted: Mapping[str, Any]) -> None:
    """Raises EngineFault unless the settings have every key of the list, no other, and only
    values the list allows."""
    given = dict(wanted)
    host = given.pop("HostConfig", None)
    wrong = _differs(given, _BOX, "")
    if not wrong and not isinstance(host, dict):
        wrong = "HostConfig"
    if not wrong:
        host = dict(host or {})
        limits = host.get("Ulimits")
        try:
            host["Ulimits"] = {limit["Name"]: limit["Hard"] for limit in limits or []}
            if any(set(limit) != {"Name", "Soft", "Hard"} for limit in limits or []) or any(
                limit["Soft"] != limit["Hard"] for limit in limits or []
            ):
                wrong = "Ulimits"
        except (TypeError, KeyError):
            wrong = "Ulimits"
        wrong = wrong or _differs(host, _HOST, "")
        if not wrong and host["Memory"] != host["MemorySwap"]:
            wrong = "MemorySwap"
    if wrong:
        raise EngineFault(
            f"These box settings are not allowed: {wrong}.", "Restore policy.yaml, or report this."
        )


def _differs(given: Any, allowed: Any, place: str) -> str:
    """The first place where `given` isn't what `allowed` describes; "" when there is none."""
    if isinstance(allowed, Mapping):
        if not isinstance(given, Mapping):
            return place
        if odd := sorted(map(str, set(given) ^ set(allowed))):
            return f"{place}{odd[0]}"
        found = (_differs(given[key], allowed[key], f"{place}{key} ") for key in allowed)
        return next((wrong.strip() for wrong in found if wrong), "")
    if isinstance(allowed, re.Pattern):
        return "" if isinstance(given, str) and allowed.fullmatch(given) else place or "?"
    if isinstance(allowed, range):
        return "" if type(given) is int and given in allowed else place or "?"
    if isinstance(allowed, list) and len(allowed) == 1 and isinstance(allowed[0], re.Pattern):
        if not isinstance(given, list):
            return place
        return next((place for item in given if _differs(item, allowed[0], place)), "")
    return "" if type(given) is type(allowed) and given == allowed else place or "?"
