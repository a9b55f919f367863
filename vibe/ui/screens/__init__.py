"""The screens, each a direct Streamlit script; a folder called `pages` would mean more to it."""
