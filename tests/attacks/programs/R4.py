"""The system's own files: every folder that can be written besides the two that may be."""

import contextlib
import os

from attack import opened, tell

ENOUGH = 20
MAY = ("/work", "/tmp", "/dev/shm", "/dev/mqueue", "/proc", "/sys")
written = []
for folder, folders, _ in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(folder, f) not in MAY]
    if len(written) == ENOUGH:
        break
    probe = os.path.join(folder, "vibe-attack-probe")
    if not opened(probe, os.O_CREAT | os.O_WRONLY):
        written.append(folder)
        with contextlib.suppress(OSError):
            os.unlink(probe)
for path in ("/etc/passwd", "/usr/bin/env", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname"):
    written += [] if opened(path, os.O_WRONLY) else [path]
tell(written, f"can write {len(written)}: {written[:5]}")
