"""The command that starts a box with bubblewrap: nothing is run here, and no model has a say."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vibe.errors import EngineFault
from vibe.sandbox.fetching_policy import CACHE, MEMORY, WHEELS
from vibe.sandbox.policy import COMMAND, MIB, PACKAGES, Allowance

UID = "10001"
PROGRAMS = ("bwrap", "setpriv", "unshare", "prlimit", "mount", "sh")
"""What it takes: bubblewrap and, of every Linux system, util-linux."""
ENVIRONMENT = "/opt/vibe"
"""Where a box has its Python and libraries."""
_SYSTEM = (
    "alternatives", "chromium", "chromium.d", "fonts", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "mime.types", "ssl/certs",
)  # fmt: skip
"""What of the machine's /etc programs read, and nobody minds their reading."""
_MASKED = (
    "acpi", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats",
)  # fmt: skip
"""What Docker hides of /proc too: it speaks of the whole machine."""
ETC = "box-etc"
"""Folder of an environment that is its boxes' /etc."""
ROOMS = "/run"
"""Hidden by the rooms that are made for a box before it starts: the machine's sockets are there."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """What the one box has that fetches packages, beside the others' walls."""

    cache: Path
    target: Path | None
    """The folder that it fills; None when it only looks."""
    wheels: Path | None
    network: bool
    """The machine's own; without it the folder of wheels is all."""
    resolver_fd: int
    """Says how names are looked up, as the machine's /etc/resolv.conf does."""


FETCHING = Allowance(
    memory=MEMORY, cpus=2.0, pids=256, files=4096, file=4096,
    work=64, work_inodes=1024, tmp=256, tmp_inodes=8192, shm=16,
)  # fmt: skip
FETCHING_ENV = {"HOME": "/tmp/home", "LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"}  # noqa: S108


def command(
    *,
    environment: Path,
    interpreter: Path,
    allowance: Allowance,
    env: Mapping[str, str],
    name: str,
    root: bool,
    filter_fd: int,
    doors: Sequence[Path] = (),
    shown: tuple[Path, str] | None = None,
    packages: Path | None = None,
    fetching: Fetching | None = None,
) -> list[str]:
    """The argv of a box. `root`: Vibe runs as root, so the rights of another user are taken on
    first. `doors` and `shown` are its control group's; without them memory and processes are
    limited by themselves. `packages` is the folder of those that its program can import,
    `fetching` what the box has that fetches some. Raises EngineFault for a folder that can't be
    handed to a shell."""
    chain = ["sh", "-ec", _entering(doors), "sh"]
    if root:
        chain += ["setpriv", f"--reuid={UID}", f"--regid={UID}", f"--groups={UID}"]
    # a user namespace of its own, only to make rooms with a limit in files, which bwrap can't
    chain += ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", _rooms(allowance)]
    more = _fetching(fetching) if fetching else []
    if packages:
        env = {**env, "PYTHONPATH": PACKAGES}
        more = ["--ro-bind", str(packages), PACKAGES]
    walls = _walls(environment, interpreter, env, name, filter_fd, shown, more)
    return [*chain, "sh", "bwrap", *walls,
            *_limits(allowance, grouped=bool(doors)), *_runner()]  # fmt: skip


def _entering(doors: Sequence[Path]) -> str:
    lines = [f"echo $$ > {shlex.quote(str(door))}" for door in doors]
    return "; ".join(["echo 500 > /proc/self/oom_score_adj", *lines, 'exec "$@"'])


def _rooms(allowance: Allowance) -> str:
    def room(place: str, size: int, more: str) -> str:
        return f"mount -t tmpfs -o nosuid,nodev,size={size}m,{more} vibe {ROOMS}/{place}"

    return "; ".join(
        [
            f"mount -t tmpfs -o nosuid,nodev,size=1m,mode=755 vibe {ROOMS}",
            f"mkdir {ROOMS}/work {ROOMS}/tmp {ROOMS}/shm",  # noqa: S108
            room("work", allowance.work, f"nr_inodes={allowance.work_inodes},mode=755"),
            room("tmp", allowance.tmp, f"nr_inodes={allowance.tmp_inodes},noexec,mode=1777"),
            room("shm", allowance.shm, "nr_inodes=1024,noexec,mode=1777"),
            'exec "$@"',
        ]
    )


def _walls(
    environment: Path,
    interpreter: Path,
    env: Mapping[str, str],
    name: str,
    filter_fd: int,
    shown: tuple[Path, str] | None,
    more: Sequence[str],
) -> list[str]:
    if not environment.is_absolute() or not interpreter.is_absolute():
        raise EngineFault("A box's folders have whole paths.")
    etc = environment / ETC
    words = [
        "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent",
        "--new-session", "--clearenv", "--as-pid-1", "--cap-drop", "ALL",
        "--uid", UID, "--gid", UID, "--hostname", name[:12],
        "--seccomp", str(filter_fd),
        "--ro-bind", "/usr", "/usr",
        "--tmpfs", "/usr/local", "--remount-ro", "/usr/local",
    ]  # fmt: skip
    for link in ("bin", "sbin", "lib", "lib32", "lib64"):
        if (place := Path("/", link)).is_symlink():
            words += ["--symlink", f"usr/{link}", str(place)]
        elif place.is_dir():  # a system that hasn't merged them
            words += ["--ro-bind", str(place), str(place)]
    if not interpreter.is_relative_to("/usr"):
        words += ["--ro-bind", str(interpreter), str(interpreter)]
    words += ["--ro-bind", str(etc), "/etc"]
    for part in _SYSTEM:
        if Path("/etc", part).exists() and (etc / part).exists():
            words += ["--ro-bind", f"/etc/{part}", f"/etc/{part}"]
    words += ["--ro-bind", str(environment), ENVIRONMENT, "--proc", "/proc"]
    for part in _MASKED:
        if (place := Path("/proc", part)).is_dir():
            words += ["--tmpfs", str(place), "--remount-ro", str(place)]
        elif place.exists():
            words += ["--ro-bind", "/dev/null", str(place)]
    words += ["--ro-bind", "/proc/sys", "/proc/sys"]
    words += ["--dev", "/dev", "--bind", f"{ROOMS}/shm", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
    words += ["--bind", f"{ROOMS}/work", "/work", "--bind", f"{ROOMS}/tmp", "/tmp"]  # noqa: S108
    if shown:
        words += ["--ro-bind", str(shown[0]), shown[1]]
    words += more
    words += ["--dir", "/var/tmp", "--remount-ro", "/", "--chdir", "/work"]  # noqa: S108
    for key, value in sorted(env.items()):
        path = f"{ENVIRONMENT}/bin:{value}" if key == "PATH" else value
        words += ["--setenv", key, path]
    return words


def _fetching(has: Fetching) -> list[str]:
    words = ["--share-net"] if has.network else []
    words += ["--ro-bind-data", str(has.resolver_fd), "/etc/resolv.conf"]
    words += ["--bind", str(has.cache), CACHE]
    if has.target:
        words += ["--bind", str(has.target), PACKAGES]
    return [*words, "--ro-bind", str(has.wheels), WHEELS] if has.wheels else words


def parts_of_etc() -> Sequence[str]:
    """Files and folders of the machine's /etc that are mounted over those of the environment."""
    return [part for part in _SYSTEM if Path("/etc", part).exists()]


def _limits(allowance: Allowance, *, grouped: bool) -> list[str]:
    words = ["/usr/bin/prlimit", f"--nofile={allowance.files}", "--core=0"]
    words += [f"--fsize={allowance.file * MIB}", f"--nproc={allowance.pids}"]
    return words if grouped else [*words, f"--data={allowance.memory * MIB}"]


def _runner() -> list[str]:
    return [f"{ENVIRONMENT}/bin/python", *COMMAND[1:]]
