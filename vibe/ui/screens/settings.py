"""The Settings page: this machine, models, limits, boxes, disk, and where each value comes from."""

import streamlit as st

from vibe.ui import health, limits_form, models_form, parts, upkeep
from vibe.ui.asking import show_refusal
from vibe.ui.bridge import studio

PARTS = {
    "machine": health.findings,
    "models": models_form.draw,
    "limits": limits_form.draw,
    "boxes": upkeep.boxes,
    "disk": upkeep.disk_use,
    "sources": health.sources,
}
NAMES = {"machine": "This machine", "sources": "Where from"}

bridge = studio()
st.title("Settings", anchor=False)
names = {name: NAMES.get(name, name.capitalize()) for name in PARTS}
part = parts.choose("Part of the settings", names, "part")
show_refusal()
if saved := st.session_state.pop("saved", None):
    st.success(saved)
PARTS[part](bridge)
