"""A socket to the hypervisor, which a network namespace doesn't hold."""

import socket

from attack import name, tell

try:
    with socket.socket(socket.AF_VSOCK) as connection:
        connection.settimeout(1)
        connection.connect((2, 1024))
    tell(True, "connected")
except TimeoutError:
    tell(True, "a socket was made")
except OSError as error:
    # refused when connecting would mean that the socket could be made
    made = name(error.errno) not in ("EPERM", "EAFNOSUPPORT", "EACCES")
    tell(made, name(error.errno))
