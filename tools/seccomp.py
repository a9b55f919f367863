"""Writes sandboxes/seccomp.json, the system calls that a program in a box may make.

    python tools/seccomp.py default.json > sandboxes/seccomp.json

`default.json` is `seccomp/default.json` of the repository moby/profiles: Docker's own default
(Apache License 2.0, by the Moby authors). What is made of it is a changed version:

- what it allows only with a capability goes, as a box has no capability; its rules for old kernels
  and for processors that Vibe has no images for (all but amd64 and arm64) go too, and with them the
  32-bit calls, which would be a way around the rules on arguments;
- the calls in `NOT_NEEDED` go;
- `socket` is allowed for four families only, not for all but one, and of the internet's for TCP and
  UDP only: others have the kernel load parts that nobody uses;
- `prlimit64` is allowed for the caller itself only: the box's first process has the same user.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ORIGIN = (
    "moby/profiles, seccomp/default.json, commit cd3bed8061c7 (2026-06-30), Apache-2.0, changed"
)
NOT_NEEDED = {
    "looks into other processes": "ptrace process_vm_readv process_vm_writev process_madvise kcmp "
    "pidfd_getfd process_mrelease",
    "asynchronous input and output that bypasses this filter": "io_uring_setup io_uring_enter "
    "io_uring_register",
    "old asynchronous input and output": "io_setup io_submit io_cancel io_destroy io_getevents "
    "io_pgetevents io_pgetevents_time64",
    "programs and probes in the kernel": "bpf perf_event_open uretprobe userfaultfd",
    "the kernel's keys, which no namespace divides": "keyctl add_key request_key",
    "namespaces and mounts": "unshare setns clone3 mount umount umount2 pivot_root open_tree "
    "move_mount fsopen fsconfig fsmount fspick mount_setattr chroot statmount listmount",
    "files by handle, past folders' rights": "open_by_handle_at name_to_handle_at",
    "watching a whole file system": "fanotify_init fanotify_mark",
    "memory tricks of exploits": "modify_ldt remap_file_pages memfd_secret vmsplice tee",
    "message queues and semaphores of System V and POSIX": "msgget msgsnd msgrcv msgctl semget "
    "semop semtimedop semtimedop_time64 semctl mq_open mq_unlink mq_timedsend "
    "mq_timedsend_time64 mq_timedreceive mq_timedreceive_time64 mq_notify mq_getsetattr",
    "flushing every disk of the machine": "sync",
    "the clock": "adjtimex clock_adjtime clock_adjtime64",
    "many calls in one, past the rules on arguments": "socketcall ipc",
}
UNIX = 1
INTERNET = {"AF_INET": 2, "AF_INET6": 10}
STREAM, DATAGRAM = 1, 2
PROTOCOLS = {STREAM: (0, 6), DATAGRAM: (0, 17)}
"""By type: the usual one, by no name or by its own."""
TYPE = 0xF
"""The bits of a socket's type; the others are flags."""
NETLINK, ROUTE = 16, 0
"""Netlink only to read the interfaces, as getaddrinfo does."""
PERSONALITIES = (0, 0xFFFFFFFF)
"""Linux as usual, and the question which it is."""
PROCESSORS = {"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}
ENOSYS = 38


def reduced(profile: dict[str, Any]) -> dict[str, Any]:
    """Vibe's profile, from Docker's."""
    banned = {name for names in NOT_NEEDED.values() for name in names.split()}
    banned |= {"socket", "personality", "prlimit64"}
    anywhere: set[str] = set()
    of_processor: dict[str, set[str]] = {name: set() for name in PROCESSORS}
    rules = []
    for rule in profile["syscalls"]:
        includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
        names = set(rule["names"]) - banned
        arches = set(includes.get("arches", PROCESSORS))
        if (
            not names
            or rule["action"] != "SCMP_ACT_ALLOW"
            or includes.get("caps")
            or not arches & set(PROCESSORS)
            or set(PROCESSORS) <= set(excludes.get("arches", []))
        ):
            continue
        if rule.get("args"):
            rules.append({"names": sorted(names), "action": rule["action"], "args": rule["args"]})
        elif set(PROCESSORS) <= arches:
            anywhere |= names
        else:
            for name in set(PROCESSORS) & arches:
                of_processor[name] |= names
    found = [allow(sorted(anywhere)) | {"comment": ORIGIN}]
    for processor, names in of_processor.items():
        if names - anywhere:
            only = {"includes": {"arches": [processor]}}
            found.append(allow(sorted(names - anywhere)) | only)
    found += rules
    found.append(allow(["socket"], equal(0, UNIX)))
    found += [
        allow(["socket"], equal(0, family), masked(1, TYPE, kind), equal(2, protocol))
        for family in INTERNET.values()
        for kind, protocols in PROTOCOLS.items()
        for protocol in protocols
    ]
    found.append(allow(["socket"], equal(0, NETLINK), equal(2, ROUTE)))
    found += [allow(["personality"], equal(0, value)) for value in PERSONALITIES]
    found.append(allow(["prlimit64"], equal(0, 0)))
    # glibc falls back to clone, whose flags can be looked at, only when clone3 doesn't exist
    found.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [{"architecture": name, "subArchitectures": []} for name in PROCESSORS.values()],
        "syscalls": found,
    }


def allow(names: list[str], *arguments: dict[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ALLOW"}
    return rule | ({"args": list(arguments)} if arguments else {})


def equal(index: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}


def masked(index: int, mask: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}


if __name__ == "__main__":
    print(json.dumps(reduced(json.loads(Path(sys.argv[1]).read_text("utf-8"))), indent=1))
