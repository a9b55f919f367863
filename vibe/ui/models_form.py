"""The forms for the endpoint, the model of each role and prices, and a small call to try each."""

from __future__ import annotations

from typing import Any

import streamlit as st

from vibe.choice import NO_MODEL, model_of_each_role
from vibe.errors import VibeError
from vibe.model import Endpoint, Role
from vibe.model_trial import Tried
from vibe.settings import ROLES
from vibe.ui.asking import show_problem
from vibe.ui.bridge import Bridge
from vibe.ui.saving import fixed_by, save, where_it_is_kept, without_secrets
from vibe.ui.words import money, plain, tried_in_words

ROLE_WORDS: dict[Role, str] = {
    "plan": "Makes the plan",
    "code": "Writes the code",
    "repair": "Repairs what breaks",
    "stronger": "Called when repairs failed",
}
ONLY: dict[Role, str] = {
    "plan": "Another one to make the plan",
    "code": "Another one to write the code",
    "repair": "Another one to repair what breaks",
    "stronger": "A stronger one, for when repairs failed",
}


def draw(bridge: Bridge) -> None:
    """Endpoint and roles with Test, then the choice of models, then prices."""
    endpoint = _endpoint(bridge)
    roles = model_of_each_role(bridge.settings, endpoint)
    if endpoint is not None:
        _roles(bridge, roles)
    _choice(bridge, endpoint)
    _prices(bridge, roles)
    where_it_is_kept()


def _endpoint(bridge: Bridge) -> Endpoint | None:
    """Which endpoint answers, and whether there is a key; never the key."""
    endpoint = None
    try:
        endpoint = bridge.endpoint()
    except VibeError as error:
        show_problem(error.message, error.fix)
    else:
        if endpoint is None:
            st.text(NO_MODEL)
            st.caption("Start a model server here, or set these before you start Vibe:")
            st.code("export OPENAI_BASE_URL=<address>/v1\nexport OPENAI_API_KEY=<key>", "sh")
        else:
            st.text(f"Connected: {endpoint.where}, found by {endpoint.source}.")
    key = "set in the environment" if bridge.settings.api_key else "not set"
    st.caption(f"Key (OPENAI_API_KEY): {key}. It is never shown nor written down.")
    return endpoint


def _roles(bridge: Bridge, roles: dict[Role, str]) -> None:
    st.header("Which model does what", anchor=False)
    for role, name in roles.items():
        with st.container(border=True, gap="small"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{ROLE_WORDS[role]}**", width="content")
                st.text(name or "none", width="content")
                price = bridge.settings.prices.get(name)
                if price:
                    both = f"{money(price['prompt'])} / {money(price['completion'])}"
                    st.caption(plain(f"{both} a million tokens"), width="content")
                st.space("stretch")
                pressed = bool(name) and st.button(
                    f"Test {role}", icon=":material/network_check:", key=f"test-{role}"
                )
            if pressed:
                with st.spinner("Waiting for one word…"):
                    _results()[role] = (name, bridge.try_role(role))
            tested, result = _results().get(role, ("", None))
            if result and tested == name:
                _result(result)


def _results() -> dict[Role, tuple[str, Tried]]:
    """What this session's tests showed, with the model that each was asked for."""
    found: dict[Role, tuple[str, Tried]] = st.session_state.setdefault("model_tests", {})
    return found


def _result(result: Tried) -> None:
    if result.ok:
        st.badge("Answers", color="green", icon=":material/check_circle:")
        st.text(tried_in_words(result))
    else:
        show_problem(result.message, result.fix)


def _choice(bridge: Bridge, endpoint: Endpoint | None) -> None:
    settings = bridge.settings
    known = {*(endpoint.models if endpoint else ()), *settings.roles.values(), settings.model}
    names = sorted(known - {""})
    with st.form("models"):
        st.header("Choose models", anchor=False)
        base_url = st.text_input(
            "Endpoint's address",
            without_secrets(settings.base_url) if fixed_by("base_url") else settings.base_url,
            placeholder="found by itself",
            disabled=bool(fixed_by("base_url")),
            help=fixed_by("base_url") or "OpenAI-compatible; it usually ends in /v1.",
        )
        model = _name(
            "Model",
            settings.model,
            names,
            "the endpoint's first chat model",
            fixed_by("model"),
        )
        roles = {
            role: _name(
                ONLY[role],
                settings.roles.get(role, ""),
                names,
                "none" if role == "stronger" else "as above",
                "",
            )
            for role in ROLES
        }
        pressed = st.form_submit_button("Save models", icon=":material/save:")
    if pressed:
        wanted: dict[str, Any] = {
            "base_url": base_url.strip() or None,
            "model": model or None,
            "roles": {role: name for role, name in roles.items() if name} or None,
        }
        save(bridge, {name: v for name, v in wanted.items() if not fixed_by(name)})


def _name(label: str, value: str, names: list[str], nothing: str, fixed: str) -> str:
    """A model's name: one that is listed, or another that is typed."""
    chosen = st.selectbox(
        label,
        names,
        index=names.index(value) if value in names else None,
        placeholder=nothing,
        accept_new_options=True,
        disabled=bool(fixed),
        help=fixed or None,
    )
    return (chosen or "").strip()


def _prices(bridge: Bridge, roles: dict[Role, str]) -> None:
    prices = bridge.settings.prices
    names = sorted({*prices, *roles.values()} - {""})
    if not names:
        return
    with st.form("prices"):
        st.header("Prices", anchor=False)
        st.caption("Money for a million tokens. Without a price a model's cost is not counted.")
        typed = {}
        for name in names:
            known = prices.get(name)
            with st.container(horizontal=True):
                typed[name] = {
                    side: st.number_input(
                        f"{plain(name)}: {words}",
                        min_value=0.0,
                        value=float(known[side]) if known else None,
                        format="%.4g",
                        placeholder="no price",
                    )
                    for side, words in (("prompt", "asked"), ("completion", "answered"))
                }
        pressed = st.form_submit_button("Save prices", icon=":material/save:")
    if pressed:
        given = {
            name: {side: price or 0.0 for side, price in both.items()}
            for name, both in typed.items()
            if any(price is not None for price in both.values())
        }
        save(bridge, {"prices": given or None})
