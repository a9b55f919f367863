"""All processors: sixteen processes count for a second."""

import os
import time

from attack import tell

ALLOWED, SECONDS = 1.0, 1.0
began = time.monotonic()
for _ in range(16):
    if not os.fork():
        while time.monotonic() - began < SECONDS:
            pass
        os._exit(0)
for _ in range(16):
    os.wait()
passed = time.monotonic() - began
used = os.times()
share = (used.children_user + used.children_system) / passed
# the kernel shares out processor time a tenth of a second at a time
tell(share > ALLOWED * 1.4, f"{share:.2f} processors")
