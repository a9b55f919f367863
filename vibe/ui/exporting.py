"""The export dialog's parts: what goes with it, downloads, a folder on this machine, a push."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit as st

from vibe import github, remotes
from vibe.app import App
from vibe.archive import Archive
from vibe.errors import VibeError
from vibe.export import export_git, exported_files, zipped
from vibe.settings import Settings
from vibe.single import PAGES, SCRIPTS, single_file
from vibe.standalone import LICENCES, Choices
from vibe.ui.asking import show_problem
from vibe.ui.words import clean


def choices() -> Choices:
    """The licence and whether the transcript goes with it, as the person has them."""
    licence = st.selectbox(
        "Licence",
        list(LICENCES),
        format_func=lambda name: "None" if name == "none" else name,
        key="export_licence",
        help="What others may do with the program. It names you as git knows you.",
    )
    transcript = st.checkbox(
        "With the transcript",
        value=True,
        key="export_transcript",
        help="Every prompt and reply, in TRANSCRIPT.md and events.jsonl.",
    )
    return Choices(licence, transcript)


def downloads(archive: Archive, app: App, chosen: Choices) -> None:
    """A zip file, and for pages and scripts one file."""
    with st.container(horizontal=True):
        _download("Zip", f"{app.id}.zip", partial(_zip, archive, app.id, chosen))
        if app.kind in (*PAGES, *SCRIPTS):
            try:
                name, content = single_file(archive, app.id)
            except VibeError as error:
                st.caption(clean(f"Not as one file: {error.message}"))
            else:
                _download("One file", name, content)


def folder(archive: Archive, app: App, chosen: Choices) -> None:
    """A git repository in a new folder on the machine that Vibe runs on."""
    named = st.text_input(
        "Folder for a git repository",
        placeholder=str(Path.home() / app.id),
        key="export_folder",
        help="A new folder on the machine Vibe runs on; one commit a revision.",
    )
    if st.button("Write git repository", icon=":material/folder:", key="export_git"):
        target = Path(named).expanduser() if named else Path.home() / app.id
        try:
            export_git(archive, app.id, target, chosen)
        except VibeError as error:
            show_problem(error.message, error.fix)
        else:
            st.text("Written to")
            st.code(str(target), language=None)


def pushing(archive: Archive, settings: Settings, app: App, chosen: Choices) -> None:
    """To a git remote that is there, or to a new repository on GitHub."""
    address = st.text_input(
        "Address of a git repository",
        placeholder="https://host/name/app.git",
        key="export_remote",
        help="With the keys, tokens and credential helper of the machine Vibe runs on. "
        "Nobody else's history is overwritten.",
    )
    if st.button("Push", icon=":material/upload:", key="export_push"):
        _pushed(archive, settings, app, chosen, address=address)
    name = st.text_input("Name of a new repository on GitHub", value=app.id, key="export_github")
    public = st.checkbox("For everybody to see", key="export_public")
    known = bool(github.token())
    if not known:
        st.caption("For this, start Vibe with a token in GITHUB_TOKEN.")
    if st.button(
        "Create and push", icon=":material/cloud_upload:", key="export_create", disabled=not known
    ):
        _pushed(archive, settings, app, chosen, name=name, public=public)


def _pushed(
    archive: Archive,
    settings: Settings,
    app: App,
    chosen: Choices,
    *,
    address: str | None = None,
    name: str = "",
    public: bool = False,
) -> None:
    secrets = settings.known_secrets
    try:
        with st.spinner("Pushing …"):
            if address is not None:
                to = remotes.remote(address)
                token = remotes.token_for(to)
            else:
                token = github.token()
                remotes.examine(archive, app.id, chosen, [token, *secrets])
                to = github.create_repository(
                    name, token, api=settings.github_api, private=not public
                )
            done = remotes.push(archive, app.id, to, chosen, token=token, secrets=secrets)
    except VibeError as error:
        show_problem(clean(error.message), clean(error.fix))
    else:
        st.text(done.sentence)
        st.code(done.url, language=None)


def _download(label: str, name: str, content: bytes | partial[bytes]) -> None:
    st.download_button(
        label,
        content,
        file_name=name,
        mime="application/octet-stream",
        icon=":material/download:",
        key=f"export-{label}",
        on_click="ignore",
    )


def _zip(archive: Archive, app_id: str, chosen: Choices) -> bytes:
    return zipped(exported_files(archive, app_id, chosen))
