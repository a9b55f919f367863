"""The Changes view: what differs between any two versions, and the way back to a revision."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial

import streamlit as st

from vibe.app import App, Revision
from vibe.diffs import FileChange, file_changes
from vibe.ui.asking import ask
from vibe.ui.bridge import Bridge
from vibe.ui.words import ICONS, VERDICTS, age, clean, made_by, plain, short
from vibe.versions import Version, versions

SHOWN_LINES = 2000
"""Lines of one file's changes that are drawn; `vibe diff` has them all."""

_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@.*$")

WAYS = {
    "asked": "asked for",
    "edited": "edited by hand",
    "repair": "repair",
    "afresh": "another approach",
    "restored": "restored",
    "undone": "undone",
}


def draw(bridge: Bridge, app: App, building: bool) -> None:
    """Two versions to choose, their differences file by file, then every revision."""
    there = _telling(app, versions(app, bridge.archive.events(app.id)))
    if len(there) > 1:
        _compare(bridge, app, there)
    else:
        st.text("Once there are two versions, this shows what changed between them.")
    if app.revisions:
        st.subheader("Revisions", anchor=False)
    for revision in reversed(app.revisions):
        _revision(bridge, app, revision, building)


def _telling(app: App, there: list[Version]) -> list[Version]:
    """Those worth comparing: the only attempt of a revision is that revision."""
    kept = {revision.number for revision in app.revisions}
    attempts = Counter(v.revision for v in there if v.name != f"r{v.revision}")
    return [
        v
        for v in there
        if v.name == f"r{v.revision}" or v.revision not in kept or attempts[v.revision] > 1
    ]


def _compare(bridge: Bridge, app: App, there: list[Version]) -> None:
    by_name = {version.name: version for version in there}
    kept = [v.name for v in there if v.name == f"r{v.revision}"]
    names = list(by_name)
    first, second = (kept[-2], kept[-1]) if len(kept) > 1 else (names[0], names[-1])
    mark = f"{app.id} {len(there)} {len(kept)}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        old = _choose("From", by_name, first, f"from {mark}")
        new = _choose("To", by_name, second, f"to {mark}")
    found = file_changes(bridge.archive.diff(app.id, old.commit, new.commit))
    if not found:
        st.text("Nothing differs between these two.")
    for change in found:
        _file(change)
    if found:
        st.caption(plain("+ marks lines that were added, - lines that were removed"))


def _choose(label: str, by_name: dict[str, Version], name: str, key: str) -> Version:
    names = list(by_name)

    def shown(name: str) -> str:
        revision, _, attempt = name.partition(".")
        what = f"{revision}, attempt {attempt}" if attempt else revision
        return f"{what} · {short(clean(by_name[name].words), 40)}"

    return by_name[st.selectbox(label, names, index=names.index(name), key=key, format_func=shown)]


def _file(change: FileChange) -> None:
    st.text(clean(change.words))
    if not change.text:
        return
    lines = [_HUNK.sub(r"  … from line \1", line) for line in change.text.split("\n")]
    st.code(clean("\n".join(lines[:SHOWN_LINES])), language="diff", wrap_lines=True)
    if len(lines) > SHOWN_LINES:
        st.caption(f"{len(lines) - SHOWN_LINES:,} more lines: `vibe diff` shows them all.")


def _revision(bridge: Bridge, app: App, revision: Revision, building: bool) -> None:
    newest = revision is app.revisions[-1]
    word, colour = VERDICTS[revision.verdict.state]
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.text(f"r{revision.number}", width="content")
            st.badge(word, color=colour, icon=ICONS[colour])
            if newest:
                st.badge("Newest", color="blue")
            st.space("stretch")
            if not newest and st.button(
                "Restore",
                icon=":material/history:",
                key=f"restore-r{revision.number}",
                disabled=building,
                help=f"Makes r{revision.number} the newest revision again; nothing is lost.",
            ):
                restore(bridge, app, revision.number)
        st.text(short(revision.request, 300))
        by = made_by(revision.model) if revision.way in ("asked", "afresh", "repair") else ""
        parts = [WAYS[revision.way], by, age(revision.created)]
        st.caption(plain(" · ".join(part for part in parts if part)))


def restore(bridge: Bridge, app: App, number: int | None) -> None:
    """Brings a revision back (None: undoes the last), and shows it where an app is shown."""
    back = partial(bridge.undo, app.id)
    if number is not None:
        back = partial(bridge.go_back, app.id, number)
    if ask(back) and bridge.live(app.id):
        with st.spinner("Starting the app…"):
            ask(partial(bridge.run, app.id))
    st.rerun()
