"""Pictures of apps, as pages show them: the person's browser reads them, and Vibe never does."""

from __future__ import annotations

from base64 import b64encode


def address(content: bytes) -> str:
    """A WebP picture as an address, for `st.image`. Given bytes or a path, Streamlit would read the
    picture itself: a broken one ends the page, and one of 34 bytes can take gigabytes."""
    return f"data:image/webp;base64,{b64encode(content).decode()}"
