"""What an app may reach: said in words, and changed in a dialog by the person alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from vibe import reach
from vibe.app import App
from vibe.granted import Granted
from vibe.kinds import kinds
from vibe.ui.asking import ask, show_refusal
from vibe.ui.bridge import Bridge, studio
from vibe.ui.words import plain

LABEL = "Network"


def words(app: App) -> str:
    """`May reach api.example.com`, or `No network`."""
    return reach.in_words(reach.recorded(app.hosts))


def row(bridge: Bridge, app: App) -> None:
    """What the app may reach, and which of its secrets nobody has given; each opens the dialog."""
    hosts = reach.recorded(app.hosts)
    icon = ":material/lan:" if hosts else ":material/cloud_off:"
    if st.button(plain(words(app)), type="tertiary", icon=icon, key="network", help="Change it."):
        dialog(app.id)
    missing = bridge.granted(app).missing if hosts else ()
    if missing:
        st.caption(f":orange[Not given yet: {plain(', '.join(missing))}]", width="content")


@st.dialog(LABEL, icon=":material/lan:", on_dismiss="rerun")
def dialog(app_id: str) -> None:
    """Adds and removes hosts and secrets; each click holds at once."""
    bridge = studio()
    app = bridge.archive.load(app_id)
    granted = bridge.granted(app)
    st.text(app.title or app.idea)
    show_refusal()
    st.caption(
        "Its box has no network. You can let it reach hosts by name: it may send them whatever it "
        "has, the files you attached too. Any change ends what runs of it."
    )
    for host in map(str, granted.hosts):
        hosts = [str(other) for other in granted.hosts if str(other) != host]
        _entry(host, f"unallow-{host}", partial(_allow, bridge, app_id, hosts))
    with st.form("allow", border=False):
        st.text_input(
            "Host", key="allow_host", placeholder="api.example.com", help="With :8443 a port of it."
        )
        st.form_submit_button(
            "Allow",
            icon=":material/add:",
            on_click=partial(_add, bridge, app_id, [str(host) for host in granted.hosts]),
        )
    kind = kinds().get(app.kind)
    if granted.hosts and not (kind and kind.vendor):  # pages can't keep a secret
        _secrets(bridge, app, granted)


def _secrets(bridge: Bridge, app: App, granted: Granted) -> None:
    st.divider()
    st.caption(
        "Secrets, such as the key of a service, come to the program in variables. Vibe keeps them "
        "in memory until it ends and masks them wherever they turn up."
    )
    for name in sorted({*granted.variables, *granted.missing}):
        state = "given" if name in granted.variables else "not given yet"
        _entry(f"{name} · {state}", f"ungive-{name}", partial(_take_back, bridge, app.id, name))
    with st.form("give", border=False):
        if not st.session_state.get("give_name"):
            st.session_state["give_name"] = next(iter(granted.missing), "")
        st.text_input("Variable", key="give_name", placeholder="WEATHER_KEY")
        st.text_input("Secret", type="password", key="give_value", autocomplete="off")
        st.form_submit_button(
            "Give", icon=":material/key:", on_click=partial(_give, bridge, app.id)
        )


def _entry(label: str, key: str, remove: partial[Any]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(label, width="stretch")
        st.button("Remove", type="tertiary", icon=":material/close:", key=key, on_click=remove)


def _add(bridge: Bridge, app_id: str, hosts: list[str]) -> None:
    if _allow(bridge, app_id, [*hosts, str(st.session_state["allow_host"])]):
        st.session_state["allow_host"] = ""


def _allow(bridge: Bridge, app_id: str, hosts: list[str]) -> bool:
    return ask(partial(bridge.allow, app_id, hosts)) is not None


def _give(bridge: Bridge, app_id: str) -> None:
    name, value = str(st.session_state["give_name"]), str(st.session_state["give_value"])
    st.session_state["give_value"] = ""  # it stays nowhere in the page's state
    if ask(partial(bridge.give, app_id, name, value)):
        st.session_state["give_name"] = ""


def _take_back(bridge: Bridge, app_id: str, name: str) -> None:
    ask(partial(bridge.take_back, app_id, name))
