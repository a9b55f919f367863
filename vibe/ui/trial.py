"""Runs of script apps in threads of their own, which survive a reload and a second tab."""

from __future__ import annotations

import codecs
import threading
from collections.abc import Sequence
from typing import Literal

import streamlit as st

from vibe.errors import VibeError
from vibe.kinds import kind
from vibe.redaction import redact
from vibe.sandbox.engine import Outcome
from vibe.ui.bridge import Bridge

SHOWN = 200_000
"""Characters of output kept while a script runs; the outcome has the rest."""


class Trial:
    """One run of a script, from its start to its outcome. Its thread never touches Streamlit."""

    def __init__(self, studio: Bridge, app_id: str, argv: Sequence[str]) -> None:
        self.argv = tuple(argv)
        self.command = tuple(kind(studio.archive.load(app_id).kind).argv())
        self.outcome: Outcome | None = None
        self.refusal: VibeError | None = None
        self._studio = studio
        self._secrets = studio.settings.known_secrets
        self._app_id = app_id
        self._pieces: list[str] = []
        self._size = 0
        self._decoders = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")
        }
        self._thread = threading.Thread(target=self._run, name=f"script {app_id}", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def text(self) -> str:
        """What it has printed so far, both streams as they came, the secrets of then masked."""
        return redact("".join(self._pieces), self._secrets)

    def _run(self) -> None:
        try:
            self.outcome = self._studio.run_script(self._app_id, self.argv, on_output=self._hear)
        except VibeError as error:
            self.refusal = error

    def _hear(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        if self._size < SHOWN:
            self._size += len(data)
            self._pieces.append(self._decoders[stream].decode(data))


@st.cache_resource(show_spinner=False)
def trials() -> dict[str, Trial]:
    """The last run of each script app, shared by all tabs."""
    return {}
