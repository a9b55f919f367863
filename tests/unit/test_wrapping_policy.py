"""A bubblewrap box's command: what is built is let through, every loosening of it is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vibe.errors import EngineFault
from vibe.sandbox import policy
from vibe.sandbox.wrapping import FETCHING, FETCHING_ENV, Fetching, command
from vibe.sandbox.wrapping_policy import Circumstances, refuse
from vibe.settings import SANDBOXES

BOXES = Path("/var/lib/vibe/boxes")
NAME = "0123456789abcdef.owner-1." + "a" * 32
GROUP = Path("/sys/fs/cgroup/memory/user@1000.service/app-a\\x2db one.scope/vibe.boxes") / NAME
PLAIN = Path("/sys/fs/cgroup/cpu/vibe.boxes") / NAME
PACKAGES = Path("/var/lib/vibe/packages")
KEY = "0123456789abcdef" * 4
RULES = policy.load(SANDBOXES / "policy.yaml")


@pytest.fixture(scope="module")
def filter_fd() -> Iterator[int]:
    fd = os.memfd_create("filter")
    os.write(fd, bytes(80))
    os.lseek(fd, 0, os.SEEK_SET)
    yield fd
    os.close(fd)


def built(filter_fd: int, **changes: Any) -> list[str]:
    """The command of an ordinary box, or of one with other circumstances."""
    given: dict[str, Any] = {
        "environment": BOXES / "python-0123456789ab",
        "interpreter": Path("/usr"),
        "allowance": RULES.images["python"],
        "env": RULES.env,
        "name": "a" * 32,
        "root": True,
        "filter_fd": filter_fd,
        "doors": (PLAIN / "cgroup.procs",),
        "shown": (PLAIN, "/sys/fs/cgroup/memory"),
        **changes,
    }
    return command(**given)


def look(argv: list[str], filter_fd: int, **changes: Any) -> None:
    circumstances = Circumstances(BOXES, PACKAGES, root=True, descriptors=[filter_fd])
    refuse(argv, replace(circumstances, **changes))


RESOLVER = 99
"""A descriptor of nothing here: only its number is looked at."""


def fetching(filter_fd: int, **changes: Any) -> list[str]:
    """The command of the box that fetches packages."""
    part = PACKAGES / f"{KEY}.part" / "packages"
    has = Fetching(PACKAGES / "cache", part, Path("/srv/wheels"), True, RESOLVER)
    return built(
        filter_fd,
        environment=BOXES / "packages-0123456789ab",
        allowance=FETCHING,
        env=FETCHING_ENV,
        fetching=replace(has, **changes),
    )


def look_fetching(argv: list[str], filter_fd: int, **changes: Any) -> None:
    more = {"descriptors": [filter_fd, RESOLVER], "fetching": True, "wheels": "/srv/wheels"}
    look(argv, filter_fd, **{**more, **changes})


@pytest.mark.parametrize("image", sorted(RULES.images))
@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("group", [GROUP, PLAIN, None])
def test_what_is_built_is_allowed(
    filter_fd: int, image: str, root: bool, group: Path | None
) -> None:
    circumstances: dict[str, Any] = {"doors": (), "shown": None}
    if group is not None:
        circumstances = {"doors": (group / "cgroup.procs",), "shown": (group, "/sys/fs/cgroup")}
    argv = built(filter_fd, allowance=RULES.images[image], root=root, **circumstances)
    look(argv, filter_fd, root=root)


def test_a_box_may_have_the_packages_of_one_lock_read_only(filter_fd: int) -> None:
    argv = built(filter_fd, packages=PACKAGES / KEY / "packages")
    look(argv, filter_fd)
    at = argv.index("/packages") - 1
    for folder in (PACKAGES, PACKAGES / KEY, PACKAGES / f"{KEY}.part" / "packages", BOXES, "/home"):
        with pytest.raises(EngineFault, match="/packages"):
            look([*argv[:at], str(folder), *argv[at + 1 :]], filter_fd)
    with pytest.raises(EngineFault, match="/packages"):
        look([*argv[: at - 1], "--bind", *argv[at:]], filter_fd)
    with pytest.raises(EngineFault, match="PYTHONPATH"):
        look([*argv[: at - 1], *argv[at + 2 :]], filter_fd)


@pytest.mark.parametrize(
    "changes",
    [{}, {"target": None}, {"wheels": None}, {"network": False}, {"wheels": None, "target": None}],
)
def test_the_box_that_fetches_has_network_and_places_to_fill(
    filter_fd: int, changes: dict[str, Any]
) -> None:
    look_fetching(fetching(filter_fd, **changes), filter_fd)


@pytest.mark.parametrize(
    "changes",
    [
        {"cache": Path("/home")},
        {"cache": PACKAGES},
        {"target": Path("/home")},
        {"target": PACKAGES / KEY / "packages"},
        {"target": PACKAGES / f"{KEY}.part"},
        {"wheels": Path("/root")},
        {"resolver_fd": 0},
    ],
)
def test_the_box_that_fetches_gets_no_other_folder_of_the_machine(
    filter_fd: int, changes: dict[str, Any]
) -> None:
    with pytest.raises(EngineFault, match="not allowed"):
        look_fetching(fetching(filter_fd, **changes), filter_fd)


def test_no_program_runs_where_there_is_network_and_nothing_is_fetched_where_programs_run(
    filter_fd: int,
) -> None:
    """Each of the two commands is refused for the other's purpose, by every difference alone."""
    with pytest.raises(EngineFault, match="network"):
        look(fetching(filter_fd), filter_fd)
    with pytest.raises(EngineFault, match="not allowed"):
        look(fetching(filter_fd, network=False), filter_fd)
    with pytest.raises(EngineFault, match="not allowed"):
        look_fetching(built(filter_fd), filter_fd)
    argv = fetching(filter_fd)
    at = argv.index(str(BOXES / "packages-0123456789ab"))
    with pytest.raises(EngineFault, match="environment"):
        look_fetching([*argv[:at], str(BOXES / "python-0123456789ab"), *argv[at + 1 :]], filter_fd)
    plain = built(filter_fd)
    at = plain.index("--remount-ro", plain.index("--dir"))
    for words in (
        ["--bind", str(PACKAGES / "cache"), "/cache"],
        ["--bind", str(PACKAGES / f"{KEY}.part" / "packages"), "/packages"],
        ["--ro-bind", "/srv/wheels", "/wheels"],
        ["--ro-bind-data", str(RESOLVER), "/etc/resolv.conf"],
    ):
        with pytest.raises(EngineFault, match="not allowed"):
            look([*plain[:at], *words, *plain[at:]], filter_fd)


LOOSER = [
    ["--share-net"],
    ["--cap-add", "ALL"],
    ["--cap-add", "CAP_SYS_ADMIN"],
    ["--bind", "/", "/host"],
    ["--bind", "/home", "/home"],
    ["--bind", "/usr", "/usr"],
    ["--bind", "/run/work", "/usr"],
    ["--ro-bind", "/", "/host"],
    ["--ro-bind", "/home", "/home"],
    ["--ro-bind", "/root", "/root"],
    ["--ro-bind", "/etc", "/etc"],
    ["--ro-bind", "/etc/shadow", "/etc/shadow"],
    ["--ro-bind", "/var/run/docker.sock", "/run/docker.sock"],
    ["--ro-bind", "/var/lib/vibe/boxes", "/opt/boxes"],
    ["--ro-bind-try", "/home", "/home"],
    ["--dev-bind", "/dev", "/dev"],
    ["--dev-bind", "/", "/"],
    ["--dev", "/dev2"],
    ["--proc", "/proc2"],
    ["--proc", "/proc"],
    ["--tmpfs", "/home"],
    ["--tmpfs", "/proc"],
    ["--overlay-src", "/"],
    ["--mqueue", "/dev/mqueue"],
    ["--file", "9", "/etc/passwd"],
    ["--bind-data", "9", "/etc/passwd"],
    ["--ro-bind-data", "9", "/etc/passwd"],
    ["--symlink", "/home", "/work/home"],
    ["--symlink", "/", "/bin"],
    ["--dir", "/home"],
    ["--chmod", "0777", "/"],
    ["--perms", "0777"],
    ["--setenv", "LD_PRELOAD", "/work/x.so"],
    ["--setenv", "OPENAI_API_KEY", "sk-x"],
    ["--setenv", "PYTHONSTARTUP", "/work/x.py"],
    ["--unsetenv", "HOME"],
    ["--uid", "0"],
    ["--gid", "0"],
    ["--chdir", "/proc/self/fd/8"],
    ["--seccomp", "9"],
    ["--add-seccomp-fd", "9"],
    ["--userns", "9"],
    ["--pidns", "9"],
    ["--args", "9"],
    ["--sync-fd", "9"],
    ["--info-fd", "9"],
    ["--block-fd", "9"],
    ["--lock-file", "/work/x"],
    ["--exec-label", "x"],
    ["--unshare-net"],
    ["--unshare-user-try"],
    ["--assert-userns-disabled"],
    ["--level-prefix"],
    ["--"],
    ["-x"],
    ["--remount-ro", "/work"],
    ["--bind", "/run/work", "/work"],
    ["--bind", "/run/../home", "/work/x"],
    ["--ro-bind", "/usr/../root", "/usr/x"],
]


@pytest.mark.parametrize("words", LOOSER, ids=" ".join)
def test_no_other_option_is_allowed_wherever_it_stands(filter_fd: int, words: list[str]) -> None:
    argv = built(filter_fd)
    first, last = argv.index("bwrap") + 1, argv.index("/usr/bin/prlimit")
    options = [at for at in range(first, last) if argv[at].startswith("--")]
    for at in (options[0], options[len(options) // 2], options[-1], last):
        with pytest.raises(EngineFault, match="not allowed"):
            look([*argv[:at], *words, *argv[at:]], filter_fd)
    argv = fetching(filter_fd)  # neither is it in the box that fetches, a second network included
    at = argv.index("--dir")
    with pytest.raises(EngineFault, match="not allowed"):
        look_fetching([*argv[:at], *words, *argv[at:]], filter_fd)


def test_every_word_is_needed(filter_fd: int) -> None:
    """Left out one by one; and every option of bwrap's with its values, but for those that only
    say how things are on this machine."""
    argv = built(filter_fd)
    for at in range(len(argv)):
        with pytest.raises(EngineFault, match="not allowed"):
            look(argv[:at] + argv[at + 1 :], filter_fd)
    first, last = argv.index("bwrap") + 1, argv.index("/usr/bin/prlimit")
    starts = [at for at in range(first, last) if argv[at].startswith("--")]
    spared = 0
    for at, end in zip(starts, [*starts[1:], last], strict=True):
        target = argv[end - 1]
        harmless = target.startswith(("/etc/", "/sys/fs/", "/bin", "/sbin", "/lib"))
        harmless |= argv[at] == "--setenv" and argv[at + 1] not in ("HOME", "PATH")
        if argv[at] != "--remount-ro" and harmless:
            spared += 1
            continue
        with pytest.raises(EngineFault, match="not allowed"):
            look(argv[:at] + argv[end:], filter_fd)
    assert spared < len(starts) - 20


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--reuid=10001", "--reuid=0"),
        ("--groups=10001", "--init-groups"),
        ("--map-root-user", "--keep-caps"),
        ("--mount", "--mount=/proc/1/ns/mnt"),
        ("--die-with-parent", "--new-session"),
        ("--unshare-all", "--unshare-ipc"),
        ("ALL", "CAP_NET_RAW"),
        ("10001", "0"),
        ("/run/work", "/home"),
        ("/run/tmp", "/run"),
        (str(BOXES / "python-0123456789ab"), "/"),
        (str(BOXES / "python-0123456789ab"), str(BOXES)),
        (str(BOXES / "python-0123456789ab"), "/home/python-0123456789ab"),
        (str(BOXES / "python-0123456789ab"), f"{BOXES}/python-0123456789ab/../../../.."),
        ("/dev/null", "/etc/shadow"),
        ("/usr/bin/prlimit", "/work/prlimit"),
        ("--core=0", "--core=unlimited"),
        ("--nofile=1024", "--nofile=1048576"),
        ("--fsize=268435456", "--fsize=0"),
        ("--nproc=128", "--nproc=100000"),
        ("--nproc=128", "--nproc=\u0661\u0662\u0668"),
        ("--nproc=128", "--pid=1"),
        ("/opt/vibe/bin/python", "/work/python"),
        ("-I", "-i"),
        (str(PLAIN), "/sys/fs/cgroup/memory"),
        (str(PLAIN), "/"),
    ],
)
def test_no_word_can_be_another(filter_fd: int, old: str, new: str) -> None:
    argv = built(filter_fd)
    assert old in argv
    with pytest.raises(EngineFault, match="not allowed"):
        look([new if word == old else word for word in argv], filter_fd)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size=256m", "size=0m"),
        ("size=256m", "size=90000m"),
        ("nr_inodes=16384", "nr_inodes=0"),
        ("nosuid,", ""),
        ("nodev,", "dev,"),
        ("noexec,", ""),
        ('exec "$@"', 'exec "$@"; true'),
        ("mount -t tmpfs", "mount --bind / /run/work; mount -t tmpfs"),
        ("echo 500", "echo -1000"),
        ("cgroup.procs", "cgroup.procs; id > /x"),
        ("cgroup.procs", "tasks"),
        ("cgroup.procs", "$(id)/cgroup.procs"),
        ("/vibe.boxes/", "/other/"),
        ("/vibe.boxes/", "/../vibe.boxes/"),
        (NAME, ".."),
    ],
)
def test_no_line_of_the_shell_can_be_another(filter_fd: int, old: str, new: str) -> None:
    argv = built(filter_fd)
    changed = [w.replace(old, new) if w.startswith(("mount", "echo")) else w for w in argv]
    assert changed != argv
    with pytest.raises(EngineFault, match="not allowed"):
        look(changed, filter_fd)


def test_two_options_can_t_change_places_where_the_order_counts(filter_fd: int) -> None:
    """A mount after its system was closed, or over what hid something, would open it again."""
    argv = built(filter_fd)
    proc = argv.index("--proc")
    late = [*argv[:proc], *argv[proc + 2 :]]
    for place in ("/usr/bin/prlimit", "--chdir"):
        at = late.index(place)
        with pytest.raises(EngineFault, match="not allowed"):
            look([*late[:at], "--proc", "/proc", *late[at:]], filter_fd)
    usr = argv.index("--tmpfs")
    assert argv[usr + 1] == "/usr/local"
    early = [*argv[:usr], *argv[usr + 4 :]]
    at = early.index("--ro-bind")
    with pytest.raises(EngineFault, match="not allowed"):
        look([*early[:at], *argv[usr : usr + 4], *early[at:]], filter_fd)


def test_the_filter_must_be_there_whole_and_alone(filter_fd: int) -> None:
    argv = built(filter_fd)
    for descriptors in ([], [filter_fd + 1], [filter_fd, filter_fd], [0, filter_fd]):
        with pytest.raises(EngineFault, match="descriptors"):
            look(argv, filter_fd, descriptors=descriptors)
    for content, at in ((b"", 0), (bytes(12), 0), (bytes(80), 80)):
        fd = os.memfd_create("filter")
        try:
            os.write(fd, content)
            os.lseek(fd, at, os.SEEK_SET)
            with pytest.raises(EngineFault, match="system-call filter"):
                look(built(fd), fd)
        finally:
            os.close(fd)


def test_root_must_take_on_the_rights_of_another_user(filter_fd: int) -> None:
    with pytest.raises(EngineFault, match="not allowed"):
        look(built(filter_fd, root=False), filter_fd, root=True)
    with pytest.raises(EngineFault, match="not allowed"):
        look(built(filter_fd, root=True), filter_fd, root=False)


def test_memory_is_limited_by_a_group_or_for_each_process(filter_fd: int) -> None:
    alone = built(filter_fd, doors=(), shown=None)
    with pytest.raises(EngineFault, match="--data"):
        look([word for word in alone if not word.startswith("--data")], filter_fd)
    other = (PLAIN.with_name("f" * 16 + ".x." + "b" * 32), "/sys/fs/cgroup/memory")
    with pytest.raises(EngineFault, match="cgroup"):
        look(built(filter_fd, shown=other), filter_fd)


@pytest.mark.parametrize(
    "changes",
    [
        {"allowance": replace(RULES.images["python"], memory=100_000), "doors": (), "shown": None},
        {"allowance": replace(RULES.images["python"], pids=0)},
        {"allowance": replace(RULES.images["python"], work=0)},
        {"allowance": replace(RULES.images["python"], tmp=10**7)},
        {"env": {**RULES.env, "LD_PRELOAD": "/work/x.so"}},
        {"env": {**RULES.env, "HOME": "/work"}},
        {"env": {}},
        {"interpreter": Path("/home")},
        {"interpreter": Path("/")},
        {"environment": Path("/etc")},
        {"name": "../x"},
        {"filter_fd": 0},
    ],
)
def test_a_slip_in_what_the_builder_is_given_is_refused(
    filter_fd: int, changes: dict[str, Any]
) -> None:
    with pytest.raises(EngineFault, match="not allowed"):
        look(built(**{"filter_fd": filter_fd, **changes}), filter_fd)


WORDS = st.sampled_from([word for words in LOOSER for word in words]) | st.text(max_size=12)
VARIES = ("--setenv", "--hostname", "--nofile=", "--fsize=", "--nproc=")


@settings(max_examples=300, deadline=None)
@given(st.data(), WORDS)
def test_no_word_anywhere_can_be_replaced_or_put_in(
    filter_fd: int, data: st.DataObject, junk: str
) -> None:
    argv = built(filter_fd)
    at = data.draw(st.integers(0, len(argv) - 1))
    instead = data.draw(st.booleans())
    assume(argv[at] != junk or not instead)
    changed = [*argv[:at], junk, *argv[at + instead :]]
    try:
        look(changed, filter_fd)
    except EngineFault:
        return
    # what is let through differs only where the machine or the policy may have a say
    assert instead
    assert argv[at].startswith(VARIES) or argv[at - 1] in VARIES, (argv[at], junk)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_two_words_can_be_mixed_up_into_something_looser(
    filter_fd: int, data: st.DataObject
) -> None:
    """Any slice moved elsewhere: refused, or the same walls in another order."""
    argv = built(filter_fd)
    start = data.draw(st.integers(0, len(argv) - 1))
    end = data.draw(st.integers(start + 1, min(len(argv), start + 6)))
    rest = argv[:start] + argv[end:]
    at = data.draw(st.integers(0, len(rest)))
    changed = [*rest[:at], *argv[start:end], *rest[at:]]
    try:
        look(changed, filter_fd)
    except EngineFault:
        return
    assert sorted(changed) == sorted(argv)
    first, last = argv.index("bwrap"), argv.index("/usr/bin/prlimit")
    assert (changed[:first], changed[last:]) == (argv[:first], argv[last:]) or start > last
