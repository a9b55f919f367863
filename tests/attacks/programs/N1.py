"""The internet: a way to send, then a connection, then a look-up."""

import contextlib
import socket

from attack import tell

PLACES = [
    (socket.AF_INET, ("1.1.1.1", 443)),
    (socket.AF_INET, ("8.8.8.8", 53)),
    (socket.AF_INET6, ("2606:4700:4700::1111", 443)),
]


def route(family, place):
    """True when the kernel knows a way; connecting a datagram socket sends nothing."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(place)
        except OSError:
            return False
    return True


ways = [place[0] for family, place in PLACES if route(family, place)]
cards = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
if not ways:
    for family, place in PLACES:
        with contextlib.suppress(OSError), socket.socket(family) as connection:
            connection.settimeout(2)
            connection.connect(place)
            ways.append(place[0])
    with contextlib.suppress(OSError):
        ways.append(str(socket.getaddrinfo("example.com", 443)))
tell(ways or cards != ["lo"], f"interfaces {cards}, ways to {ways}")
