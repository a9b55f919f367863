"""Files of the kernel that lead to the machine: helper programs, devices, settings."""

import glob
import os

from attack import opened, tell

PLACES = [
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger",
    "/proc/sys/vm/panic_on_oom", "/proc/sys/fs/binfmt_misc/register", "/sys/kernel/uevent_helper",
    "/sys/power/state", "/proc/sys/kernel/ns_last_pid", "/proc/sys/net/ipv4/ip_forward",
    "/proc/1/mem", "/proc/1/oom_score_adj", "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda",
    *glob.glob("/sys/fs/cgroup/*/release_agent"), *glob.glob("/sys/fs/cgroup/*/notify_on_release"),
    *glob.glob("/sys/fs/cgroup/*/cgroup.procs"), "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max",
]  # fmt: skip
results = {path: opened(path, os.O_WRONLY) for path in PLACES}
written = [path for path, why in results.items() if not why]
tell(written, f"can write {written}, else {sorted(set(filter(None, results.values())))}")
