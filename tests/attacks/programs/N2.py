"""A cloud's metadata service."""

import contextlib
import socket

from attack import tell

ways = []
for family, place in [
    (socket.AF_INET, ("169.254.169.254", 80)),
    (socket.AF_INET, ("100.100.100.200", 80)),
    (socket.AF_INET6, ("fd00:ec2::254", 80)),
]:
    # connecting a datagram socket asks for the way and sends nothing
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(place)
        ways.append(place[0])
tell(ways, f"ways to {ways}")
