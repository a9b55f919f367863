"""Control groups: where they may be made, and what is written there."""

from __future__ import annotations

from pathlib import Path

from vibe.sandbox import cgroups
from vibe.sandbox.policy import Allowance

ALLOWANCE = Allowance(
    memory=1024, cpus=1.0, pids=128, files=1024, file=256, work=1, work_inodes=1, tmp=1,
    tmp_inodes=1, shm=1,
)  # fmt: skip


def tree(tmp_path: Path, delegated: str) -> tuple[Path, Path, Path]:
    """A user's session of systemd, as its files look: mounts, own group, the group above it."""
    above = tmp_path / "cgroup/user.slice/app.slice"
    (above / "shell.scope").mkdir(parents=True)
    for group in (above, above / "shell.scope"):
        (group / "cgroup.procs").touch()
        (group / "cgroup.subtree_control").touch()
    (above / "cgroup.subtree_control").write_text(delegated)
    mounts, own = tmp_path / "mountinfo", tmp_path / "own"
    mounts.write_text(
        "21 1 254:0 / / rw - ext4 /dev/vda rw\n"
        f"30 21 0:26 / {tmp_path}/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    own.write_text("0::/user.slice/app.slice/shell.scope\n")
    return mounts, own, above


def test_a_group_beside_ones_own_has_every_limit(tmp_path: Path) -> None:
    mounts, own, above = tree(tmp_path, "cpu memory pids\n")
    places = cgroups.find(mounts, own)
    assert places is not None
    folder = above / "vibe.boxes"
    assert (places.version, set(places.folders.values())) == (2, {folder})
    assert (folder / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    group = cgroups.Group(places, "box", ALLOWANCE, cpus=0.5)
    assert (folder / "box/memory.max").read_text() == str(1 << 30)
    assert (folder / "box/pids.max").read_text() == "128"
    assert (folder / "box/cpu.max").read_text() == "50000 100000"
    assert group.doors == [folder / "box/cgroup.procs"]
    assert group.kills() == 0
    (folder / "box/memory.events").write_text("oom 3\noom_kill 2\n")
    assert group.kills() == 2
    assert cgroups.groups(places) == ["box"]


def test_without_the_controllers_there_is_no_place(tmp_path: Path) -> None:
    mounts, own, _ = tree(tmp_path, "pids\n")
    assert cgroups.find(mounts, own) is None


def test_a_machine_that_tells_nothing_has_no_place(tmp_path: Path) -> None:
    assert cgroups.find(tmp_path / "none", tmp_path / "none") is None
    (tmp_path / "odd").write_text("odd")
    assert cgroups.find(tmp_path / "odd", tmp_path / "odd") is None
