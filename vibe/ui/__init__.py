"""The three screens; only here and in server.py is Streamlit imported."""
