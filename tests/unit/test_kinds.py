"""What a kind asks of its entry, what it brings along, and how a report's cells become a page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe import prompts
from vibe.kinds import kind, kinds
from vibe.sandbox.images import IMAGES, ON_DEMAND
from vibe.settings import TEMPLATES
from vibe.starters import rust

RENDER = TEMPLATES / "kinds" / "notebook" / "scaffold" / "render.py"


def rendered(folder: Path, report: str) -> tuple[int, str, str]:
    """Exit code, the page, and what was said on stderr."""
    (folder / "report.py").write_text(report, "utf-8")
    done = subprocess.run(
        [sys.executable, str(RENDER), "report.py"], cwd=folder, capture_output=True, timeout=60
    )
    page = folder / "results" / "report.html"
    return done.returncode, page.read_text("utf-8") if page.is_file() else "", done.stderr.decode()


def test_every_kind_runs_on_an_image_of_ours() -> None:
    assert {each.image for each in kinds().values()} <= {*IMAGES, *ON_DEMAND}


@pytest.mark.parametrize("name", ["slides", "notebook", "fastapi"])
def test_an_entry_that_is_not_of_its_kind_is_told_what_it_lacks(name: str) -> None:
    wanted = kind(name)
    assert len(wanted.faults({wanted.entry: "print(1)"})) == len(wanted.must) > 0
    assert wanted.faults({"other.txt": ""}) == []


def test_a_model_is_not_shown_what_every_app_of_its_kind_has() -> None:
    files = {"index.html": "<section>mine</section>", **kind("slides").scaffold}
    asked = prompts.code("x", kind("slides"), "title: x", files=files, data="").messages[-1].content
    assert "mine" in asked
    assert "deck-bar" not in asked


def test_a_report_shows_text_output_values_and_figures(tmp_path: Path) -> None:
    code, page, _ = rendered(
        tmp_path,
        '"""For the reader of the program."""\n\n'
        "# %% [markdown]\n# # Sales\n# Up by **7 %**, see `x` & <b>.\n#\n# - one\n# - two\n"
        "# %%\nfrom render import Markdown\nprint('printed <i>')\n40 + 2\n"
        "# %%\nMarkdown('| a | b |\\n|---|---|\\n| 1 | 2 |')\n",
    )
    assert code == 0
    assert "<title>Sales</title>" in page
    assert "reader of the program" not in page
    assert "<strong>7 %</strong>, see <code>x</code> &amp; &lt;b&gt;." in page
    assert "<ul><li>one</li><li>two</li></ul>" in page
    assert "<pre>printed &lt;i&gt;</pre>" in page
    assert "<pre>42</pre>" in page
    assert "<td>2</td>" in page


def test_a_cell_that_fails_ends_the_report_with_its_line(tmp_path: Path) -> None:
    code, page, said = rendered(tmp_path, "# %%\nx = 1\n\n# %%\ny = 2\nprint(x / 0)\n")
    assert (code, page) == (1, "")
    assert 'File "report.py", line 6' in said
    assert "ZeroDivisionError" in said


def test_a_cell_that_exits_ends_the_report(tmp_path: Path) -> None:
    code, _, said = rendered(tmp_path, "# %%\nimport sys\nsys.exit(0)\n")
    assert code == 1
    assert "called sys.exit(0)" in said


@given(st.text())
def test_text_in_a_rust_literal_stays_text(text: str) -> None:
    literal = str(rust(text))
    assert literal.startswith('"')
    assert literal.endswith('"')
    assert "<" not in literal
    back = literal.replace("\\u{fffd}", "\ufffd")
    # JSON has four digits where Rust has braces
    while "\\u{" in back:
        before, _, rest = back.partition("\\u{")
        digits, _, rest = rest.partition("}")
        if len(before) - len(before.rstrip("\\")) & 1:
            return
        back = f"{before}\\u{digits:0>4}{rest}"
    assert json.loads(back) == "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
