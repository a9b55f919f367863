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
    "SCTP": (socket.AF_INET, socket.SOCK_SEQPACKET, 132),
    "SCTP 6": (socket.AF_INET6, socket.SOCK_STREAM, 132),
    "DCCP": (socket.AF_INET, 6, 33),
    "DCCP by its type": (socket.AF_INET, 6, 0),
    "multipath TCP": (socket.AF_INET, socket.SOCK_STREAM, 262),
    "UDP-Lite": (socket.AF_INET, socket.SOCK_DGRAM, 136),
    "L2TP": (socket.AF_INET6, socket.SOCK_DGRAM, 115),
    "shared memory": (43, socket.SOCK_STREAM, 0),
}
made, why = [], set()
for words, kind in KINDS.items():
    try:
        socket.socket(*kind).close()
        made.append(words)
    except OSError as error:
        why.add(name(error.errno))
with open("/proc/self/status") as status:
    filtered = "Seccomp:\t2\n" in status
# any other answer is the kernel's, which has then looked for that part of it, or loaded it
tell(made or (filtered and why != {"EPERM"}), f"made {made}, else {sorted(why)}")
