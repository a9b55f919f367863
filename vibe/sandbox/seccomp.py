"""Whether a profile of system calls is as strict as a box needs, whoever wrote it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_FORBIDDEN = """
    acct add_key adjtimex bpf chroot clock_adjtime clock_settime clone3 delete_module
    fanotify_init fanotify_mark finit_module fsconfig fsmount fsopen fspick get_kernel_syms
    get_mempolicy init_module io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit
    io_uring_enter io_uring_register io_uring_setup ioperm iopl ipc kcmp kexec_file_load kexec_load
    keyctl lookup_dcookie mbind memfd_secret migrate_pages modify_ldt mount mount_setattr
    move_mount move_pages mq_notify mq_open msgget name_to_handle_at nfsservctl open_by_handle_at
    open_tree perf_event_open pidfd_getfd pivot_root process_madvise process_mrelease
    process_vm_readv process_vm_writev ptrace query_module quotactl quotactl_fd reboot
    remap_file_pages request_key semget set_mempolicy setdomainname sethostname setns settimeofday
    socketcall stime swapoff swapon sync syslog tee umount umount2 unshare uretprobe userfaultfd
    ustat vhangup vmsplice
"""
FORBIDDEN = frozenset(_FORBIDDEN.split())
"""System calls that no program in a box may make."""
GUARDED = frozenset({"clone", "personality", "prlimit64", "socket"})
"""System calls that are allowed only with arguments that are looked at."""
INTERNET = frozenset({2, 10})
"""AF_INET and AF_INET6, which are allowed with these types and protocols only; AF_UNIX (1) with
any, netlink (16) with the protocol for routes (0)."""
TYPES = frozenset({(1, 0), (1, 6), (2, 0), (2, 17)})
"""Streams by TCP, datagrams by UDP."""
NAMESPACES = 0x7E020000
"""The flags of `clone` that make a new namespace (linux/sched.h)."""
PERSONALITIES = frozenset({0, 0xFFFFFFFF})
_TOP = {"defaultAction", "defaultErrnoRet", "archMap", "syscalls"}
_RULE = {"names", "action", "args", "includes", "comment", "errnoRet"}
_ARCHES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")


def weakness(text: str) -> str:
    """What is too loose, or can't be read, in a profile in Docker's format; "" when nothing is."""
    try:
        return _weakness(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "it can't be read"


def _weakness(profile: Mapping[str, Any]) -> str:
    if odd := set(profile) - _TOP:
        return f"unknown part {min(odd)}"
    if profile["defaultAction"] != "SCMP_ACT_ERRNO":
        return "it allows what it doesn't name"
    if not profile.get("defaultErrnoRet", 1) > 0:
        return "it makes a refusal look like success"
    for entry in profile["archMap"]:
        # a second instruction set has other numbers, and socketcall, which hides its arguments
        if entry["architecture"] not in _ARCHES or entry.get("subArchitectures"):
            return "it allows a second instruction set"
    for rule in profile["syscalls"]:
        if wrong := _rule(rule):
            return wrong
    return ""


def _rule(rule: Mapping[str, Any]) -> str:
    if odd := set(rule) - _RULE:
        return f"unknown part {min(odd)}"
    if not isinstance(rule["names"], list):
        return "a rule has no list of names"
    names, action = set(rule["names"]), rule["action"]
    if action == "SCMP_ACT_ERRNO":
        return "" if rule.get("errnoRet", 1) > 0 else "it makes a refusal look like success"
    if action != "SCMP_ACT_ALLOW":
        return f"unknown action {action}"
    if bad := names & FORBIDDEN:
        return f"it allows {min(bad)}"
    if guarded := names & GUARDED:
        arguments = {
            (given["index"], given["op"], given["value"], given.get("valueTwo", 0))
            for given in rule.get("args") or []
        }
        if len(names) > 1 or not _looked_at(min(guarded), arguments):
            return f"it allows {min(guarded)} with any arguments"
    return ""


def _looked_at(name: str, arguments: set[tuple[int, str, int, int]]) -> bool:
    if name == "clone":
        return arguments == {(0, "SCMP_CMP_MASKED_EQ", NAMESPACES, 0)}
    if name == "personality":
        return any(arguments == {(0, "SCMP_CMP_EQ", value, 0)} for value in PERSONALITIES)
    if name == "prlimit64":
        return arguments == {(0, "SCMP_CMP_EQ", 0, 0)}
    route = {(0, "SCMP_CMP_EQ", 16, 0), (2, "SCMP_CMP_EQ", 0, 0)}
    return arguments in ({(0, "SCMP_CMP_EQ", 1, 0)}, route) or any(
        arguments
        == {
            (0, "SCMP_CMP_EQ", family, 0),
            (1, "SCMP_CMP_MASKED_EQ", 15, kind),
            (2, "SCMP_CMP_EQ", protocol, 0),
        }
        for family in INTERNET
        for kind, protocol in TYPES
    )
