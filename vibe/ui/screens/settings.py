"""The Settings page: what works on this machine, the model in use, the boxes that run."""

import streamlit as st

from vibe.ui import health
from vibe.ui.bridge import studio

bridge = studio()
st.title("Settings", anchor=False)
health.model(bridge)
health.boxes(bridge)
health.findings(bridge)
