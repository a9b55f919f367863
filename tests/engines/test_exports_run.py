"""Exported apps of every kind run without Vibe: with uv, from a clone, and with their tests."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import TOOLCHAINS
from tests.engines.exported import MADE_FROM, SAYS, Exported, answer, readme, run

UV = str(Path(sysconfig.get_path("scripts")) / "uv")
KINDS = [
    pytest.param(kind, marks=getattr(pytest.mark, kind)) if kind in TOOLCHAINS else kind
    for kind in MADE_FROM
]


def installed(folder: Path) -> None:
    """What the README says: an environment with the lock."""
    run(folder, UV, "venv", "--quiet", "--python", sys.executable)
    if (folder / "requirements.lock").exists():
        run(folder, UV, "pip", "sync", "--quiet", "requirements.lock")


def start(folder: Path) -> list[str]:
    """The command in the README that starts the app with uv."""
    line = re.search(r"uv run --no-project (python.*?)(?:`|$)", readme(folder), re.M)
    assert line
    return line[1].split()


def first_lines(folder: Path) -> str:
    """The README's first lines for a shell, which build and run the app."""
    lines = re.search(r"```sh\n(.*?)```", readme(folder), re.S)
    assert lines
    return lines[1]


@contextmanager
def serving(folder: Path, command: list[str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The README's command on a free port; its address and its process, ended afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    argv = [re.sub(r"^(5000|8000)$", port, part) for part in command]
    environ = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    environ |= {"STREAMLIT_SERVER_PORT": port, "STREAMLIT_SERVER_HEADLESS": "true"}
    process = subprocess.Popen(argv, cwd=folder, env=environ, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}/", process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.mark.parametrize("kind", MADE_FROM)
def test_the_zip_and_the_git_folder_have_the_same_files(
    kind: str, exported: dict[str, Exported]
) -> None:
    """So what is tried of one of them below holds for the other."""

    def files(folder: Path) -> dict[str, bytes]:
        paths = [path for path in folder.rglob("*") if path.is_file()]
        relative = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        return {path: content for path, content in relative.items() if path[:5] != ".git/"}

    found = exported[kind]
    assert files(found.zip) == files(found.git)
    assert len(files(found.zip)) > 10


@pytest.mark.browser
@pytest.mark.parametrize("kind", KINDS)
def test_its_own_tests_pass_in_the_zip_with_uv(kind: str, exported: dict[str, Exported]) -> None:
    folder = exported[kind].zip
    installed(folder)
    run(folder, UV, "pip", "install", "--quiet", "-r", "tests/requirements.txt")
    said = run(folder, UV, "run", "--quiet", "--no-project", "pytest", "-q", "tests")
    assert re.search(r"[3-9] passed", said), said
    shutil.rmtree(folder / ".venv")


@pytest.mark.parametrize("kind", KINDS)
def test_it_runs_from_the_clone_as_the_readme_says(
    kind: str, exported: dict[str, Exported]
) -> None:
    folder = exported[kind].git
    installed(folder)
    if kind in TOOLCHAINS:
        assert SAYS[kind] in run(folder, "sh", "-ec", first_lines(folder))
        run(folder, "git", "add", "-A")
        assert run(folder, "git", "status", "--porcelain") == ""
        return
    command = [UV, "run", "--quiet", "--no-project", *start(folder)]
    if kind == "script":
        assert SAYS[kind] in run(folder, *command)
    else:
        with serving(folder, command) as (url, process):
            expected = b"Streamlit" if kind == "streamlit" else readme(folder)[2:6].encode()
            assert expected in answer(url, process)
    shutil.rmtree(folder / ".venv")
    run(folder, "git", "add", "-A")
    assert run(folder, "git", "status", "--porcelain") == ""


def test_its_tests_fail_when_the_app_does_not_keep_its_promise(
    exported: dict[str, Exported], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(exported["script"].zip, tmp_path / "copy"))
    (folder / "main.py").write_text("print('nothing of the sort')\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.browser
def test_its_tests_try_what_the_checks_say(exported: dict[str, Exported], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported["web"].zip, tmp_path / "copy"))
    page = folder / "index.html"
    page.write_text(page.read_text("utf-8").replace("<script", "<script>throw 1</script><x", 1))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--maxfail=2", "tests"],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    assert "test_it_opens_without_errors" in done.stdout
    assert "expected to see" in done.stdout
