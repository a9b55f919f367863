"""The Build screen: the idea box, or with `?app=` one app."""

import streamlit as st

from vibe.errors import UserError
from vibe.ui import one_app, start
from vibe.ui.asking import show_problem
from vibe.ui.bridge import studio

bridge = studio()
app_id = st.query_params.get("app")
if not app_id:
    start.draw(bridge)
else:
    try:
        app = bridge.archive.load(app_id)
    except UserError as error:
        gone = next((app for app in bridge.archive.trash() if app.id == app_id), None)
        if gone:
            one_app.discarded(bridge, gone)
        else:
            show_problem(error.message, "The gallery shows what there is.")
            st.page_link("screens/gallery.py", label="To the gallery", icon=":material/grid_view:")
    else:
        one_app.show(bridge, app)
