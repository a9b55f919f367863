"""Becoming root: by asking, by programs that run as their owner, by su and mount."""

import contextlib
import os
import stat
import subprocess

from attack import tell

owners, root = [], []
for folder, folders, names in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(folder, f) not in ("/proc", "/sys")]
    for entry in names:
        path = os.path.join(folder, entry)
        with contextlib.suppress(OSError):
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode) and found.st_mode & (stat.S_ISUID | stat.S_ISGID):
                owners.append(path)
for become in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):
    with contextlib.suppress(OSError):
        become()
        root.append("asked")
for command in (
    ["su", "-c", "id -u"],
    ["mount", "-t", "tmpfs", "none", "/work"],
    ["newgrp", "root"],
):
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, timeout=5, stdin=subprocess.DEVNULL)
        root += [command[0]] * (not done.returncode)
# what a program that runs as its owner would be: a shell of our own with the bit set
with contextlib.suppress(OSError):
    with open("/bin/sh", "rb") as shell, open("/work/shell", "wb") as copy:
        copy.write(shell.read())
    os.chmod("/work/shell", 0o6755)
    said = subprocess.run(["/work/shell", "-pc", "id -u"], capture_output=True, timeout=5).stdout
    root += ["own shell"] * (said.strip() == b"0")
tell(root, f"root by {root}; {len(owners)} programs that run as their owner, without effect")
