"""What the kernel knows about the whole machine."""

import os

from attack import X86_64, call, name, tell

read, why = [], set()
for path in ("/proc/kcore", "/proc/keys", "/proc/sched_debug", "/proc/timer_list", "/dev/kmsg",
             "/proc/vmcore", "/sys/firmware/dmi/tables/DMI", "/sys/kernel/debug", "/proc/acpi",
             "/sys/kernel/notes-of-none", "/proc/scsi/scsi", "/sys/firmware/efi"):  # fmt: skip
    try:
        if os.path.isdir(path):
            read += [path] * bool(os.listdir(path))
        else:
            with open(path, "rb") as file:
                read += [path] * bool(file.read(64).strip())
    except OSError as error:
        why.add(name(error.errno))
if not (error := call(103 if X86_64 else 116, 10, 0, 0)):  # the size of the kernel's log
    read.append("kernel log")
tell(read, f"read {read}, else {sorted(why | {name(error)})}")
