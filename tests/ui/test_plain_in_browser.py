"""Text that `plain` made safe, looked at in a real Streamlit page in a real Chromium."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, sync_playwright

from vibe.ui.words import JOINER

pytestmark = pytest.mark.browser

HOSTILE = [
    "costs $5 and $10, $x^2$ and $$y$$",
    ":smile: :+1: :streamlit: :material/home:",
    ":red[hi] :blue-badge[x] :shimmer[y] :small[z]",
    "a <b>bold</b> <script>alert(1)</script> &amp; &lt;",
    "*a* **b** _c_ __d__ ~e~ ~~f~~ `g`",
    "# head",
    "- item",
    "1. item",
    "> quote",
    "| a | b |",
    "[x](https://example.com) ![i](https://example.com/i.png)",
    "https://example.com/x www.example.com someone@example.com <https://example.com>",
    "a -> b <- c <-> d -- e >= f <= g ~= h",
    "back\\slash \\* \\[x\\]",
    "12:30:45 at 3:4:5",
    "---",
    "```py",
    "[ ] task [^1] note",
    ':color[x]{foreground="red"} ::leaf :::block',
    "two\nlines\tand a tab",
    "café 日本 & 😀",
]
SCRIPT = """
import json, sys
import streamlit as st
from vibe.ui.words import plain
for number, text in enumerate(json.loads({texts!r})):
    with st.container(key=f"row-{{number}}"):
        st.markdown(plain(text))
        st.caption(plain(text))
        st.button(plain(text), key=f"button-{{number}}")
        st.subheader(plain(text), anchor=False)
        st.status(f":shimmer[{{plain(text)}}]", state="running", type="step").text("inside")
        st.markdown(f":material/check: {{plain(text)}}")
"""
MARKUP = "a, b, em, strong, code, img, del, li, table, blockquote, script, .katex, .stMarkdownBadge"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[Page]:
    script = tmp_path_factory.mktemp("plain") / "app.py"
    script.write_text(SCRIPT.format(texts=json.dumps(HOSTILE)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "server.port": port,
        "server.address": "127.0.0.1",
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
    }
    argv = [sys.executable, "-m", "streamlit", "run", str(script)]
    argv += [f"--{name}={value}" for name, value in options.items()]
    server = subprocess.Popen(argv, cwd=script.parent, stdout=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            opened = browser.new_page()
            opened.goto(f"http://127.0.0.1:{port}")
            opened.locator(f".st-key-row-{len(HOSTILE) - 1}").get_by_role("button").wait_for()
            yield opened
            browser.close()
    finally:
        server.terminate()
        server.wait(10)


def _wait(url: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urlopen(url).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _seen(text: str) -> str:
    return " ".join(text.replace(JOINER, "").split())


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_what_a_user_or_a_model_wrote_is_shown_as_it_is(page: Page, number: int) -> None:
    row = page.locator(f".st-key-row-{number}")
    wanted = _seen(HOSTILE[number])
    shown = row.locator("p, h3")
    shown.first.wait_for()
    texts = [_seen(text) for text in shown.all_inner_texts()]
    assert sum(wanted in text for text in texts) >= 6, texts
    assert row.locator("p, h3").locator(MARKUP).count() == 0
