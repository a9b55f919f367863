"""The repository as a whole: what its files may not say, and that its locks lock."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from vibe.settings import ROOT

# Spelled in two halves, so that this file doesn't say them either.
PACKAGE_HOSTS = [
    first + second
    for first, second in (
        ("py", "pi.org"),
        ("python", "hosted.org"),
        ("deb.deb", "ian.org"),
        ("archive.ub", "untu.com"),
        ("registry-1.dock", "er.io"),
        ("hub.dock", "er.com"),
        ("gh", "cr.io"),
        ("qu", "ay.io"),
        ("npm", "js.org"),
        ("jsdel", "ivr.net"),
        ("un", "pkg.com"),
    )
]
MACHINE_PATHS = [
    re.compile(first + second)
    for first, second in (
        (r"/root/\.py", r"env\b"),
        (r"/Us", r"ers/\w"),
        (r"/work/", r"(main|shared|session)(?![\w.])"),
        (r"/opt/", r"(pypi|wheels)\b"),
    )
]
# And this very checkout's place, unless it is one that programs in boxes have as well.
if len(ROOT.parts) > 2:
    MACHINE_PATHS.append(re.compile(re.escape(str(ROOT)) + r"(?![\w.])"))
LOCKS = [
    "requirements.lock",
    "requirements-dev.lock",
    "sandboxes/python-requirements.txt",
    "sandboxes/browser-requirements.txt",
    "sandboxes/uv-requirements.txt",
]


@pytest.fixture(scope="module")
def tracked() -> dict[str, str]:
    """The text of every file that git tracks."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return {
        str(path.relative_to(ROOT)): path.read_text("utf-8", "replace")
        for path in paths
        if path.is_file() and b"\0" not in path.read_bytes()[:8000]
    }


def test_no_tracked_file_names_a_package_host(tracked: dict[str, str]) -> None:
    naming = [
        (name, host) for name, text in tracked.items() for host in PACKAGE_HOSTS if host in text
    ]
    assert naming == []


def test_no_tracked_file_holds_a_path_of_somebodys_machine(tracked: dict[str, str]) -> None:
    found = [
        (name, match.group())
        for name, text in tracked.items()
        for pattern in MACHINE_PATHS
        if (match := pattern.search(text))
    ]
    assert found == []


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_of_a_lock_has_a_hash_and_no_index_is_named(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    pins = re.split(r"\n(?=[\w.-]+==)", text.strip())
    assert all(re.match(r"[\w.-]+==\S+", pin) for pin in pins)
    assert [pin for pin in pins if "--hash=sha256:" not in pin] == []
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--[\w-]*(index|links|host))", text, re.MULTILINE)


def pins(name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for package, version in re.findall(
        r"^([\w.-]+)==(\S+)", (ROOT / name).read_text("utf-8"), re.MULTILINE
    ):
        found.setdefault(package, set()).add(version)
    return found


def test_the_development_lock_holds_every_pin_of_the_other() -> None:
    development = pins("requirements-dev.lock")
    assert {name: development.get(name) for name in pins("requirements.lock")} == pins(
        "requirements.lock"
    )


def test_the_locks_hold_every_dependency_that_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {
        "requirements.lock": project["dependencies"],
        "requirements-dev.lock": project["optional-dependencies"]["dev"],
    }
    for lock, requirements in declared.items():
        names = {re.split(r"[^\w.-]", text)[0].lower().replace("_", "-") for text in requirements}
        assert names - set(pins(lock)) == set(), f"run `make lock` for {lock}"


def test_what_a_box_offers_is_the_streamlit_that_vibe_was_tried_with() -> None:
    assert (
        pins("sandboxes/python-requirements.txt")["streamlit"]
        == pins("requirements.lock")["streamlit"]
    )


@pytest.mark.parametrize("name", [".ci/run", "tools/prepare", "sandboxes/debian-base.sh"])
def test_a_script_can_be_executed(name: str) -> None:
    path: Path = ROOT / name
    assert path.stat().st_mode & 0o111 == 0o111
    assert path.read_text("utf-8").startswith("#!")
