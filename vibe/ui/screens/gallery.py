"""The Gallery page: cards, search, filters, selection, import, the trash."""

import streamlit as st

from vibe.ui import bundles, cards, dialogs, shelf, trash
from vibe.ui.asking import show_refusal
from vibe.ui.bridge import studio
from vibe.ui.words import count, plain

bridge = studio()
archive = bridge.archive
if st.session_state.pop("show_all", None):
    shelf.clear()
st.title("Gallery", anchor=False)
cards.undo_row(bridge)
show_refusal()
with st.container(horizontal=True, vertical_alignment="center"):
    query = st.text_input(
        "Search",
        type="search",
        live=True,
        key="q",
        bind="query-params",
        placeholder="Search ideas, code, transcripts",
        label_visibility="collapsed",
        icon=":material/search:",
    )
    sort = st.selectbox(
        "Sort",
        list(shelf.SORTS),
        key="sort",
        bind="query-params",
        label_visibility="collapsed",
        disabled=bool((query or "").strip()),
        width=150,
    )
    select = st.toggle("Select", key="select", help="Tick several apps, to keep or discard them.")
    in_trash = st.toggle("Trash", key="trash", bind="query-params", help="Apps you discarded.")
    if st.button("Import", icon=":material/upload:", key="import", help="Add a .vibe file."):
        bundles.import_dialog(bridge)
if came := st.session_state.pop("came", None):
    st.toast(f"New in the gallery: {plain(archive.load(came).title)}")
if in_trash:
    gone = shelf.discarded(archive, query or "")
    if not gone:
        st.text("Nothing in the trash matches." if query else "The trash is empty.")
    trash.draw(bridge, gone)
else:
    wanted = shelf.asked(query or "", sort or "", archive.models())
    page = shelf.choose(archive, wanted, st.session_state.get("page") or 1)
    if not page.total and not page.narrowed:
        st.text("Nothing here yet. What you make is kept here until you discard it.")
        st.page_link("screens/build.py", label="Make something", icon=":material/bolt:")
    elif not page.total:
        st.text("No app matches.")
    elif page.narrowed:
        best = ", what fits best first" if wanted.words and page.total > 1 else ""
        st.caption(count(page.total, "app") + best)
    for broken, problem in archive.broken().items():
        st.caption(f":material/warning: {plain(broken)} can't be read: {plain(problem)}")
    if select and page.apps:
        cards.selection(bridge, page.apps)
    with st.grid("auto", min_column_width=280):
        for app in page.apps:
            cards.card(bridge, app, dialogs.open_dialog, select=bool(select))
    if page.pages > 1:
        st.pagination(page.pages, key="page", bind="query-params")
if receipt := st.session_state.pop("receipt", None):
    trash.show_receipt(*receipt)
