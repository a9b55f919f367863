"""Secrets: in the environment of any process, in the usual files. Planted ones are the arguments,
spelled backwards so that they aren't found in this program's own command line."""

import contextlib
import glob
import os
import re
import sys

from attack import tell

planted = [argument[::-1].encode() for argument in sys.argv[1:]]
names = re.compile(rb"(?i)(key|token|secret|passw|proxy|credential)[a-z_]*=.")
found = []
for path in ["/proc/self/environ", *glob.glob("/proc/[0-9]*/environ")]:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        for entry in file.read().split(b"\0"):
            # the image's own: the fingerprint of who signs Python
            if names.search(entry) and not entry.startswith(b"GPG_KEY="):
                found.append(path + " " + entry.split(b"=")[0].decode())
            found += [path for value in planted if value in entry]
for place in (
    "~/.netrc",
    "~/.aws",
    "~/.config/gcloud",
    "~/.docker",
    "~/.ssh",
    "/run/secrets",
    "/var/run/secrets",
    "/root/.docker",
):
    path = os.path.expanduser(place)
    with contextlib.suppress(OSError):
        if os.path.isfile(path) or os.listdir(path):
            found.append(place)
tell(found, f"found {found}")
