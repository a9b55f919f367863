"""The dialogs of a card: transcript drawer and export."""

from __future__ import annotations

from functools import partial

import streamlit as st

from vibe.app import App
from vibe.archive import Archive
from vibe.events import to_json
from vibe.export import transcript_html, transcript_markdown
from vibe.ui import bundles, exporting, network, timeline
from vibe.ui.bridge import studio
from vibe.ui.story import Reply, Story
from vibe.ui.words import clean, plain, short


def open_dialog(name: str, app: App) -> None:
    """Opens what a card's menu names."""
    if name == network.LABEL:
        network.dialog(app.id)
    else:
        {"Transcript": transcript, "Export": export}[name](app)


@st.dialog("Transcript", width="large", position="right", icon=":material/receipt_long:")
def transcript(app: App) -> None:
    """Everything that was said and done, with downloads."""
    archive = studio().archive
    st.subheader(plain(app.title or short(app.idea, 60)), anchor=False)
    with st.container(horizontal=True):
        _download("Markdown", app, "md", "text/markdown", partial(_markdown, archive, app.id))
        _download("HTML", app, "html", "text/html", partial(_html, archive, app.id))
        _download("JSONL", app, "jsonl", "application/jsonl", partial(_jsonl, archive, app.id))
    story = Story()
    story.take(archive.events(app.id))
    timeline.draw(story, building=False, picture=partial(archive.picture, app.id))
    replies = [reply for build in story.builds for reply in build.replies]
    if replies:
        st.caption("What the model was asked and wrote, call by call")
    for number, reply in enumerate(replies, 1):
        _reply(number, reply)


def _reply(number: int, reply: Reply) -> None:
    title = f"{number} · {plain(reply.role)} · {plain(reply.model)}"
    part = st.expander(title, type="compact", key=f"reply-{number}", on_change="rerun")
    if part.open:
        for message in reply.messages:
            part.caption(plain(str(message.get("role", ""))))
            part.code(clean(str(message.get("content", ""))), language=None, wrap_lines=True)
        part.caption("reply")
        part.code(clean(reply.text), language=None, wrap_lines=True)


def _download(label: str, app: App, suffix: str, mime: str, make: partial[bytes]) -> None:
    st.download_button(
        label,
        make,
        file_name=f"{app.id}.{suffix}",
        mime=mime,
        icon=":material/download:",
        key=f"download-{suffix}",
        on_click="ignore",
    )


def _markdown(archive: Archive, app_id: str) -> bytes:
    return transcript_markdown(archive, app_id).encode()


def _html(archive: Archive, app_id: str) -> bytes:
    return transcript_html(archive, app_id).encode()


def _jsonl(archive: Archive, app_id: str) -> bytes:
    return "".join(to_json(event) + "\n" for event in archive.events(app_id)).encode()


@st.dialog("Export", width="medium", icon=":material/ios_share:")
def export(app: App) -> None:
    """As a download, as a git repository on the machine Vibe runs on, or pushed to a server."""
    archive = studio().archive
    st.text(app.title or app.idea)
    if not app.revisions:
        st.text("There is no version to export yet.")
        return
    st.caption("An ordinary program that runs without Vibe, with its README and its tests.")
    chosen = exporting.choices()
    exporting.downloads(archive, app, chosen)
    bundles.download(studio(), app)
    exporting.folder(archive, app, chosen)
    with st.expander("Push to a git server", icon=":material/upload:"):
        exporting.pushing(archive, studio().settings, app, chosen)
