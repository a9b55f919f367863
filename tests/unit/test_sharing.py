"""Which apps may be used while their checks go on."""

from __future__ import annotations

import pytest

from vibe.kinds import kind
from vibe.sharing import keeps_no_files, shares_nothing

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
        "table.to_csv(path_or_buf=path, index=False)",
        "st.connection('votes', type='sql')",
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


def test_a_table_offered_for_download_is_kept_nowhere() -> None:
    text = f"{PAGE['app.py']}st.download_button('Save', table.to_csv(index=False), 'a.csv')\n"
    assert shares_nothing(kind("streamlit"), {"app.py": text})


def test_a_cache_is_shared_by_sessions_but_not_by_processes() -> None:
    cached = {"app.py": f"{PAGE['app.py']}@st.cache_data\ndef load(): ...\n"}
    assert not shares_nothing(kind("streamlit"), cached)
    assert keeps_no_files(cached)
    assert not keeps_no_files({"app.py": cached["app.py"].replace("data", "data(persist='disk')")})
    assert not keeps_no_files({**cached, "pages/two.py": "open('notes.txt', 'a').write('x')\n"})
