"""The first process of the box, which holds the pipe: kill, trace, open and starve it."""

import os
import resource
import signal

from attack import X86_64, call, name, opened, tell

done, why = [], set()
for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP):
    try:
        os.kill(1, number)
    except OSError as error:
        why.add(name(error.errno))
for path in ("/proc/1/mem", "/proc/1/maps", "/proc/1/environ", "/proc/1/fd", "/proc/1/fd/0",
             "/proc/1/fd/1", "/proc/1/root", "/proc/1/cwd"):  # fmt: skip
    reason = opened(path)
    done += [] if reason else [path]
    why.add(reason)
if not (error := call(101 if X86_64 else 117, 16, 1, 0, 0)):  # PTRACE_ATTACH
    done.append("traced")
why.add(name(error))
for limit in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):
    # the hard limit stays, so that whoever holds against it goes on
    try:
        hard = resource.prlimit(1, limit)[1]
        resource.prlimit(1, limit, (0, hard))
        done.append(f"limit {limit} set to nought")
    except OSError as error:
        why.add(name(error.errno))
tell(done, f"done {done}, else {sorted(filter(None, why))}")
