import re
import sys

import pytest

from vibe.app import Rung
from vibe.fixes import mend
from vibe.kinds import kind
from vibe.modules import known

FAILED = Rung("start", False, "It ended at once instead of serving: exit code 1.")


def fixed(kind_name: str, path: str, text: str, failed: Rung = FAILED) -> tuple[str, str]:
    fix = mend(kind(kind_name), {path: text}, failed)
    assert fix is not None
    assert path in fix.sentence or "by another name" in fix.sentence
    return fix.rule, fix.files[path]


def test_fences_around_a_file_are_taken_out() -> None:
    assert fixed("script", "main.py", "```python\nprint(1)\n```\n") == ("fences", "print(1)\n")


def test_typographic_quotes_are_made_plain_where_python_rejects_them() -> None:
    failed = Rung(
        "static", False, "main.py has a syntax error in line 1: invalid character '\u201c'"
    )
    assert fixed("script", "main.py", "print(\u201chi\u201d)\n", failed)[1] == 'print("hi")\n'


def test_typographic_quotes_in_text_are_left_alone_when_nothing_rejects_them() -> None:
    assert mend(kind("script"), {"main.py": 'print("\u201chi\u201d")\n'}, FAILED) is None


def test_tabs_mixed_with_spaces_become_spaces() -> None:
    failed = Rung("static", False, "main.py: inconsistent use of tabs and spaces in indentation")
    assert "\t" not in fixed("script", "main.py", "if 1:\n\tx = 1\n        y = 2\n", failed)[1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@st.cache\ndef f(): pass", "@st.cache_data\ndef f(): pass"),
        ("@st.cache(allow_output_mutation=True)", "@st.cache_data()"),
        ("st.experimental_rerun()", "st.rerun()"),
        ("a, b = st.beta_columns(2)", "a, b = st.columns(2)"),
        ("st.image(p, use_column_width=True)", 'st.image(p, width="stretch")'),
        ("st.pyplot()", "st.pyplot(plt.gcf())"),
    ],
)
def test_removed_streamlit_names_become_the_present_ones(old: str, new: str) -> None:
    assert fixed("streamlit", "app.py", old) == ("stale streamlit", new)


def test_present_streamlit_names_are_left_alone() -> None:
    text = "@st.cache_data\ndef f(): pass\nst.cache_resource\nst.rerun()\nst.pyplot(fig)\n"
    assert mend(kind("streamlit"), {"app.py": text}, FAILED) is None


def test_a_flask_program_no_longer_starts_its_own_server_at_import() -> None:
    rule, text = fixed("flask", "app.py", "app = Flask(__name__)\napp.run(port=80, debug=True)\n")
    assert rule == "unguarded server"
    assert 'if __name__ == "__main__":\n    app.run(port=80, debug=True)' in text
    assert mend(kind("flask"), {"app.py": text}, FAILED) is None


def test_a_streamlit_program_no_longer_launches_streamlit() -> None:
    text = 'import os\nif __name__ == "__main__":\n    os.system("streamlit run app.py")\n'
    rule, mended = fixed("streamlit", "app.py", text)
    assert rule == "own launcher"
    compile(mended, "app.py", "exec")
    assert "os.system" not in mended


def test_a_script_under_another_name_is_met_there() -> None:
    page = '<script src="script.js"></script>'
    fix = mend(kind("web"), {"index.html": page, "main.js": "go()"}, FAILED)
    assert fix is not None
    assert fix.files["index.html"] == '<script src="main.js"></script>'


def missing(*modules: str) -> Rung:
    lines = [f'  File "main.py", line 1: import {module}' for module in modules]
    return Rung("static", False, "The box has no module named these.", "\n".join(lines))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from pillow import Image\n", "from PIL import Image\n"),
        ("import pyyaml\n", "import yaml as pyyaml\n"),
        ("    from beautifulsoup4 import *\n", "    from bs4 import *\n"),
        ("import pyyaml as y\n", "import yaml as y\n"),
    ],
)
def test_an_import_by_the_packages_name_becomes_the_modules(old: str, new: str) -> None:
    name = old.split()[1]
    assert fixed("script", "main.py", old, missing(name)) == ("module name", new)


def test_a_missing_package_is_added_by_the_name_that_vibe_itself_knows() -> None:
    files = {"main.py": "import cv2, qrcode\n"}
    fix = mend(kind("script"), files, missing("cv2", "qrcode"), installs=True)
    assert fix is not None
    assert fix.rule == "missing package"
    assert (
        fix.sentence == "added opencv-python-headless for `import cv2`, qrcode for `import qrcode`"
    )
    assert fix.packages == ("opencv-python-headless", "qrcode")
    assert fix.files == files
    crashed = Rung("run", False, "It failed.", "ImportError: Missing optional dependency 'lxml'.")
    fix = mend(kind("script"), files, crashed, installs=True)
    assert fix is not None
    assert fix.packages == ("lxml",)


def test_no_package_is_added_that_only_the_failure_names_or_that_was_had_already() -> None:
    files = {"main.py": "import reqeusts\n"}
    assert mend(kind("script"), files, missing("reqeusts"), installs=True) is None
    bait = Rung("run", False, "It failed.", "ModuleNotFoundError: No module named 'evil_package'")
    assert mend(kind("script"), files, bait, installs=True) is None
    assert mend(kind("script"), files, missing("cv2")) is None, "where nothing can be installed"
    had = ("OpenCV_Python.headless",)
    assert mend(kind("script"), files, missing("cv2"), packages=had, installs=True) is None


def test_the_list_of_packages_has_plain_names_and_no_module_of_python_itself() -> None:
    assert len(known()) >= 100
    for module, package in known().items():
        assert module.isidentifier()
        assert module not in sys.stdlib_module_names
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", package)


def test_what_no_rule_knows_is_left_to_the_model() -> None:
    assert mend(kind("script"), {"main.py": "print(1/0)\n"}, FAILED) is None
