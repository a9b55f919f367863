"""The box's settings: the builder stays inside the list, and the list refuses every loosening."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vibe.errors import EngineFault
from vibe.sandbox import fetching_policy, policy
from vibe.settings import SANDBOXES

IMAGE = "sha256:" + "ab" * 32
LABELS = policy.Labels(gallery="g", owner="o", app="tip-calculator-3f9a1c", deadline=1_700_000_000)


def built(image: str = "python") -> dict[str, Any]:
    loaded = policy.load(SANDBOXES / "policy.yaml")
    return policy.settings(loaded, image, IMAGE, LABELS, cpus=2)


@pytest.mark.parametrize("image", ["python", "browser"])
def test_what_the_policy_builds_is_allowed(image: str) -> None:
    policy.refuse(built(image))


def test_a_machine_with_one_processor_gets_no_more_than_one() -> None:
    loaded = policy.load(SANDBOXES / "policy.yaml")
    wanted = policy.settings(loaded, "browser", IMAGE, LABELS, cpus=1)
    assert wanted["HostConfig"]["NanoCpus"] == 10**9


WORK = "rw,nosuid,nodev,exec,size=1m,nr_inodes=9,uid=10001,gid=10001,mode=0755"
TEMPORARY = "rw,nosuid,nodev,noexec,size=1m,nr_inodes=9,mode=1777"
LIMITS = [{"Name": name, "Soft": 4096, "Hard": 4096} for name in ("nofile", "fsize", "core")]
HOST = [
    ("Privileged", True),
    ("Privileged", False),
    ("Binds", ["/:/host"]),
    ("Mounts", [{"Type": "bind", "Source": "/", "Target": "/x"}]),
    ("Devices", [{"PathOnHost": "/dev/kvm"}]),
    ("CapAdd", ["SYS_ADMIN"]),
    ("CapDrop", []),
    ("CapDrop", ["NET_RAW"]),
    ("NetworkMode", "bridge"),
    ("NetworkMode", "host"),
    ("NetworkMode", "container:abc"),
    ("PortBindings", {"80/tcp": [{"HostPort": "80"}]}),
    ("PidMode", "host"),
    ("IpcMode", "host"),
    ("IpcMode", "shareable"),
    ("UTSMode", "host"),
    ("UsernsMode", "host"),
    ("CgroupParent", "/"),
    ("SecurityOpt", []),
    ("SecurityOpt", ["no-new-privileges:true", "seccomp=unconfined"]),
    ("SecurityOpt", ["no-new-privileges:true", "apparmor=unconfined"]),
    ("SecurityOpt", ["no-new-privileges:true", "seccomp="]),
    ("SecurityOpt", ["no-new-privileges:true", "seccomp=/etc/passwd"]),
    ("SecurityOpt", ["no-new-privileges:true", 'seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']),
    ("SecurityOpt", ["no-new-privileges:true"]),
    ("SecurityOpt", "no-new-privileges:true"),
    ("CgroupnsMode", "host"),
    ("ReadonlyRootfs", False),
    ("ReadonlyRootfs", 1),
    ("MaskedPaths", []),
    ("ReadonlyPaths", []),
    ("Memory", 0),
    ("Memory", -1),
    ("Memory", True),
    ("Memory", 1 << 40),
    ("MemorySwap", -1),
    ("MemorySwap", 2 << 30),
    ("NanoCpus", 0),
    ("PidsLimit", 0),
    ("PidsLimit", -1),
    ("PidsLimit", 100_000),
    ("OomKillDisable", True),
    ("OomScoreAdj", -500),
    ("Runtime", "evil"),
    ("Sysctls", {"net.ipv4.ip_forward": "1"}),
    ("VolumesFrom", ["abc"]),
    ("ExtraHosts", ["host.docker.internal:host-gateway"]),
    ("GroupAdd", ["docker"]),
    ("LogConfig", {"Type": "json-file", "Config": {}}),
    ("RestartPolicy", {"Name": "always"}),
    ("AutoRemove", False),
    ("Init", True),
    ("Tmpfs", {}),
    ("Tmpfs", {"/work": "rw"}),
    ("Tmpfs", {"/work": "rw,suid,dev,exec,size=1m", "/tmp": "rw"}),
    ("Tmpfs", {"/work": WORK.replace("=1m", "=0m"), "/tmp": TEMPORARY}),
    ("Tmpfs", {"/work": WORK.replace("s=9", "s=0"), "/tmp": TEMPORARY}),
    ("Tmpfs", {"/work": WORK, "/tmp": TEMPORARY.replace("noexec", "exec")}),
    ("Tmpfs", {"/work": WORK, "/tmp": TEMPORARY, "/opt": TEMPORARY}),
    ("Tmpfs", {"/work": WORK.replace("=1m", "=\u0663m"), "/tmp": TEMPORARY}),
    ("Ulimits", [{"Name": "core", "Soft": 9, "Hard": 9}, *LIMITS]),
    ("Ulimits", [*LIMITS, LIMITS[0]]),
    ("Ulimits", [{**LIMITS[0], "Soft": 1}, *LIMITS[1:]]),
    ("Ulimits", [{**LIMITS[0], "Soft": -1, "Hard": -1}, *LIMITS[1:]]),
    ("Ulimits", []),
    ("Ulimits", None),
    ("Ulimits", [{"Name": "nofile", "Soft": 1, "Hard": 1 << 20}]),
    ("Ulimits", "none"),
]


@pytest.mark.parametrize(("key", "value"), HOST)
def test_any_loosening_of_the_host_settings_is_refused(key: str, value: Any) -> None:
    wanted = built()
    wanted["HostConfig"][key] = value
    with pytest.raises(EngineFault, match=key):
        policy.refuse(wanted)


VOLUME = {
    "Type": "volume",
    "Source": "vibe-packages-" + "a" * 64,
    "Target": "/packages",
    "ReadOnly": True,
    "VolumeOptions": {"NoCopy": True},
}


def test_a_box_may_have_its_packages_and_no_other_mount() -> None:
    loaded = policy.load(SANDBOXES / "policy.yaml")
    wanted = policy.settings(loaded, "python", IMAGE, LABELS, cpus=2, packages="a" * 64)
    assert wanted["HostConfig"]["Mounts"] == [VOLUME]
    assert "PYTHONPATH=/packages" in wanted["Env"]
    policy.refuse(wanted)


@pytest.mark.parametrize(
    "change",
    [
        {"ReadOnly": False},
        {"Type": "bind"},
        {"Type": "bind", "Source": "/"},
        {"Source": "vibe-packages-cache"},
        {"Source": "vibe-packages-" + "a" * 63},
        {"Source": "vibe-packages-" + "A" * 64},
        {"Source": ""},
        {"Target": "/work"},
        {"Target": "/packages/"},
        {"VolumeOptions": {}},
        {"VolumeOptions": {"NoCopy": True, "DriverConfig": {"Name": "local", "Options": {}}}},
        {"BindOptions": {"Propagation": "shared"}},
        {"Consistency": "default"},
    ],
)
def test_any_other_mount_is_refused(change: dict[str, Any]) -> None:
    wanted = built()
    wanted["HostConfig"]["Mounts"] = [{**VOLUME, **change}]
    with pytest.raises(EngineFault, match="Mounts"):
        policy.refuse(wanted)


def test_two_volumes_at_one_place_are_refused() -> None:
    wanted = built()
    wanted["HostConfig"]["Mounts"] = [VOLUME, {**VOLUME, "Source": "vibe-packages-" + "b" * 64}]
    with pytest.raises(EngineFault, match="Mounts"):
        policy.refuse(wanted)


def fetching(**changes: Any) -> dict[str, Any]:
    loaded = policy.load(SANDBOXES / "policy.yaml")
    values = {"volume": "vibe-packages-" + "a" * 64, "wheels": "", "network": "bridge", **changes}
    return fetching_policy.settings(IMAGE, LABELS, cpus=2, seccomp=loaded.seccomp, **values)


@pytest.mark.parametrize(
    "changes",
    [{}, {"volume": ""}, {"network": "host"}, {"network": "none"}, {"wheels": "/srv/wheels"}],
)
def test_the_box_that_fetches_is_allowed_what_it_needs(changes: dict[str, Any]) -> None:
    fetching_policy.refuse(fetching(**changes), changes.get("wheels", ""))


def test_an_ordinary_box_is_never_allowed_what_the_fetching_one_has() -> None:
    with pytest.raises(EngineFault):
        policy.refuse(fetching())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NetworkMode", "container:abc"),
        ("Privileged", True),
        ("CapDrop", []),
        ("SecurityOpt", ["no-new-privileges:true", "seccomp=unconfined"]),
        ("ReadonlyRootfs", False),
        ("Memory", -1),
        ("Mounts", [{"Type": "bind", "Source": "/", "Target": "/wheels", "ReadOnly": True}]),
        ("Mounts", [{"Type": "bind", "Source": "/srv", "Target": "/wheels", "ReadOnly": False}]),
        ("Mounts", [{"Type": "bind", "Source": "/srv", "Target": "/cache", "ReadOnly": True}]),
        ("Mounts", [{"Type": "volume", "Source": "x", "Target": "/cache", "ReadOnly": False}]),
    ],
)
def test_any_loosening_of_the_fetching_box_is_refused(key: str, value: Any) -> None:
    wanted = fetching(wheels="/srv")
    wanted["HostConfig"][key] = value
    with pytest.raises(EngineFault):
        fetching_policy.refuse(wanted, "/srv")


def test_the_fetching_box_has_no_secret_in_its_settings() -> None:
    wanted = fetching()
    wanted["Env"].append("UV_DEFAULT_INDEX=https://me:hush@host/simple")
    with pytest.raises(EngineFault, match="Env"):
        fetching_policy.refuse(wanted, "")


BOX = [
    ("Image", "vibe-python:latest"),
    ("Image", "python:3"),
    ("Image", "sha256:abc"),
    ("User", "root"),
    ("User", "10001"),
    ("User", ""),
    ("Cmd", ["sh"]),
    ("Cmd", ["python", "-c", "print()"]),
    ("Entrypoint", ["sh"]),
    ("WorkingDir", "/proc/self/fd/8"),
    ("Env", ["LD_PRELOAD=/work/x.so"]),
    ("Env", ["PYTHONSTARTUP=/work/x.py"]),
    ("Env", ["OPENAI_API_KEY=sk-x"]),
    ("Env", ["HOME=/tmp\nLD_PRELOAD=x"]),
    ("Env", ["PATH=/work/bin:/usr/bin"]),
    ("Env", ["HOME=/work"]),
    ("Env", ["MPLBACKEND=module://evil"]),
    ("Env", "HOME=/tmp"),
    ("Labels", {}),
    ("Labels", {"vibe": "1", "com.docker.compose.project": "x"}),
    ("Tty", True),
    ("StdinOnce", False),
    ("NetworkDisabled", False),
    ("Volumes", {"/x": {}}),
    ("ExposedPorts", {"80/tcp": {}}),
    ("Healthcheck", {"Test": ["CMD", "x"]}),
    ("OnBuild", []),
    ("NetworkingConfig", {"EndpointsConfig": {"bridge": {}}}),
]


@pytest.mark.parametrize(("key", "value"), BOX)
def test_any_change_of_the_box_settings_is_refused(key: str, value: Any) -> None:
    wanted = built()
    wanted[key] = value
    with pytest.raises(EngineFault, match=key):
        policy.refuse(wanted)


def test_every_setting_must_be_there() -> None:
    for key in built():
        wanted = built()
        del wanted[key]
        with pytest.raises(EngineFault, match=key):
            policy.refuse(wanted)
    for key in built()["HostConfig"]:
        wanted = copy.deepcopy(built())
        del wanted["HostConfig"][key]
        with pytest.raises(EngineFault, match=key):
            policy.refuse(wanted)


def test_a_label_with_odd_letters_is_refused() -> None:
    wanted = built()
    wanted["Labels"]["vibe.app"] = "x\ny"
    with pytest.raises(EngineFault, match=r"vibe\.app"):
        policy.refuse(wanted)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "images: 3",
        "seccomp: seccomp.json\nenv: {}\nimages: {python: {memory: 1}}",
        "seccomp: unconfined\nenv: {}\nimages: {}",
        "seccomp: broken.json\nenv: {}\nimages: {}",
        "seccomp: 3\nenv: {}\nimages: {}",
        "env: {}\nimages: {}",
        "seccomp: seccomp.json\nenv: {}\nimages: {}\nprivileged: true",
        "{",
    ],
)
def test_a_policy_that_makes_no_sense_is_a_fault(tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.yaml").write_text(text)
    (tmp_path / "seccomp.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(EngineFault):
        policy.load(tmp_path / "policy.yaml")


def test_a_missing_policy_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(EngineFault, match=r"policy\.yaml"):
        policy.load(tmp_path / "policy.yaml")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=4,
)


def places(given: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in some settings."""
    found = [path] if path else []
    if isinstance(given, dict):
        return found + [p for key in given for p in places(given[key], (*path, key))]
    if isinstance(given, list):
        return found + [p for at in range(len(given)) for p in places(given[at], (*path, at))]
    return found


@settings(max_examples=300, deadline=None)
@given(st.data(), JUNK)
def test_no_value_anywhere_can_be_replaced_by_something_odd(data: st.DataObject, junk: Any) -> None:
    wanted = built(data.draw(st.sampled_from(["python", "browser"])))
    *path, last = data.draw(st.sampled_from(places(wanted)))
    holder: Any = wanted
    for step in path:
        holder = holder[step]
    before = holder[last]
    holder[last] = junk
    try:
        policy.refuse(wanted)
    except EngineFault:
        return
    # what is let through is of the same sort, and one of the few parts that may vary at all
    assert type(junk) is type(before)
    varies = "Labels Env Memory MemorySwap NanoCpus PidsLimit ShmSize Ulimits OomScoreAdj Runtime"
    assert junk == before or set(varies.split()) & {last, *path}


@given(st.data(), st.text(min_size=1, max_size=12), JUNK)
def test_no_key_can_be_added_anywhere(data: st.DataObject, key: str, junk: Any) -> None:
    wanted = built()
    mappings = [(), *(p for p in places(wanted) if isinstance(dig(wanted, p), dict))]
    holder = dig(wanted, data.draw(st.sampled_from(mappings)))
    assume(key not in holder)
    holder[key] = junk
    with pytest.raises(EngineFault):
        policy.refuse(wanted)


def dig(given: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        given = given[step]
    return given
