"""Which apps may be used while their checks go on."""

from __future__ import annotations

import pytest

from vibe.kinds import kind
from vibe.sharing import shares_nothing

PAGE = {"app.py": "import streamlit as st\nst.session_state.setdefault('n', 0)\nst.write(1)\n"}


def test_static_pages_and_plain_streamlit_programs_share_nothing() -> None:
    assert shares_nothing(kind("web"), {"index.html": "<script>localStorage.a = 1</script>"})
    assert shares_nothing(kind("streamlit"), {**PAGE, "requirements.txt": "pandas"})


@pytest.mark.parametrize(
    "line",
    [
        "@st.cache_resource",
        "open('votes.txt', 'a')",
        "Path('votes.json').write_text('1')",
        "table.to_csv('results/out.csv')",
        "import sqlite3",
        "import threading",
        "image.save('results/a.png')",
    ],
)
def test_a_program_that_keeps_something_outside_its_session_may_share(line: str) -> None:
    text = f"{PAGE['app.py']}{line}\n"
    assert not shares_nothing(kind("streamlit"), {"app.py": text})


def test_several_modules_and_servers_of_their_own_count_as_sharing() -> None:
    assert not shares_nothing(kind("streamlit"), {**PAGE, "store.py": "votes = []\n"})
    assert not shares_nothing(kind("flask"), {"app.py": "from flask import Flask"})
