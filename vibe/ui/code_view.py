"""The Code view: a revision's files, and the newest one's to edit by hand and run."""

from __future__ import annotations

from functools import partial

import streamlit as st

from vibe.app import App
from vibe.errors import ModelFault
from vibe.kinds import kinds
from vibe.paths import safe_files
from vibe.ui.asking import ask, show_problem
from vibe.ui.bridge import Bridge
from vibe.ui.story import language
from vibe.ui.words import clean, plain, weight

HEIGHT = 640


def draw(bridge: Bridge, app: App, building: bool) -> None:
    """The files to read; with Edit, those of the newest revision to change."""
    marks = [f"r{revision.number}" for revision in app.revisions]
    if not marks:
        st.text("There is no code yet.")
        return
    newest = marks[-1]
    drafts = _drafts(app)
    _older_drafts(app, drafts)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        mark = st.selectbox(
            "Revision", marks, index=len(marks) - 1, key=f"code {app.id} {newest}", width=120
        )
        editing = mark == newest and st.toggle(
            "Edit",
            key=f"edit {app.id} {newest}",
            help="Change the code by hand. Running it makes a new revision; this one stays.",
        )
    files = bridge.archive.files(app.id, mark)
    texts = {path: content.decode("utf-8", "replace") for path, content in files.items()}
    if editing:
        _edit(bridge, app, texts, drafts, building)
    elif mark == newest and drafts:
        st.caption("Your edits are kept until you run or drop them; Edit shows them.")
    if not editing:
        _read(app, mark, texts, {path: len(content) for path, content in files.items()})


def _drafts(app: App) -> dict[str, str | None]:
    """What this tab has written by hand and not run: path → text, or None for a deleted file."""
    kept: dict[str, dict[str, str | None]] = st.session_state.setdefault("drafts", {})
    return kept.setdefault(f"{app.id} {len(app.revisions)}", {})


def _older_drafts(app: App, drafts: dict[str, str | None]) -> None:
    """Offers what was written on an earlier revision, when another one came in between."""
    kept: dict[str, dict[str, str | None]] = st.session_state["drafts"]
    for revision in app.revisions[:-1]:
        key = f"{app.id} {revision.number}"
        if not kept.get(key):
            continue
        paths = ", ".join(kept[key])
        with st.container(border=True, gap="small"):
            st.caption(plain(f"This tab still has edits of r{revision.number}: {paths}"))
            with st.container(horizontal=True):
                if st.button("Use them here", key="take_edits"):
                    drafts |= kept.pop(key)
                    st.rerun()
                if st.button("Drop them", key="drop_old_edits"):
                    del kept[key]
                    st.rerun()
        return


def _choose(app: App, mark: str, paths: list[str], changed: set[str]) -> str | None:
    """The tree of files: folders first, one radio a file; at first the one that the app starts
    from."""
    ordered = sorted(paths, key=lambda path: (path.count("/") == 0, path))
    if not ordered:
        st.text("This revision has no files.")
        return None
    known = kinds().get(app.kind)
    entry = known.entry if known else ""
    return str(
        st.radio(
            "Files",
            ordered,
            index=ordered.index(entry) if entry in ordered else 0,
            key=f"file {app.id} {mark} {'|'.join(ordered)}",
            format_func=lambda path: plain(path) + (" · edited" if path in changed else ""),
        )
    )


def _read(app: App, mark: str, texts: dict[str, str], sizes: dict[str, int]) -> None:
    tree, page = st.columns([1, 3], gap="small")
    with tree:
        path = _choose(app, mark, list(texts), set())
    if path is None:
        return
    with page:
        st.caption(plain(f"{path} · {weight(sizes[path])}"))
        st.code(
            clean(texts[path]),
            language=language(path),
            line_numbers=True,
            wrap_lines=True,
            height=HEIGHT,
        )


def _edit(
    bridge: Bridge,
    app: App,
    texts: dict[str, str],
    drafts: dict[str, str | None],
    building: bool,
) -> None:
    now = {path: text for path, text in {**texts, **drafts}.items() if text is not None}
    changed = {path for path in now if texts.get(path) != now[path]}
    gone = [path for path in texts if path not in now]
    tree, page = st.columns([1, 3], gap="small")
    with tree:
        path = _choose(app, "draft", list(now), changed)
        for name in gone:
            st.caption(f"{plain(name)} · deleted")
    with page:
        if path is not None:
            _write(app, path, now[path], drafts)
        _buttons(bridge, app, now, drafts, path, bool(changed or gone), building)


def _write(app: App, path: str, text: str, drafts: dict[str, str | None]) -> None:
    key = f"draft {app.id} {len(app.revisions)} {path}"
    if key not in st.session_state:
        st.session_state[key] = text

    def keep() -> None:
        drafts[path] = st.session_state[key]

    with st.container(key="by_hand"):  # main.py gives what is in it the letters of code
        st.text_area(
            path,
            key=key,
            height=HEIGHT - 120,
            on_change=keep,
            help="Ctrl+Enter keeps what you typed; so does a click elsewhere.",
        )


def _buttons(
    bridge: Bridge,
    app: App,
    now: dict[str, str],
    drafts: dict[str, str | None],
    path: str | None,
    changed: bool,
    building: bool,
) -> None:
    if building:
        st.caption("The app is being built; your edit can run when that has ended.")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        if st.button(
            "Save and run",
            icon=":material/play_arrow:",
            type="primary",
            key="save_and_run",
            disabled=building,
            help="Checks it like a model's code, and makes it the next revision.",
        ):
            files = {name: text.encode() for name, text in now.items()}
            if ask(partial(bridge.edit, app.id, files, base=app.revisions[-1].number)):
                drafts.clear()
            st.rerun()
        if path is not None and st.button("Delete file", icon=":material/delete:", key="drop_file"):
            drafts[path] = None
            st.session_state.pop(f"draft {app.id} {len(app.revisions)} {path}", None)
            st.rerun()
        with st.popover("Add file", icon=":material/note_add:"), st.form("add_file", border=False):
            name = st.text_input("Path of the new file", placeholder="static/style.css")
            if st.form_submit_button("Add"):
                _add(name.strip(), now, drafts)
        if changed and st.button("Drop my edits", icon=":material/undo:", key="drop_edits"):
            drafts.clear()
            start = f"draft {app.id} {len(app.revisions)} "
            for key in [k for k in st.session_state if str(k).startswith(start)]:
                del st.session_state[key]
            st.rerun()


def _add(name: str, now: dict[str, str], drafts: dict[str, str | None]) -> None:
    try:
        path = [*safe_files({**now, name: ""})][-1]
    except ModelFault as fault:
        show_problem(fault.message, "Choose another name.")
        return
    if name in now or path in now:
        show_problem(f"There is a file called {path} already.", "Choose another name.")
        return
    drafts[path] = ""
    st.rerun()
