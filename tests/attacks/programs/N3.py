"""The machine that the box is on: its addresses, where something listens, are the arguments."""

import socket
import sys

from attack import name, tell

reached, why = [], []
for target in [*sys.argv[1:], f"host.docker.internal:{sys.argv[1].rpartition(':')[2]}"]:
    if reached:
        break  # where there is a network, no look-up shall leave the machine
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        reached.append(host)
    except socket.gaierror:
        why.append("no such name")
    except OSError as error:
        why.append(name(error.errno))
tell(reached, f"reached {reached}, else {why}")
