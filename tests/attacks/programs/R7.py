"""Open files and sockets without end; stops by itself."""

import contextlib
import os
import resource
import socket

from attack import tell

ENOUGH = 5000
with contextlib.suppress(OSError, ValueError):
    resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
held, most = [], 0
with contextlib.suppress(OSError):
    for _ in range(ENOUGH):
        held.append(os.open("/dev/null", os.O_RDONLY))
most = len(held)
for fd in held:
    os.close(fd)
sockets = []
with contextlib.suppress(OSError):
    for _ in range(ENOUGH):
        sockets.append(socket.socket())
tell(most == ENOUGH or len(sockets) == ENOUGH, f"{most} files, {len(sockets)} sockets")
