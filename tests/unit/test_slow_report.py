"""A report whose cells take long says where it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vibe.settings import TEMPLATES

REPORT = """# %%
import time


def wait():
    time.sleep(1)


wait()
raise SystemExit('enough')
"""
SERVED = "import render; render.SLOW_S = 0.2; render.main()"


def test_a_report_that_keeps_its_server_waiting_names_the_line_it_is_at(tmp_path: Path) -> None:
    render = TEMPLATES / "kinds" / "notebook" / "scaffold" / "render.py"
    (tmp_path / "render.py").write_text(render.read_text())
    (tmp_path / "report.py").write_text(REPORT)
    for arguments, told in ((["--serve", "1"], True), ([], False)):
        ran = subprocess.run(
            [sys.executable, "-c", SERVED, "report.py", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "it called sys.exit('enough')" in ran.stderr
        assert ('File "report.py", line 6 in wait' in ran.stderr) is told
