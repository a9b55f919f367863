"""Bundles on the screens: taking an app out as one file, and bringing one in."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import streamlit as st

from vibe.app import App
from vibe.bundle import ENDING, bundled, import_bundle, locked
from vibe.errors import VibeError
from vibe.ui.asking import show_problem
from vibe.ui.bridge import Bridge


def download(bridge: Bridge, app: App) -> None:
    """The app for another Vibe, with or without its files, and its packages if it has some."""
    packages = _packages(bridge, app)
    with st.container(horizontal=True, vertical_alignment="center"):
        data = st.toggle("With attached files and results", value=True, key="bundle_data")
        st.download_button(
            "Bundle for another Vibe",
            partial(bundled, bridge.archive, app.id, data=data, packages=packages),
            file_name=f"{app.id}{ENDING}",
            mime="application/zip",
            icon=":material/package_2:",
            key="download-bundle",
            on_click="ignore",
            help="One file with code, history and transcript; Import in the Gallery takes it.",
        )


def _packages(bridge: Bridge, app: App) -> dict[str, bytes]:
    """The wheels that the person wants in the bundle, fetched once."""
    try:
        wanted = locked(bridge.archive, app)
    except VibeError:  # a lock that nobody can install goes nowhere
        wanted = None
    if wanted is None or not st.toggle(
        "With its packages",
        key="bundle_packages",
        help="For a machine without network. They are fetched again, as the app was locked to.",
    ):
        return {}
    kept = st.session_state.get("bundle_wheels", ("", {}))
    if kept[0] != wanted.key:
        try:
            with st.spinner("Fetching its packages …"):
                kept = (wanted.key, bridge.wheels(app.id))
        except VibeError as error:
            show_problem(error.message, error.fix)
            return {}
        st.session_state["bundle_wheels"] = kept
    found: dict[str, bytes] = kept[1]
    count = len(found)
    size = sum(map(len, found.values())) / 1e6
    st.caption(f"{count} package{'s' if count > 1 else ''}, {size:,.1f} MB")
    return found


@st.dialog("Import a bundle", icon=":material/upload:")
def import_dialog(bridge: Bridge) -> None:
    """Takes a `.vibe` file and opens nothing of it before all of it has been checked."""
    st.caption("A .vibe file from this or another Vibe. It runs in a box like any other app.")
    given = st.file_uploader("Bundle", type="vibe", key="bundle", label_visibility="collapsed")
    if given is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "given.vibe"
        path.write_bytes(given.getvalue())
        try:
            app = import_bundle(bridge.archive, path)
        except VibeError as error:
            show_problem(error.message, error.fix)
            return
    st.session_state["came"] = app.id
    st.session_state["show_all"] = True
    st.rerun()
