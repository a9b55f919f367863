"""The Gallery page: cards, search, filters, the trash."""

import streamlit as st

from vibe.ui import cards, dialogs
from vibe.ui.asking import show_refusal
from vibe.ui.bridge import studio
from vibe.ui.shelf import PAGE, SORTS, choose
from vibe.ui.words import kind_names, kind_title, plain

bridge = studio()
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
        placeholder="Search titles, ideas and transcripts",
        label_visibility="collapsed",
        icon=":material/search:",
    )
    sort = st.selectbox(
        "Sort",
        list(SORTS),
        key="sort",
        bind="query-params",
        label_visibility="collapsed",
        width=180,
    )
    trash = st.toggle("Trash", key="trash", bind="query-params", help="Apps you discarded.")
wanted = st.pills(
    "Kind",
    kind_names(),
    selection_mode="multi",
    key="kinds",
    bind="query-params",
    format_func=kind_title,
    label_visibility="collapsed",
)
found = choose(bridge.archive, query or "", set(wanted), sort or "", trash=trash)
if not found.apps and not (query or wanted or trash):
    st.text("Nothing here yet. What you make is kept here until you discard it.")
    st.page_link("screens/build.py", label="Make something", icon=":material/bolt:")
elif not found.apps:
    st.text("The trash is empty." if trash and not query else "No app matches.")
for broken, problem in bridge.archive.broken().items() if not trash else ():
    st.caption(f":material/warning: {plain(broken)} can't be read: {plain(problem)}")
if found.pages > 1:
    number = st.pagination(found.pages, key="page", bind="query-params")
    shown = found.apps[(number - 1) * PAGE : number * PAGE]
else:
    shown = found.apps
if trash:
    for app in shown:
        cards.trash_row(bridge, app, dialogs.purge)
else:
    with st.grid("auto", min_column_width=280):
        for app in shown:
            cards.card(bridge, app, dialogs.open_dialog)
if receipt := st.session_state.pop("receipt", None):
    dialogs.show_receipt(*receipt)
