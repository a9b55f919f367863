"""The parts of a page, of which one is shown: chosen on top and kept in the page's address."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st


def choose(label: str, parts: Mapping[str, str], key: str) -> str:
    """Draws the choice between parts (name → what it is called); the chosen name, at first that of
    the first. The address holds what it is called; one typed by hand may hold either, in any
    case."""
    typed = st.query_params.get(key, "")
    if key not in st.session_state and typed not in parts.values():
        for name, called in parts.items():
            if typed.casefold() in (name, called.casefold()):
                st.query_params[key] = called
                st.rerun()
    first = next(iter(parts))
    chosen = st.segmented_control(
        label,
        list(parts),
        default=first,
        required=True,
        key=key,
        bind="query-params",
        format_func=parts.__getitem__,
        label_visibility="collapsed",
    )
    return chosen or first
