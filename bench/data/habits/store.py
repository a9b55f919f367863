"""Habits, kept in the session."""

import streamlit as st


def _state() -> dict:
    return st.session_state.setdefault("habits", {"Walk": 0, "Read": 0})


def habits() -> list[str]:
    return list(_state())


def add(name: str) -> None:
    _state().setdefault(name, 0)


def tick(name: str) -> None:
    _state()[name] += 1


def done_today() -> list[str]:
    return [name for name, count in _state().items() if count > 0]


def totals() -> dict[str, int]:
    return dict(_state())
