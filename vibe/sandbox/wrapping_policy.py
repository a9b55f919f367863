"""Refuses every command of a bubblewrap box that isn't as closed as a box must be.

It shares no code with wrapping.py on purpose: it reads the finished command, as the kernel would
get it, word by word against its own list, and whatever it doesn't know is refused.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vibe.errors import EngineFault
from vibe.sandbox.frames import BOOTSTRAP

_NAME = r"vibe\.boxes/([A-Za-z0-9._-]{1,150})"
_GROUP = re.compile(rf"/(?:[^/'\0\n]+/)*{_NAME}")
_DOOR = r"""echo \$\$ > ((?:/[\w@%+=:,.-]+)+|'(?:/[^/'\0\n]+)+'); """
_ENTERING = re.compile(rf"""echo 500 > /proc/self/oom_score_adj; ((?:{_DOOR})*)exec "\$@\"""")
_AS_ANOTHER = ["setpriv", "--reuid=10001", "--regid=10001", "--groups=10001"]
_COUNT = r"([1-9][0-9]{0,5})"
_ROOMS = re.compile(
    "mount -t tmpfs -o nosuid,nodev,size=1m,mode=755 vibe /run; "
    "mkdir /run/work /run/tmp /run/shm; "
    f"mount -t tmpfs -o nosuid,nodev,size={_COUNT}m,nr_inodes={_COUNT},mode=755 vibe /run/work; "
    f"mount -t tmpfs -o nosuid,nodev,size={_COUNT}m,nr_inodes={_COUNT},noexec,mode=1777 "
    "vibe /run/tmp; "
    f"mount -t tmpfs -o nosuid,nodev,size={_COUNT}m,nr_inodes={_COUNT},noexec,mode=1777 "
    'vibe /run/shm; exec "\\$@"'
)
_LARGEST_ROOM = 1024
"""MiB."""
_FLAGS = frozenset(
    {
        "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent",
        "--new-session", "--clearenv", "--as-pid-1",
    }
)  # fmt: skip
_VALUES: Mapping[str, re.Pattern[str]] = {
    "--cap-drop": re.compile("ALL"),
    "--uid": re.compile("10001"),
    "--gid": re.compile("10001"),
    "--hostname": re.compile("[a-z0-9]{1,12}"),
    "--seccomp": re.compile("[0-9]{1,6}"),
    "--dir": re.compile("/var/tmp"),  # noqa: S108
    "--chdir": re.compile("/work"),
}
_MOUNTS = {
    "--ro-bind": 2, "--bind": 2, "--symlink": 2, "--tmpfs": 1, "--proc": 1, "--dev": 1,
    "--ro-bind-data": 2,
}  # fmt: skip
_NETWORK = "--share-net"
_READ_ONLY = "--remount-ro"
_SYSTEM = frozenset(
    {
        "alternatives", "chromium", "chromium.d", "fonts", "ld.so.cache", "ld.so.conf",
        "ld.so.conf.d", "localtime", "mime.types", "ssl/certs",
    }
)  # fmt: skip
_HIDDEN = (
    "acpi", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats",
)  # fmt: skip
_FIXED: Mapping[str, tuple[str, ...]] = {
    "/usr": ("--ro-bind", "/usr"),
    "/usr/local": ("--tmpfs",),
    "/proc": ("--proc",),
    "/proc/sys": ("--ro-bind", "/proc/sys"),
    "/dev": ("--dev",),
    "/dev/shm": ("--bind", "/run/shm"),  # noqa: S108
    "/work": ("--bind", "/run/work"),
    "/tmp": ("--bind", "/run/tmp"),  # noqa: S108
}
_ENV = re.compile(
    r"PATH=/opt/vibe/bin:/usr/local/bin:/usr/bin:/bin|HOME=/tmp/[a-z]+|LANG=C\.UTF-8"
    r"|MPLBACKEND=Agg|(MPLCONFIGDIR|XDG_CACHE_HOME|XDG_CONFIG_HOME)=/tmp(/[a-z]+)+"
    r"|(PYTHONDONTWRITEBYTECODE|PYTHONUNBUFFERED)=1|PYTHONPATH=/packages"
)
_MIB = 1 << 20
_LIMITS: Mapping[str, range] = {
    "--nofile": range(64, 4097),
    "--core": range(1),
    "--fsize": range(_MIB, 512 * _MIB + 1),
    "--nproc": range(8, 513),
    "--data": range(32 * _MIB, 4096 * _MIB + 1),
}
_FETCHING_LIMITS = {**_LIMITS, "--fsize": range(_MIB, 4096 * _MIB + 1)}
_RUNNER = ["/opt/vibe/bin/python", "-I", "-S", "-B", "-u", "-c", BOOTSTRAP]


@dataclass(slots=True)
class _Walls:
    """What the words to bwrap ask for, in their order."""

    flags: Counter[str] = field(default_factory=Counter)
    values: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    mounts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Target → option and source; a later one never covers an earlier one."""
    closed: set[str] = field(default_factory=set)
    """What was made read-only after it was mounted."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a command may refer to on this machine."""

    boxes: Path
    """The folder of Vibe's own environments."""
    packages: Path
    """The folder of installed packages."""
    root: bool
    """Whether Vibe runs as root."""
    descriptors: Sequence[int]
    """What the process gets: the system-call filter alone; to fetch packages also how names are
    looked up."""
    fetching: bool = False
    """Whether it is the one box that has network and fills a folder of packages, and that runs
    nobody's code."""
    wheels: str = ""
    """The folder of wheels that it may read."""


def refuse(argv: Sequence[str], given: Circumstances) -> None:
    """Raises EngineFault unless `argv` starts a box: everything that closes it is there once, and
    nothing else is."""
    if wrong := _wrong(argv, given):
        raise EngineFault(
            f"This command of a box is not allowed: {wrong}.",
            "Restore the folder `sandboxes`, or report this.",
        )


def _wrong(argv: Sequence[str], given: Circumstances) -> str:
    """What is not allowed; "" when all is."""
    if not all(type(word) is str and "\0" not in word for word in argv):
        return "a word that is no text"
    words = iter(argv)
    entering = _between(words, ["sh", "-ec"], ["sh", *(_AS_ANOTHER if given.root else [])])
    entered = _ENTERING.fullmatch(entering or "")
    if entered is None:
        return "how it is entered"
    doors = [door.strip("'") for door in re.findall(_DOOR, entered[1])]
    groups = [door.removesuffix("/cgroup.procs") for door in doors]
    names = [_group_name(group) for group in groups]
    if (
        "" in names
        or len(set(names)) > 1
        or any(d == g for d, g in zip(doors, groups, strict=True))
    ):
        return "its control group"
    chain = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    rooms = _ROOMS.fullmatch(_between(words, chain, ["sh", "bwrap"]) or "")
    if rooms is None or any(int(size) > _LARGEST_ROOM for size in rooms.groups()[::2]):
        return "its rooms"
    walls = _Walls()
    rest = _read(words, walls)
    if isinstance(rest, str):
        return rest
    return (
        _flags(walls, given)
        or _mounts(walls, given, groups)
        or _variables(walls)
        or _limits(rest, _FETCHING_LIMITS if given.fetching else _LIMITS, grouped=bool(doors))
    )


def _between(words: Iterator[str], before: list[str], after: list[str]) -> str | None:
    """The word between these; None when they aren't the next ones."""
    if any(next(words, None) != word for word in before):
        return None
    found = next(words, None)
    return None if any(next(words, None) != word for word in after) else found


def _group_name(folder: str) -> str:
    found = _GROUP.fullmatch(folder)
    return found[1] if found and not {".", ".."} & {*folder.split("/")} else ""


def _read(words: Iterator[str], walls: _Walls) -> list[str] | str:
    """Takes bwrap's options; the words after them, or what is wrong with one."""
    for word in words:
        if not word.startswith("-"):
            return [word, *words]
        if word in _FLAGS or word == _NETWORK:
            walls.flags[word] += 1
            continue
        many = _MOUNTS.get(word, 2 if word == "--setenv" else 1)
        given = [next(words, "") for _ in range(many)]
        if word in _VALUES:
            if word in walls.values or not _VALUES[word].fullmatch(given[0]):
                return f"{word} {given[0][:100]}"
            walls.values[word] = given[0]
        elif word == "--setenv":
            if given[0] in walls.variables:
                return f"{given[0][:100]} twice"
            walls.variables[given[0]] = given[1]
        elif word == _READ_ONLY:
            # what is mounted after it would be open again
            if given[0] in walls.closed or (given[0] != "/" and given[0] not in walls.mounts):
                return f"{word} {given[0][:100]}"
            walls.closed.add(given[0])
        elif word in _MOUNTS:
            *source, target = given
            if _covers(target, walls):
                return f"{word} {target[:100]}"
            walls.mounts[target] = (word, *source)
        else:
            return word[:100]
        if word == "--dir" and "/" in walls.closed:
            return "a folder after its system was closed"
    return "no command"


def _covers(target: str, walls: _Walls) -> bool:
    """Whether a mount would hide an earlier one, or comes after the system was closed."""
    path = PurePosixPath(target)
    plain = target.startswith("/") and str(path) == target and ".." not in path.parts
    hidden = any(PurePosixPath(known).is_relative_to(path) for known in walls.mounts)
    return not plain or hidden or "/" in walls.closed


def _flags(walls: _Walls, given: Circumstances) -> str:
    if walls.flags[_NETWORK] > given.fetching:
        return "the machine's network"
    if missing := sorted(flag for flag in _FLAGS if walls.flags[flag] != 1):
        return f"{missing[0]} not once"
    if missing := sorted(_VALUES.keys() - walls.values.keys()):
        return f"no {missing[0]}"
    data = [mount[1] for mount in walls.mounts.values() if mount[0] == "--ro-bind-data"]
    if [walls.values["--seccomp"], *data] != [str(each) for each in given.descriptors]:
        return "its descriptors"
    size = os.fstat(given.descriptors[0]).st_size
    at = os.lseek(given.descriptors[0], 0, os.SEEK_CUR)
    return "its system-call filter" if size == 0 or size % 8 or at else ""


def _mounts(walls: _Walls, given: Circumstances, groups: Sequence[str]) -> str:
    name = "packages" if given.fetching else "(python|browser)"
    environment = re.compile(re.escape(str(given.boxes)) + rf"/{name}-[0-9a-f]{{12}}")
    option, *source = walls.mounts.get("/opt/vibe", ("",))
    if option != "--ro-bind" or not environment.fullmatch(source[0]):
        return "its environment"
    for target, mount in walls.mounts.items():
        fitting = _packages(target, mount, given)
        if fitting is False or (fitting is None and not _allowed(target, mount, source[0], groups)):
            return f"{' '.join(mount)} {target}"[:200]
    hidden = {f"/proc/{part}" for part in _HIDDEN if Path("/proc", part).exists()}
    wanted = {"/etc", "/opt/vibe", *_FIXED} | ({"/cache"} if given.fetching else set())
    if missing := sorted((wanted | hidden) - walls.mounts.keys()):
        return f"no {missing[0]}"
    empty = {target for target, mount in walls.mounts.items() if mount[0] == "--tmpfs"}
    still_open = sorted(({"/", "/dev"} | empty) ^ walls.closed)
    return f"{still_open[0]} can be written" if still_open else ""


def _packages(target: str, mount: tuple[str, ...], given: Circumstances) -> bool | None:
    """Whether a box may have this there, if it is about packages; None when it isn't."""
    key = re.escape(str(given.packages)) + "/[0-9a-f]{64}"
    if target == "/packages":
        option, folder = ("--bind", rf"{key}\.part") if given.fetching else ("--ro-bind", key)
        return mount[0] == option and bool(re.fullmatch(f"{folder}/packages", mount[-1]))
    if not given.fetching:
        return None
    if target == "/cache":
        return mount == ("--bind", f"{given.packages}/cache")
    if target == "/wheels":
        return bool(given.wheels) and mount == ("--ro-bind", given.wheels)
    return mount[0] == "--ro-bind-data" if target == "/etc/resolv.conf" else None


def _allowed(target: str, mount: tuple[str, ...], environment: str, groups: Sequence[str]) -> bool:
    """Whether a box may have this there."""
    if target in _FIXED:
        return mount == _FIXED[target]
    first, _, rest = target.removeprefix("/").partition("/")
    itself = ("--ro-bind", target)
    if target in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        return mount in (itself, ("--symlink", f"usr/{first}"))
    if first == "proc" and rest in _HIDDEN:
        return mount in (("--tmpfs",), ("--ro-bind", "/dev/null"))
    if target == "/etc":
        return mount == ("--ro-bind", f"{environment}/box-etc")
    if first == "etc":
        return rest in _SYSTEM and mount == itself
    if target == "/opt/vibe":
        return mount == ("--ro-bind", environment)
    if target in ("/sys/fs/cgroup", "/sys/fs/cgroup/memory"):
        return mount[0] == "--ro-bind" and mount[1] in groups
    return mount == itself and _is_own_python(target)


def _is_own_python(folder: str) -> bool:
    """Whether it is the installation of the Python that Vibe runs on, and nothing above it."""
    return (
        folder == sys.base_prefix
        and len(PurePosixPath(folder).parts) > 2
        and not Path.home().is_relative_to(folder)
        and Path(folder, "bin", "python3").exists()
    )


def _variables(walls: _Walls) -> str:
    given = walls.variables
    if ("PYTHONPATH" in given) and walls.mounts.get("/packages", ("",))[0] != "--ro-bind":
        return "the variable PYTHONPATH"
    for name, value in given.items():
        if not _ENV.fullmatch(f"{name}={value}"):
            return f"the variable {name[:100]}"
    return "" if {"HOME", "PATH"} <= given.keys() else "no HOME or no PATH"


def _limits(words: list[str], limits: Mapping[str, range], *, grouped: bool) -> str:
    """What is wrong with the limits, or with the program that they are for."""
    if words[-len(_RUNNER) :] != _RUNNER or words[0] != "/usr/bin/prlimit":
        return "its program"
    found: dict[str, str] = {}
    for word in words[1 : -len(_RUNNER)]:
        name, _, value = word.partition("=")
        if name in found or name not in limits or not re.fullmatch("0|[1-9][0-9]{0,11}", value):
            return f"the limit {word[:100]}"
        if int(value) not in limits[name]:
            return f"the limit {word[:100]}"
        found[name] = value
    wanted = limits.keys() - ({"--data"} if grouped else set())
    missing = sorted(wanted - found.keys())
    return f"no limit {missing[0]}" if missing else ""
