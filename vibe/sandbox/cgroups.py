"""Control groups of boxes that no daemon makes: limits for all of a box's processes together."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vibe.sandbox.policy import MIB, Allowance

FOLDER = "vibe.boxes"
WANTED = ("memory", "pids", "cpu")
PERIOD_US = 100_000
REMOVAL_S = 2.0
MOUNTS = Path("/proc/self/mountinfo")
OWN = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class Places:
    """Where this process may make groups."""

    version: int
    """1 or 2."""
    folders: Mapping[str, Path]
    """Controller → folder for boxes' groups; the same one for all with version 2."""


def find(mounts: Path = MOUNTS, own: Path = OWN) -> Places | None:
    """Where groups with a limit of memory, processes and processor time can be made; None when
    nowhere: then only single processes can be limited."""
    try:
        hierarchies = _hierarchies(mounts.read_text(), own.read_text())
        one = _version_1(hierarchies)
        return one or _version_2(hierarchies)
    except (OSError, ValueError):
        return None


def _hierarchies(mounts: str, own: str) -> dict[str, tuple[Path, Path]]:
    """Controller (`""` for version 2) → its mount point, and this process's own group."""
    paths: dict[str, str] = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path)
    found = {}
    for line in mounts.splitlines():
        front, _, back = line.partition(" - ")
        kind, _, options = back.split(" ", 2)
        root, mount = front.split(" ")[3:5]
        if kind not in ("cgroup", "cgroup2"):
            continue
        for name in [""] if kind == "cgroup2" else options.split(","):
            if name in paths:
                inside = paths[name].removeprefix(root.rstrip("/")).lstrip("/")
                here = Path(mount) / inside
                found[name] = (Path(mount), here if here.is_dir() else Path(mount))
    return found


def _version_1(hierarchies: Mapping[str, tuple[Path, Path]]) -> Places | None:
    if not all(name in hierarchies for name in WANTED):
        return None
    folders = {name: hierarchies[name][1] / FOLDER for name in WANTED}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    return Places(1, folders)


def _version_2(hierarchies: Mapping[str, tuple[Path, Path]]) -> Places | None:
    """The nearest group from this one's up that may have groups with these controllers below."""
    if "" not in hierarchies:
        return None
    mount, here = hierarchies[""]
    enable = " ".join(f"+{name}" for name in WANTED)
    for group in (here, *here.parents):
        if not group.is_relative_to(mount):
            break
        with contextlib.suppress(OSError):
            if not set(WANTED) <= set((group / "cgroup.subtree_control").read_text().split()):
                continue
            if not os.access(group / "cgroup.procs", os.W_OK):
                continue  # what starts here couldn't be moved to below it
            folder = group / FOLDER
            folder.mkdir(exist_ok=True)
            (folder / "cgroup.subtree_control").write_text(enable)
            return Places(2, dict.fromkeys(WANTED, folder))
    return None


class Group:
    """The group of one box; made with its limits, ended by `remove`."""

    def __init__(self, places: Places, name: str, allowance: Allowance, cpus: float) -> None:
        """Raises OSError when it can't be made."""
        self._version = places.version
        self._folders = {key: folder / name for key, folder in places.folders.items()}
        bytes_, quota = allowance.memory * MIB, int(min(allowance.cpus, cpus) * PERIOD_US)
        for folder in {*self._folders.values()}:
            folder.mkdir()
        memory, pids, cpu = (self._folders[name] for name in WANTED)
        if self._version == 1:
            (memory / "memory.limit_in_bytes").write_text(str(bytes_))
            (pids / "pids.max").write_text(str(allowance.pids))
            (cpu / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (cpu / "cpu.cfs_quota_us").write_text(str(quota))
            swap, value = memory / "memory.memsw.limit_in_bytes", bytes_
        else:
            (memory / "memory.max").write_text(str(bytes_))
            (pids / "pids.max").write_text(str(allowance.pids))
            (cpu / "cpu.max").write_text(f"{quota} {PERIOD_US}")
            swap, value = memory / "memory.swap.max", 0
        if swap.exists():  # else the kernel doesn't count swap
            swap.write_text(str(value))

    @property
    def doors(self) -> list[Path]:
        """The files that a process writes itself into to be in the group."""
        return sorted({folder / "cgroup.procs" for folder in self._folders.values()})

    @property
    def shown(self) -> tuple[Path, str]:
        """What the box may read of its group, and where the runner looks for it."""
        within = "/sys/fs/cgroup/memory" if self._version == 1 else "/sys/fs/cgroup"
        return self._folders["memory"], within

    def kills(self) -> int:
        """How often the kernel has killed something of the group for memory."""
        name = "memory.oom_control" if self._version == 1 else "memory.events"
        with contextlib.suppress(OSError, ValueError):
            for line in (self._folders["memory"] / name).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        return 0

    def remove(self) -> bool:
        """Kills what is left in it; False when it won't go. Blocks for up to REMOVAL_S."""
        return _all_removed(self._folders.values())


def groups(places: Places) -> list[str]:
    """Names of the boxes' groups that are there."""
    found = {
        path.name
        for folder in {*places.folders.values()}
        if folder.is_dir()
        for path in folder.iterdir()
        if path.is_dir()
    }
    return sorted(found)


def remove(places: Places, name: str) -> bool:
    """Ends the group of that name with all that is in it; False when it won't go."""
    return _all_removed(folder / name for folder in places.folders.values())


def _all_removed(folders: Iterable[Path]) -> bool:
    gone = [_removed(folder) for folder in {*folders}]
    return all(gone)


def _removed(folder: Path) -> bool:
    until = time.monotonic() + REMOVAL_S
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            if time.monotonic() > until:
                return False
            with contextlib.suppress(OSError):
                for pid in (folder / "cgroup.procs").read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.01)
        else:
            return True
