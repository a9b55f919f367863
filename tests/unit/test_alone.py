"""Tests run side by side, but for those that say they must be alone."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path

from vibe.settings import ROOT

WATCH = """
import time
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(8))
{mark}def test_it(number):
    began = time.monotonic()
    time.sleep(0.2)
    with Path("seen").open("a") as file:
        print("{name}", began, time.monotonic(), file=file)
"""


def test_who_is_marked_alone_runs_beside_nobody_and_the_others_side_by_side(tmp_path: Path) -> None:
    marks = {"calm": "", "lonely": "@pytest.mark.alone\n", "other": ""}
    for name, mark in marks.items():
        (tmp_path / f"test_{name}.py").write_text(WATCH.format(name=name, mark=mark))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")
    argv = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-n", "3", "--dist", "loadfile"]
    subprocess.run(
        [sys.executable, "-m", "pytest", *argv],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, check=True, capture_output=True,
    )  # fmt: skip
    lines = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    spans = sorted((float(began), float(ended), name) for name, began, ended in lines)
    assert len(spans) == 24
    beside = {
        tuple(sorted((one, another)))
        for (_, ended, one), (began, _, another) in combinations(spans, 2)
        if began < ended
    }
    assert beside == {("calm", "other")}
    names = [name for _, _, name in spans]
    assert names.index("lonely") < 23 - names[::-1].index("calm"), "nobody waits for ever"
