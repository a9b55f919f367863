"""What was attached to an app, with its first rows, and what the app wrote, to download."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from vibe.app import App
from vibe.ui.asking import ask
from vibe.ui.bridge import Bridge
from vibe.ui.following import story_of
from vibe.ui.words import clean, count, plain, weight


def draw(bridge: Bridge, app: App, building: bool) -> None:
    """Results first, as they are what people come back for."""
    st.subheader("Results", anchor=False)
    _results(bridge, app)
    st.subheader("Attached", anchor=False)
    _attached(bridge, app)


def _results(bridge: Bridge, app: App) -> None:
    live = bridge.live(app.id)
    if live is not None:
        ask(partial(bridge.keep_results, app.id))
        st.button("Look again", icon=":material/refresh:", key="look_again")
    results = bridge.archive.results(app.id)
    if not results:
        st.text("The app has written nothing yet. Files it writes to results/ are kept here.")
    for result in results:
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            st.text(result.name, width="stretch")
            st.caption(weight(result.size), width="content")
            st.download_button(
                "Download",
                partial(bridge.archive.read_result, app.id, result.name),
                file_name=result.name.rpartition("/")[2],
                mime="application/octet-stream",
                icon=":material/download:",
                key=f"result {result.name}",
                on_click="ignore",
            )
    acted = story_of(bridge, app.id).acted
    if acted and acted.action == "results":
        st.caption(f":material/warning: {plain(acted.detail)}")


def _attached(bridge: Bridge, app: App) -> None:
    attached = bridge.archive.attached(app.id)
    if not attached:
        st.text("Nothing. Drop files into the idea box, and the app finds them in data/.")
        return
    told = story_of(bridge, app.id).data
    for file in attached:
        with st.container(border=True, gap="small"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.text(file.name, width="stretch")
                st.caption(weight(file.size), width="content")
            _sample(told.get(file.name, {}))


def _sample(told: dict[str, Any]) -> None:
    """The beginning of a file as it was read, which may come from a hand-written transcript."""
    if what := told.get("what"):
        st.caption(plain(str(what)))
    if fault := told.get("fault"):
        st.caption(f":material/warning: {plain(str(fault))}")
    for table in _several(told.get("tables")):
        if not isinstance(table, dict):
            continue
        columns = [str(column) for column in _several(table.get("columns"))]
        rows = [[str(value) for value in _several(row)] for row in _several(table.get("rows"))]
        size = table.get("count")
        name = str(table.get("name") or "")
        head = [name] if name else []
        if isinstance(size, int):
            head.append(count(size, "row"))
        if head:
            st.caption(plain(" · ".join(head)))
        st.dataframe(
            {
                f"{column}{' ' * columns[:at].count(column)}": [
                    row[at] if at < len(row) else "" for row in rows
                ]
                for at, column in enumerate(columns)
            },
            hide_index=True,
            alt=f"First rows of {name or 'the table'}",
        )
    if lines := _several(told.get("lines")):
        st.code(clean("\n".join(map(str, lines))), language=None, wrap_lines=True, height=200)


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
