"""Runs the script as checks.json says, and looks at its exit code, its output and its files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
APP = json.loads((HERE / "checks.json").read_text("utf-8"))
RUN_S = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the script, so that what it writes stays out of the repository."""
    copy = tmp_path_factory.mktemp("app") / "copy"
    away = shutil.ignore_patterns(".git", ".venv", "__pycache__", "results", HERE.name)
    shutil.copytree(HERE.parent, copy, ignore=away)
    if APP["prepare"]:
        subprocess.run(APP["prepare"], cwd=copy, timeout=RUN_S, check=True)
    return Path(copy)


def run(folder, arguments, stdin=""):
    command = [sys.executable if part == "python" else part for part in APP["command"]]
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env={**os.environ, **APP["env"]},
        input=stdin.encode(),
        capture_output=True,
        timeout=RUN_S,
    )


def missing(patterns, text):
    """The patterns that aren't in the text. Matched by a process of its own, since a pattern may
    take for ever."""
    doubtful = [pattern for pattern in patterns if pattern not in text]
    if not doubtful:
        return []
    task = json.dumps({"patterns": doubtful, "text": text[:200_000]})
    answer = subprocess.run(
        [sys.executable, "-I", str(HERE / "match.py")],
        input=task.encode(),
        capture_output=True,
        timeout=20,
        check=True,
    ).stdout
    return [pattern for pattern in doubtful if pattern not in json.loads(answer)]


def test_it_runs_without_arguments(folder):
    done = run(folder, [])
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert done.stdout.strip()


@pytest.mark.parametrize("check", APP["checks"], ids=lambda check: check["name"])
def test_check(check, folder):
    done = run(folder, check["args"], check["stdin"])
    said = done.stderr.decode(errors="replace")
    assert done.returncode == check["exit"], said
    if check["exit"]:
        assert "Traceback (most recent call last)" not in said
    text = done.stdout.decode(errors="replace")
    assert not missing(check["stdout"], text), text[-3000:]
    assert not [name for name in check["files"] if not (folder / name).is_file()]
