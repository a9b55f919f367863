"""The entry script of the screens: the frame that Build, Gallery and Settings share."""

from pathlib import Path

import streamlit as st

ASSETS = Path(__file__).parent / "assets"
# Streamlit writes what its highlighter leaves plain in the page's text colour, which is black on
# the dark ground that code has in the light theme too, and so nearly the numbers of its lines; and
# it types code in the page's letters, and writes in white on the pale buttons of the dark theme. No
# theme option reaches any of these.
STYLE = """<style>
:root .stCode pre { color: #e6e8eb }
:root .stCode .linenumber { color: #8b949e !important }
.st-key-by_hand textarea, .st-key-plan_by_hand textarea {
  font: 0.8rem/1.5 "Source Code Pro", monospace; tab-size: 4
}
@media (prefers-color-scheme: dark) {
  button[kind^="primary"]:enabled { color: #101216 }
}
</style>"""

# Before the navigation: else its icon becomes the favicon, which browsers fetch from outside.
st.set_page_config(page_title="Vibe", page_icon=str(ASSETS / "favicon.svg"))
st.html(STYLE)
st.logo(str(ASSETS / "logo.svg"), size="large")
page = st.navigation(
    [
        st.Page(
            "screens/build.py",
            title="Build",
            icon=":material/bolt:",
            default=True,
            help="Say what you need; watch it being made, use it, ask for changes.",
        ),
        st.Page(
            "screens/gallery.py",
            title="Gallery",
            icon=":material/grid_view:",
            url_path="gallery",
            help="Every app you made: run again, export, discard.",
        ),
        st.Page(
            "screens/settings.py",
            title="Settings",
            icon=":material/tune:",
            url_path="settings",
            help="What works on this machine, what doesn't, and the fix.",
        ),
    ],
    position="top",
)
roomy = page.url_path == "gallery" or (page.url_path == "" and "app" in st.query_params)
st.set_page_config(
    page_title=f"{page.title} · Vibe",
    layout="wide" if roomy else "centered",
)
page.run()
