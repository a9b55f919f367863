"""Processes without end, and threads; both stop by themselves at a few hundred."""

import contextlib
import os
import signal
import threading

from attack import name, tell

ENOUGH = 300
children, why = [], "nothing stopped it"
try:
    for _ in range(ENOUGH):
        if not (child := os.fork()):
            signal.pause()
            os._exit(0)
        children.append(child)
except OSError as error:
    why = name(error.errno)
for child in children:
    os.kill(child, signal.SIGKILL)
for child in children:
    os.waitpid(child, 0)
over, threads = threading.Event(), []
threading.stack_size(1 << 16)
with contextlib.suppress(RuntimeError):
    for _ in range(ENOUGH):
        thread = threading.Thread(target=over.wait)
        thread.start()
        threads.append(thread)
over.set()
through = len(children) == ENOUGH or len(threads) == ENOUGH
tell(through, f"{len(children)} processes ({why}), {len(threads)} threads")
