"""The doctor's findings on the Settings page, and where each setting's value comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import streamlit as st

from vibe.doctor import Finding
from vibe.settings import Limits, PackageRules, settings_file
from vibe.settings_file import origins
from vibe.ui.bridge import Bridge
from vibe.ui.saving import without_secrets
from vibe.ui.words import ICONS, Colour, plain

STATES: dict[str, tuple[str, Colour]] = {
    "ok": ("Fine", "green"),
    "warning": ("Works, with less", "orange"),
    "problem": ("Needs mending", "red"),
}


def findings(bridge: Bridge) -> None:
    """The doctor's findings: how each part is, in words, with what to do and a command to copy;
    what needs something first."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header("This machine", anchor=False, width="content")
        if st.button("Look again", icon=":material/refresh:", type="tertiary", key="look_again"):
            _examined.clear()
    found = _examined(bridge, repr(bridge.settings))
    order = list(STATES)[::-1]
    for finding in sorted(found, key=lambda finding: order.index(finding.state)):
        _finding(finding)


def _finding(finding: Finding) -> None:
    word, colour = STATES[finding.state]
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(word, color=colour, icon=ICONS[colour])
            st.markdown(f"**{plain(finding.name.capitalize())}**", width="content")
            st.text(finding.sentence, width="content")
        if finding.fix and finding.state != "ok":
            st.text(finding.fix)
            for command in re.findall(r"`([^`\n]+)`", finding.fix):
                st.code(command, language="sh")


@st.cache_data(ttl=60, show_spinner="Looking at this machine…")
def _examined(_bridge: Bridge, settings: str) -> list[Finding]:
    """Kept for a minute, and for these settings."""
    return _bridge.examine()


def sources(bridge: Bridge) -> None:
    """Every setting with its value and where that comes from; a key is only said to be set."""
    st.header("Where each value comes from", anchor=False)
    path = settings_file()
    there = "" if path.is_file() else ", which is not there yet"
    st.text(
        f"The environment beats the settings file ({path}{there}), and that beats the defaults. "
        "The command line beats them all, for as long as that Vibe runs."
    )
    rows = []
    for name, origin in origins().items():
        value = _shown(name, getattr(bridge.settings, name))
        rows.append({"Setting": plain(name), "Value": plain(value), "From": plain(origin)})
    st.table(rows)
    st.caption(
        "gallery, host, port, url, preview\\_url, engine, warm\\_boxes and boxes\\_gib hold from "
        "the next start; change them in the file or in the environment."
    )


def _shown(name: str, value: Any) -> str:
    """A setting's value for people, without what may be secret in it."""
    if name == "api_key":
        return "set" if value else "not set"
    if name == "base_url":
        return without_secrets(value)
    if isinstance(value, Limits | PackageRules):
        usual = type(value)()
        value = {limit.name: getattr(value, limit.name) for limit in fields(value)}
        value = {n: number for n, number in value.items() if number != getattr(usual, n)}
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        pairs = (f"{n}: {_shown('', inner)}" for n, inner in value.items())
        return ", ".join(pairs) or "none of its own"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "not set" if value in ("", None) else str(value)
