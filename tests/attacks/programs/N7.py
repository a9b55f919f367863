"""Sockets of the machine: Docker's, containerd's, any."""

import contextlib
import os
import stat

from attack import tell

found = []
for folder, folders, names in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(folder, f) not in ("/proc", "/sys", "/usr")]
    for entry in names:
        path = os.path.join(folder, entry)
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.stat(path).st_mode):
                found.append(path)
tell(found, f"found {found}")
