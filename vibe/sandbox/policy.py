"""A box's container settings: one pure function builds them, another refuses what isn't allowed.

The two share no code on purpose: `refuse` reads the finished settings, as the engine would get
them, against its own list. No value in either comes from a model; image ids come from the engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vibe.errors import EngineFault
from vibe.sandbox import seccomp
from vibe.sandbox.frames import BOOTSTRAP

MIB = 1 << 20
USER = "10001:10001"
COMMAND = ("python", "-I", "-S", "-B", "-u", "-c", BOOTSTRAP)
LABEL = "vibe"
PACKAGES = "/packages"
"""Where a box has its app's packages, if it has any."""


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
    """The profile of system calls, as JSON in Docker's format."""
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
        profile = json.loads((path.parent / Path(data.pop("seccomp")).name).read_text("utf-8"))
        return Policy(images=images, seccomp=json.dumps(profile, separators=(",", ":")), **data)
    except (OSError, yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise EngineFault(
            f"The box policy {path.name} can't be used: {error}.", "Restore it from the repository."
        ) from error


def settings(
    policy: Policy,
    name: str,
    image: str,
    labels: Labels,
    *,
    cpus: float,
    runtime: str = "",
    packages: str = "",
) -> dict[str, Any]:
    """The body of the engine's create request (API 1.41) for a box of the image `name`.

    `image` is the image's id (sha256:…), `cpus` how many the machine has, `runtime` `runsc` for
    gVisor or "" for the daemon's own, `packages` the key of the lock whose volume it has,
    read-only, or "" for none.
    """
    allowance = policy.images[name]
    env = {**policy.env, **({"PYTHONPATH": PACKAGES} if packages else {})}
    volume = {
        "Type": "volume",
        "Source": f"vibe-packages-{packages}",
        "Target": PACKAGES,
        "ReadOnly": True,
        "VolumeOptions": {"NoCopy": True},
    }
    owner = "uid=10001,gid=10001,mode=0755"
    return {
        "Image": image,
        "Cmd": list(COMMAND),
        "Entrypoint": [],
        "User": USER,
        "WorkingDir": "/work",
        "Env": [f"{key}={value}" for key, value in sorted(env.items())],
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
            "Mounts": [volume] if packages else [],
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true", f"seccomp={policy.seccomp}"],
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
            "CgroupnsMode": "private",
            "Runtime": runtime,
            "Init": False,
            "AutoRemove": True,
            "OomScoreAdj": 500,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "none", "Config": {}},
        },
    }


_NAME = re.compile(r"[A-Za-z0-9._-]{0,100}")
# a size or a count of nought would mean "no limit"
_TMPFS = {
    "/work": re.compile(
        r"rw,nosuid,nodev,exec,size=[1-9][0-9]{0,3}m,nr_inodes=[1-9][0-9]{0,5},"
        r"uid=10001,gid=10001,mode=0?7[0-7]{2}"
    ),
    "/tmp": re.compile(  # noqa: S108
        r"rw,nosuid,nodev,noexec,size=[1-9][0-9]{0,3}m,nr_inodes=[1-9][0-9]{0,5},mode=1777"
    ),
}
_ENV = re.compile(
    r"PATH=/usr/local/bin:/usr/bin:/bin|HOME=/tmp/[a-z]+|LANG=C\.UTF-8|MPLBACKEND=Agg"
    r"|(MPLCONFIGDIR|XDG_CACHE_HOME|XDG_CONFIG_HOME)=/tmp(/[a-z]+)+"
    r"|(PYTHONDONTWRITEBYTECODE|PYTHONUNBUFFERED)=1|PYTHONPATH=/packages"
)
BOX: Mapping[str, Any] = {
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
        "vibe.deadline": re.compile(r"[0-9]{1,12}"),
    },
    "Tty": False,
    "OpenStdin": True,
    "StdinOnce": True,
    "AttachStdin": True,
    "AttachStdout": True,
    "AttachStderr": True,
    "NetworkDisabled": True,
}
_ANY = range(1 << 40)
HOST: Mapping[str, Any] = {
    "NetworkMode": "none",
    # by target: none has to be there, and no other may
    "Mounts": {
        "/packages": {
            "Type": "volume",
            "Source": re.compile(r"vibe-packages-[0-9a-f]{64}"),
            "ReadOnly": True,
            "VolumeOptions": {"NoCopy": True},
        }
    },
    "CapDrop": ["ALL"],
    "ReadonlyRootfs": True,
    "Tmpfs": _TMPFS,
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
    "CgroupnsMode": "private",
    "Runtime": re.compile(r"(runsc)?"),
    "Init": False,
    "AutoRemove": True,
    "OomScoreAdj": range(1, 1001),
    "RestartPolicy": {"Name": "no"},
    "LogConfig": {"Type": "none", "Config": {}},
}


def refuse(
    wanted: Mapping[str, Any],
    box_list: Mapping[str, Any] = BOX,
    host_list: Mapping[str, Any] = HOST,
) -> None:
    """Raises EngineFault unless the settings have every key of the lists, no other, and only
    values the lists allow."""
    given = dict(wanted)
    host = given.pop("HostConfig", None)
    wrong = _differs(given, box_list, "") or _host(host, host_list)
    if wrong:
        raise EngineFault(
            f"These box settings are not allowed: {wrong}.",
            "Restore the folder `sandboxes`, or report this.",
        )


def _host(given: Any, host_list: Mapping[str, Any]) -> str:
    """What of the host's part isn't allowed; "" when all is."""
    if not isinstance(given, dict):
        return "HostConfig"
    rest, allowed = dict(given), dict(host_list)
    if wrong := _mounts(rest.pop("Mounts", None), allowed.pop("Mounts")):
        return wrong
    options = rest.pop("SecurityOpt", None)
    if wrong := _options(options):
        return f"SecurityOpt ({wrong})"
    limits = rest.get("Ulimits")
    if not isinstance(limits, list):
        return "Ulimits"
    for limit in limits:
        if _differs(limit, {"Name": re.compile("[a-z]+"), "Soft": _ANY, "Hard": _ANY}, ""):
            return "Ulimits"
        if limit["Soft"] != limit["Hard"]:
            return "Ulimits"
    rest["Ulimits"] = {limit["Name"]: limit["Hard"] for limit in limits}
    # of two with one name the engine may take either
    if len(rest["Ulimits"]) != len(limits):
        return "Ulimits"
    wrong = _differs(rest, allowed, "")
    return wrong or ("MemorySwap" if rest["Memory"] != rest["MemorySwap"] else "")


def _mounts(given: Any, allowed: Mapping[str, Any]) -> str:
    """`Mounts` unless each mount is one of the allowed, and each target is used once."""
    if not isinstance(given, list) or not all(isinstance(mount, dict) for mount in given):
        return "Mounts"
    targets = [str(mount.get("Target")) for mount in given]
    fitting = len(set(targets)) == len(targets) and all(
        target in allowed and not _differs(mount, {"Target": target, **allowed[target]}, "?")
        for target, mount in zip(targets, given, strict=True)
    )
    return "" if fitting else "Mounts"


def _options(given: Any) -> str:
    """What is wrong with the security options; "" when nothing is."""
    if not isinstance(given, list) or len(given) != 2 or given[0] != "no-new-privileges:true":
        return "not the two of a box"
    if not isinstance(given[1], str):
        return "not a text"
    name, _, profile = given[1].partition("=")
    return seccomp.weakness(profile) if name == "seccomp" else "no seccomp profile"


def _differs(given: Any, allowed: Any, place: str) -> str:
    """The first place where `given` isn't what `allowed` describes; "" when there is none."""
    if isinstance(allowed, Mapping):
        if not isinstance(given, Mapping):
            return place or "?"
        if odd := sorted(map(str, set(given) ^ set(allowed))):
            return f"{place}{odd[0]}".strip() or "?"
        found = (_differs(given[key], allowed[key], f"{place}{key} ") for key in allowed)
        return next((wrong.strip() or "?" for wrong in found if wrong), "")
    if isinstance(allowed, re.Pattern):
        return "" if isinstance(given, str) and allowed.fullmatch(given) else place or "?"
    if isinstance(allowed, range):
        return "" if type(given) is int and given in allowed else place or "?"
    if isinstance(allowed, list) and len(allowed) == 1 and isinstance(allowed[0], re.Pattern):
        if not isinstance(given, list):
            return place or "?"
        return next((place or "?" for item in given if _differs(item, allowed[0], place)), "")
    return "" if type(given) is type(allowed) and given == allowed else place or "?"
