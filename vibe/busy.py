"""How busy this machine is, so that what takes long is not put down to an app."""

import os

BUSY = 6.0
"""Programs that wait for a processor each. A page that loops keeps one or two busy."""
MOST = 4.0


def load() -> float:
    """Programs that wait for each of this machine's processors, of late; 0 where it isn't told."""
    return os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else 0.0


def too_busy(load: float) -> bool:
    """Whether so many wait that how long a page takes says nothing about the page."""
    return load > BUSY


def patience(load: float) -> float:
    """How many times longer an app may take to start: 1 to 4, more only when several wait."""
    return min(MOST, max(1.0, load / 2))
