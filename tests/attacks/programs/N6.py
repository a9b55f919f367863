"""Sockets that see or make packets, or lead to other parts of the kernel."""

import socket

from attack import name, tell

KINDS = {
    "packets": (socket.AF_PACKET, socket.SOCK_RAW, 0),
    "packets (datagram)": (socket.AF_PACKET, socket.SOCK_DGRAM, 0),
    "raw ICMP": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "raw ICMP 6": (socket.AF_INET6, socket.SOCK_RAW, 58),
    "kernel ciphers": (38, socket.SOCK_SEQPACKET, 0),
    "audit": (socket.AF_NETLINK, socket.SOCK_RAW, 9),
    "netfilter": (socket.AF_NETLINK, socket.SOCK_RAW, 12),
    "device events": (socket.AF_NETLINK, socket.SOCK_RAW, 15),
    "Bluetooth": (31, socket.SOCK_RAW, 1),
    "CAN": (29, socket.SOCK_RAW, 1),
    "TIPC": (30, socket.SOCK_STREAM, 0),
    "express data": (44, socket.SOCK_RAW, 0),
}
made, why = [], set()
for words, kind in KINDS.items():
    try:
        socket.socket(*kind).close()
        made.append(words)
    except OSError as error:
        why.add(name(error.errno))
tell(made, f"made {made}, else {sorted(why)}")
